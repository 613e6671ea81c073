# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The headers of the rings for C compile alone: as C, as older C++, and with many warnings."""

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


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("language, standard, flags", [
    ("c", "c11", []), ("c", "c11", ["-DLWRB_DISABLE_ATOMIC"]), ("c++", "c++11", []), ("c++", "c++20", []),
    ("c++", "c++23", ["-fno-exceptions", "-fno-rtti"]), ("c++", "c++11", ["-DLWRB_DISABLE_ATOMIC"])])
def test_the_header_compiles_alone(header, language, standard, flags):
    compiler = C_COMPILER if language == "c" else COMPILER
    done = subprocess.run([compiler, "-x", language, f"-std={standard}", *WARNINGS, *flags, f"-I{COMPAT}",
                           "-fsyntax-only", "-"], input=f"#include <{header}>\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
