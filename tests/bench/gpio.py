# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""From an edge of the kernel's gpio-sim to who waits for it, in a machine in QEMU that counts its time in instructions:
the same in each run, on a busy machine, too."""

import gzip
import pathlib
import re
import subprocess
import sys
import tempfile

import measure

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build/release-arm64/qemu-virt/tests/qemu/edge_bench"
LIBRARIES = "usr/lib/aarch64-linux-gnu"
HANDLERS = {"blocking": "a reader that blocks", "epoll": "a bare epoll loop", "millrace": "the reactor",
            "gpiomon": "who reads gpiomon's output", "blocking_tcp": "a client of a server that blocks",
            "gateway_tcp": "a client of the gateway"}

SCRIPT = r"""#!/bin/sh
simulator=$(echo /sys/devices/platform/gpio-sim.0/gpiochip*)
chip=/dev/$(basename "$simulator")
/usr/sbin/gateway --heap-trap abort >/dev/null 2>&1 &
until nc 127.0.0.1 7000 </dev/null 2>/dev/null; do usleep 1000; done
usleep 500000
/usr/sbin/edge_bench blocking "$chip" 0 "$simulator/sim_gpio0/pull" COUNT
/usr/sbin/edge_bench epoll "$chip" 0 "$simulator/sim_gpio0/pull" COUNT
/usr/sbin/edge_bench millrace GPIO0 "$simulator/sim_gpio0/pull" COUNT
/usr/sbin/edge_bench gpiomon "$chip" 0 "$simulator/sim_gpio0/pull" COUNT
/usr/sbin/edge_bench serve "$chip" 0 9000 &
usleep 500000
/usr/sbin/edge_bench raw 9000 "$simulator/sim_gpio0/pull" COUNT
/usr/sbin/edge_bench control 7000 GPIO1 "$simulator/sim_gpio1/pull" COUNT
echo "=== end"
poweroff -f
"""


def packages(suite: str, *names: str) -> pathlib.Path:
    command = [ROOT / "toolchain/packages", suite, "arm64", *names]
    return pathlib.Path(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip())


def gpiomon_files() -> dict[str, pathlib.Path]:
    """Debian's, and the libraries that it needs, by their places in the machine."""
    gpiod, libc = packages("backports", "gpiod", "libgpiod3"), packages("host", "libc6")
    libgpiod = next((gpiod / LIBRARIES).glob("libgpiod.so.3.*"))
    loader = next(path for path in libc.rglob("ld-linux-aarch64.so.1") if path.is_file() and not path.is_symlink())
    return {"usr/bin/gpiomon": gpiod / "usr/bin/gpiomon", "usr/lib/libgpiod.so.3": libgpiod,
            "usr/lib/libc.so.6": loader.parent / "libc.so.6", "lib/ld-linux-aarch64.so.1": loader}


def run(count: int) -> dict:
    """Nanoseconds from the kernel's time stamp, by who has the edge: p50, p99 and p99.9 of so many edges."""
    sys.path.insert(0, str(ROOT / "tests/qemu"))
    import machine as machines  # pylint: disable=import-outside-toplevel  # it needs what only QEMU's tests install

    def prepare(folder: pathlib.Path) -> None:
        machines.run_instead(folder, SCRIPT.replace("COUNT", str(count)), PROGRAM)
        archive = machines.image.Archive()
        for place, path in gpiomon_files().items():
            archive.add_file(place, path.read_bytes(), executable=True)
        with open(folder / "initramfs.gz", "ab") as file:
            file.write(gzip.compress(archive.bytes(), 1, mtime=0))

    with tempfile.TemporaryDirectory() as scratch:
        machine = machines.Machine(pathlib.Path(scratch) / "machine", deterministic=True, prepare=prepare)
        try:
            machine.process.wait(600)
            said = machine.console()
        finally:
            machine.end()
        found = re.findall(r"^(\w+) p50=(\d+) p99=(\d+) p99\.9=(\d+)", said, re.MULTILINE)
        if {name for name, *_ in found} != set(HANDLERS) or machine.process.returncode != 0:
            raise measure.Failed(f"the machine in QEMU: {machine.log()}")
    return {name: dict(zip(("p50", "p99", "p99.9"), map(int, numbers))) for name, *numbers in found}
