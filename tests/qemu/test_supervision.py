# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The gateway is started again when it ends, and the reason is kept."""

import re

import machine as machines
import pytest
from machine import LINE

pytestmark = pytest.mark.needs("far ends of lines")

END = re.compile(r"boot=(\d+) uptime=(\S+) started=(\S+) status=(\d+): (.*)\. Its last words: (.*)")


def ends(machine):
    return [END.fullmatch(line) for line in machine.ends() if " status=" in line]


def test_a_killed_gateway_is_back(start_machine):
    machine = start_machine()
    client = machine.connect()
    first = machine.gateway_pid()
    machine.run("kill -KILL $(pidof gateway)")
    try:
        assert client.rest() == []
    except ConnectionResetError:
        pass
    client = machine.connect()
    assert machine.gateway_pid() != first
    machine.pull(LINE[3], "up")
    assert client.ok(f"read {LINE[3]}") == f"{LINE[3]}=1"
    (end,) = ends(machine)
    assert end[4] == "137" and end[5] == "killed by signal 9, KILL"


def test_back_off_and_the_reason(start_machine):
    """A gateway that can't be started: it is tried again, at ever longer intervals."""
    machine = start_machine(options="--nonsense")
    machines.wait_until(lambda: len(ends(machine)) >= 5, "the gateway has ended five times")
    found = ends(machine)
    for end in found:
        assert end[4] == "2" and end[5] == "wrong command line"
        assert end[6] == "error: no such option, --nonsense, try --help"
    pauses = [float(later[3]) - float(earlier[2]) for earlier, later in zip(found, found[1:])]
    for pause, least in zip(pauses, (0.2, 0.5, 1, 2)):
        assert least <= pause < least + 2, pauses


def test_a_stop_ends_the_wait(start_machine):
    """Who waits to start the gateway again does not keep the system from shutting down."""
    machine = start_machine(options="--nonsense")
    machines.wait_until(lambda: len(ends(machine)) >= 6, "the gateway has ended six times: the next pause is 10 s")
    last = ends(machine)[-1]
    assert machine.power_off() == 0
    down = re.search(r"\[ *([0-9.]+)\] reboot: Power down", machine.log())
    assert float(down[1]) < float(last[2]) + 10
    assert machine.log().count("gateway ended: ") <= 6


def test_a_killed_supervisor_leaves_no_second_gateway(start_machine):
    machine = start_machine()
    machine.connect()
    first = machine.gateway_pid()
    machine.run("kill -KILL $(cat /run/gateway.supervisor)")
    machines.wait_until(lambda: str(first) not in machine.run("pidof gateway || true"), "the first gateway has ended")
    client = machine.connect()
    assert machine.gateway_pid() != first
    machine.pull(LINE[3], "up")
    assert client.ok(f"read {LINE[3]}") == f"{LINE[3]}=1"
    assert machine.power_off() == 0
