# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Deployment by ssh, to a real server for this user alone on the loopback interface."""

import getpass
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from rig import deploy

SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
pytestmark = pytest.mark.skipif(not SSHD or not shutil.which("ssh"),
                                reason="no sshd and ssh here: Debian's package openssh-server")

DEADLINE = 20.0  # seconds


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Server:
    """Somebody else's programs come first in its PATH."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(mode=0o700)
        self.port = free_port()
        self.programs = folder / "programs"
        self.programs.mkdir()
        for name in ("host", "user", "stranger"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        (folder / "server").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nPidFile none\n"
            f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
            f"SetEnv PATH={self.programs}:{os.environ['PATH']}\n")
        self.know("host")
        if os.getuid() == 0:  # only then does it want this folder
            pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        self.process = None
        self.start()

    def start(self):
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", self.folder / "server"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        end = time.monotonic() + DEADLINE
        while "listening on" not in (self.folder / "log").read_text():
            assert self.process.poll() is None and time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.01)

    def know(self, key):
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {(self.folder / f'{key}.pub').read_text()}")

    def program(self, name, script):
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def settings(self, **more):
        return {"ssh": f"{getpass.getuser()}@127.0.0.1", "port": self.port,
                "options": [f"IdentityFile={self.folder}/user", "IdentitiesOnly=yes", "IdentityAgent=none",
                            f"UserKnownHostsFile={self.folder}/known"]} | more

    def connections(self):
        """The processes that serve somebody: of some users it is more than one."""
        found = []
        for parent in (ahead := [self.process.pid]):
            try:
                children = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            except OSError:  # it has ended just now
                continue
            ahead += map(int, children)
            found += map(int, children)
        return found

    def hang(self):
        """A command that does not end by itself."""
        return f"echo $$ >>{self.folder}/hanging; exec sleep 1000"

    def end(self):
        hanging = self.folder / "hanging"
        commands = hanging.read_text().split() if hanging.exists() else []
        for child in [*self.connections(), *map(int, commands)]:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path):
    started = Server(tmp_path / "ssh")
    yield started
    if started.process.poll() is None:
        started.end()


@pytest.fixture
def open_deploy():
    opened = []

    def start(settings, **how):
        opened.append(deploy.open_deploy(settings, **how))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def board(server, open_deploy):
    return lambda **settings: open_deploy(server.settings(**settings))


class TestRun:
    def test_status_and_output(self, board):
        opened = board()
        assert opened.run("echo one; echo two >&2; exit 3") == (3, "one\n")
        assert opened.run("exit 255") == (255, "")
        assert opened.run("cat") == (0, "")
        assert opened.run("printf '%s' \"it's $((1 + 1))\"") == (0, "it's 2")

    def test_one_connection_serves_all(self, board, server):
        opened = board()
        for n in range(5):
            assert opened.run(f"echo {n}") == (0, f"{n}\n")
        assert (server.folder / "log").read_text().count("Accepted publickey") == 1
        opened.disconnect()
        assert opened.run("true") == (0, "")
        assert (server.folder / "log").read_text().count("Accepted publickey") == 2

    def test_nothing_is_left(self, board, server):
        opened = board()
        opened.run("true")
        folder = opened._folder
        opened.close()
        opened.close()
        assert not folder.exists()

    def test_what_the_board_is(self, board, server):
        facts = board().facts()
        assert facts["kernel"] == subprocess.run(["uname", "-a"], capture_output=True, text=True).stdout.strip()
        assert set(facts) <= {"kernel", "model", "system"}
        assert ("system" in facts) == os.path.exists("/etc/os-release")
        assert all(facts.values())


class TestInstall:
    def test_files(self, board, tmp_path):
        build = tmp_path / "build[1]"
        build.mkdir()
        (build / "gateway").write_bytes(os.urandom(300_000))
        (build / "gateway").chmod(0o751)
        (build / "options").write_text("--listen\n")
        there = tmp_path / "the board's"
        there.mkdir()
        settings = {"copy": [["{build}/gateway", f"{there}/millrace"], ["{build}/options", f"{there}"]]}
        opened = deploy.open_deploy(board()._settings | settings, build)
        with opened:
            opened.install()
            opened.install()
        assert (there / "millrace").read_bytes() == (build / "gateway").read_bytes()
        assert (there / "millrace").stat().st_mode & 0o777 == 0o751
        assert sorted(path.name for path in there.iterdir()) == ["millrace", "options"]

    def test_a_program_that_runs(self, board, tmp_path):
        program = tmp_path / "program"
        shutil.copy("/bin/sleep", program)
        with subprocess.Popen([program, "1000"]) as running:
            board(copy=[["/bin/cat", str(program)]]).install()
            assert running.poll() is None
            running.kill()
        assert program.read_bytes() == pathlib.Path("/bin/cat").read_bytes()

    def test_at_home(self, board):
        name = f".hil-test-{os.getpid()}"
        opened = board(copy=[["/bin/true", f"~/{name}"]])
        try:
            opened.install()
            assert opened.run(f"test -x ~/{name}") == (0, "")
        finally:
            opened.run(f"rm -f ~/{name}")

    def test_half_a_file_replaces_nothing(self, board, server, tmp_path):
        (tmp_path / "old").write_text("whole")
        (tmp_path / "new").write_text("x" * 100_000)
        server.program("cat", "head -c 5000")
        with pytest.raises(deploy.DeployError, match="ended with status 1; it said: 5000 of 100000 bytes have arrived"):
            board(copy=[[str(tmp_path / "new"), str(tmp_path / "old")]]).install()
        assert (tmp_path / "old").read_text() == "whole"
        assert not (tmp_path / "old.new").exists()

    def test_nowhere(self, board, tmp_path):
        with pytest.raises(deploy.DeployError) as failure:
            board(copy=[["/bin/true", f"{tmp_path}/none/true"]]).install()
        assert str(failure.value).startswith(f"deploy.copy[0]: {getpass.getuser()}@127.0.0.1: copying /bin/true to "
                                             f"{tmp_path}/none/true ended with status ")
        assert "it said: " in str(failure.value) and "none/true.new" in str(failure.value)

    def test_a_package(self, board, server, tmp_path):
        (tmp_path / "millrace_1_all.deb").write_text("a package")
        server.program("sudo", f'echo "sudo $*" >>{tmp_path}/asked; shift; exec "$@"')
        server.program("dpkg", f'echo "dpkg $1 $2 $DEBIAN_FRONTEND" >>{tmp_path}/asked; for last; do :; done; '
                               f'echo "$last" >>{tmp_path}/file; cat "$last" >>{tmp_path}/asked')
        board(package=f"{tmp_path}/millrace_*_all.deb").install()
        asked = [line for line in (tmp_path / "asked").read_text().splitlines() if not line.startswith("sudo ")]
        assert asked == ["dpkg --force-confold -i noninteractive", "a package"]
        assert ("sudo -n env " in (tmp_path / "asked").read_text()) == (os.getuid() != 0)
        assert not os.path.exists((tmp_path / "file").read_text().strip())

    def test_a_package_that_can_not_be_installed(self, board, server, tmp_path):
        (tmp_path / "millrace.deb").write_text("a package")
        server.program("dpkg", "echo 'dependency problems' >&2; exit 1")
        server.program("sudo", 'shift; exec "$@"')
        with pytest.raises(deploy.DeployError, match="deploy.package: .* status 1; it said: dependency problems"):
            board(package=f"{tmp_path}/millrace.deb").install()


class TestCommands:
    def test_each(self, board, tmp_path):
        opened = board(restart=f"echo restart >>{tmp_path}/done", stop=f"echo stop >>{tmp_path}/done",
                       kill=f"echo kill >>{tmp_path}/done", logs=f"cat {tmp_path}/done")
        opened.restart()
        opened.kill()
        opened.stop()
        assert opened.logs() == "restart\nkill\nstop\n"

    @pytest.mark.parametrize("name", ["restart", "stop", "kill", "logs"])
    def test_one_that_is_missing(self, board, name):
        with pytest.raises(deploy.DeployError, match=f"^deploy.{name}: it is missing$"):
            getattr(board(), name)()

    @pytest.mark.parametrize("name", ["restart", "stop", "kill", "logs"])
    def test_one_that_fails(self, board, name):
        with pytest.raises(deploy.DeployError) as failure:
            getattr(board(**{name: "echo no such unit >&2; exit 5"}), name)()
        assert str(failure.value) == (f"deploy.{name}: {getpass.getuser()}@127.0.0.1: 'echo no such unit >&2; exit 5' "
                                      "ended with status 5; it said: no such unit")

    def test_sudo_that_asks(self, board, server):
        server.program("sudo", "echo 'sudo: a password is required' >&2; exit 1")
        with pytest.raises(deploy.DeployError, match="sudo: a password is required. let sudo do this without"):
            board(restart="sudo systemctl restart millrace").restart()

    def test_one_that_does_not_end(self, board, server):
        opened = board()
        with pytest.raises(deploy.DeployError, match="sleep 1000' did not end within 1 s; if it leaves a process"):
            opened.run(server.hang(), deadline=1)
        assert opened.run("echo again") == (0, "again\n")


class TestNoConnection:
    def test_nobody_listens(self, board):
        port = free_port()
        with pytest.raises(deploy.DeployError) as failure:
            board(port=port).run("true")
        assert str(failure.value).startswith(f"deploy.ssh: {getpass.getuser()}@127.0.0.1: connecting ended with status "
                                             "255; it said: ssh: connect to host 127.0.0.1 port")
        assert str(failure.value).endswith("Connection refused. no ssh server listens there: is it enabled, and the "
                                           "port right?")

    def test_a_key_that_nobody_knows(self, board, server):
        (server.folder / "known").write_text("")
        with pytest.raises(deploy.DeployError, match="Host key verification failed.*log in by hand once"):
            board().run("true")

    def test_a_key_that_is_another(self, board, server):
        server.know("stranger")
        with pytest.raises(deploy.DeployError, match="(?s)IDENTIFICATION HAS CHANGED.*ssh-keygen -R 127.0.0.1$"):
            board().run("true")

    def test_a_key_that_does_not_open(self, board, server):
        (server.folder / "authorized").write_text("")
        with pytest.raises(deploy.DeployError, match=r"Permission denied \(publickey\).* no key of yours lets"):
            board().run("true")

    def test_somebody_who_says_nothing(self, board, monkeypatch):
        monkeypatch.setattr(deploy, "CONNECT_DEADLINE", 1)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            with pytest.raises(deploy.DeployError, match="deploy.ssh: .*timed out.* is the board on, and its"):
                board(port=silent.getsockname()[1]).run("true")

    def test_somebody_who_stops_in_the_middle(self, board, monkeypatch):
        monkeypatch.setattr(deploy, "CONNECT_DEADLINE", 1)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            accepted = []

            def greet():
                accepted.append(listener.accept()[0])
                accepted[0].sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

            thread = threading.Thread(target=greet)
            thread.start()
            with pytest.raises(deploy.DeployError, match="deploy.ssh: .*is the board on, and its network up"):
                board(port=listener.getsockname()[1]).run("true")
            thread.join()
            accepted[0].close()

    def test_a_board_that_dies(self, board, server, monkeypatch):
        monkeypatch.setattr(deploy, "ALIVE_INTERVAL", 1)
        monkeypatch.setattr(deploy, "CONNECT_DEADLINE", 1)
        opened = board()
        opened.run("true")
        dead = [*server.connections(), server.process.pid]
        for each in dead:
            os.kill(each, signal.SIGSTOP)  # TCP lives on, as after a power cut
        with pytest.raises(deploy.DeployError, match="(?s)'echo dead' was cut off: .*timed out.* is the board on"):
            opened.run("echo dead")
        for each in dead:
            os.kill(each, signal.SIGCONT)
        monkeypatch.undo()
        assert opened.run("echo again") == (0, "again\n")

    def test_a_board_that_dies_during_a_command(self, board, server, tmp_path, monkeypatch):
        monkeypatch.setattr(deploy, "ALIVE_INTERVAL", 1)
        opened = board()
        opened.run("true")
        connections = server.connections()
        with pytest.raises(deploy.DeployError, match="sleep 1000' was cut off: the board or its network went away"):
            opened.run(f"kill -STOP {' '.join(map(str, connections))}; {server.hang()}")
        for each in connections:
            os.kill(each, signal.SIGCONT)
        assert opened.run("echo again") == (0, "again\n")

    def test_a_board_that_resets_during_a_command(self, board, server):
        opened = board()
        opened.run("true")
        connections = " ".join(map(str, server.connections()))
        with pytest.raises(deploy.DeployError, match="was cut off: the board or its network went away"):
            opened.run(f"kill -9 {connections}; {server.hang()}")

    def test_a_board_that_comes_back(self, board, server):
        opened = board()
        assert opened.run("true") == (0, "")
        server.end()
        with pytest.raises(deploy.DeployError, match="Connection refused|was cut off"):
            opened.run("true")
        server.start()
        assert opened.run("true") == (0, "")

    def test_no_ssh(self, board, monkeypatch):
        opened = board()
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(deploy.DeployError, match="deploy: ssh: No such file or directory"):
            opened.run("true")


class TestSettings:
    @pytest.mark.parametrize("settings, message", [
        ({}, "deploy.ssh: expected [USER@]HOST"),
        ({"ssh": "-oProxyCommand=x"}, "deploy.ssh: expected [USER@]HOST"),
        ({"shh": "a"}, "deploy.shh: there is no such key; did you mean ssh?"),
        ({"ssh": "a", "port": "x"}, "deploy.port: expected a whole number, got 'x'"),
        ({"ssh": "a", "options": "A=b"}, "deploy.options: expected a list, got 'A=b'"),
        ({"ssh": "a", "options": [1]}, "deploy.options[0]: expected NAME=VALUE, got 1"),
        ({"ssh": "a", "copy": [["x"]]}, "deploy.copy[0]: expected [FROM, TO], got ['x']"),
        ({"ssh": "a", "copy": [["README.md", "x"], "b"]}, "deploy.copy[1]: expected [FROM, TO], got 'b'"),
        ({"ssh": "a", "copy": [["no/such", "x"]]}, "deploy.copy[0]: no/such is no file here: has it been built?"),
        ({"ssh": "a", "copy": [["tests", "x"]]}, "deploy.copy[0]: tests is no file"),
        ({"ssh": "a", "copy": [["{build}/a", "x"]]}, "deploy.copy[0]: {build} stands for a build's folder, and none"),
        ({"ssh": "a", "package": "tests/hil/test_*.py"}, "deploy.package: tests/hil/test_*.py is more than one file"),
    ])
    def test_mistakes(self, settings, message, monkeypatch):
        monkeypatch.delenv("MILLRACE_BUILD", raising=False)
        with pytest.raises(deploy.DeployError) as failure:
            deploy.open_deploy(settings)
        assert str(failure.value).startswith(message)
