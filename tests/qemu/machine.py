# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""A machine in QEMU that has booted an image, and what it is connected to.

The clients are those of the end-to-end tests in tests/hil, and so are the rules: nothing here sleeps to let something
happen, but waits for it, up to a deadline.
"""

import dataclasses
import gzip
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = pathlib.Path(os.environ.get("MILLRACE_IMAGE", ROOT / "build/images/qemu-virt")).resolve()
FILES = ("manifest", "vmlinuz", "initramfs.gz", "card.img", "device-tree.dtb")
sys.path.insert(0, str(ROOT / "tests/hil"))

import harness  # noqa: E402

DEADLINE = 40.0  # seconds: an emulated processor is slow, and may have to share this one


def program_as_module(name):
    """A program of toolchain/, to use its classes."""
    loader = importlib.machinery.SourceFileLoader(name, str(ROOT / "toolchain" / name))
    sys.dont_write_bytecode = True
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


image = program_as_module("image")
lines = program_as_module("lines")


def run_instead(folder, script, program):
    """In place of what the image in a folder starts, has it run a script, which uses a program of ours.

    The kernel unpacks one archive after the other: what is in this one takes the place of what is in the image's.
    """
    archive = image.Archive()
    archive.add_file("usr/sbin/scenario", script.encode(), executable=True)
    archive.add_file(f"usr/sbin/{program.name}", program.read_bytes(), executable=True)
    archive.add_file("etc/inittab", b"::wait:/usr/sbin/scenario\n")
    (folder / "initramfs.gz").unlink()
    both = (IMAGE / "initramfs.gz").read_bytes() + gzip.compress(archive.bytes(), 1, mtime=0)
    (folder / "initramfs.gz").write_bytes(both)


@dataclasses.dataclass
class Target:
    """What the tests need to know of a machine: lines and serial ports in their order, what it has, where state is."""

    lines: list
    all_lines: str
    uarts: list
    disk: str
    has: set
    board = arch = name = ""

    def __str__(self):
        return f"{self.name} {self.arch}"


TARGETS = {
    "virt": Target([f"GPIO{n}" for n in range(32)], "GPIO0 to GPIO31", ["uart0", "uart1"], "/dev/vda",
                   {"far ends of lines", "power button", "watchdog"}),
    "imx8mp-evk": Target(
        [f"GPIO{controller}_IO{offset:02}" for controller, offsets in (
            (1, (0, 5, 6, 7, 8, 9, 10, 13, 15)), (2, (0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 20)), (3, (14,)),
            (4, (0, 1, 3, 18, 19, 20, 21, 28)), (5, (10, 11, 12, 13, 21, 28, 29))) for offset in offsets],
        "GPIO1_IO00 to GPIO5_IO29", ["uart1", "uart3"], "/dev/mmcblk2", {"far ends of lines", "watchdog"}),
    "raspi3b": Target([f"GPIO{n}" for n in range(28)], "", [], "/dev/mmcblk0p2", set()),
}


def target():
    """Of the image that is to be tested, as its manifest says; without one, the tests are skipped."""
    manifest = (IMAGE / "manifest").read_text() if (IMAGE / "manifest").exists() else ""
    told = dict(re.findall("^(board|arch|machine) (.*)$", manifest, re.M))
    result = TARGETS[told.get("machine", "virt")]
    result.name, result.board, result.arch = (told.get(key, "") for key in ("machine", "board", "arch"))
    if result.arch == "armhf":
        result.has.remove("watchdog")  # Debian's kernel has no driver
    return result


TARGET = target()
LINE = TARGET.lines


def wait_until(condition, what):
    end = time.monotonic() + DEADLINE
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {DEADLINE:g} s in vain until {what}"
        time.sleep(0.02)
    return result


def connect(folder, name):
    return lines.open_socket(folder, name, DEADLINE)


def receive_until(connection, text):
    said = b""
    while text not in said:
        data = connection.recv(4096)
        assert data, f"it ended before {text}: {said}"
        said += data


class Monitor:
    """QEMU's own control port. Any thread may ask."""

    def __init__(self, folder):
        self._asked = threading.Lock()
        self._file = connect(folder, "qmp.sock").makefile("rw")
        self.events = []
        json.loads(self._file.readline())
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        with self._asked:
            self._file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            self._file.flush()
            while "return" not in (answer := json.loads(self._file.readline())):
                assert "error" not in answer, answer
                self.events.append(answer)
            return answer["return"]

    def rest(self):
        """All that QEMU says until it ends: its events, by their names."""
        try:
            self.events += [json.loads(line) for line in self._file]
        except ConnectionResetError:
            pass
        return [event["event"] for event in self.events]


