# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The console of a rig, with a real shell on a terminal of its own behind it, and a kernel that keeps talking."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
import tty
import types

import pytest

from rig import console
from rig.settings import end_group

MESSAGE = b"[   12.345678] usb 1-1: new high-speed USB device number 2\r\n"


class Board:
    """A program on a terminal. What it says goes to whoever connects, and a message of the kernel after every so many
    bytes of that."""

    def __init__(self, command=("sh", "-i"), echo=True, message_every=0, **environment):
        self.every = message_every
        self.said = 0
        self.master, slave = pty.openpty()
        if not echo:
            settings = termios.tcgetattr(slave)
            settings[3] &= ~termios.ECHO
            termios.tcsetattr(slave, termios.TCSANOW, settings)
        kept = {"PATH": os.environ["PATH"], "PS1": "# ", "TERM": "vt220"}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=kept | environment,
                                        start_new_session=True, preexec_fn=self.begin)
        os.close(slave)
        self.woken, self.waker = os.pipe()
        self.thread = None

    @staticmethod
    def begin():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        # Those who were started in the background of a script ignore it, and so would all that they start.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def connect(self, far):
        self.far = os.dup(far)
        self.thread = threading.Thread(target=self.pump, args=(self.far,))
        self.thread.start()

    def pump(self, far):
        while True:
            ready, _, _ = select.select([self.master, far, self.woken], [], [])
            if self.woken in ready:
                return
            try:
                if self.master in ready:
                    os.write(far, self.amid_messages(os.read(self.master, 1 << 12)))
                if far in ready:
                    data = os.read(far, 1 << 12)
                    if not data:
                        return
                    os.write(self.master, data)
            except OSError:
                return

    def amid_messages(self, data):
        if not self.every:
            return data
        result = bytearray()
        for byte in data:
            result.append(byte)
            self.said += 1
            if self.said % self.every == 0:
                result += MESSAGE
        return bytes(result)

    def end(self):
        os.write(self.waker, b"!")
        if self.thread:
            self.thread.join()
            os.close(self.far)
        end_group(self.process)
        for each in (self.master, self.woken, self.waker):
            os.close(each)


@pytest.fixture
def open_console(tmp_path):
    opened = []

    def start(settings):
        opened.append(console.open_console(settings, tmp_path / "console.log"))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def start_board():
    started = []

    def start(*arguments, **how):
        started.append(Board(*arguments, **how))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as created:
        created.settimeout(20)
        yield created


@pytest.fixture
def shell(start_board, open_console, listener):
    """A console by TCP, and a board at its other end."""
    connections = []

    def start(*arguments, **how):
        opened = open_console({"host": "127.0.0.1", "port": listener.getsockname()[1], **how.pop("settings", {})})
        connections.append(listener.accept()[0])
        opened.board = start_board(*arguments, **how)
        opened.board.connect(connections[-1].fileno())
        opened.far = connections[-1]
        return opened

    yield start
    for each in connections:
        each.close()


SHELLS = [each for each in (["sh", "-i"], ["bash", "--norc", "-i"], ["busybox", "ash", "-i"]) if shutil.which(each[0])]


@pytest.mark.parametrize("command", SHELLS, ids=" ".join)
@pytest.mark.parametrize("echo", [True, False], ids=["echo", "silent"])
class TestRun:
    def test_status_and_lines(self, shell, command, echo):
        board = shell(command, echo=echo)
        assert board.run("echo one; echo two >&2; false") == (1, ["one", "two"])
        assert board.run("true") == (0, [])
        assert board.run("echo; echo; exit 42") == (42, ["", ""])
        assert board.run("printf 'no newline'") == (0, ["no newline"])
        said = ["it's", r'\n "quoted" $HOME | a;b']
        assert board.run(f"""printf '%s\\n' "{said[0]}" '{said[1]}'""") == (0, said)

    def test_what_a_shell_does_not_survive(self, shell, command, echo):
        board = shell(command, echo=echo)
        status, lines = board.run("if")
        assert status != 0 and "yntax error" in " ".join(lines)
        assert board.run("no-such-program")[0] == 127
        assert board.run("cd /; pwd") == (0, ["/"])

    def test_several_lines(self, shell, command, echo):
        assert shell(command, echo=echo).run("for i in 1 2 3\ndo echo $i\ndone") == (0, ["1", "2", "3"])

    @pytest.mark.parametrize("every", [1, 2, 3, 7, 40, 1000])
    def test_messages_of_the_kernel_in_between(self, shell, command, echo, every):
        board = shell(command, echo=echo, message_every=every)
        expected = [f"{n}: what a program says" for n in range(20)]
        assert board.run("for n in $(seq 0 19); do echo $n: what a program says; done; exit 7") == (7, expected)
        assert board.run("true") == (0, [])

    @pytest.mark.parametrize("every", [0, 1, 13, 1000])
    def test_messages_of_the_kernel_that_are_wanted(self, shell, command, echo, every):
        board = shell(command, echo=echo, message_every=every)
        log = ["[    0.000000] Booting Linux", "[    1.000001][    T1] 3: gateway: Try: ", "3:[    2.000002] third"]
        words = " ".join(f"'{each}'" for each in log)
        assert board.run(f"printf '%s\\n' {words}") == (0, log)
        assert board.run(f"printf '%s' '{log[0]}'") == (0, log[:1])


