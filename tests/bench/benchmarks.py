# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Which workloads there are, with which arguments, and what of their numbers is shown."""

import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Callable

import measure

LIMIT = "epoll"
SCANNING = ("poll", "select")  # their cost grows with what they watch: fewer events will do
SLOW = ("sd_event", "asyncio")  # and that of these with what is ready


@dataclasses.dataclass
class Case:
    label: str
    arguments: dict
    quick: bool = True  # also part of a quick run


@dataclasses.dataclass
class Metric:
    key: str
    title: str
    scale: float = 1


@dataclasses.dataclass
class Benchmark:
    title: str
    cases: list[Case]
    metrics: list[Metric]
    run: Callable[[pathlib.Path, str, Case, bool], dict]
    others: tuple = ()  # servers that are no loops of ours
    once: bool = False  # its numbers are the same in each round
    note: str = ""
    loops: tuple = ()  # others than those of tests/bench/loops/
    if_asked: bool = False  # it takes more than this machine


def run_chain(programs: pathlib.Path, loop: str, case: Case, quick: bool) -> dict:
    watched = case.arguments["fds"] + case.arguments.get("idle", 0)
    writes = 30_000
    if loop in SCANNING:
        writes = max(200, min(writes, 5_000_000 * case.arguments["active"] // watched))
    return measure.run(programs, loop, "chain", {**case.arguments, "writes": writes // (20 if quick else 1)})


def run_echo(programs: pathlib.Path, loop: str, case: Case, quick: bool) -> dict:
    requests = 20_000 if case.arguments["connections"] == 1 or loop in SLOW else 100_000
    if loop == "node" and not shutil.which("node"):
        return {"skipped": "Node.js is not installed"}
    result = measure.run_echo(programs, loop, {**case.arguments, "requests": requests // (20 if quick else 1)})
    return {key: value for key, value in result.items() if key not in ("said", "requests")}


def run_echo_calls(programs: pathlib.Path, loop: str, case: Case, quick: bool) -> dict:
    if loop == "node" and not shutil.which("node"):
        return {"skipped": "Node.js is not installed"}
    # Long enough for each connection to have had some.
    first = (500 if quick else 2000) + 10 * case.arguments["connections"]
    lengths = (first, 2 * first)
    return {"calls": measure.system_calls(programs, loop, "echo", case.arguments, "requests", lengths)}


INSTRUCTIONS = {
    "chain 100/1": ("chain", {"fds": 100, "active": 1}, "writes", (2_000, 12_000)),
    "chain 100/10": ("chain", {"fds": 100, "active": 10}, "writes", (2_000, 12_000)),
    "chain 100/100": ("chain", {"fds": 100, "active": 100}, "writes", (2_000, 12_000)),
    "echo": ("echo", {"connections": 1}, "requests", (500, 2_500)),
    "post within": ("post", {"outstanding": 64}, "messages", (2_000, 12_000)),
    "timer: arm, re-arm, cancel": ("timers", {"outstanding": 1000, "expiries": 0}, "operations", (2_000, 12_000)),
}


def run_instructions(programs: pathlib.Path, loop: str, case: Case, _quick: bool) -> dict:
    if case.label == "post within" and loop == "libuv":
        return {"skipped": ""}
    return {"instructions": measure.instructions(programs, loop, *INSTRUCTIONS[case.label])}


def in_process(workload: str, full: dict, short: dict) -> Callable[[pathlib.Path, str, Case, bool], dict]:
    """For a quick run, and for another one."""
    return lambda programs, loop, case, quick: measure.run(
        programs, loop, workload, {**case.arguments, **(short if quick else full)})


def run_uart_calls(programs: pathlib.Path, loop: str, case: Case, quick: bool) -> dict:
    lengths = (500, 1000) if quick else (2000, 6000)
    return {"calls": measure.system_calls(programs, loop, "uart", case.arguments, "kbytes", lengths, "kb")}


def run_footprint(programs: pathlib.Path, loop: str, _case: Case, _quick: bool) -> dict:
    # Ours has its memory from the start: as much as this needs, and not as the other workloads do.
    program = "millrace_small" if loop == "millrace" else loop
    return {**measure.run(programs, program, "footprint", {}), **measure.code_size(programs, program)}


def run_allocations(programs: pathlib.Path, loop: str, case: Case, _quick: bool) -> dict:
    return measure.allocations(programs, loop, case.label, case.arguments,
                               "requests" if case.label == "echo" else "writes", (200, 1200))


@functools.cache
def edges(count: int) -> dict:
    import gpio  # pylint: disable=import-outside-toplevel  # which needs more than the others
    return gpio.run(count)


def run_gpio(_programs: pathlib.Path, who: str, _case: Case, quick: bool) -> dict:
    return edges(100 if quick else 2000)[who]


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
         Metric("latency_ns_p50", "p50, µs", 1e-3), Metric("latency_ns_p99", "p99, µs", 1e-3),
         Metric("latency_ns_p99.9", "p99.9, µs", 1e-3)], run_echo, tuple(measure.OTHER_SERVERS)),
    "echo_calls": Benchmark(
        "system calls of the echo servers, counted by strace in runs of their own",
        CONNECTIONS, [Metric("calls", "system calls per request")], run_echo_calls, tuple(measure.OTHER_SERVERS), True),
    "timers": Benchmark(
        "timers, with so many outstanding",
        [Case(f"{count:,} timers", {"outstanding": count}, count < 100_000) for count in (100, 10_000, 100_000)],
        [Metric("arm_ns", "arm, CPU ns"), Metric("rearm_ns", "re-arm, CPU ns"), Metric("cancel_ns", "cancel, CPU ns"),
         Metric("expire_ns", "expire, CPU ns")],
        in_process("timers", {}, {"operations": 10_000, "expiries": 100})),
    "timers_lateness": Benchmark(
        "how late a timer of 2.3 ms is, with nothing else to do and beside a descriptor that is always readable",
        [Case("idle", {}), Case("flooded", {"floods": 1})],
        [Metric("lateness_ns_p50", "p50, µs", 1e-3), Metric("lateness_ns_p99", "p99, µs", 1e-3),
         Metric("lateness_ns_p99.9", "p99.9, µs", 1e-3)],
        in_process("lateness", {"samples": 500}, {"samples": 20}),
        note="libuv counts in milliseconds, so that 2.3 are 3 there. Millrace and the bare loops have the kernel wait "
             "no longer than told (PR_SET_TIMERSLACK), which others leave to their users."),
    "post": Benchmark(
        "posts within the loop: handlers post themselves again, so many of them",
        [Case(f"{count} outstanding", {"outstanding": count}) for count in (1, 64)],
        [Metric("cpu_ns", "CPU ns per post")],
        in_process("post", {"messages": 500_000}, {"messages": 10_000}),
        note="With libev, a post runs in the same turn, and nothing else does until there is none any more."),
    "post_across": Benchmark(
        "posts from other threads; a burst, and the time until a sleeping loop has a single one",
        [Case(f"{count} producer{'s' * (count > 1)}", {"producers": count}) for count in (1, 4)],
        [Metric("burst_ns", "burst, ns per post"), Metric("wake_ns_p50", "wake-up p50, µs", 1e-3),
         Metric("wake_ns_p99", "wake-up p99, µs", 1e-3), Metric("wake_ns_p99.9", "wake-up p99.9, µs", 1e-3)],
        in_process("post_across", {"messages": 1_000_000, "wakes": 20_000}, {"messages": 20_000, "wakes": 400}),
        note="Millrace and asio have posts; the others get what their users write: a queue under a mutex."),
    "churn": Benchmark(
        "watches that come and go, 64 at a time",
        [Case("64 watches", {})],
        [Metric("add_remove_ns", "add and remove, a turn after each, CPU ns"),
         Metric("add_remove_same_turn_ns", "add and remove in one turn, CPU ns"),
         Metric("modify_ns", "modify, a turn after each, CPU ns"),
         Metric("modify_same_turn_ns", "modify there and back in one turn, CPU ns for each")],
        in_process("churn", {"rounds": 3000}, {"rounds": 50})),
    "fairness": Benchmark(
        "descriptors that never run dry, a timer of 1 kHz and rare edges: the worst delay of each",
        [Case(f"{count} flood{'s' * (count > 1)}", {"floods": count}) for count in (1, 100)],
        [Metric("timer_ns_max", "timer, worst, µs", 1e-3), Metric("timer_ns_p99", "timer, p99, µs", 1e-3),
         Metric("edge_ns_max", "edge, worst, µs", 1e-3), Metric("edge_ns_p99", "edge, p99, µs", 1e-3),
         Metric("flood_gap_ns_max", "flood, worst, µs", 1e-3)],
        in_process("fairness", {"milliseconds": 1000}, {"milliseconds": 150})),
    "uart": Benchmark(
        "pseudo-terminals at full speed",
        [Case(f"{count} port{'s' * (count > 1)}", {"ports": count}) for count in (1, 8)],
        [Metric("mb_per_s", "MB/s"), Metric("cpu_ns_per_kb", "CPU ns per KB"), Metric("drops", "blocks with drops")],
        in_process("uart", {"kbytes": 50_000}, {"kbytes": 2_000})),
    "uart_calls": Benchmark(
        "system calls of the same, counted by strace in runs of their own",
        [Case(f"{count} port{'s' * (count > 1)}", {"ports": count}) for count in (1, 8)],
        [Metric("calls", "system calls per KB")], run_uart_calls, once=True),
    "footprint": Benchmark(
        "memory: 1,000 watches, 1,000 timers and 1,000 connections",
        [Case("1,000 of each", {})],
        [Metric("watch_bytes", "bytes per watch"), Metric("timer_bytes", "bytes per timer"),
         Metric("connection_bytes", "bytes per connection, without its buffer"),
         Metric("rss_start_kb", "resident at the start, KiB"), Metric("rss_kb", "resident with all, KiB"),
         Metric("text_kb", "code of the program and the loop's library, KiB")], run_footprint, once=True,
        note="Programs and libraries are dynamically linked. Millrace has room for all from the start."),
    "footprint_allocations": Benchmark(
        "calls of malloc and its like, counted by valgrind",
        [Case("chain", {"fds": 100, "active": 10}), Case("echo", {"connections": 1})],
        [Metric("start", "at the start and the end"), Metric("per_event", "per event")], run_allocations, once=True),
    "gpio": Benchmark(
        "from an edge's time stamp to who has it, in a machine in QEMU whose time is counted in instructions",
        [Case("gpio-sim, arm64", {})],
        [Metric("p50", "p50, µs", 1e-3), Metric("p99", "p99, µs", 1e-3), Metric("p99.9", "p99.9, µs", 1e-3)],
        run_gpio, once=True, if_asked=True,
        loops=("blocking", "epoll", "millrace", "gpiomon", "blocking_tcp", "gateway_tcp"),
        note="Handlers: one that blocks in read(), one of a bare epoll loop, one of the reactor, and who reads what "
             "gpiomon prints. Clients by TCP: of a program that does nothing but read() and send(), and of the "
             "gateway's control port. An instruction takes 2 ns there."),
    "instructions": Benchmark(
        "user-space instructions, counted by callgrind: the same on a busy machine",
        [Case(label, dict(arguments)) for label, (_, arguments, _, _) in INSTRUCTIONS.items()],
        [Metric("instructions", "instructions per event")], run_instructions, once=True),
}
