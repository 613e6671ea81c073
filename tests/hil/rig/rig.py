# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""A rig: the target under test, and what is wired to it. One YAML file each, in tests/hil/rigs/."""

import dataclasses
import pathlib
import re

import yaml

RIGS = pathlib.Path(__file__).resolve().parents[1] / "rigs"
KINDS = ("sim", "qemu", "board")
DRIVES = ("emulator", "wires", "gateway")


class RigError(Exception):
    """Says the place in the rig's file, and the remedy."""


@dataclasses.dataclass(frozen=True)
class Wire:
    """A line of the target, and what is at the other end of the wire: another line, or the emulator itself."""

    line: str
    far: str | None

    def __str__(self):
        return f"{self.line}–{self.far}" if self.far else self.line


@dataclasses.dataclass(frozen=True)
class Uart:
    """A serial port of the target. `far_end`: emulator, loop (TXD wired to RXD), or a port of this machine."""

    name: str
    far_end: str
    baud_rates: tuple


@dataclasses.dataclass(frozen=True)
class Rig:
    name: str
    kind: str
    board: str
    drive: str
    wires: tuple
    uarts: tuple
    machine: str | None = None
    arch: str = "arm64"
    address: str | None = None
    far_address: str | None = None
    console: dict | None = None
    power: dict | None = None
    deploy: dict | None = None
    outputs: dict = dataclasses.field(default_factory=dict)
    limits: dict = dataclasses.field(default_factory=dict)
    lacks: dict = dataclasses.field(default_factory=dict)


BAUD_RATES = (9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 1000000, 1500000, 2000000, 3000000)
LIMITS = {
    "edge_latency_p50": "us", "edge_latency_p99": "us", "edge_latency_max": "us", "burst": "edges", "boot": "s",
}
# What tests can need; target.py tells what they mean.
NEEDS = ("gpio_loopback", "many_lines", "outputs", "driver_apart", "bias", "open_output", "uart_loopback", "uart_break",
         "uart_adapter", "kill", "reboot", "power")
REQUIRED = {"name": str, "kind": str, "board": str, "drive": str, "wires": list}
OPTIONAL = {
    "machine": str, "arch": str, "address": str, "far_address": str, "console": dict, "power": dict, "deploy": dict,
    "outputs": dict, "uarts": list, "limits": dict, "lacks": dict,
}


def path_of(target):
    """The file of a target: one of tests/hil/rigs by its name, or any other by its path."""
    own = RIGS / f"{target}.yaml"
    path = own if own.exists() else pathlib.Path(target)
    if not path.is_file():
        names = ", ".join(sorted(each.stem for each in RIGS.glob("*.yaml")))
        raise RigError(f"there is no rig {target}: TARGET is one of {names}, or the path of a file like theirs")
    return path


def read_wire(place, text):
    """`GPIO4`, `GPIO0..GPIO31`, or a pair of lines."""
    if isinstance(text, list) and len(text) == 2 and all(isinstance(end, str) for end in text):
        return [Wire(*text)]
    if isinstance(text, str):
        match = re.fullmatch(r"(.*?)(\d+)\.\.\1(\d+)", text)
        if not match:
            return [Wire(text, None)]
        return [Wire(f"{match[1]}{n:0{len(match[2])}d}", None) for n in range(int(match[2]), int(match[3]) + 1)]
    raise RigError(f"{place}: {text!r} is no wire: write [GPIO17, GPIO27], or GPIO0..GPIO31 in an emulator")


def read_uart(place, value):
    if not isinstance(value, dict) or not {"name", "far_end"} <= set(value) <= {"name", "far_end", "baud_rates"}:
        raise RigError(f"{place}: {value!r} is no serial port: write {{name: uart0, far_end: loop}}; far_end is loop,"
                       " emulator, or a port of this machine; baud_rates may be given")
    return Uart(value["name"], value["far_end"], tuple(value.get("baud_rates", BAUD_RATES)))


def read(path):
    """Reads a rig's file; whatever is wrong in it is told with its place."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as failure:
        raise RigError(f"{path}: {failure}") from None
    if not isinstance(values, dict):
        raise RigError(f"{path}: a rig is a mapping: see tests/hil/README.md")
    for key, value in values.items():
        kind = {**REQUIRED, **OPTIONAL}.get(key)
        if not kind:
            raise RigError(f"{path}: unknown key {key}: there are {', '.join([*REQUIRED, *OPTIONAL])}")
        if not isinstance(value, kind):
            raise RigError(f"{path}: {key}: {value!r} is no {kind.__name__}")
    for key in REQUIRED:
        if key not in values:
            raise RigError(f"{path}: {key} is missing")
    if values["kind"] not in KINDS:
        raise RigError(f"{path}: kind: {values['kind']}: there are {', '.join(KINDS)}")
    if values["drive"] not in DRIVES:
        raise RigError(f"{path}: drive: {values['drive']}: there are {', '.join(DRIVES)}")
    if not re.fullmatch(r"\w[\w.-]*", values["name"]):
        raise RigError(f"{path}: name: {values['name']!r}: it names a folder: letters, digits, - and . will do")
    if values["kind"] == "board" and "address" not in values:
        raise RigError(f"{path}: address is missing: HOST:PORT of the gateway's control port on the board")
    if values["drive"] == "gateway" and "far_address" not in values:
        raise RigError(f"{path}: far_address is missing: HOST:PORT of the second gateway's control port")
    for key in ("address", "far_address"):
        if not re.fullmatch(r".+:\d+", values.get(key, "host:1")):
            raise RigError(f"{path}: {key}: {values[key]!r} is no HOST:PORT")
    for key, limit in values.get("limits", {}).items():
        if key not in LIMITS:
            raise RigError(f"{path}: limits: unknown {key}: there are {', '.join(LIMITS)}")
        if not isinstance(limit, (int, float)) or isinstance(limit, bool):
            raise RigError(f"{path}: limits: {key}: {limit!r} is no number")
        if key == "boot" and values["kind"] != "board":
            raise RigError(f"{path}: limits: boot: only a board has this limit")
    for key, reason in values.get("lacks", {}).items():
        if key not in NEEDS:
            raise RigError(f"{path}: lacks: unknown {key}: there are {', '.join(NEEDS)}")
        if not isinstance(reason, str) or not reason:
            raise RigError(f"{path}: lacks: {key}: why? The report tells it")
    values["wires"] = tuple(wire for n, text in enumerate(values["wires"])
                            for wire in read_wire(f"{path}: wires[{n}]", text))
    emulated = values["drive"] == "emulator"
    for wire in values["wires"]:
        if emulated != (wire.far is None):
            raise RigError(f"{path}: wires: {wire}: " + ("the emulator is at its other end: name one line" if emulated
                                                         else "name the line at its other end, too: [GPIO17, GPIO27]"))
    ends = [end for wire in values["wires"] for end in (wire.line, wire.far) if end]
    if values["drive"] == "gateway":
        ends = [wire.line for wire in values["wires"]]
    for end in ends:
        if ends.count(end) > 1:
            raise RigError(f"{path}: wires: {end} is named twice: it can be one end of one wire")
    for line, level in values.get("outputs", {}).items():
        if isinstance(level, bool) or line not in {wire.line for wire in values["wires"]} or level not in (0, 1):
            raise RigError(f"{path}: outputs: {line}: {level}: it must be a wired line, and its level 0 or 1")
    values["uarts"] = tuple(read_uart(f"{path}: uarts[{n}]", each) for n, each in enumerate(values.get("uarts", [])))
    return Rig(**values)
