# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Every line that is wired, in both directions, with each bias and drive."""

import pytest

pytestmark = pytest.mark.needs("gpio_loopback")


def read(client, line):
    return int(client.ok(f"read {line}")[-1])


def test_an_input_follows_its_other_end(target, client, wire):
    client.ok(f"config {wire.line} input bias=as-is")
    for level in (0, 1, 0, 1, 1, 0):
        target.far_end(wire).drive(level)
        assert read(client, wire.line) == level


def test_an_output_is_seen_at_its_other_end(target, client, wire):
    target.far_end(wire).let_go()
    for level in (1, 0, 1, 0):
        client.ok(f"config {wire.line} output level={level}")
        assert target.far_end(wire).sense() == level
        client.ok(f"set {wire.line}={1 - level}")
        assert target.far_end(wire).sense() == 1 - level


def test_an_active_low_line_is_turned_around_both_ways(target, client, wire):
    client.ok(f"config {wire.line} input active=low")
    target.far_end(wire).drive(1)
    assert read(client, wire.line) == 0
    target.far_end(wire).drive(0)
    assert read(client, wire.line) == 1
    target.far_end(wire).let_go()
    client.ok(f"config {wire.line} output active=low level=1")
    assert target.far_end(wire).sense() == 0
    client.ok(f"set {wire.line}=0")
    assert target.far_end(wire).sense() == 1


@pytest.mark.needs("bias")
@pytest.mark.parametrize("bias, level", [("pull-up", 1), ("pull-down", 0)])
def test_a_line_that_nothing_drives_is_where_its_bias_puts_it(target, client, wire, bias, level):
    target.far_end(wire).drive(1 - level)
    target.far_end(wire).let_go()
    client.ok(f"config {wire.line} input bias={bias}")
    assert read(client, wire.line) == level


@pytest.mark.needs("bias", "open_output")
@pytest.mark.parametrize("drive, lets_go_at, bias", [("open-drain", 1, "pull-up"), ("open-source", 0, "pull-down")])
def test_an_open_output_drives_one_level_and_lets_go_at_the_other(target, client, wire, drive, lets_go_at, bias):
    """Where it lets go, the line is at the level of its bias, which is the same, or of whatever else drives it."""
    target.far_end(wire).let_go()
    client.ok(f"config {wire.line} output drive={drive} bias={bias} level={1 - lets_go_at}")
    assert target.far_end(wire).sense() == 1 - lets_go_at
    client.ok(f"set {wire.line}={lets_go_at}")
    assert read(client, wire.line) == lets_go_at
    client.ok(f"set {wire.line}={1 - lets_go_at}")
    assert target.far_end(wire).sense() == 1 - lets_go_at


@pytest.mark.needs("many_lines")
def test_all_outputs_of_one_command_change_together_and_no_other(target, client):
    wires = target.rig.wires[:8]
    for wire in wires:
        target.far_end(wire).let_go()
    lines = [wire.line for wire in wires]
    client.ok(f"config {' '.join(lines)} output level=0")
    for pattern in (0b0101, 0b1010, 0b1111, 0b0000):
        levels = [pattern >> (n % 4) & 1 for n in range(len(lines))]
        client.ok("set " + " ".join(f"{line}={level}" for line, level in zip(lines, levels)))
        assert [target.far_end(wire).sense() for wire in wires] == levels


def test_a_line_that_is_watched_is_not_given_back(target, client, a_wire):
    """Nor does the watch take it away from whoever drives it."""
    target.far_end(a_wire).let_go()
    client.ok(f"config {a_wire.line} output level=1")
    other = target.connect()
    other.ok(f"watch {a_wire.line}")
    assert other.ok(f"read {a_wire.line}") == f"{a_wire.line}=1"
    assert " is watched (" in client.error(f"release {a_wire.line}")
    assert target.far_end(a_wire).sense() == 1
