# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""System calls that clients of pigpiod cost: none when nothing happens, few when something does."""

import time

import pytest
from harness import NB, NOIB, READ
from test_syscalls import RECEIVES, SENDS, WAITS, check_only, count, tracer


@pytest.fixture
def trace(pigpiod, tmp_path):
    return tracer(pigpiod, tmp_path)


def test_32_lines_watched_cost_nothing_while_nothing_happens(pigpiod, trace):
    channels = [pigpiod.connect_pigpio() for _ in range(4)]
    for channel in channels:
        handle = channel.ask(NOIB)
        assert channel.ask(NB, handle, 0xFFFFFFFF) == 0
    tracing = trace()
    tracing.mark("begin")
    time.sleep(1.2)  # this is the idle second
    tracing.mark("end")
    assert len(tracing.calls()) == 1, "the wait for the end"


def test_a_command_costs_a_receive_a_send_and_a_wait(pigpiod, trace):
    client = pigpiod.connect_pigpio()
    assert client.ask(READ, 4) == 0
    tracing = trace()
    tracing.mark("begin")
    commands = 500
    for _ in range(commands):
        assert client.ask(READ, 4) == 0
    tracing.mark("end")
    calls = tracing.calls()
    check_only(calls, WAITS, RECEIVES, SENDS)
    assert count(calls, RECEIVES) == commands
    assert count(calls, SENDS) == commands
    assert count(calls, WAITS) <= commands + 5


def test_an_edge_is_reported_in_the_turn_of_the_loop_that_reads_it(pigpiod, trace):
    """A receive, a send and the simulation's write for the command that makes the edge; then, of which there is no
    less: the wait that ends with it, reading it, and a send to each of two channels."""
    doer = pigpiod.connect()
    channels = [pigpiod.connect_pigpio() for _ in range(2)]
    for handle, channel in enumerate(channels):
        assert channel.ask(NOIB) == handle
        assert channel.ask(NB, handle, 1 << 4) == 0
    tracing = trace()
    tracing.mark("begin")
    edges = 300
    for n in range(edges):
        doer.ok(f"pull GPIO4 {'down' if n % 2 else 'up'}")
        assert [channel.report().sequence for channel in channels] == [n] * 2
    tracing.mark("end")
    calls = tracing.calls()
    check_only(calls, WAITS, RECEIVES, SENDS)
    assert count(calls, RECEIVES) == 2 * edges
    assert count(calls, SENDS) == (1 + 1 + 2) * edges
    assert count(calls, WAITS) <= 2 * edges + 5  # one for the command, one for its edge: none between edge and reports
