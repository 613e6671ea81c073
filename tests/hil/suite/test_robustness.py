# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Floods, and what ends: the gateway, the power, the system. Whatever it is, the lines are served again."""

import random

import harness
import pytest

pytestmark = pytest.mark.needs("gpio_loopback")


def follows(target, client, wire):
    client.ok(f"config {wire.line} input")
    for level in (1, 0, 1, 0):
        target.far_end(wire).drive(level)
        assert client.ok(f"read {wire.line}") == f"{wire.line}={level}"


def is_as_configured(target):
    """The outputs that are set up at the start, as seen at their other ends."""
    for wire in target.rig.wires:
        if wire.line in target.rig.outputs:
            assert target.far_end(wire).sense() == target.rig.outputs[wire.line], wire.line
    target.disconnect()


def upset(target):
    """The opposite of what is configured."""
    client = target.connect()
    for line, level in target.rig.outputs.items():
        client.ok(f"config {line} output level={1 - level}")
    target.disconnect()


def test_a_flood_of_connections_while_edges_are_told(target, client, a_wire):
    """Hundreds come, talk and go, some in the middle of a word; not one edge is missing."""
    client.ok(f"config {a_wire.line} input")
    target.far_end(a_wire).drive(0)
    client.ok(f"watch {a_wire.line}")
    before = client.table("limits")
    rng = random.Random(10)
    for n in range(100):
        guest = target.open_client()
        if n % 3 == 0:
            guest.send_bytes(rng.randbytes(rng.randrange(200)) + b"\n")
        elif n % 3 == 1:
            assert guest.greet() == "ok"
        target.far_end(a_wire).drive((n + 1) % 2)
        guest.abort() if n % 2 else guest.close()
        edge = client.edge()
        assert (edge.sequence, edge.level) == (n + 1, (n + 1) % 2)
    assert client.table("limits").keys() == before.keys()
    assert not client.events


def test_more_clients_than_there_is_room_for(target, client, a_wire):
    """Those in excess are told so, and those inside notice nothing."""
    follows(target, client, a_wire)
    limit = next(key for key in client.table("limits") if key.startswith("limit connections "))
    room = int(limit.split()[2])
    used = client.table("limits")[limit]["used"]
    guests = []
    refused = 0
    for _ in range(room + 8):
        guest = target.open_client()
        answer = guest.greet()
        if answer == "ok":
            guests.append(guest)
        else:
            assert answer.startswith("error: "), answer
            refused += 1
            guest.close()
    assert refused >= 8
    follows(target, client, a_wire)
    for guest in guests:
        guest.close()
    harness.wait_until(lambda: client.table("limits")[limit]["used"] <= used, "there is room again")


@pytest.mark.needs("kill", "outputs")
def test_the_gateway_is_killed_and_is_back(target, a_wire):
    upset(target)
    target.kill()
    is_as_configured(target)
    follows(target, target.connect(), a_wire)


@pytest.mark.needs("power", "outputs")
def test_the_power_is_cut_and_is_back(target, a_wire, figure):
    upset(target)
    target.cut_power()
    uptime = int(target.connect().status()["gateway"]["uptime"].removesuffix("us"))
    figure("gateway's uptime when it was reached", uptime // 1000, "ms")
    is_as_configured(target)
    follows(target, target.connect(), a_wire)


@pytest.mark.needs("reboot", "outputs")
def test_the_system_is_rebooted_and_is_back(target, a_wire):
    upset(target)
    target.reboot()
    is_as_configured(target)
    follows(target, target.connect(), a_wire)
