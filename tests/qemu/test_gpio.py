# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""GPIO lines of the kernel: what a client is told of edges, and what its outputs drive."""

import concurrent.futures
import random
import re

import pytest
from machine import LINE

pytestmark = pytest.mark.needs("far ends of lines")

BURST = 8  # edges at once: half of what the kernel keeps, as whoever makes them has the only processor meanwhile
KEPT = 16  # edges of a line that the kernel keeps, as the gateway asks for no more


def edges(client, count):
    return [client.edge() for _ in range(count)]


def test_edges_arrive_complete_and_in_order(machine, client):
    watched = LINE[:4]
    client.ok("watch " + " ".join(watched))
    level = dict.fromkeys(watched, False)
    rng = random.Random(1)
    expected = []
    for _ in range(300):
        line = rng.choice(watched)
        level[line] = not level[line]
        machine.pull(line, "up" if level[line] else "down")
        expected.append((line, level[line], int(level[line])))
    told = edges(client, len(expected))
    assert [(edge.line, edge.rising, edge.level) for edge in told] == expected
    times = [edge.time for edge in told]
    assert times == sorted(times)
    for line in watched:
        numbers = [edge.sequence for edge in told if edge.line == line]
        assert numbers == list(range(1, len(numbers) + 1))
    client.ok("unwatch")


def test_all_clients_are_told_the_same(machine):
    clients = [machine.connect() for _ in range(5)]
    for client in clients:
        client.ok(f"watch {LINE[4]}")
    machine.toggle(LINE[4], 50, BURST)
    told = [edges(client, 50) for client in clients]
    assert all(each == told[0] for each in told)


def test_an_input_is_read_as_it_is_pulled(machine, client):
    for way, level in (("up", 1), ("down", 0), ("up", 1)):
        machine.pull(LINE[5], way)
        assert client.ok(f"read {LINE[5]}") == f"{LINE[5]}={level}"


def test_outputs_are_read_back_in_the_controller(machine, client):
    rng = random.Random(2)
    outputs = LINE[16:24]
    for _ in range(10):
        levels = {line: rng.randrange(2) for line in outputs}
        client.ok("set " + " ".join(f"{line}={level}" for line, level in levels.items()))
        assert {line: machine.level(line) for line in outputs} == levels
    client.ok(f"config {outputs[0]} active=low")
    client.ok(f"set {outputs[0]}=1")
    assert machine.level(outputs[0]) == 0


def test_ten_thousand_edges_and_none_is_lost(machine, client):
    count = 10_000
    client.ok(f"watch {LINE[6]}")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        toggling = pool.submit(machine.toggle, LINE[6], count, BURST)
        told = edges(client, count)
        toggling.result()
    assert [edge.sequence for edge in told] == list(range(told[0].sequence, told[0].sequence + count))
    assert [edge.rising for edge in told] == [told[0].rising, not told[0].rising] * (count // 2)
    client.ok("unwatch")
    assert not client.events, "there are more events than edges"
    print(f"10000 edges in {(told[-1].time - told[0].time) / 1e9:.2f} s of the machine")


def test_a_gap_counts_exactly_what_the_kernel_dropped(machine, client):
    """The gateway is stopped meanwhile, so that nobody reads the kernel's FIFO."""
    line = LINE[7]
    client.ok(f"watch {line}")
    machine.toggle(line, 2)
    first = edges(client, 2)[-1].sequence
    for count in (KEPT + 1, 100, KEPT):
        machine.run("kill -STOP $(pidof gateway)")
        machine.toggle(line, count)
        machine.run("kill -CONT $(pidof gateway)")
        lost = count - KEPT
        if lost:
            gap = re.fullmatch(rf"event gap {line} lost=(\d+) level=([01]) time=.*", client.event())
            assert int(gap[1]) == lost
            assert int(gap[2]) == machine.level(line)
        kept = edges(client, KEPT)
        assert [edge.sequence for edge in kept] == list(range(first + lost + 1, first + count + 1))
        first += count
    client.ok("unwatch")


def test_the_kernel_debounces(machine, client):
    line, other = LINE[8], LINE[9]
    client.ok(f"config {line} input debounce=200ms")
    client.ok(f"watch {line}")
    for _ in range(3):
        machine.toggle(line, 19)  # an odd number: it ends at the other level, where it stays
        told = client.edge()
        assert told.level == machine.level(line)
        # One that bounces back to where it was is no edge at all; the next one told is that of the next round.
        machine.toggle(line, 20)
    client.ok(f"watch {other}")
    machine.toggle(other, 1)
    assert client.edge().line == other
    client.ok(f"config {line} debounce=0ms")
    assert client.event().startswith(f"event config {line} ")
    machine.toggle(line, 4)
    assert [edge.line for edge in edges(client, 4)] == [line] * 4
    client.ok("unwatch")
