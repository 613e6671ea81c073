# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Which workloads there are, with which arguments, and what of their numbers is shown."""

import dataclasses
import pathlib
from collections.abc import Callable

import measure

LIMIT = "epoll"
SCANNING = ("poll", "select")  # their cost grows with what they watch: fewer events will do


@dataclasses.dataclass
class Case:
    label: str
    arguments: dict
    quick: bool = True  # also part of a quick run


@dataclasses.dataclass
class Metric:
    key: str
    title: str


@dataclasses.dataclass
class Benchmark:
    title: str
    cases: list[Case]
    metrics: list[Metric]
    run: Callable[[pathlib.Path, str, Case, bool], dict]
    others: tuple = ()  # servers that are no loops of ours
    once: bool = False  # its numbers are the same in each round
    note: str = ""


def run_chain(programs: pathlib.Path, loop: str, case: Case, quick: bool) -> dict:
    watched = case.arguments["fds"] + case.arguments.get("idle", 0)
    writes = 50_000
    if loop in SCANNING:
        writes = max(200, min(writes, 5_000_000 * case.arguments["active"] // watched))
    return measure.run(programs, loop, "chain", {**case.arguments, "writes": writes // (20 if quick else 1)})


def run_echo(programs: pathlib.Path, loop: str, case: Case, quick: bool) -> dict:
    requests = 20_000 if case.arguments["connections"] == 1 else 100_000
    result = measure.run_echo(programs, loop, {**case.arguments, "requests": requests // (20 if quick else 1)})
    return {key: value for key, value in result.items() if key not in ("said", "requests")}


def run_echo_calls(programs: pathlib.Path, loop: str, case: Case, quick: bool) -> dict:
    lengths = (500, 1000) if quick else (2000, 6000)
    return {"calls": measure.system_calls(programs, loop, "echo", case.arguments, "requests", lengths)}


INSTRUCTIONS = {
    "chain 100/1": ("chain", {"fds": 100, "active": 1}, "writes", (2_000, 12_000)),
    "chain 100/10": ("chain", {"fds": 100, "active": 10}, "writes", (2_000, 12_000)),
    "chain 100/100": ("chain", {"fds": 100, "active": 100}, "writes", (2_000, 12_000)),
    "echo 1": ("echo", {"connections": 1}, "requests", (500, 2_500)),
}


def run_instructions(programs: pathlib.Path, loop: str, case: Case, _quick: bool) -> dict:
    return {"instructions": measure.instructions(programs, loop, *INSTRUCTIONS[case.label])}


CONNECTIONS = [Case(f"{count} connection{'s' * (count > 1)}", {"connections": count}, count < 1000)
               for count in (1, 64, 1000)]

BENCHMARKS = {
    "chain": Benchmark(
        "libevent's classic: bytes are passed from pipe to pipe; pipes / bytes under way at a time",
        [Case(f"{fds}/{active}", {"fds": fds, "active": active}, fds < 10_000)
         for fds in (100, 1000, 10_000) for active in (1, 10, 100)],
        [Metric("cpu_ns", "CPU ns per event"), Metric("ns", "ns per event")], run_chain),
    "dead": Benchmark(
        "one active pipe among idle descriptors",
        [Case(f"{idle} idle", {"fds": 1, "active": 1, "idle": idle}, idle <= 1000)
         for idle in (0, 100, 1000, 5000, 20_000)],
        [Metric("cpu_ns", "CPU ns per event")], run_chain),
    "echo": Benchmark(
        "TCP on 127.0.0.1, requests of 64 bytes, each connection waits for its answer",
        CONNECTIONS,
        [Metric("requests_per_s", "requests/s"), Metric("cpu_ns", "server's CPU ns per request"),
         Metric("latency_ns_p50", "p50, ns"), Metric("latency_ns_p99", "p99, ns"),
         Metric("latency_ns_p99.9", "p99.9, ns")], run_echo, tuple(measure.OTHER_SERVERS)),
    "echo_calls": Benchmark(
        "system calls of the echo servers, counted by strace in runs of their own",
        CONNECTIONS, [Metric("calls", "system calls per request")], run_echo_calls, tuple(measure.OTHER_SERVERS), True),
    "instructions": Benchmark(
        "user-space instructions, counted by callgrind: the same on a busy machine",
        [Case(label, dict(arguments)) for label, (_, arguments, _, _) in INSTRUCTIONS.items()],
        [Metric("instructions", "instructions per event")], run_instructions, once=True),
}
