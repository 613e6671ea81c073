# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Flattened device trees, and which drivers a kernel needs for the devices in one.

The format is that of the Devicetree Specification 0.4, part 5; which properties refer to other nodes is told by
Documentation/devicetree/bindings of the kernel.
"""

import fnmatch
import re
import struct

MAGIC = 0xD00DFEED
BEGIN_NODE, END_NODE, PROPERTY, NOP, END = 1, 2, 3, 4, 9

# Properties that refer to other nodes: after each reference come as many cells as that node says by another property.
REFERENCES = {
    "*-supply": None,
    "clocks": "#clock-cells",
    "dmas": "#dma-cells",
    "*gpios": "#gpio-cells",
    "interrupt-parent": None,
    "mboxes": "#mbox-cells",
    "msi-parent": "#msi-cells",
    "phy-handle": None,
    "phys": "#phy-cells",
    "pinctrl-[0-9]*": None,
    "power-domains": "#power-domain-cells",
    "resets": "#reset-cells",
    "usb-phy": None,
}


class Node:
    def __init__(self, name, parent):
        self.name, self.parent = name, parent
        self.properties, self.children = {}, []

    @property
    def path(self):
        return f"{self.parent.path.rstrip('/')}/{self.name}" if self.parent else "/"

    @property
    def compatible(self):
        """The names of drivers that can do with it, the best one first."""
        return self.properties.get("compatible", b"").decode().rstrip("\0").split("\0")

    @property
    def enabled(self):
        own = self.properties.get("status", b"okay\0") in (b"okay\0", b"ok\0")
        return own and (self.parent is None or self.parent.enabled)

    def is_one_of(self, devices):
        """Whether it is a device, and its name one of these, with or without an address: mmc, or mmc@7e202000."""
        return self.enabled and "compatible" in self.properties and self.name.split("@")[0] in devices

    def cells(self, name):
        data = self.properties.get(name, b"")
        return struct.unpack(f">{len(data) // 4}I", data[: len(data) // 4 * 4])

    def all(self):
        yield self
        for child in self.children:
            yield from child.all()


def parse(data):
    """The root of a tree."""
    magic, _, structure, strings = struct.unpack_from(">4I", data)
    if magic != MAGIC:
        raise ValueError("this is no device tree")
    node = root = None
    at = structure
    while True:
        (token,) = struct.unpack_from(">I", data, at)
        at += 4
        if token == BEGIN_NODE:
            end = data.index(b"\0", at)
            child = Node(data[at:end].decode(), node)
            if node:
                node.children.append(child)
            node = child
            root = root or node
            at = end + 1
        elif token == PROPERTY:
            length, name = struct.unpack_from(">2I", data, at)
            name = data[strings + name : data.index(b"\0", strings + name)].decode()
            node.properties[name] = data[at + 8 : at + 8 + length]
            at += 8 + length
        elif token == END_NODE:
            node = node.parent
        elif token == END:
            return root
        elif token != NOP:
            raise ValueError(f"this device tree has an unknown token, {token}")
        at = (at + 3) & ~3


def suppliers(node, handles):
    """The nodes without which one does not work: its parents, and those that it refers to."""
    if node.parent:
        yield node.parent
    for name in node.properties:
        pattern = next((each for each in REFERENCES if fnmatch.fnmatchcase(name, each)), None)
        if not pattern:
            continue
        cells = list(node.cells(name))
        while cells:
            target = handles.get(cells.pop(0))
            if target is None:
                break
            yield target
            if REFERENCES[pattern]:
                (count,) = target.cells(REFERENCES[pattern]) or (0,)
                del cells[:count]


def needed(root, devices):
    """The nodes of these devices, and all those without which they do not work."""
    handles = {node.cells("phandle")[0]: node for node in root.all() if "phandle" in node.properties}
    found = []
    waiting = [node for node in root.all() if node.is_one_of(devices)]
    while waiting:
        node = waiting.pop(0)
        if node not in found:
            found.append(node)
            waiting += suppliers(node, handles)
    return found


def aliases(module):
    """What a module calls itself in its table for device trees."""
    return {name.decode() for name in re.findall(rb"\0?alias=of:N\*T\*C([^\0*]+)\0", module)}
