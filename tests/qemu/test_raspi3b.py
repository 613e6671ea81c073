# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The image of a Raspberry Pi 3 on QEMU's model of it, which has its GPIO controller, but nothing at its inputs."""

import random
import subprocess

import machine as machines
import pytest

IMAGE = machines.IMAGE.with_name("rpi3")
STATE = 55 << 20  # where the second partition begins


@pytest.mark.on("raspi3b", "virt arm64")
@pytest.mark.skipif(not (IMAGE / "card.img").exists(), reason="there is no image of rpi3: make test-qemu makes it")
def test_the_image_serves_on_the_model(start_machine):
    machine = start_machine(image=IMAGE)
    client = machine.connect()
    found = client.ask("lines").rows
    assert [row.split()[1] for row in found] == [f"GPIO{n}" for n in range(28)]
    rng = random.Random(5)
    for _ in range(5):
        levels = " ".join(f"GPIO{n}={rng.randrange(2)}" for n in range(16, 28))
        assert client.ok(f"set {levels}") == levels
        assert client.ok("read " + " ".join(f"GPIO{n}" for n in range(16, 28))) == levels
    console = machine.shell()
    console.sendall(b"reboot\n")  # a reset ends QEMU here
    assert machine.wait() == 0
    console.close()
    with open(machine.folder / "state.img", "rb") as card:
        card.seek(STATE)
        (machine.folder / "partition").write_bytes(card.read(8 << 20))
    ends = subprocess.run(["/sbin/debugfs", "-R", "cat /ends", machine.folder / "partition"],
                          capture_output=True, text=True, check=True)
    assert ends.stdout.splitlines()[::2] == ["boot=1 up", "boot=1 shut down"]
