# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""toolchain/board tells boards apart by the model in their device tree."""

import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("model", "board"),
    [
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "rpi3"),
        ("Raspberry Pi Compute Module 3 Plus Rev 1.0", "rpi3"),
        ("Raspberry Pi 4 Model B Rev 1.4", "rpi4"),
        ("Raspberry Pi 400 Rev 1.0", "rpi4"),
        ("Raspberry Pi Compute Module 4 Rev 1.1", "rpi4"),
        ("Raspberry Pi 5 Model B Rev 1.0", "rpi5"),
        ("Raspberry Pi 500 Rev 1.0", "rpi5"),
        ("Raspberry Pi Compute Module 5 Rev 1.0", "rpi5"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "rpi-zero2w"),
        ("linux,dummy-virt", "qemu-virt"),
        ("QEMU imx8mp-evk", "qemu-imx8mp"),
        ("NXP i.MX8MPlus EVK board", "generic"),
        ("Radxa ROCK 5B", "generic"),
    ],
)
def test_model(tmp_path, model, board):
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(model.encode() + b"\0")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/gpiochip0").touch()
    assert detect(tmp_path) == board
    assert (ROOT / "board" / f"{board}.hpp").exists()


def test_a_board_without_gpio_is_simulated(tmp_path):
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Some server\0")
    assert detect(tmp_path) == "sim"


def test_a_pc_is_simulated(tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/gpiochip0").touch()
    assert detect(tmp_path) == "sim"


def detect(root: pathlib.Path) -> str:
    done = subprocess.run([ROOT / "toolchain/board", root], capture_output=True, text=True, check=True)
    return done.stdout.strip()
