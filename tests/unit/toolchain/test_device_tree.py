# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Which devices of a device tree a kernel needs drivers for."""

import pathlib
import struct
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "toolchain"))

import device_tree  # noqa: E402


def cells(*numbers):
    return struct.pack(f">{len(numbers)}I", *numbers)


def text(*strings):
    return b"".join(string.encode() + b"\0" for string in strings)


def padded(data):
    return data + bytes(-len(data) % 4)


def encode(tree):
    """A device tree of {name: property or node}, as the specification has it."""
    strings = {}

    def name_at(name):
        return strings.setdefault(name, sum(len(each) + 1 for each in strings))

    def node(name, content):
        result = cells(device_tree.BEGIN_NODE) + padded(text(name))
        for key, value in content.items():
            if isinstance(value, bytes):
                result += cells(device_tree.PROPERTY, len(value), name_at(key)) + padded(value)
        result += cells(device_tree.NOP)
        for key, value in content.items():
            if isinstance(value, dict):
                result += node(key, value)
        return result + cells(device_tree.END_NODE)

    structure = node("", tree) + cells(device_tree.END)
    header = cells(device_tree.MAGIC, 0, 40, 40 + len(structure), *[0] * 6)
    return header + structure + text(*strings)


BOARD = {
    "compatible": text("maker,board"),
    "clock": {"compatible": text("fixed-clock"), "phandle": cells(1), "#clock-cells": cells(0)},
    "clocks@1": {"compatible": text("maker,clocks"), "phandle": cells(2), "#clock-cells": cells(1)},
    "regulator": {"compatible": text("regulator-gpio"), "phandle": cells(3), "gpios": cells(4, 27, 0)},
    "bus": {
        "compatible": text("simple-bus"),
        "gpio@10": {"compatible": text("maker,gpio-2", "maker,gpio"), "phandle": cells(4), "#gpio-cells": cells(2)},
        "mmc@20": {"compatible": text("maker,mmc"), "clocks": cells(2, 3, 1), "vmmc-supply": cells(3)},
        "mmc@30": {"compatible": text("maker,mmc"), "status": text("disabled"), "clocks": cells(5)},
        "spi@40": {"compatible": text("maker,spi"), "phandle": cells(3 + 4), "clocks": cells(1)},
    },
    "off": {"status": text("disabled"), "mmc@50": {"compatible": text("maker,other")}},
}


def needed(*devices):
    return [node.path for node in device_tree.needed(device_tree.parse(encode(BOARD)), devices)]


def test_a_tree_is_read():
    root = device_tree.parse(encode(BOARD))
    assert root.path == "/" and root.compatible == ["maker,board"]
    gpio = next(node for node in root.all() if node.name == "gpio@10")
    assert gpio.path == "/bus/gpio@10" and gpio.compatible == ["maker,gpio-2", "maker,gpio"]
    assert gpio.cells("#gpio-cells") == (2,) and gpio.cells("none") == ()


def test_what_is_no_tree_is_refused():
    with pytest.raises(ValueError, match="no device tree"):
        device_tree.parse(bytes(64))
    with pytest.raises(ValueError, match="unknown token, 7"):
        device_tree.parse(cells(device_tree.MAGIC, 0, 16, 16, 7))


def test_a_device_needs_its_bus_and_its_suppliers_and_theirs():
    assert needed("gpio") == ["/bus/gpio@10", "/bus", "/"]
    # 3 is an argument for the first clock, and no reference to the regulator; 1 is a reference.
    assert sorted(needed("mmc")) == ["/", "/bus", "/bus/gpio@10", "/bus/mmc@20", "/clock", "/clocks@1", "/regulator"]


def test_what_is_disabled_is_not_needed():
    assert "/bus/mmc@30" not in needed("mmc") and "/off/mmc@50" not in needed("mmc")


def test_nothing_else_is_needed():
    assert needed("ethernet") == []
    assert "/bus/spi@40" not in needed("mmc", "gpio")


def test_aliases_of_a_module():
    module = b"\0alias=of:N*T*Cmaker,mmcC*\0alias=of:N*T*Cmaker,mmc\0alias=platform:mmc\0alias=of:N*T*Cmaker,mmc-2\0"
    assert device_tree.aliases(module) == {"maker,mmc", "maker,mmc-2"}
