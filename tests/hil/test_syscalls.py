# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""System calls of the running gateway, counted by strace: none when nothing happens, few when something does."""

import re
import shutil
import signal
import subprocess
import time

import pytest
from harness import PROGRAM, Port, wait_until

WAITS = {"epoll_pwait2", "epoll_pwait", "epoll_wait", "poll", "ppoll", "select", "pselect6"}
RECEIVES = {"read", "readv", "recvfrom", "recvmsg"}
SENDS = {"write", "writev", "sendto", "sendmsg"}


class Trace:
    """strace attached to all threads of a gateway. What is counted lies between two marks: commands of a client that
    strace has seen. So it does not matter what strace does to the process when it attaches and lets go."""

    def __init__(self, gateway, folder):
        self.gateway = gateway
        self.marker = gateway.connect()
        self.path = folder / "trace"
        self.process = subprocess.Popen(
            ["strace", "-f", "-T", "-s", "256", "-o", self.path, "-p", str(gateway.pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

        def seen():
            if self.process.poll() is not None:
                pytest.skip(f"strace cannot attach here: {self.process.stderr.read().strip()}")
            self.mark("attached")
            return self.path.exists() and '"attached' in self.path.read_text()

        wait_until(seen, "strace sees system calls")

    def mark(self, word):
        self.marker.error(word)

    def calls(self):
        """Ends the tracing. The calls between the marks `begin` and `end`, as pairs of name and line."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        self.process.stderr.close()
        lines = [re.sub(r"^\d+ +", "", line) for line in self.path.read_text().splitlines()]
        begin = next(n for n, line in enumerate(lines) if 'command, \\"begin\\"' in line)  # the answer
        end = next(n for n, line in enumerate(lines) if '"end\\n"' in line)
        assert begin < end
        # Of the marks themselves, the wait that ends with the second one is counted.
        between = lines[begin + 1 : end]
        return [(re.match(r"(?:<\.\.\. )?(\w+)", line)[1], line) for line in between]


def tracer(gateway, folder):
    """Begins to trace a gateway, when called."""
    if b"__tsan_init" in PROGRAM.read_bytes():
        pytest.skip("ThreadSanitizer has a thread of its own, which makes system calls")
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    return lambda: Trace(gateway, folder)


@pytest.fixture
def trace(gateway, tmp_path):
    return tracer(gateway, tmp_path)


def count(calls, names):
    return sum(name in names for name, _ in calls)


def check_only(calls, *kinds):
    others = {name for name, _ in calls} - set().union(*kinds)
    assert not others, f"unexpected: {[line for name, line in calls if name in others][:5]}"


def test_an_idle_second_costs_no_system_call(gateway, trace):
    """With clients connected, lines watched, serial ports attached and one line debounced."""
    clients = [gateway.connect("unix" if n % 2 else "tcp") for n in range(10)]
    for c in clients:
        c.ok("watch all")
    clients[0].ok("config GPIO1 debounce=1ms")
    clients[0].pull("GPIO1", "up")
    for c in clients:
        while not c.event().startswith("event edge GPIO1"):
            pass
    clients[0].ok("attach uart0")
    tracing = trace()
    tracing.mark("begin")
    time.sleep(1.2)  # this is the idle second
    tracing.mark("end")
    calls = tracing.calls()
    assert len(calls) == 1, f"not only the wait for the end: {calls}"
    name, line = calls[0]
    assert name in WAITS
    assert float(re.search(r"<(\d+\.\d+)>$", line)[1]) >= 1.0


def test_a_command_costs_a_receive_a_send_and_a_wait(gateway, trace):
    c = gateway.connect()
    c.ok("read GPIO1")
    tracing = trace()
    tracing.mark("begin")
    commands = 1000
    for _ in range(commands):
        assert c.ok("read GPIO1") == "GPIO1=0"
    tracing.mark("end")
    calls = tracing.calls()
    check_only(calls, WAITS, RECEIVES, SENDS)
    # Measured: 1000, 1000 and 1001 (the last one wakes up for the mark). A wait may return early for strace's sake.
    assert count(calls, RECEIVES) == commands
    assert count(calls, SENDS) == commands
    assert count(calls, WAITS) <= commands + 5


def test_pipelined_commands_share_their_system_calls(gateway, trace):
    c = gateway.connect()
    c.ok("read GPIO1")
    tracing = trace()
    tracing.mark("begin")
    for _ in range(100):
        c.send(*["read GPIO1"] * 64)  # 704 bytes: one segment, and less than the receive ring
        for _ in range(64):
            assert c.answer().last == "ok GPIO1=0"
    tracing.mark("end")
    calls = tracing.calls()
    check_only(calls, WAITS, RECEIVES, SENDS)
    # Measured: 100, 100 and 101, for 6400 commands.
    assert len(calls) <= 3 * 100 + 5


def test_an_edge_costs_no_more_than_its_own_reading_and_a_send_to_each_watcher(gateway, trace):
    doer = gateway.connect()
    watchers = [gateway.connect() for _ in range(3)]
    for watcher in watchers:
        watcher.ok("watch GPIO4")
    tracing = trace()
    tracing.mark("begin")
    edges = 500
    for n in range(edges):
        doer.ok(f"pull GPIO4 {'down' if n % 2 else 'up'}")
        for watcher in watchers:
            assert watcher.edge().sequence == n + 1
    tracing.mark("end")
    calls = tracing.calls()
    check_only(calls, WAITS, RECEIVES, SENDS)
    # An edge: the command is received and answered (2), and the simulation writes what the kernel would (1). Then the
    # edge is read (1), and sent to each of the three (3). Two waits. Measured: 9 an edge, of which 3 are sends to
    # watchers.
    assert count(calls, RECEIVES) == 2 * edges
    assert count(calls, SENDS) == (1 + 1 + 3) * edges
    assert count(calls, WAITS) <= 2 * edges + 5


def test_edges_that_come_together_are_read_and_sent_together(gateway, trace):
    doer, watcher = gateway.connect(), gateway.connect()
    watcher.ok("watch GPIO4")
    tracing = trace()
    tracing.mark("begin")
    rounds = 50
    for _ in range(rounds):
        doer.pull("GPIO4", *["up", "down"] * 8)
        for _ in range(16):
            watcher.edge()
    tracing.mark("end")
    calls = tracing.calls()
    check_only(calls, WAITS, RECEIVES, SENDS)
    # For 16 edges: 1 receive and 1 send for the commands, 16 writes of the simulation, 1 read and 1 send for all the
    # edges, 2 waits. Measured: exactly that, 22.
    assert len(calls) <= (1 + 1 + 16 + 1 + 1 + 2) * rounds + 5


def test_bytes_through_a_serial_port_cost_a_receive_and_a_send_each_way(gateway, trace):
    c, far = gateway.connect(), Port(gateway.uarts["uart0"])
    c.ok("attach uart0")
    tracing = trace()
    tracing.mark("begin")
    messages = 300
    for _ in range(messages):
        c.send_bytes(b"ping")
        assert far.read(4) == b"ping"
        far.write(b"pong")
        assert c.bytes(4) == b"pong"
    tracing.mark("end")
    calls = tracing.calls()
    far.close()
    check_only(calls, WAITS, RECEIVES, SENDS)
    # Measured: 300 times 2 receives, 2 sends and 2 waits.
    assert len(calls) <= 6 * messages + 5
