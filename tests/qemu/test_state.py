# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""What is kept survives that the power is cut, whenever."""

import concurrent.futures
import random
import re
import time

import machine as machines
import pytest

pytestmark = pytest.mark.needs("far ends of lines")

DISKS = 2
CUTS = 25  # of each
EARLY = 8  # of them while the system still boots, the first times with a blank disk

# As many lines as take several blocks, each different for each number, and what tells that they belong together.
WRITER = ("n=%d; while :; do n=$((n + 1)); { echo $n; seq $n $((n + 600)); echo end $n; } | keep /state/value"
          " && echo written $n; done")


def text(number):
    return [str(number), *(str(n) for n in range(number, number + 601)), f"end {number}"]


def value(machine):
    """The number in the file; whatever else is there is what was never to be seen."""
    found = machine.run("if [ -e /state/value ]; then cat /state/value; fi")
    if not found:
        return 0
    whole = found == text(int(found[0]))
    assert whole, f"neither the old text nor the new one, but {len(found)} lines: {found[:2]}…{found[-2:]}"
    return int(found[0])


def check_ends(ends, boot):
    """Whole lines, in order, and none twice; a boot may have been cut off before it could say so."""
    assert ends[-1] == f"boot={boot} up"
    boots = [int(re.match(r"boot=(\d+) (up$|cut off: |uptime=)", line)[1]) for line in ends]
    assert boots == sorted(boots)
    ups = [line for line in ends if line.endswith(" up")]
    assert len(ups) == len(set(ups))


def cut_power(folder, seed):
    """Boots, looks at what is there, writes, and is cut off; and again. Returns how many texts were written."""
    rng = random.Random(seed)
    written = boot = 0
    for cut in range(CUTS):
        machine = machines.Machine(folder)
        try:
            if cut < EARLY:
                time.sleep(rng.uniform(0.5, 4.5))
                continue
            found = value(machine)
            # One more may have been written than was heard of.
            assert found in (written, written + 1), f"{found} is there, {written} was written"
            (now,) = machine.run("cat /state/boot")
            assert int(now) > boot
            boot = int(now)
            check_ends(machine.ends(), boot)
            written = found
            machine.guest.send("run " + WRITER % found)
            stop = time.monotonic() + rng.uniform(0.1, 1.5)
            machine.guest.socket.settimeout(0.05)
            while time.monotonic() < stop:
                try:
                    written = int(machine.guest.line().removeprefix("| written "))
                except TimeoutError:
                    pass
        finally:
            machine.kill()
            while cut >= EARLY and machine._lines:  # what had been said before the cut
                try:
                    written = int(machine.guest.line().removeprefix("| written "))
                except (OSError, EOFError, ValueError):
                    break
            machine.end()
    return written


def test_a_power_cut_at_any_moment(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(DISKS) as pool:
        runs = [pool.submit(cut_power, tmp_path / f"disk{n}", n) for n in range(DISKS)]
        written = sum(run.result() for run in runs)
    assert written > DISKS * (CUTS - EARLY)
    print(f"{DISKS * CUTS} cuts, {written} texts written")


def test_a_disk_with_something_else_is_left_alone(start_machine, tmp_path):
    """It is not blank, and no file system either: the gateway serves, and nothing is kept."""
    folder = tmp_path / "machine"
    folder.mkdir()
    foreign = random.Random(4).randbytes(1 << 20)
    (folder / "state.img").write_bytes(foreign)
    machine = start_machine()
    machine.connect()
    assert machine.power_off() == 0
    assert bool((folder / "state.img").read_bytes() == foreign), "the disk was written to"
    assert "init: nothing will be kept, as /state is in memory" in machine.log()
