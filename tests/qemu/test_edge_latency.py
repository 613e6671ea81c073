# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""From an edge to a client: the gateway beside a program that does nothing else. Time is counted in instructions here,
so the ratio is the same in every run, and can be asserted."""

import re

import machine as machines
import pytest

pytestmark = pytest.mark.on("virt arm64")

PROGRAM = machines.ROOT / "build/release-arm64/qemu-virt/tests/qemu/edge_latency"
MOST = 1.3  # times as long as the blocking program takes, at the median

SCRIPT = r"""#!/bin/sh
simulator=$(echo /sys/devices/platform/gpio-sim.0/gpiochip*)
chip=/dev/$(basename "$simulator")
/usr/sbin/edge_latency serve "$chip" 0 9000 &
/usr/sbin/gateway --listen pigpio=8888 --heap-trap abort >/dev/null 2>&1 &
until nc 127.0.0.1 8888 </dev/null 2>/dev/null; do usleep 1000; done
usleep 500000
/usr/sbin/edge_latency measure 1000 "$simulator/sim_gpio0/pull" 9000 "$simulator/sim_gpio1/pull" 8888
echo "=== end"
poweroff -f
"""


def test_the_gateway_is_hardly_slower_than_a_program_that_does_nothing_else(start_machine):
    machine = start_machine(deterministic=True, prepare=lambda folder: machines.run_instead(folder, SCRIPT, PROGRAM))
    assert machine.wait() == 0, machine.log()
    found = re.search(r"blocking p50=(\d+) p99=(\d+) gateway p50=(\d+) p99=(\d+)", machine.console())
    assert found, machine.console()
    blocking, _, gateway, _ = map(int, found.groups())
    print(f"{found[0]}: {gateway / blocking:.2f} times as long")
    assert gateway <= MOST * blocking, found[0]