class TestMended:
    K = "[    9.876543] usb 1-1: new device\n"

    @pytest.mark.parametrize("torn, whole", [
        ("m|one\nm|two\n", "m|one\nm|two\n"),
        (f"m|o{K}ne\nm|two\n", "m|one\nm|two\n"),
        (f"m|o{K}{K}ne\nm|tw{K}o\n", "m|one\nm|two\n"),
        (f"m{K}|one\nm|{K}two\n", "m|one\nm|two\n"),
        (f"m|one{K}\nm|two\r{K}\n", "m|one\nm|two\n"),
        (f"{K}m|one\n{K}{K}m|two\n{K}", "m|one\nm|two\n"),
        # What the program says looks like the kernel's
        (f"m|{K}m|{K}m|two\n", f"m|{K}m|{K}m|two\n"),
        (f"m|{K}{K}m|{K}m|two\n", f"m|{K}m|{K}m|two\n"),
        (f"m|{K[:9]}{K}{K[9:]}m|two\n", f"m|{K}m|two\n"),
        (f"m|3:{K}{K}m|two\n", f"m|3:{K}m|two\n"),
        (f"m|{K[:-1]}m=0\n# ", f"m|{K[:-1]}m=0\n# "),
        (f"m|{K[:-1]}m={K}0\n# ", f"m|{K[:-1]}m=0\n# "),
    ])
    def test_lines(self, torn, whole):
        assert console.mended(torn, "m") == whole


class TestRunFails:
    def test_one_that_does_not_end_is_interrupted(self, shell):
        board = shell()
        with pytest.raises(console.ConsoleError, match="'echo so far; sleep 1000' did not end within 1 s;") as failure:
            board.run("echo so far; sleep 1000", deadline=1)
        assert "|so far\n" in str(failure.value) and "console.log" in str(failure.value)
        assert board.run("echo again") == (0, ["again"])

    def test_input_is_not_waited_for(self, shell):
        assert shell().run("cat") == (0, [])

    def test_nobody_answers(self, listener, open_console):
        board = open_console({"host": "127.0.0.1", "port": listener.getsockname()[1]})
        with pytest.raises(console.ConsoleError, match="'true' did not end within 0.2 s; nothing has come at all"):
            board.run("true", deadline=0.2)

    def test_somebody_only_echoes(self, shell):
        with pytest.raises(console.ConsoleError, match="did not end within 0.5 s"):
            shell(["cat"]).run("true", deadline=0.5)

    def test_a_shell_that_ends(self, shell):
        board = shell()
        board.send("exit\n")
        board.board.process.wait(20)
        board.far.shutdown(socket.SHUT_RDWR)
        with pytest.raises(console.ConsoleError, match="console: it (has ended|can't be written to)"):
            board.run("true")

    @pytest.mark.parametrize("command", ["a\tb", "a\x03b", "a\x7fb"])
    def test_what_a_terminal_would_act_on(self, shell, command):
        with pytest.raises(console.ConsoleError, match="has control characters"):
            shell().run(command)

    def test_what_a_terminal_would_cut_off(self, shell):
        board = shell()
        assert board.run(f"true {'x' * 3700}") == (0, [])
        with pytest.raises(console.ConsoleError, match="is too long for a line of a terminal"):
            board.run(f"true {'x' * 4000}")

    def test_a_board_that_takes_nothing(self, listener, open_console, monkeypatch):
        monkeypatch.setattr(console, "CONNECT_DEADLINE", 0.5)
        board = open_console({"host": "127.0.0.1", "port": listener.getsockname()[1]})
        with pytest.raises(console.ConsoleError, match="can't be written to: the other side takes nothing"):
            board.send("x" * (32 << 20))


