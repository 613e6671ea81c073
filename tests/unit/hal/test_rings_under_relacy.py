# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Builds and runs rings_under_relacy.cc: the lock-free rings in every interleaving of small cases.

It is built here as it needs exceptions and RTTI, which nothing else has. The checker must also be able to find
something: with a memory order relaxed that the ring relies on, it has to.
"""

import os
import pathlib
import re
import shlex
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
SOURCE = ROOT / "tests/unit/hal/rings_under_relacy.cc"
COMPILER = shlex.split(os.environ.get("MILLRACE_COMPILE", "g++"))[0]

pytestmark = pytest.mark.skipif(
    not pathlib.Path("/usr/include/relacy/relacy.hpp").exists(), reason="needs Debian's package relacy-dev")


def build_and_run(folder: pathlib.Path, includes: list[pathlib.Path]) -> subprocess.CompletedProcess:
    program = folder / "rings_under_relacy"
    flags = ["-std=c++23", "-O1", "-w", *(f"-I{path}" for path in includes)]
    subprocess.run([COMPILER, *flags, str(SOURCE), "-o", str(program)], check=True)
    return subprocess.run([str(program)], capture_output=True, text=True, timeout=60)


def test_hold_in_every_interleaving(tmp_path):
    done = build_and_run(tmp_path, [ROOT])
    assert done.returncode == 0 and "FAILS" not in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("holds") >= 15


def build_and_run_with(folder, header, expression, replacement):
    """With the last place that matches in the header replaced."""
    text = (ROOT / header).read_text()
    *_, last = re.finditer(expression, text)
    (folder / "hal").mkdir()
    (folder / header).write_text(text[: last.start()] + replacement + text[last.end():])
    return build_and_run(folder, [folder, ROOT])


@pytest.mark.parametrize("header", ["hal/spsc_ring.hpp", "hal/mpsc_queue.hpp"])
def test_fail_when_the_last_release_is_relaxed(header, tmp_path):
    done = build_and_run_with(tmp_path, header, "memory_order_release", "memory_order_relaxed")
    assert done.returncode != 0 and "DATA RACE" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("expression, replacement", [
    (r"position \+ 1, std::memory_order_seq_cst", "position + 1, std::memory_order_relaxed"),
    (r"tail_.load\(std::memory_order_seq_cst\)", "tail_.load(std::memory_order_relaxed)"),
    (r"tail_.load\(std::memory_order_seq_cst\) == head_", "empty()"),
], ids=["the claim is relaxed", "idle is relaxed", "a claimed cell counts as idle"])
def test_a_push_is_slept_through_when(expression, replacement, tmp_path):
    done = build_and_run_with(tmp_path, "hal/mpsc_queue.hpp", expression, replacement)
    assert done.returncode != 0 and "LIVELOCK" in done.stdout, done.stdout + done.stderr
