# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""A run in which time is counted in instructions: all that happens, and when, is the same each time."""

import re

import machine as machines
import pytest

SCENARIO = machines.ROOT / f"build/release-{machines.TARGET.arch}/qemu-virt/tests/qemu/gpio_scenario"
pytestmark = pytest.mark.on("virt")

# In place of what the image does at start: what is wired is taken apart for gpio_scenario, which wants to have it its
# own way. It looks at the kernel's GPIO and at our simulation of it. Then the gateway gets edges to tell.
SCRIPT = r"""#!/bin/sh
chip=/sys/kernel/config/gpio-sim/millrace
echo 0 >$chip/live
echo gpio-sim >$chip/bank0/label
echo 1 >$chip/live
echo "=== kernel"
/usr/sbin/gpio_scenario "$(dirname /sys/devices/platform/gpio-sim.0/gpiochip*/sim_gpio0)"
echo "=== simulation"
/usr/sbin/gpio_scenario
echo "=== gateway"
echo 0 >$chip/live
echo millrace >$chip/bank0/label
echo 1 >$chip/live
/usr/sbin/gateway --listen control=7000 --heap-trap abort 2>&1 &
gateway=$!
until nc 127.0.0.1 7000 </dev/null 2>/dev/null; do usleep 1000; done
{
  echo watch GPIO4 GPIO5
  usleep 100000
  for n in 1 2 3 4 5 6 7 8; do
    lines toggle GPIO4 $n >/dev/null
    usleep 10000
    echo set GPIO17=$((n % 2))
    lines toggle GPIO5 1 >/dev/null
    usleep 10000
    lines level GPIO17 >&2
  done
  kill -STOP $gateway
  lines toggle GPIO4 50 >/dev/null
  kill -CONT $gateway
  usleep 100000
  echo status
  usleep 100000
  echo quit
} | nc 127.0.0.1 7000
kill $gateway
wait $gateway
echo "=== end, $?"
poweroff -f
"""


def trace(folder):
    """All that the console shows, with the kernel's messages and their time."""
    machine = machines.Machine(folder, append="loglevel=7", deterministic=True,
                               prepare=lambda folder: machines.run_instead(folder, SCRIPT, SCENARIO))
    try:
        assert machine.wait() == 0, machine.log()
        return machine.console().replace("\r", "")
    finally:
        machine.end()


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    return [trace(tmp_path_factory.mktemp("run") / "machine") for _ in range(3)]


def part(text, name):
    lines = text.partition(f"=== {name}\n")[2].partition("\n=== ")[0].splitlines()
    return [line for line in lines if not re.match(r"\[ +\d", line)]  # the kernel's


def test_every_run_is_the_same(traces):
    assert traces[0].rstrip().endswith("reboot: Power down")
    assert len(re.findall("^event edge ", traces[0], re.M)) > 50
    for other in traces[1:]:
        assert other.splitlines() == traces[0].splitlines()


def test_our_simulation_does_what_the_kernel_does(traces):
    kernel, simulation = part(traces[0], "kernel"), part(traces[0], "simulation")
    assert len(kernel) > 100
    assert kernel == simulation


def test_the_gateway_tells_what_happened(traces):
    told = part(traces[0], "gateway")
    assert told[-1] == "info: stopping on signal 15"
    assert told.count("ok 1") == told.count("ok 0") == 4  # what GPIO17 drives
    gaps = [line.split(" time=")[0] for line in told if " gap " in line]
    assert gaps == ["event gap GPIO4 lost=18 level=0", "event gap GPIO5 lost=0 level=0"]