class TestExpect:
    def test_searches_what_came_since_the_last_match(self, shell):
        board = shell(["sh", "-c", "printf 'one\\r\\ntwo\\r\\none more\\r\\n'; cat"], echo=False)
        assert board.expect("^one$").group() == "one"
        assert board.expect(r"^one (\w+)$")[1] == "more"
        with pytest.raises(console.ConsoleError, match=r"waited 0.1 s in vain for 'one'; what came: nothing more"):
            board.expect("one", 0.1)
        board.send("one\n")
        board.expect("^one$")

    def test_nothing_is_lost_between_calls_and_all_is_logged(self, shell, tmp_path):
        board = shell(["sh", "-c", "seq 1 20000; printf '\\033[1mend\\033[0m'; sleep 1000"])
        board.expect("^1$")
        board.expect("^end$")
        board.close()
        board.close()
        assert (tmp_path / "console.log").read_bytes() == (
            "".join(f"{n}\r\n" for n in range(1, 20001)) + "\x1b[1mend\x1b[0m").encode()

    def test_the_log_is_appended_to(self, shell, tmp_path):
        (tmp_path / "console.log").write_text("before\n")
        board = shell(["echo", "after"])
        board.expect("after")
        board.close()
        assert (tmp_path / "console.log").read_bytes() == b"before\nafter\r\n"

    def test_what_came_before_the_end_counts(self, shell):
        board = shell(["echo", "last words"])
        board.board.process.wait(20)
        board.expect("last")
        board.far.shutdown(socket.SHUT_RDWR)
        board.expect("words")
        with pytest.raises(console.ConsoleError, match="console: it has ended; what came: nothing more"):
            board.expect("more")

    def test_once_it_is_closed(self, shell):
        board = shell(["cat"])
        board.close()
        with pytest.raises(console.ConsoleError, match="it has been closed"):
            board.send("x")

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
    def test_text_in_pieces(self, size):
        data = ("caf\u00e9\r\r\n\x1b[?2004h# \x1b]0;title\x07\x1b[01;32mgreen\x1b[0m\x1b(B\r\x1b[K50 %\r\n"
                "\x1bno\rend").encode()
        text = console.Text()
        said = "".join(text.add(data[at : at + size]) for at in range(0, len(data), size)) + text.add(b"")
        assert said == "caf\u00e9\n# green\r50 %\n\x1bno\rend"


LOGIN = """
while :; do
  printf 'Debian GNU/Linux 12 board ttyS0\\n\\nboard login: '; read -r user
  stty -echo; printf 'Password: '; read -r password; stty echo; echo
  [ "$user $password" = 'pi secret' ] && break
  printf '\\nLogin incorrect\\n'
done
echo 'Last login: Tue Jan  2 03:04:05 UTC 2024 on ttyS0'
exec sh -i
"""


