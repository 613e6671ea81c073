# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Holds the architecture: who may include whom, who may make system calls, and what lies at the top level."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Each layer, and those whose headers it may include. Tests may include everything.
ARROWS = {
    "firmware/gateway": {"firmware/gateway", "firmware/reactor", "drivers", "board", "hal"},
    "firmware/examples": {"firmware/examples", "firmware/reactor", "drivers", "board", "hal"},
    "firmware/reactor": {"firmware/reactor", "hal"},
    "drivers": {"drivers", "hal"},
    "board": {"board", "hal"},
    "hal": {"hal"},
}

# Headers that reach for the operating system: only the HAL does.
SYSTEM = re.compile(
    r"(sys|linux|asm|net|netinet|arpa)/.*|csignal|iostream|fstream|filesystem"
    r"|(dirent|fcntl|gpiod|netdb|poll|pthread|pty|sched|semaphore|signal|spawn|termios|unistd)\.h"
)
# Where a thread is needed, the HAL makes it with pthreads: std::thread allocates and throws.
NOWHERE = {"thread"}

TOP_LEVEL = {"firmware", "hal", "drivers", "board", "tests", "toolchain", "Makefile", "README.md", "LICENSE"}
BUILD = {"build"}  # never committed

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:[<"](?P<file>[^>"]+)[>"]|(?P<macro>\w+))', re.MULTILINE)


def layer_of(path: str) -> str | None:
    return next((layer for layer in ARROWS if path.startswith(layer + "/")), None)


def forbidden(layer: str, include: re.Match) -> str | None:
    """Why this layer may not include that, or None if it may."""
    if include["macro"]:
        name, target = include["macro"], None  # which file that is, nobody sees
    else:
        name = include["file"]
        if name in NOWHERE:
            return f"<{name}> is for tests only"
        if SYSTEM.fullmatch(name):
            return None if layer == "hal" else f"<{name}> is for hal/ only"
        if name == "getopt.h":
            return None if layer == "firmware/gateway" else "<getopt.h> is for firmware/gateway/ only"
        if '"' not in include[0] and "/" not in name:
            return None  # the standard library
        target = layer_of(name)
    if target is None:
        return f"{name} is not a path from the project's root"
    return None if target in ARROWS[layer] else f"{layer} may not include {target} ({name})"


def violations(root: pathlib.Path) -> list[str]:
    found = []
    for source in sorted(root.rglob("*.[ch]pp")):
        path = source.relative_to(root).as_posix()
        layer = layer_of(path)
        if layer is None:
            if not path.startswith(("tests/", "build/")):
                found.append(f"{path}: belongs to no layer")
            continue
        text = source.read_text()
        for include in INCLUDE.finditer(text):
            if why := forbidden(layer, include):
                line = text.count("\n", 0, include.start(1) if include["macro"] is None else include.start(2)) + 1
                found.append(f"{path}:{line}: {why}")
    return found


def strangers(root: pathlib.Path) -> list[str]:
    names = {entry.name for entry in root.iterdir() if not entry.name.startswith(".")}
    return sorted(names - TOP_LEVEL - BUILD)


def test_includes_follow_the_arrows():
    assert not violations(ROOT), "\n".join(violations(ROOT))


def test_top_level_holds_only_what_belongs_there():
    assert not strangers(ROOT)


def test_every_source_names_its_licence():
    places = ("hal", "drivers", "firmware", "board", "tests", "toolchain", ".ci", "Makefile")
    files = [file for place in places for file in [ROOT / place, *(ROOT / place).rglob("*")] if is_source(file)]
    assert not [str(file) for file in files if "SPDX-License-Identifier: MIT" not in file.read_text()[:500]]


def is_source(file: pathlib.Path) -> bool:
    if not file.is_file() or "__pycache__" in file.parts:
        return False
    return file.suffix in (".cpp", ".hpp", ".py") or file.name == "Makefile" or file.read_bytes().startswith(b"#!")


def test_the_checker_allows_what_the_design_allows(tmp_path):
    write(tmp_path, "hal/fd.cpp", '#include "hal/fd.hpp"', "#include <unistd.h>", "#include <sys/socket.h>")
    write(tmp_path, "drivers/debounce/debounce.hpp", "#include <cstdint>", '#include "hal/clock.hpp"')
    write(tmp_path, "firmware/reactor/loop.cpp", '#include "firmware/reactor/loop.hpp"', '#include "hal/fd.hpp"')
    write(tmp_path, "firmware/gateway/main.cpp", "#include <getopt.h>",
          '#include "firmware/reactor/loop.hpp"', '#include "drivers/debounce/debounce.hpp"')
    write(tmp_path, "board/sim.hpp", '#include "board/types.hpp"', "// #include <thread>")
    write(tmp_path, "tests/unit/test_fd.cpp", "#include <thread>", '#include "hal/fd.hpp"')
    assert violations(tmp_path) == []


def test_the_checker_catches_what_it_should(tmp_path):
    write(tmp_path, "hal/fd.cpp", '#include "firmware/reactor/loop.hpp"', "#include <thread>")
    write(tmp_path, "drivers/uart/slip.cpp", "", "#include <unistd.h>", '#include "firmware/reactor/loop.hpp"',
          "# include <sys/epoll.h>", '#include "slip.hpp"')
    write(tmp_path, "firmware/reactor/loop.cpp", '#include "drivers/uart/slip.hpp"', "#include SOME_HEADER",
          "#include <iostream>", "#include <getopt.h>")
    write(tmp_path, "board/sim.hpp", '#include "drivers/uart/slip.hpp"')
    write(tmp_path, "firmware/gateway/main.cpp", "#include <poll.h>", "#include <hal/../hal/fd.hpp>")
    write(tmp_path, "firmware/examples/blink.cpp", '#include "firmware/gateway/wiring.hpp"')
    write(tmp_path, "util/misc.hpp", "#include <cstdint>")
    assert [message.split(": ")[0] for message in violations(tmp_path)] == [
        "board/sim.hpp:1",
        "drivers/uart/slip.cpp:2",
        "drivers/uart/slip.cpp:3",
        "drivers/uart/slip.cpp:4",
        "drivers/uart/slip.cpp:5",
        "firmware/examples/blink.cpp:1",
        "firmware/gateway/main.cpp:1",
        "firmware/reactor/loop.cpp:1",
        "firmware/reactor/loop.cpp:2",
        "firmware/reactor/loop.cpp:3",
        "firmware/reactor/loop.cpp:4",
        "hal/fd.cpp:1",
        "hal/fd.cpp:2",
        "util/misc.hpp",
    ]


def test_the_checker_sees_strangers_at_the_top_level(tmp_path):
    write(tmp_path, "hal/fd.hpp")
    write(tmp_path, "notes.txt")
    write(tmp_path, ".gitignore")
    write(tmp_path, "scripts/build.sh")
    assert strangers(tmp_path) == ["notes.txt", "scripts"]


def write(root: pathlib.Path, path: str, *lines: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(line + "\n" for line in lines))
