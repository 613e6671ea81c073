# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Clients of pigpiod, unmodified, on lines of the kernel: tests of tests/hil once more.

Not all of them: those of serial ports want a pseudo-terminal at the far end, the one of banks reads lines that nobody
has taken, whose level the kernel does not tell, and those of filters are of milliseconds, which edges that are made
from here may be apart.
"""

import machine as machines
import pytest
from harness import Gateway

gpiozero = pytest.importorskip("gpiozero", reason="Debian's python3-gpiozero is not installed")
pytest.importorskip("pigpio", reason="Debian's python3-pigpio is not installed")

from test_pigpio_gpiozero import factory, pins  # noqa: F401
from test_pigpio_gpiozero import (  # noqa: F401
    test_a_button_tells_each_press_and_release, test_a_button_waits_for_its_press,
    test_a_motion_sensor_tells_motion, test_a_pwm_led_has_pulses_and_gives_them_up, test_a_servo_moves,
    test_an_led_is_on_and_off, test_an_rgb_led_has_three_of_them, test_edge_times_never_go_back,
    test_it_finds_out_which_board_this_is, test_several_processes_work_side_by_side,
    test_two_connections_share_the_lines)
from test_pigpio_javascript import modules, start  # noqa: F401
from test_pigpio_javascript import test_js_pigpio, test_pigpio_client  # noqa: F401
from test_pigpio_python import connect, pi  # noqa: F401
from test_pigpio_python import (  # noqa: F401
    test_a_trigger_is_one_pulse, test_a_watchdog_barks_while_nothing_changes,
    test_callbacks_are_called_for_their_edges, test_errors_are_pigpiods_own, test_events_go_from_client_to_client,
    test_modes_pulls_and_levels, test_no_edge_is_lost_in_a_burst, test_servo_pulses,
    test_the_first_edge_after_setting_a_pull_up_is_told, test_wait_for_edge_waits_and_gives_up,
    test_what_is_not_served_is_refused_at_once_and_the_connection_goes_on)
from test_pigpio_tools import pigs, program  # noqa: F401
from test_pigpio_tools import (  # noqa: F401
    test_a_c_program_reads_writes_and_is_told, test_pigs_drives_pulses, test_pigs_is_told_what_is_wrong,
    test_pigs_reads_and_writes)

pytestmark = pytest.mark.on("virt")


class Pigpiod:
    """The gateway in a machine, as these tests know a gateway."""

    connect_pigpio = Gateway.connect_pigpio

    def __init__(self, machine):
        self._machine = machine
        self.clients = machine.clients
        self.pigpio_port = machine.port(8888)

    def connect(self):
        client = self._machine.connect()
        client.pull = self._pull
        return client

    def _pull(self, line, *ways):
        for way in ways:
            self._machine.pull(line, way)


# One whose parent sleeps stays a zombie, without a command line.
END_GATEWAY = ("for pid in $(pidof gateway); do kill $pid;"
               " while grep -q . /proc/$pid/cmdline 2>/dev/null; do usleep 10000; done; done")
GATEWAY = "/usr/sbin/gateway --listen control=*:7000 --listen pigpio=*:8888 --heap-trap abort"


@pytest.fixture(scope="module")
def unsupervised(shared_machine):
    """Whoever would start another gateway sleeps meanwhile."""
    shared_machine.connect()
    shared_machine.run(f"kill -STOP $(cat /run/gateway.supervisor); {END_GATEWAY}")
    yield shared_machine
    shared_machine.run("kill -CONT $(cat /run/gateway.supervisor)")
    shared_machine.connect()


@pytest.fixture
def pigpiod(unsupervised):
    """A gateway that nobody has used yet: what pigpiod keeps for all its clients outlives them."""
    machine = unsupervised
    for line in machines.LINE:
        machine.pull(line, "down")
    machine.run(f"{GATEWAY} >/tmp/gateway 2>&1 &")
    machine.connect()
    yield Pigpiod(machine)
    for each in machine.clients:
        each.abort()
    machine.clients.clear()
    machine.run(END_GATEWAY)


@pytest.fixture
def control(pigpiod):
    return pigpiod.connect()


def test_a_buttons_bounces_are_no_presses(pins, control):  # noqa: F811
    """Debounced by the kernel."""
    button = gpiozero.Button(4, bounce_time=0.3, pin_factory=pins)
    presses, releases = [], []
    button.when_pressed = lambda: presses.append(1)
    button.when_released = lambda: releases.append(1)
    for n in range(1, 4):
        control.pull("GPIO4", *["down", "up"] * 10, "down")
        machines.wait_until(lambda: len(presses) == n, "the press is told")
        control.pull("GPIO4", *["up", "down"] * 10, "up")
        machines.wait_until(lambda: len(releases) == n, "the release is told")
    assert (len(presses), len(releases)) == (3, 3)
    assert control.table("lines GPIO4")["line GPIO4 input"]["debounce"] == "300000us"