class Machine:
    """Starts at once. `folder` keeps its state: another machine started there finds what this one left."""

    def __init__(self, folder, options="--heap-trap abort", append="", deterministic=False, prepare=None, qemu=(),
                 image=IMAGE):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for name in FILES:
            link = folder / name
            link.unlink(missing_ok=True)
            if (image / name).exists():
                link.symlink_to(image / name)
        if prepare:
            prepare(folder)
        for old in folder.glob("*.sock"):
            old.unlink()
        with open(folder / "qemu.log", "wb") as log:
            self.process = subprocess.Popen(
                [ROOT / "toolchain/qemu", "--sockets", "--port", "0", "--pigpio-port", "0", "--append",
                 f'GATEWAY_OPTIONS="{options}" {append}', *(["--deterministic"] if deterministic else []),
                 folder, "--", *qemu],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.clients = []
        self._lines = None
        self.monitor = self._when_up(lambda: Monitor(self.folder), "QEMU listens")

    def _when_up(self, open_it, what):
        def opened():
            assert self.process.poll() is None, f"QEMU has ended: {self.log()}"
            try:
                return open_it()
            except (FileNotFoundError, ConnectionRefusedError):
                return None  # QEMU has only just been started

        return wait_until(opened, what)

    def console(self):
        file = self.folder / "console.log"
        return file.read_bytes().decode(errors="replace") if file.exists() else ""

    def shell(self):
        """That of the console, once it is there: what is typed is read one by one."""
        console = connect(self.folder, "console.sock")
        console.sendall(b"\n")
        receive_until(console, b"/ # ")
        return console

    def log(self):
        return (self.folder / "qemu.log").read_text() + self.console()

    @property
    def lines(self):
        """The far ends of the GPIO lines; it is there once the machine is up."""
        if not self._lines:
            self._lines = self._when_up(lambda: lines.connect(self.folder, DEADLINE), "QEMU listens")
        return self._lines

    @property
    def guest(self):
        """Shell commands for the machine."""
        return self.lines.guest

    def reconnect_lines(self):
        if self._lines:
            self._lines.close()
            self._lines = None

    def run(self, command, status=0):
        """What a shell command in the machine says."""
        said, ended = self.guest.run(command)
        assert ended == status, f"{command}: {ended}, {said}"
        return said

    def pull(self, line, way):
        self.lines.pull(line, way)

    def toggle(self, line, count, burst=None):
        self.lines.toggle(line, count, burst)

    def level(self, line):
        return self.lines.level(line)

    def ends(self):
        """What /state/ends says of how the gateway ended, and of when the system was up."""
        return self.run("cat /state/ends")

    def gateway_pid(self):
        return int(self.run("pidof gateway")[0])

    def serving_since(self):
        """When the gateway first served, in seconds of the machine's own clock."""
        found = self.run("dmesg | grep 'gateway: Try: '")
        return float(re.match(r"\[ *([0-9.]+)\]", found[0])[1])

    def port(self, service=7000):
        """The port here that leads to one of the machine."""
        table = self.monitor.ask("human-monitor-command", **{"command-line": "info usernet"})
        return int(re.search(rf"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+{service}\s", table)[1])

    def connect(self):
        """A client by TCP from this side, once one is served: QEMU accepts before anybody in the machine does."""
        port = self.port()

        def served():
            connection = socket.create_connection(("127.0.0.1", port), DEADLINE)
            client = harness.Client(connection)
            # What is sent before the network is up comes again only after 6 s, and then after 18: a new one is quicker.
            connection.settimeout(1)
            try:
                if client.greet() == "ok":
                    connection.settimeout(DEADLINE)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    return client
            except (OSError, EOFError):
                pass
            client.close()
            assert self.process.poll() is None, f"QEMU has ended: {self.log()}"
            return None

        try:
            self.clients.append(wait_until(served, "the gateway serves"))
        except AssertionError as failure:
            raise AssertionError(f"{failure}: {self.log()}") from None
        return self.clients[-1]

    def serial_port(self, name):
        return SerialPort(connect(self.folder, f"{name}.sock"))

    def wait(self):
        """QEMU's exit status, once the machine has powered off."""
        return self.process.wait(DEADLINE)

    def power_off(self):
        self.guest.send("run poweroff")
        return self.wait()

    def kill(self):
        """Like pulling the plug."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.kill()


class SerialPort(harness.Port):
    """The far end of a serial port of the machine."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.setblocking(False)
        self.fd = self.socket.fileno()

    def close(self):
        self.socket.close()
