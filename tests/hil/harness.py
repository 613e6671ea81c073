# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""What the end-to-end tests talk to the gateway with: the process, clients of its control port, ends of serial lines.

Nothing here sleeps to let something happen: it waits for what is to happen, up to a deadline that only a gateway which
hangs will ever reach.
"""

import collections
import contextlib
import dataclasses
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD", ROOT / "build/release/sim"))
PROGRAM = BUILD / "gateway"

DEADLINE = 20.0  # seconds

LINES = [f"GPIO{n}" for n in range(32)]
SEND_RING = 8192  # bytes that wait for a client in the gateway, at most
ESCAPE = b"\x1d"

EDGE = re.compile(r"event edge (\S+) (rising|falling) level=([01]) seq=(\d+) time=(\d+)\.(\d{9})")
LOST = re.compile(r"event lost (\d+)")


def wait_until(condition, what):
    """Returns what `condition` returns as soon as it is true."""
    end = time.monotonic() + DEADLINE
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {DEADLINE:g} s in vain until {what}"
        time.sleep(0.002)
    return result


@dataclasses.dataclass(frozen=True)
class Edge:
    line: str
    rising: bool
    level: int
    sequence: int
    time: int  # nanoseconds of CLOCK_MONOTONIC

    @staticmethod
    def parse(text):
        match = EDGE.fullmatch(text)
        assert match, f"not the line of an edge: {text!r}"
        line, edge, level, sequence, seconds, nanoseconds = match.groups()
        return Edge(line, edge == "rising", int(level), int(sequence), int(seconds) * 10**9 + int(nanoseconds))


@dataclasses.dataclass
class Answer:
    rows: list
    last: str


class Client:
    """A client of the control port that knows its answers from its events."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(DEADLINE)
        self.events = collections.deque()
        self._received = bytearray()
        self._passed = 0  # of what was received

    def close(self):
        self.socket.close()

    def abort(self):
        """Closes so that the gateway gets a reset instead of an end of file."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, *commands):
        self.send_bytes("".join(command + "\n" for command in commands).encode())

    def send_bytes(self, data):
        self.socket.sendall(data)

    def _receive(self):
        """Appends what comes next; False at the end of the connection."""
        del self._received[: self._passed]
        self._passed = 0
        data = self.socket.recv(1 << 16)
        self._received += data
        return bool(data)

    def line(self):
        """The next line, without its newline. EOFError if there is none."""
        while (end := self._received.find(b"\n", self._passed)) < 0:
            if not self._receive():
                assert self._passed == len(self._received), f"half a line: {bytes(self._received[self._passed:])!r}"
                raise EOFError
        text = self._received[self._passed : end].decode("ascii")
        self._passed = end + 1
        return text

    def greet(self):
        """Sends a first command and returns the answer: `ok`, or why the client is refused.

        Who is refused may be so before it has sent anything.
        """
        try:
            self.send("")
        except ConnectionError:
            pass
        line = self.line()
        if line != "ok":
            try:
                assert self.rest() == []
            except ConnectionResetError:
                pass  # as nobody has read what it sent
        return line

    def bytes(self, count):
        """The next `count` bytes, whatever they are."""
        while len(self._received) - self._passed < count:
            assert self._receive(), f"the connection ended {count - len(self._received)} bytes too early"
        data = bytes(self._received[self._passed : self._passed + count])
        self._passed += count
        return data

    def rest(self):
        """All lines up to the end of the connection."""
        lines = []
        while True:
            try:
                lines.append(self.line())
            except EOFError:
                return lines

    def answer(self):
        """The next answer. Events before it are kept for event(); an event within it is a failure."""
        rows = []
        while True:
            line = self.line()
            if line == "ok" or line.startswith(("ok ", "error: ")):
                return Answer(rows, line)
            if line.startswith("event "):
                assert not rows, f"an event within an answer, after {rows[-1]!r}: {line!r}"
                self.events.append(line)
            else:
                rows.append(line)

    def ask(self, command):
        self.send(command)
        return self.answer()

    def ok(self, command):
        """The last line of the answer, without its `ok`."""
        answer = self.ask(command)
        assert answer.last == "ok" or answer.last.startswith("ok "), f"{command!r} was answered {answer.last!r}"
        return answer.last[3:]

    def error(self, command):
        answer = self.ask(command)
        assert answer.last.startswith("error: "), f"{command!r} was answered {answer.last!r}"
        assert not answer.rows
        return answer.last

    def event(self):
        if self.events:
            return self.events.popleft()
        line = self.line()
        assert line.startswith("event "), f"not an event: {line!r}"
        return line

    def edge(self):
        return Edge.parse(self.event())

    def pull(self, line, *ways):
        """Pulls a simulated line this way and that, without waiting in between."""
        self.send(*(f"pull {line} {way}" for way in ways))
        for _ in ways:
            answer = self.answer()
            assert answer.last == "ok"

    def table(self, command):
        """Rows of `KIND NAME key=value …` as {"KIND NAME": {key: value}}; numbers as numbers."""
        result = {}
        answer = self.ask(command)
        assert answer.last == f"ok {len(answer.rows)}"
        for row in answer.rows:
            words = row.split()
            name = " ".join(word for word in words if "=" not in word)
            pairs = (word.split("=", 1) for word in words if "=" in word)
            result[name] = {key: int(value) if value.isdigit() else value for key, value in pairs}
        return result

    def status(self):
        return self.table("status")


# Commands of pigpiod's protocol, as far as tests speak it themselves.
MODES, MODEG, PUD, READ, WRITE, PWM, SERVO, WDOG, BR1 = 0, 1, 2, 3, 4, 5, 8, 9, 10
TICK, HWVER, NO, NB, NP, NC, PIGPV, WVAG, TRIG = 16, 17, 18, 19, 20, 21, 26, 28, 37
SERO, SERC, SERR, SERW = 76, 77, 80, 81
FG, FN, NOIB, SHELL, EVM, EVT = 97, 98, 99, 110, 115, 116
UNKNOWN_COMMAND = -88


@dataclasses.dataclass(frozen=True)
class Report:
    sequence: int
    flags: int
    tick: int
    levels: int


class Pigpio:
    """A connection that speaks pigpiod's protocol byte for byte: for what no client library would do."""

    def __init__(self, connection):
        self.socket = connection

    def close(self):
        self.socket.close()

    def abort(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send_bytes(self, data):
        self.socket.sendall(data)

    def send(self, command, p1=0, p2=0, extension=b""):
        self.send_bytes(struct.pack("<4I", command, p1, p2, len(extension)) + extension)

    def bytes(self, count):
        """EOFError at the end of the connection."""
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError(f"the connection ended after {data!r}")
            data += more
        return data

    def answer(self):
        """Command, parameters and result."""
        return struct.unpack("<3Ii", self.bytes(16))

    def ask(self, command, p1=0, p2=0, extension=b""):
        """The result."""
        self.send(command, p1, p2, extension)
        answer = self.answer()
        assert answer[:3] == (command, p1, p2), answer
        return answer[3]

    def report(self):
        return Report(*struct.unpack("<2H2I", self.bytes(12)))


def as_from_a_terminal(before_exec):
    """What to do in the new process: signals mean what they do at a prompt, whoever started the tests."""

    def prepare():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if before_exec:
            before_exec()

    return prepare


class Gateway:
    """A gateway of its own for a test, started with the heap trap set to abort."""

    def __init__(self, folder, arguments=(), before_exec=None, environment=None):
        self.stdout_path = folder / "stdout"
        self.stderr_path = folder / "stderr"
        self.unix_path = folder / "control.sock"
        listen = ["--listen", "control=127.0.0.1:0", "--listen", f"control=unix:{self.unix_path}"]
        command = [PROGRAM, "--board", "sim", *listen, "--heap-trap", "abort", *arguments]
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            preexec_fn=as_from_a_terminal(before_exec), env=environment)
        self.pid = self.process.pid
        self.expected_status = 0
        self.clients = []
        wait_until(lambda: "\nTry: " in self.stdout() or self.process.poll() is not None, "the gateway serves")
        assert self.process.poll() is None, f"the gateway ended at once: {self.stderr()}"
        self.port = int(re.search(r"^  control  127\.0\.0\.1:(\d+)$", self.stdout(), re.M)[1])
        self.uarts = dict(re.findall(r"^  (\w+)    (/\S+) at ", self.stdout(), re.M))
        pigpio = re.search(r"^  pigpio   127\.0\.0\.1:(\d+)$", self.stdout(), re.M)
        self.pigpio_port = int(pigpio[1]) if pigpio else None

    def stdout(self):
        return self.stdout_path.read_text()

    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def connect(self, over="tcp", receive_buffer=None, send_buffer=None):
        connection = socket.socket(socket.AF_UNIX if over == "unix" else socket.AF_INET)
        if receive_buffer:  # before connecting, or the window has been promised already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if send_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        connection.settimeout(DEADLINE)
        connection.connect(str(self.unix_path) if over == "unix" else ("127.0.0.1", self.port))
        if over == "tcp":
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(connection)
        self.clients.append(client)
        return client

    def connect_pigpio(self, receive_buffer=None):
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(DEADLINE)
        connection.connect(("127.0.0.1", self.pigpio_port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Pigpio(connection)
        self.clients.append(client)
        return client

    def descriptors(self):
        return sorted(int(fd) for fd in os.listdir(f"/proc/{self.pid}/fd"))

    def open_files(self):
        """Where its descriptors lead to, without those that are closed meanwhile."""
        links = []
        for fd in self.descriptors():
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
        return links

    def threads(self):
        """Their names, without those that end meanwhile and the kernel's own (io_uring's workers)."""
        names = []
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                names.append(pathlib.Path(f"/proc/{self.pid}/task/{thread}/comm").read_text().strip())
        return sorted(name for name in names if not name.startswith("iou-"))

    def stop(self, how=signal.SIGTERM):
        """Ends the gateway if it still runs; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the gateway did not stop within {DEADLINE:g} s") from None

    def check_log(self):
        """Whatever a sanitizer, the heap trap or the gateway itself reports as an error fails the test."""
        bad = [line for line in self.stderr().splitlines()
               if line.startswith("error: ") or "Sanitizer" in line or "runtime error" in line]
        assert not bad, f"the gateway reported: {self.stderr()}"

    def end(self):
        for client in self.clients:
            client.close()
        status = self.stop()
        self.check_log()
        assert status == self.expected_status, f"the gateway ended with {status}: {self.stderr()}"


class Port:
    """The far end of a simulated serial port: what a device on the cable would be."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def close(self):
        os.close(self.fd)

    def _wait(self, events):
        poll = select.poll()
        poll.register(self.fd, events)
        assert poll.poll(DEADLINE * 1000), "the serial port was not ready in time"

    def read(self, count):
        data = bytearray()
        while len(data) < count:
            self._wait(select.POLLIN)
            data += os.read(self.fd, count - len(data))
        return bytes(data)

    def write(self, data):
        view = memoryview(data)
        while view:
            self._wait(select.POLLOUT)
            view = view[os.write(self.fd, view) :]


def transfer(client, port, to_client=b"", to_port=b"", escaped=False):
    """Moves bytes both ways at once and returns what came out: at the client, at the port.

    The gateway holds a client back for the sake of the serial port. A port can't be held back: the gateway drops what
    finds no room. So the port never sends more than the gateway has room for before the client has read it.
    """
    sent = to_port.replace(ESCAPE, ESCAPE * 2) if escaped else to_port
    at_client, at_port = bytearray(), bytearray()
    from_client = from_port = 0
    client.socket.setblocking(False)
    poll = select.poll()
    while len(at_client) < len(to_client) or len(at_port) < len(to_port):
        window = min(len(to_client), len(at_client) + SEND_RING)
        poll.register(client.socket, select.POLLIN | (select.POLLOUT if from_client < len(sent) else 0))
        poll.register(port.fd, select.POLLIN | (select.POLLOUT if from_port < window else 0))
        ready = dict(poll.poll(DEADLINE * 1000))
        assert ready, f"stuck: {len(at_client)} bytes at the client, {len(at_port)} at the port"
        for_client = ready.get(client.socket.fileno(), 0)
        for_port = ready.get(port.fd, 0)
        if for_client & select.POLLIN:
            data = client.socket.recv(1 << 16)
            assert data, "the gateway closed the connection"
            at_client += data
        if for_client & select.POLLOUT:
            from_client += client.socket.send(sent[from_client : from_client + (1 << 16)])
        if for_port & select.POLLIN:
            at_port += os.read(port.fd, 1 << 16)
        if for_port & select.POLLOUT:
            from_port += os.write(port.fd, to_client[from_port:window])
    client.socket.settimeout(DEADLINE)
    return bytes(at_client), bytes(at_port)