class TestLogin:
    @pytest.mark.parametrize("said, asks", [("board login: ", True), ("login:", True), ("Last login: ", False),
                                            ("board login: pi", False)])
    def test_what_asks_for_a_name(self, said, asks):
        assert bool(re.search(console.LOGIN_PROMPT, f"Debian\n{said}")) == asks

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch):
        monkeypatch.setattr(console, "SILENCE", 0.5)

    @pytest.mark.parametrize("every", [0, 1, 7, 100])
    def test_with_a_password(self, shell, every, tmp_path):
        board = shell(["sh", "-c", LOGIN], message_every=every, settings={"username": "pi", "password": "secret"})
        board.login()
        assert board.run("echo in") == (0, ["in"])
        assert b"secret" not in (tmp_path / "console.log").read_bytes()

    def test_with_another_than_in_the_settings(self, shell):
        board = shell(["sh", "-c", LOGIN])
        board.login("pi", "secret")
        assert board.run("echo in") == (0, ["in"])

    def test_where_a_shell_is_already(self, shell):
        board = shell(settings={"username": "pi", "password": "secret", "prompt": "^# "})
        board.expect("# ")
        board.login()
        assert board.run("echo in") == (0, ["in"])

    def test_without_a_name_nothing_is_done(self, listener, open_console):
        open_console({"host": "127.0.0.1", "port": listener.getsockname()[1]}).login()

    def test_the_wrong_password(self, shell):
        board = shell(["sh", "-c", LOGIN], settings={"username": "pi", "password": "wrong"})
        with pytest.raises(console.ConsoleError, match="console.username, .*: pi can't log in with these"):
            board.login()

    def test_no_password(self, shell):
        board = shell(["sh", "-c", LOGIN], settings={"username": "pi"})
        with pytest.raises(console.ConsoleError, match="console.password: it is missing, and pi is asked for one"):
            board.login()

    def test_prompts_of_its_own(self, shell):
        script = "printf 'Who? '; read -r user; PS1='ready> ' exec sh -i"
        board = shell(["sh", "-c", script], settings={"username": "root", "login_prompt": r"^Who\? ",
                                                      "prompt": "^ready> "})
        board.login()
        assert board.run("echo in") == (0, ["in"])

    def test_a_board_that_never_asks(self, shell):
        board = shell(["cat"], settings={"username": "pi"})
        with pytest.raises(console.ConsoleError, match="console: pi could not log in within 0.7 s"):
            board.login(deadline=0.7)


class TestKinds:
    def test_a_program(self, open_console):
        board = open_console({"cmd": f"{sys.executable} -c \"import pty; pty.spawn(['sh', '-i'])\""})
        assert board.run("tty >/dev/null </dev/tty; echo $?; exit 3") == (3, ["0"])

    def test_a_program_that_is_not_there(self, open_console, tmp_path):
        with pytest.raises(console.ConsoleError, match="console.cmd: '.*/none' can't be run: No such file"):
            open_console({"cmd": f"{tmp_path}/none"})

    def test_a_program_that_fails(self, open_console):
        board = open_console({"cmd": "sh -c 'echo no route to the rack >&2; exit 1'"})
        with pytest.raises(console.ConsoleError, match="console: it has ended; what came: no route to the rack"):
            board.expect("login:")

    def test_a_program_ends_with_all_that_it_started(self, open_console, tmp_path):
        board = open_console({"cmd": f"sh -c 'trap : TERM; sleep 1000 & echo $! >{tmp_path}/pid; echo up; wait; wait'"})
        board.expect("up")
        sleeping = os.pidfd_open(int((tmp_path / "pid").read_text()))
        board.close()
        assert select.select([sleeping], [], [], 20)[0]
        os.close(sleeping)

    def test_a_unix_socket_whose_path_is_too_long(self, open_console, start_board, tmp_path, monkeypatch):
        folder = tmp_path / ("long" * 30)
        folder.mkdir()
        monkeypatch.chdir(folder)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("serial.sock")
            listening.listen()
            monkeypatch.chdir(tmp_path)
            board = open_console({"socket": f"{folder}/serial.sock"})
            with listening.accept()[0] as far:
                start_board().connect(far.fileno())
                assert board.run("echo there") == (0, ["there"])
        assert os.getcwd() == str(tmp_path)

    def test_no_unix_socket(self, open_console, tmp_path):
        with pytest.raises(console.ConsoleError, match="console.socket: .*/none can't be connected to: No such file"):
            open_console({"socket": f"{tmp_path}/none"})

    def test_nobody_listens(self, open_console):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.raises(console.ConsoleError, match=f"127.0.0.1, port {port}, can't be reached: .*refused"):
            open_console({"host": "127.0.0.1", "port": port})


