# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Compiles rings_from_c.c as C, with many warnings, links it with the rings and runs it; and older C++ takes both headers."""

import os
import pathlib
import shlex
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
COMPAT = ROOT / "hal/compat"
COMPILER = shlex.split(os.environ.get("MILLRACE_COMPILE", "g++"))[0]
C_COMPILER = COMPILER.replace("clang++", "clang").replace("g++", "gcc")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
HEADERS = ("lwrb/lwrb.h", "zephyr/sys/ring_buffer.h")


@pytest.mark.parametrize("standard", ["c11", "c17"])
def test_a_c_program_uses_both(standard, tmp_path):
    program = tmp_path / "program"
    c_object = tmp_path / "c.o"
    subprocess.run([C_COMPILER, f"-std={standard}", "-O2", *WARNINGS, "-Wstrict-prototypes", f"-I{COMPAT}", "-c",
                    str(ROOT / "tests/unit/hal/rings_from_c.c"), "-o", str(c_object)], check=True)
    subprocess.run([COMPILER, "-std=c++23", "-fno-exceptions", "-fno-rtti", "-O2", f"-I{ROOT}",
                    str(COMPAT / "lwrb/lwrb.cpp"), str(COMPAT / "zephyr/sys/ring_buffer.cpp"), str(c_object),
                    "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("language, standard, flags", [
    ("c", "c11", []), ("c", "c11", ["-DLWRB_DISABLE_ATOMIC"]), ("c++", "c++11", []), ("c++", "c++20", []),
    ("c++", "c++23", ["-fno-exceptions", "-fno-rtti"]), ("c++", "c++11", ["-DLWRB_DISABLE_ATOMIC"])])
def test_the_header_compiles_alone(header, language, standard, flags):
    compiler = C_COMPILER if language == "c" else COMPILER
    done = subprocess.run([compiler, "-x", language, f"-std={standard}", *WARNINGS, *flags, f"-I{COMPAT}",
                           "-fsyntax-only", "-"], input=f"#include <{header}>\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
