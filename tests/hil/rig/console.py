# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The console of a board. Which kind it is follows from the keys, which are labgrid's:

  port, speed             a serial port of this machine (RawSerialPort); speed is 115200 unless told otherwise
  host, port              one behind TCP as it is (NetworkSerialPort with protocol raw, which is the default here)
  host, port, protocol: rfc2217, speed     or by RFC 2217, as ser2net or labgrid's exporter serves it
  cmd                     a program whose stdin and stdout are the console (ExternalConsoleDriver); no shell reads it
  socket                  the path of a Unix socket, as QEMU has them

and how to log in there (ShellDriver): prompt and login_prompt, which are regular expressions, username, password.
"""

import codecs
import os
import pathlib
import re
import secrets
import select
import shlex
import socket
import subprocess
import threading
import time

from . import settings as rig

DEADLINE = 30.0  # seconds, for a command and whatever else is waited for
LOGIN_DEADLINE = 120.0  # seconds: a board may be booting still
CONNECT_DEADLINE = 10.0  # seconds
SILENCE = 2.0  # seconds without a word after which a login asks again
TERMINAL_LINE = 4000  # bytes; a Linux terminal cuts a line off after 4095

PROMPT = r"[#$] \Z"
LOGIN_PROMPT = r"(?<!Last )login: *\Z"  # which is how a greeting tells of the one before

KINDS = {  # the key that tells, and those that go with it
    "cmd": {"cmd": str},
    "socket": {"socket": str},
    "host": {"host": str, "port": int, "protocol": str, "speed": int},
    "port": {"port": str, "speed": int},
}
SHELL = {"prompt": str, "login_prompt": str, "username": str, "password": str}


class ConsoleError(Exception):
    """Says what was waited for, and what came instead."""


# --- What bytes come from and go to ---


class Stream:
    """Bytes by descriptors. A read waits until there are some, and returns none at the end, or once it is woken."""

    def __init__(self, read_from, write_to, close):
        self._in, self._out, self._close = read_from, write_to, close
        self._woken, self._waker = os.pipe()
        for each in {read_from, write_to}:
            os.set_blocking(each, False)

    def read(self):
        while True:
            ready, _, _ = select.select([self._in, self._woken], [], [])
            if self._woken in ready:
                return b""
            try:
                return os.read(self._in, 1 << 16)
            except BlockingIOError:
                pass
            except OSError:  # a terminal has hung up, or a connection was reset
                return b""

    def write(self, data, deadline):
        end = time.monotonic() + deadline
        while data:
            _, ready, _ = select.select([], [self._out], [], max(0, end - time.monotonic()))
            if not ready:
                raise TimeoutError("the other side takes nothing")
            data = data[os.write(self._out, data) :]

    def wake(self):
        os.write(self._waker, b"!")

    def close(self):
        self._close()
        os.close(self._woken)
        os.close(self._waker)


class Rfc2217:
    """Such a port has no descriptor to wait for: pyserial reads it in a thread of its own."""

    def __init__(self, port):
        self._port = port
        self._port.timeout = 0.1  # seconds until a read sees that it was woken
        self._woken = False

    def read(self):
        try:
            while not self._woken:
                if data := self._port.read(max(1, self._port.in_waiting)):
                    return data
        except OSError:
            pass
        return b""

    def write(self, data, _):
        self._port.write(data)

    def wake(self):
        self._woken = True

    def close(self):
        self._port.close()


def pyserial():
    try:
        import serial
    except ImportError:
        raise ConsoleError("console: python3-serial is not installed: toolchain/setup test sees to it") from None
    return serial


def open_serial_port(settings):
    path = settings["port"]
    try:
        port = pyserial().Serial(path, settings.get("speed", 115200), exclusive=True)
    except (OSError, ValueError) as failure:
        remedy = {2: "; is it plugged in? /dev/serial/by-id lists what is",
                  11: "; another program has it open",
                  13: "; only the group dialout may open it"}.get(getattr(failure, "errno", None), "")
        raise ConsoleError(f"console.port: {path} can't be opened: {failure}{remedy}") from None
    return Stream(port.fileno(), port.fileno(), port.close)


def open_network_port(settings):
    host, port, protocol = settings["host"], settings["port"], settings.get("protocol", "raw")
    where = f"console.host: {host}, port {port}"
    if protocol == "raw":
        try:
            connection = socket.create_connection((host, port), CONNECT_DEADLINE)
        except OSError as failure:
            raise ConsoleError(f"{where}, can't be reached: {failure}") from None
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Stream(connection.fileno(), connection.fileno(), connection.close)
    if protocol != "rfc2217":
        raise ConsoleError(f"console.protocol: expected raw or rfc2217, got {protocol!r}")
    try:
        url = f"rfc2217://{f'[{host}]' if ':' in host else host}:{port}"
        return Rfc2217(pyserial().serial_for_url(url, settings.get("speed", 115200)))
    except (OSError, ValueError) as failure:
        raise ConsoleError(f"{where}, can't be opened by RFC 2217: {failure}") from None


def open_unix_socket(settings):
    path = pathlib.Path(settings["socket"]).absolute()
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(CONNECT_DEADLINE)
    try:
        folder = os.open(path.parent, os.O_PATH)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")  # as the path of a Unix socket must be short
        finally:
            os.close(folder)
    except OSError as failure:
        connection.close()
        raise ConsoleError(f"console.socket: {path} can't be connected to: {failure.strerror or failure}") from None
    return Stream(connection.fileno(), connection.fileno(), connection.close)


def start_program(settings):
    try:
        # What it complains of belongs to what came from the console, too.
        process = subprocess.Popen(rig.words(settings, "console", "cmd", ConsoleError), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0, start_new_session=True)
    except OSError as failure:
        raise ConsoleError(f"console.cmd: {settings['cmd']!r} can't be run: {failure.strerror}") from None

    def close():
        process.stdin.close()
        process.stdout.close()
        process.terminate()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            pass
        rig.end_group(process)

    return Stream(process.stdout.fileno(), process.stdin.fileno(), close)


# --- What is made of them ---

ENDS_OF_LINES = re.compile(r"\r+\n")
CONTROL_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78cDEHM])")
# Up to 200 characters: what began as one and goes on longer was none.
UNFINISHED = re.compile(r"(?:\r+|\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]{0,200}\x1b?|[()])?)\Z")


class Text:
    """Text from bytes in pieces: a newline for each end of a line, and nothing that only moves a cursor or colours."""

    def __init__(self):
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def add(self, data):
        text = self._held + self._decoder.decode(data, final=not data)
        unfinished = UNFINISHED.search(text) if data else None
        self._held = unfinished[0] if unfinished else ""
        text = text[: len(text) - len(self._held)]
        return ENDS_OF_LINES.sub("\n", CONTROL_SEQUENCE.sub("", text))


# When a message of the kernel was written, perhaps its level before and its caller after that.
KERNEL_TIME = re.compile(r"(?:<\d+>)?\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? ")


def mended(text, mark):
    """Joins lines that the kernel has torn apart by writing its messages, while each line of ours begins with a mark.

    A message at the end of a line did so if what comes after the messages does not begin so; or else the line just ends
    in something that looks like one, as dmesg's do.
    """
    following = []
    for line in reversed(text.split("\n")):
        if KERNEL_TIME.match(line):
            continue
        times = list(KERNEL_TIME.finditer(line))
        if times and following and not following[-1].startswith(f"{mark}|") and mark not in line[times[-1].end() :]:
            line = line[: times[-1].start()] + following.pop()
        following.append(line)
    return ENDS_OF_LINES.sub("\n", "\n".join(reversed(following)))


class Console:
    """Talks to a console from one thread. Another one reads all the time, and logs, from when it is opened on."""

    def __init__(self, open_stream, settings, log):
        self._settings = settings
        self._path = log
        self._log = open(log, "ab", buffering=0)
        try:
            self._stream = open_stream(settings)
        except ConsoleError:
            self._log.close()
            raise
        self._text = ""  # what nothing has been found in yet
        self._received = 0  # bytes
        self._ended = False
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="console", daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self):
        text = Text()
        data = None
        try:
            while data != b"":
                data = self._stream.read()
                self._log.write(data)
                with self._more:
                    self._text += text.add(data)
                    self._received += len(data)
                    self._more.notify()
        finally:
            with self._more:
                self._ended = True
                self._more.notify()

    def close(self) -> None:
        """Ends the connection, or the program; what came until then is in the log."""
        if not self._log.closed:
            self._stream.wake()
            self._reader.join()
            self._stream.close()
            self._log.close()

    def send(self, text: str) -> None:
        """Sends as it is: a command needs its newline."""
        if self._log.closed:
            raise ConsoleError("console: it has been closed")
        try:
            self._stream.write(text.encode(), CONNECT_DEADLINE)
        except OSError as failure:
            raise ConsoleError(f"console: it can't be written to: {failure}; {self._what_came()}") from None

    def _find(self, search, deadline):
        """Waits until `search` finds something in what came, and where that ends; passes over what is before.

        None if nothing is found by then.
        """
        end = time.monotonic() + deadline
        with self._more:
            while not (found := search(self._text)):
                if self._ended:
                    raise ConsoleError(f"console: it has ended; {self._what_came()}")
                if (left := end - time.monotonic()) <= 0:
                    return None
                self._more.wait(left)
            self._text = self._text[found[1] :]
            return found[0]

    def _what_came(self):
        if not self._received:
            return "nothing has come at all since it was opened: is the board on, the cable right, the speed too?"
        return f"what came: {rig.last_words(self._text) or 'nothing more'}\nAll of it is in {self._path}"

    def expect(self, pattern: str, deadline: float = DEADLINE) -> re.Match:
        """Waits up to `deadline` seconds for a match in what came since the last one. `^` and `$` match at lines.

        Lines end in a newline alone, and control sequences of terminals are left out.
        """
        compiled = re.compile(pattern, re.MULTILINE)
        found = self._find(lambda text: (match := compiled.search(text)) and (match, match.end()), deadline)
        if not found:
            raise ConsoleError(f"console: waited {deadline:g} s in vain for {pattern!r}; {self._what_came()}")
        return found

    def run(self, command: str, deadline: float = DEADLINE) -> tuple[int, list[str]]:
        """Has the shell at the prompt run a command, in a shell of its own and without input: its status and its lines.

        Whatever else comes in between is left out: the echo, prompts, and the kernel's messages, if they show their
        time. After `deadline` seconds it is interrupted.
        """
        if any(ord(each) < 32 and each != "\n" or ord(each) == 127 for each in command):
            raise ConsoleError(f"console: {command!r} has control characters, which a terminal would act on")
        # All that it says begins with the mark and |, or ends with the mark and =; an echo of the command has neither.
        mark = secrets.token_hex(6)
        line = (f"m={mark}; {{ (eval {shlex.quote(command)}) </dev/null; echo \"$m=$?\"; }} 2>&1 | "
                "while IFS= read -r l; do printf '%s\\n' \"$m|$l\"; case $l in *\"$m=\"*) break; esac; done\n")
        if any(len(part.encode()) > TERMINAL_LINE for part in line.split("\n")):
            raise ConsoleError(f"console: {command[:60]!r}… is too long for a line of a terminal")
        last = re.compile(rf"{mark}=(\d+)\n")

        def search(text):
            as_it_came = last.search(text)
            if not as_it_came and not KERNEL_TIME.search(text[-TERMINAL_LINE:]):
                return None
            text, length = mended(text, mark), len(text)
            if not (end := last.search(text)):
                return None
            said = re.findall(rf"{mark}\|([^\n]*)", text[: end.start()])
            if said and not said[-1]:  # the status has a line of its own
                said.pop()
            return (int(end[1]), said), as_it_came.end() if as_it_came else length

        self.send(line)
        if not (found := self._find(search, deadline)):
            self.send("\x03")
            raise ConsoleError(f"console: {command!r} did not end within {deadline:g} s; {self._what_came()}")
        return found

    def login(self, username: str | None = None, password: str | None = None, deadline: float = LOGIN_DEADLINE) -> None:
        """Logs in, as the settings say unless told otherwise, once the board asks; there may be a shell already.

        Without a user's name anywhere nothing is done: a shell is expected to be there.
        """
        username = username or self._settings.get("username")
        password = password or self._settings.get("password")
        if not username:
            return
        stages = {"password": r"[Pp]assword: *\Z",
                  "login": self._settings.get("login_prompt", LOGIN_PROMPT),
                  "prompt": self._settings.get("prompt", PROMPT)}
        compiled = {stage: re.compile(pattern, re.MULTILINE) for stage, pattern in stages.items()}

        def search(text):
            """What is being asked for: the last of what matches."""
            length, text = len(text), re.sub(rf"{KERNEL_TIME.pattern}[^\n]*\n", "", text)
            if "Login incorrect" in text:
                return "refused", length
            found = [(match.end(), stage) for stage, pattern in compiled.items() for match in pattern.finditer(text)]
            return (max(found)[1], length) if found else None

        end = time.monotonic() + deadline
        stage = None
        while stage != "prompt":
            received = self._received
            stage = self._find(search, min(SILENCE, max(0, end - time.monotonic())))
            if stage == "login":
                self.send(f"{username}\n")
            elif stage == "password" and password is not None:
                self.send(f"{password}\n")
            elif stage == "password":
                raise ConsoleError(f"console.password: it is missing, and {username} is asked for one")
            elif stage == "refused":
                raise ConsoleError(f"console.username, console.password: {username} can't log in with these")
            elif stage is None and time.monotonic() >= end:
                raise ConsoleError(f"console: {username} could not log in within {deadline:g} s; {self._what_came()}")
            elif stage is None and self._received == received:
                self.send("\n")  # whatever waits there will ask again
        self.run("true")


OPENERS = {"cmd": start_program, "socket": open_unix_socket, "host": open_network_port, "port": open_serial_port}


def open_console(settings: dict, log: pathlib.Path) -> Console:
    """Opens it at once, and appends all that comes to `log`. ConsoleError if that can't be done."""
    kind = isinstance(settings, dict) and next((key for key in KINDS if key in settings), None)
    if not kind:
        raise ConsoleError("console: expected port, host and port, cmd or socket")
    for key in settings:
        if key not in KINDS[kind] and any(key in keys for keys in KINDS.values()):
            raise ConsoleError(f"console.{key}: it does not go with {kind}")
    if kind == "port" and isinstance(settings["port"], int):
        raise ConsoleError("console.port: expected the path of a serial port, or host as well")
    rig.check(settings, "console", KINDS[kind] | SHELL, ConsoleError)
    if kind == "host" and "port" not in settings:
        raise ConsoleError("console.port: it is missing")
    return Console(OPENERS[kind], settings, log)
