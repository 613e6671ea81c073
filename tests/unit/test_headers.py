# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Each header compiles alone, so that the order of includes never matters."""

import concurrent.futures
import os
import pathlib
import shlex
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAYERS = ("hal", "drivers", "firmware", "board", "tests")
PROJECTS = ROOT / "tests/projects"  # they have roots of their own
HEADERS = sorted(h.relative_to(ROOT).as_posix() for layer in LAYERS for h in (ROOT / layer).rglob("*.hpp")
                 if not h.is_relative_to(PROJECTS))
# What only the benchmarks have a package for, which make test does without.
BENCHMARKS_ONLY = {"tests/bench/loops/io_uring.hpp": pathlib.Path("/usr/include/liburing.h")}

# `make test` tells which compiler and flags; this is for a pytest started by hand.
COMPILE = os.environ.get("MILLRACE_COMPILE", """
    g++ -std=c++23 -fno-exceptions -fno-rtti -I. -DMILLRACE_BOARD=sim
""")


@pytest.fixture(scope="module")
def complaints():
    """What the compiler says of each header. They are compiled side by side as one at a time takes long."""

    def compile_alone(header: str) -> str:
        command = [*shlex.split(COMPILE), "-fsyntax-only", "-x", "c++", "-"]
        done = subprocess.run(command, input=f'#include "{header}"\n', cwd=ROOT, capture_output=True, text=True)
        return done.stderr if done.returncode != 0 else ""

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(HEADERS, pool.map(compile_alone, HEADERS)))


@pytest.mark.parametrize("header", HEADERS)
def test_compiles_alone(header, complaints):
    if (needed := BENCHMARKS_ONLY.get(header)) and not needed.exists():
        pytest.skip(f"needs {needed}: toolchain/setup bench installs it")
    assert not complaints[header], complaints[header]
