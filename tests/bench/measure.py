# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Runs the programs of tests/bench/loops/: for time, for their system calls, for their instructions."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
UNMEASURED = "millrace_unmeasured"  # has no budget for its handlers, as the others have none
LOOPS = ["epoll", "millrace", UNMEASURED, "libev", "libevent", "libevent_precise", "libuv", "asio", "sd_event", "poll",
         "select", "io_uring", "io_uring_completions"]
OTHER_SERVERS = {"node": ["node", str(HERE / "echo_node.js")],
                 "asyncio": ["/usr/bin/python3", str(HERE / "echo_asyncio.py")]}
DEADLINE = 300  # seconds

_processors = sorted(os.sched_getaffinity(0))
CPU, OTHER_CPU = _processors[0], _processors[-1]


class Failed(Exception):
    """A program did not do its work: what it said."""


class Skipped(Exception):
    """A program does not offer that, or not on this machine: the reason, if it is worth telling."""


def loop_command(programs: pathlib.Path, loop: str, workload: str, arguments: dict) -> list[str]:
    words = [f"{name}={value}" for name, value in arguments.items()]
    return [str(programs / loop), workload, f"cpu={CPU}", f"other={OTHER_CPU}", *words]


def _check(command: list[str], status: int, said: str) -> None:
    if status != 0:
        raise Failed(f"{' '.join(command)} ended with {status}: {said.strip()}")


def run(programs: pathlib.Path, loop: str, workload: str, arguments: dict, prefix: tuple = ()) -> dict:
    """The numbers that the program printed."""
    command = [*prefix, *loop_command(programs, loop, workload, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    _check(command, done.returncode, done.stderr)
    return _measured(done.stdout)


def _measured(text: str) -> dict:
    result = json.loads(text)
    if "skipped" in result:
        raise Skipped(result["skipped"])
    return result


def echo_command(programs: pathlib.Path, server: str) -> list[str]:
    if server in OTHER_SERVERS:
        return ["taskset", "-c", str(CPU), *OTHER_SERVERS[server]]
    return loop_command(programs, server, "echo", {})


def run_echo(programs: pathlib.Path, server: str, arguments: dict, prefix: tuple = ()) -> dict:
    """The server on one processor, tests/bench/echo_load.cpp on another; `prefix`: what the server runs under."""
    command = [*prefix, *echo_command(programs, server)]
    with tempfile.TemporaryFile("w+") as said, \
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process:
        try:
            port = process.stdout.readline().strip()
            if not port:
                process.wait(DEADLINE)
                said.seek(0)
                _check(command, process.returncode or 1, said.read())
            if not port.isdecimal():
                _measured(port)
            words = [f"{name}={value}" for name, value in {**arguments, "port": port, "cpu": OTHER_CPU}.items()]
            load = [str(programs / "echo_load"), f"pid={process.pid}", *words]
            done = subprocess.run(load, capture_output=True, text=True, timeout=DEADLINE, check=False)
            _check(load, done.returncode, done.stderr)
            result = json.loads(done.stdout)
            process.wait(DEADLINE)
            said.seek(0)
            text = said.read()
            _check(command, process.returncode, text)
            return {**result, "said": text}
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def _slope(measure, arguments: dict, key: str, lengths: tuple[int, int]) -> float:
    """What one more event costs: start and end cancel out."""
    (few, few_events), (many, many_events) = [measure({**arguments, key: length}) for length in lengths]
    return (many - few) / (many_events - few_events)


def system_calls(programs: pathlib.Path, server: str, workload: str, arguments: dict, key: str,
                 lengths: tuple[int, int], events: str = "events") -> float:
    """System calls for each event, by strace, in two runs of different length."""

    def count(run_arguments: dict) -> tuple[int, float]:
        with tempfile.NamedTemporaryFile("r") as file:
            counting = ("-c", "-U", "calls,name", "-o", file.name)
            # The serial ports' far ends are another process, which is none of the loop's business.
            prefix = ("strace", *counting) if workload == "uart" else ("strace", "-f", *counting)
            if workload == "echo":
                result = run_echo(programs, server, run_arguments, prefix)
                return _strace_total(file.read()), result["requests"]
            result = run(programs, server, workload, run_arguments, prefix)
            return _strace_total(file.read()), result[events]

    return _slope(count, arguments, key, lengths)


def _strace_total(text: str) -> int:
    return int(re.search(r"^\s*(\d+)\s+total$", text, re.MULTILINE)[1])


@contextlib.contextmanager
def _without_debugging(programs: pathlib.Path, loop: str):
    """The programs for valgrind: that of Debian 12 gives up over what newer compilers write for debuggers."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["objcopy", "--strip-debug", programs / loop, pathlib.Path(folder) / loop], check=True)
        (pathlib.Path(folder) / "echo_load").symlink_to((programs / "echo_load").resolve())
        yield pathlib.Path(folder)


def instructions(programs: pathlib.Path, server: str, workload: str, arguments: dict, key: str,
                 lengths: tuple[int, int]) -> float:
    """User-space instructions for each event, by valgrind's callgrind, in two runs of different length."""
    if not shutil.which("valgrind"):
        raise Failed("valgrind is not there: toolchain/setup bench installs it")

    def count(run_arguments: dict) -> tuple[int, float]:
        with tempfile.NamedTemporaryFile("r") as log, _without_debugging(programs, server) as stripped:
            prefix = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log.name}")
            if workload == "echo":
                result = run_echo(stripped, server, run_arguments, prefix)
                return _collected(log.read()), result["requests"]
            result = run(stripped, server, workload, run_arguments, prefix)
            return _collected(log.read()), result["events"]

    return _slope(count, arguments, key, lengths)


def _collected(text: str) -> int:
    return int(re.search(r"Collected : (\d+)", text)[1])


def allocations(programs: pathlib.Path, server: str, workload: str, arguments: dict, key: str,
                lengths: tuple[int, int]) -> dict:
    """Calls of malloc and its like, by valgrind: those of each event, and all others."""

    def count(length: int) -> tuple[int, float]:
        with tempfile.NamedTemporaryFile("r") as log, _without_debugging(programs, server) as stripped:
            prefix = ("valgrind", "--leak-check=no", f"--log-file={log.name}")
            if workload == "echo":
                events = run_echo(stripped, server, {**arguments, key: length}, prefix)["requests"]
            else:
                events = run(stripped, server, workload, {**arguments, key: length}, prefix)["events"]
            return int(re.search(r"total heap usage: ([\d,]+) allocs", log.read())[1].replace(",", "")), events

    (few, few_events), (many, many_events) = count(lengths[0]), count(lengths[1])
    per_event = (many - few) / (many_events - few_events)
    return {"start": few - per_event * few_events, "per_event": per_event}


LIBRARIES = {"libev": "libev", "libevent": "libevent_core", "libevent_precise": "libevent_core", "libuv": "libuv",
             "sd_event": "libsystemd", "io_uring": "liburing"}


def code_size(programs: pathlib.Path, loop: str) -> dict:
    """KiB of .text: of the program, and of the library that its loop is in."""
    files = [str(programs / loop)]
    if loop in LIBRARIES:
        listed = subprocess.run(["ldd", files[0]], capture_output=True, text=True, check=True).stdout
        files.append(re.search(rf"{LIBRARIES[loop]}\S* => (\S+)", listed)[1])
    sizes = subprocess.run(["size", "-A", *files], capture_output=True, text=True, check=True).stdout
    return {"text_kb": sum(int(size) for size in re.findall(r"^\.text\s+(\d+)", sizes, re.MULTILINE)) / 1024}
