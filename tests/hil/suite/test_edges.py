# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Edges: complete, in order, at the right time, debounced; and counted where there were too many."""

import random
import re

import harness
import pytest

pytestmark = pytest.mark.needs("gpio_loopback")

KEPT = 16  # edges of a line that the kernel keeps at least
GAP = re.compile(r"event gap (\S+) lost=(\d+) level=([01]) time=(\d+)\.(\d{9})")


def watch(target, client, wires):
    client.ok("config " + " ".join(wire.line for wire in wires) + " input debounce=0ms")
    for wire in wires:
        target.far_end(wire).drive(0)
    client.ok("watch " + " ".join(wire.line for wire in wires))


def test_every_edge_is_told_once(target, client, wire):
    watch(target, client, [wire])
    first = None
    for n in range(10):
        target.far_end(wire).drive((n + 1) % 2)
        edge = client.edge()
        assert (edge.line, edge.level, edge.rising) == (wire.line, (n + 1) % 2, n % 2 == 0)
        first = first or edge.sequence
        assert edge.sequence == first + n
    client.ok("status")
    assert not client.events


@pytest.mark.needs("many_lines")
def test_edges_of_several_lines_come_in_the_order_they_happened(target, client):
    """Each is made when the one before has been answered, so which was first is certain."""
    wires = target.rig.wires[:6]
    watch(target, client, wires)
    rng = random.Random(6)
    levels = dict.fromkeys(wires, 0)
    made = []
    for _ in range(120):
        wire = rng.choice(wires)
        levels[wire] ^= 1
        target.far_end(wire).drive(levels[wire])
        made.append((wire.line, levels[wire]))
    told = [client.edge() for _ in made]
    assert [(edge.line, edge.level) for edge in told] == made
    times = [edge.time for edge in told]
    assert times == sorted(times) and len(set(times)) == len(times)


def test_clients_are_told_the_same(target, a_wire):
    clients = [target.connect() for _ in range(4)]
    clients[0].ok(f"config {a_wire.line} input")
    target.far_end(a_wire).drive(0)
    for client in clients:
        client.ok(f"watch {a_wire.line}")
    for n in range(20):
        target.far_end(a_wire).drive((n + 1) % 2)
    told = [[client.event() for _ in range(20)] for client in clients]
    assert all(each == told[0] for each in told)


def test_debouncing_swallows_a_bounce_and_tells_where_it_ended(target, client, a_wire):
    """Bounces of nothing in between are far shorter than the period, wherever they come from."""
    client.ok(f"config {a_wire.line} input")
    target.far_end(a_wire).drive(0)
    client.ok(f"config {a_wire.line} input debounce=200ms")
    client.ok(f"watch {a_wire.line}")
    for _ in range(2):
        before = int(client.ok(f"read {a_wire.line}")[-1])
        target.far_end(a_wire).toggle(9)
        edge = client.edge()
        assert edge.level == 1 - before
        assert not client.events


def test_bursts_grow_until_the_first_loss_and_what_is_lost_is_counted(target, client, a_wire, figure, limits):
    """Whoever made the edges knows how many there were: those told, and those that a gap counts, are as many."""
    watch(target, client, [a_wire])
    made = told = lost = 0
    largest = 0
    first = first_loss = None
    rate = 0
    count = 8
    before = client.status()["gpio"]
    while count <= 8192 and first_loss is None:
        target.far_end(a_wire).toggle(count)
        made += count
        began = None
        while told + lost < made:
            event = client.event()
            if gap := GAP.fullmatch(event):
                lost += int(gap[2])
                first_loss = first_loss or count
            else:
                edge = harness.Edge.parse(event)
                began = began or edge.time
                first = first or edge.sequence
                assert edge.sequence == first + told + lost
                told += 1
        assert told + lost == made
        if not lost:
            largest, rate = count, (count - 1) * 10**9 / (edge.time - began)
        count *= 2
    after = client.status()["gpio"]
    assert not client.events
    assert (after["edges"] - before["edges"], after["lost-by-kernel"] - before["lost-by-kernel"]) == (told, lost)
    figure("largest burst without a loss", largest, "edges")
    figure("its rate", round(rate), "edges/s")
    if first_loss:
        figure("first loss in a burst of", first_loss, "edges")
    assert largest >= limits.get("burst", KEPT // 2)


@pytest.mark.needs("driver_apart")
def test_a_gateway_that_sleeps_loses_what_the_kernel_has_no_room_for_and_no_more(target, client, a_wire):
    watch(target, client, [a_wire])
    target.stop_gateway()
    target.far_end(a_wire).toggle(100)
    target.continue_gateway()
    told = lost = 0
    while told + lost < 100:
        event = client.event()
        if gap := GAP.fullmatch(event):
            lost += int(gap[2])
        else:
            told += 1
    client.ok("status")
    assert not client.events
    assert (told, lost) == (KEPT, 100 - KEPT)
