# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The suite on a board that is reached as boards are: by ssh, TCP, a console and a power switch.

The board is a process of this machine, and its wires are simulated; what leads there is not.
"""

import getpass
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree

import harness
import pytest
import yaml

HERE = pathlib.Path(__file__).resolve().parent
WIRES = [["GPIO17", "GPIO27"], ["GPIO22", "GPIO23"]]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Board:
    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.ssh_port = free_port()
        self._start_ssh()
        self._until_up = f"for n in $(seq 1000); do [ -e {folder}/up ] && break; sleep 0.02; done; [ -e {folder}/up ]"
        words = [sys.executable, HERE / "stand_in.py", folder, self.port, *("=".join(wire) for wire in WIRES)]
        self._script("on", f"""
            [ ! -e {folder}/system ] || exit 0
            cd {folder} && [ -e gateway ] || exit 0
            setsid {' '.join(map(str, words))} </dev/null >{folder}/system.log 2>&1 & echo $! >{folder}/system""")
        self._script("off", f"""
            [ ! -e {folder}/system ] || kill -KILL -$(cat {folder}/system)
            rm -f {folder}/system {folder}/up""")
        self._script("restart", f"""
            mv {folder}/gateway.new {folder}/gateway && chmod 755 {folder}/gateway && rm -f {folder}/up
            if [ -e {folder}/system ]; then kill $(cat {folder}/pid); else {folder}/on; fi
            {self._until_up}""")
        self.rig = {
            "name": "stand-in", "kind": "board", "board": "sim", "address": f"127.0.0.1:{self.port}",
            "drive": "wires", "wires": WIRES, "outputs": {"GPIO22": 1}, "uarts": [{"name": "uart0", "far_end": "loop"}],
            "deploy": {
                "ssh": "board", "options": ["HostName=127.0.0.1", f"Port={self.ssh_port}", f"User={getpass.getuser()}",
                                            f"IdentityFile={folder}/ssh/user", "IdentitiesOnly=yes",
                                            f"UserKnownHostsFile={folder}/ssh/known"],
                "copy": [["{build}/gateway", f"{folder}/gateway.new"]], "restart": f"{folder}/restart",
                "stop": f"{folder}/off", "kill": f"rm -f {folder}/up; kill -KILL $(cat {folder}/pid); {self._until_up}",
                # Its end cuts the connection, as that of a system does.
                "reboot": f"{folder}/off; {folder}/on; kill -KILL $PPID", "logs": f"cat {folder}/log",
            },
            "console": {"cmd": "sh"},
            "power": {"cmd_on": f"{folder}/on", "cmd_off": f"{folder}/off", "delay": 0.1},
        }

    def _script(self, name, text):
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)

    def _start_ssh(self):
        server = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if not server or not shutil.which("ssh"):
            pytest.skip("no sshd and ssh here: Debian's package openssh-server")
        folder = self.folder / "ssh"
        folder.mkdir(mode=0o700)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        (folder / "known").write_text(f"[127.0.0.1]:{self.ssh_port} {(folder / 'host.pub').read_text()}")
        (folder / "server").write_text(
            f"Port {self.ssh_port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n"
            f"PasswordAuthentication no\nSubsystem sftp internal-sftp\n")
        if os.getuid() == 0:  # only then does it want this folder
            pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        log = (folder / "log").open("w")
        self.server = subprocess.Popen([server, "-D", "-e", "-f", folder / "server"], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log)
        harness.wait_until(self._listens, "sshd listens")

    def _listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.ssh_port)).close()
            return True
        except ConnectionRefusedError:
            return False

    def run(self, command, *words, **changes):
        path = self.folder / "rig.yaml"
        path.write_text(yaml.safe_dump(self.rig | changes))
        return subprocess.run([sys.executable, "-B", *command, path, *words], capture_output=True, text=True,
                              timeout=300, cwd=self.folder, env=os.environ | {"MILLRACE_BUILD": harness.BUILD})

    def check(self, **changes):
        return self.run([HERE / "hil-check"], **changes)

    def end(self):
        subprocess.run([self.folder / "off"], check=True)
        self.server.send_signal(signal.SIGTERM)
        self.server.wait()


@pytest.fixture
def board(tmp_path):
    started = Board(tmp_path)
    yield started
    started.end()


def test_the_suite(board):
    results = board.folder / "results"
    done = board.run(["-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "suite", "--results", results,
                      f"--junit-xml={results}/junit.xml", "--soak=0.05", "-rs", "--target"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" in done.stdout and " failed" not in done.stdout
    suite = xml.etree.ElementTree.parse(results / "junit.xml").getroot().find("testsuite")
    facts = {each.get("name"): each.get("value") for each in suite.iter("property")}
    # It says board, and the gateway says simulation.
    assert (facts["target"], facts["realm"], facts["board"]) == ("stand-in", "simulation", "sim")
    assert facts["kernel"].startswith("Linux ")
    ran = {case.get("name") for case in suite.iter("testcase") if case.find("skipped") is None}
    assert {"test_the_gateway_is_killed_and_is_back", "test_the_power_is_cut_and_is_back", "test_every_speed[uart0]",
            "test_every_edge_is_told_once[GPIO17-GPIO27]", "test_everything_at_once_and_the_counters_add_up"} <= ran
    assert done.stdout.startswith("target: stand-in\nrealm: simulation\n")
    assert "on board sim" in (results / "gateway.log").read_text() and (results / "console.log").exists()
    report = (results / "report.html").read_text()
    assert report.index("simulation") < report.index("test_every_edge_is_told_once")


def test_a_kill_that_kills_nothing_and_a_boot_that_takes_too_long_are_found(board):
    done = board.run(["-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "suite", "-k", "killed or power",
                      "--target"], deploy=board.rig["deploy"] | {"kill": "true"}, limits={"boot": 2},
                     power=board.rig["power"] | {"cmd_on": f"sh -c '[ ! -e {board.folder}/gateway ] || "
                                                           f"(sleep 3; {board.folder}/on) >/dev/null 2>&1 &'"})
    harness.wait_until(lambda: (board.folder / "up").exists(), "the board is up after all, to be ended with this test")
    assert done.returncode == 1 and done.stdout.count("waited 2 s in vain until the gateway serves again") >= 2
    assert "2 failed" in done.stdout


def test_a_second_gateway_drives_the_lines(board):
    """It is the same one, which nobody can tell by its address."""
    done = board.run(["-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "suite", "-k", "test_edges or test_lines",
                      "-rs", "--target"], drive="gateway", far_address=f"127.0.0.1:{board.port}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "driver_apart: the rig has no deploy with pause and resume" in done.stdout


def test_a_rig_in_order(board):
    done = board.check()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok       wire GPIO17–GPIO27\n" in done.stdout and done.stdout.endswith("\n3 in order, 0 not\n")


def test_a_wire_that_is_missing_is_named(board):
    (board.folder / "unplugged").write_text("GPIO22=GPIO23\n")
    done = board.check()
    assert done.returncode == 1
    assert re.findall("^MISSING  (.*)$", done.stdout, re.M) == [
        "wire GPIO22–GPIO23: the wire is missing: GPIO22 stays 0 when its other end drives 1"]
    # The suite does not even begin.
    suite = board.run(["-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "suite", "--target"])
    assert suite.returncode == 2 and "wire GPIO22–GPIO23: the wire is missing" in suite.stdout + suite.stderr


@pytest.mark.parametrize("changes, said", [
    ({"wires": [["GPIO17", "GPIO99"]], "outputs": {}}, "wire GPIO17–GPIO99: 'config GPIO99 output "),
    ({"uarts": [{"name": "uart9", "far_end": "loop"}]}, "serial port uart9: error: no such serial port"),
])
def test_what_is_not_there_is_named(board, changes, said):
    done = board.check(**changes)
    assert done.returncode == 1 and f"MISSING  {said}" in done.stdout and not done.stderr


def test_wires_that_are_swapped_are_named(board):
    done = board.check(wires=[["GPIO17", "GPIO23"], ["GPIO22", "GPIO27"]])
    assert done.returncode == 1
    assert re.findall("^MISSING  (.*)$", done.stdout, re.M) == [
        "wire GPIO17–GPIO23: the wire is missing: GPIO17 stays 0 when its other end drives 1, and GPIO22 follows instead",
        "wire GPIO22–GPIO27: the wire is missing: GPIO22 stays 0 when its other end drives 1, and GPIO17 follows instead"]


@pytest.mark.parametrize("changes, said", [
    ({"board": "rpi4"}, "the rig's file says board: rpi4, and the gateway that it is on sim: which is right?"),
    ({"address": "127.0.0.1:1", "limits": {"boot": 1}}, "in vain until the gateway serves at 127.0.0.1:1"),
    ({"wires": ["GPIO17"]}, "wires: GPIO17: name the line at its other end, too: [GPIO17, GPIO27]"),
    ({"kind": "toaster"}, "kind: toaster: there are sim, qemu, board"),
    ({"colour": "red"}, "unknown key colour: there are name, kind, "),
    ({"limits": {"noise": 1}}, "limits: unknown noise: there are edge_latency_p50, "),
    ({"limits": {"boot": "soon"}}, "limits: boot: 'soon' is no number"),
    ({"lacks": {"biass": "none"}}, "lacks: unknown biass: there are gpio_loopback, "),
    ({"address": "127.0.0.1"}, "address: '127.0.0.1' is no HOST:PORT"),
    ({"name": "../rig"}, "name: '../rig': it names a folder"),
    ({"wires": [["GPIO17", "GPIO27"], ["GPIO27", "GPIO22"]]}, "wires: GPIO27 is named twice"),
])
def test_what_is_wrong_is_said(board, changes, said):
    done = board.check(**changes)
    assert done.returncode == 2 and done.stdout == ""
    assert said in done.stderr and "Traceback" not in done.stderr
