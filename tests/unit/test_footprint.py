# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""tests/bench/footprint reads ELF files and processes as the tools made for it do."""

import importlib.machinery
import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GATEWAY = pathlib.Path(os.environ.get("MILLRACE_BUILD", ROOT / "build/release/sim")) / "gateway"

ECHO = f"""#!{sys.executable}
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection = listener.accept()[0]
while data := connection.recv(100):
    connection.sendall(data)
"""


@pytest.fixture(scope="module")
def footprint():
    path = str(ROOT / "tests/bench/footprint")
    loader = importlib.machinery.SourceFileLoader("footprint", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("footprint", loader))
    loader.exec_module(module)
    return module


def test_sizes_are_those_that_readelf_tells(footprint):
    sections = subprocess.run(["readelf", "-SW", GATEWAY], check=True, capture_output=True, text=True).stdout
    sizes = dict(re.findall(r"\] (\.data|\.bss) +\w+ +\w+ \w+ (\w+)", sections))
    elf = footprint.Elf(GATEWAY)
    assert elf.writable == sum(int(size, 16) for size in sizes.values())
    assert len(sizes) == 2
    assert elf.static == (".interp" not in sections)
    assert 10_000 < footprint.stripped_size(GATEWAY, elf.machine) <= GATEWAY.stat().st_size


def test_memory_is_that_of_the_process_once_a_client_has_talked_to_it(footprint, tmp_path):
    server = tmp_path / "server"
    server.write_text(ECHO)
    server.chmod(0o755)
    used = footprint.measure_echo(server, tmp_path)
    assert 1_000_000 < used["private"] <= used["pss"] <= used["rss"] < 100_000_000
    assert used["libraries"] > 500_000  # Python's C library at least


def test_what_can_not_be_measured_is_said_and_the_rest_is_measured(footprint, tmp_path, capsys):
    script = tmp_path / "script"
    script.write_text(ECHO)
    rows = [footprint.row("echo", str(script), tmp_path), footprint.row("file", str(GATEWAY), tmp_path)]
    assert rows[0][:2] == ["echo", "not measured"]
    assert "is not a program" in capsys.readouterr().err
    assert rows[1][0] == "gateway"
    assert len({len(line) for line in footprint.table(rows).splitlines()}) == 1