class TestSerialPorts:
    @pytest.fixture(autouse=True)
    def serial(self):
        return pytest.importorskip("serial", reason="no pyserial here: Debian's package python3-serial")

    @pytest.fixture
    def cable(self):
        """The two ends of a serial line: a descriptor, and a path."""
        near, far = pty.openpty()
        tty.setraw(far)
        yield near, os.ttyname(far)
        os.close(near)
        os.close(far)

    def test_one_of_this_machine(self, open_console, start_board, cable):
        board = open_console({"port": cable[1], "speed": 9600})
        assert termios.tcgetattr(cable[0])[4] == termios.B9600
        start_board(message_every=30).connect(cable[0])
        assert board.run("seq 1 3; exit 4") == (4, ["1", "2", "3"])

    def test_one_that_is_not_there(self, open_console):
        with pytest.raises(console.ConsoleError, match="console.port: /dev/no-such .* opened: .*is it plugged in"):
            open_console({"port": "/dev/no-such"})

    def test_one_that_is_in_use(self, open_console, cable):
        open_console({"port": cable[1]})
        with pytest.raises(console.ConsoleError, match="console.port: .*; another program has it open"):
            open_console({"port": cable[1]})

    def test_one_that_is_unplugged(self, open_console):
        near, far = pty.openpty()
        board = open_console({"port": os.ttyname(far)})
        os.close(far)
        os.close(near)
        with pytest.raises(console.ConsoleError, match="console: it has ended; nothing has come at all"):
            board.expect("login:")

    @pytest.mark.filterwarnings("ignore:set(Daemon|Name).. is deprecated:DeprecationWarning")
    def test_one_by_rfc_2217(self, open_console, start_board, serial, listener, cable):
        import serial.rfc2217

        class Port(serial.Serial):
            """A pty has no modem lines."""
            cts = dsr = ri = cd = dtr = rts = False

        port = Port(cable[1], 1200, timeout=0.05)
        done = threading.Event()

        def serve():
            connection, _ = listener.accept()
            with connection:
                lock = threading.Lock()

                def write(data):
                    with lock:
                        connection.sendall(data)

                manager = serial.rfc2217.PortManager(port, types.SimpleNamespace(write=write))

                def upwards():
                    while not done.is_set():
                        if data := port.read(max(1, port.in_waiting)):
                            write(b"".join(manager.escape(data)))

                reader = threading.Thread(target=upwards)
                reader.start()
                while data := connection.recv(1024):
                    port.write(b"".join(manager.filter(data)))
                done.set()
                reader.join()

        server = threading.Thread(target=serve)
        server.start()
        address = {"host": "127.0.0.1", "port": listener.getsockname()[1], "protocol": "rfc2217", "speed": 57600}
        board = open_console(address)
        assert port.baudrate == 57600
        start_board().connect(cable[0])
        assert board.run("echo there; exit 5") == (5, ["there"])
        board.close()
        server.join(20)
        port.close()
        assert done.is_set()

    @pytest.mark.filterwarnings("ignore:set(Daemon|Name).. is deprecated:DeprecationWarning")
    def test_nobody_by_rfc_2217(self, open_console):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.raises(console.ConsoleError, match=f"port {port}, can't be opened by RFC 2217: .*refused"):
            open_console({"host": "127.0.0.1", "port": port, "protocol": "rfc2217"})


class TestSettings:
    @pytest.mark.parametrize("settings, message", [
        ({}, "console: expected port, host and port, cmd or socket"),
        ({"prompt": "# "}, "console: expected port, host and port, cmd or socket"),
        ({"port": "/dev/ttyUSB0", "spede": 9600}, "console.spede: there is no such key; did you mean speed?"),
        ({"port": "/dev/ttyUSB0", "speed": "fast"}, "console.speed: expected a whole number, got 'fast'"),
        ({"port": 7000}, "console.port: expected the path of a serial port, or host as well"),
        ({"host": "a"}, "console.port: it is missing"),
        ({"host": "a", "port": "x"}, "console.port: expected a whole number, got 'x'"),
        ({"host": "a", "port": 1, "protocol": "telnet"}, "console.protocol: expected raw or rfc2217, got 'telnet'"),
        ({"cmd": "true", "speed": 9600}, "console.speed: it does not go with cmd"),
        ({"cmd": "true", "socket": "a"}, "console.socket: it does not go with cmd"),
        ({"cmd": "say 'a"}, "console.cmd: \"say 'a\" is no command: No closing quotation"),
        ({"cmd": "true", "password": 1234}, "console.password: expected text, got 1234: put it in quotes"),
    ])
    def test_mistakes(self, open_console, settings, message):
        with pytest.raises(console.ConsoleError, match=re.escape(message)):
            open_console(settings)
