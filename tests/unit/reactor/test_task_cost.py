# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""What awaiting costs over being called back: in instructions, and in system calls, which are none."""

import collections
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = ROOT / os.environ.get("MILLRACE_BUILD", "build/release/sim")
PROGRAM = BUILD.parent / "bench/bench_task"

pytestmark = pytest.mark.skipif("/release/" not in f"{BUILD}/", reason="sanitizers add instructions of their own")

# More than a handler takes, at the most. g++ 12 makes 97, 109, 94 and 260 of them.
AT_MOST = {"ready": 110, "timer": 125, "notice": 110, "call": 290}


def test_instructions():
    done = subprocess.run([ROOT / "tests/bench/task-cost", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    more = {what: float(each) for what, each in re.findall(r"^ *(\w+) +[\d.]+ +[\d.]+ +([\d.]+) ", done.stdout, re.M)}
    assert more.keys() == AT_MOST.keys(), done.stdout
    assert all(0 < more[what] <= AT_MOST[what] for what in AT_MOST), done.stdout


def system_calls(who, what, times, folder):
    trace = folder / "trace"
    subprocess.run(["strace", "-o", trace, PROGRAM, who, what, str(times)], check=True)
    return collections.Counter(re.findall(r"^(\w+)\(", trace.read_text(), re.M))


@pytest.mark.parametrize("what", AT_MOST)
def test_system_calls_are_those_of_a_handler(what, tmp_path):
    def of_1000(who):
        few, many = (system_calls(who, what, times, tmp_path) for times in (1000, 2000))
        return many - few

    handler, task = of_1000("handler"), of_1000("task")
    assert task.total() <= handler.total() + 2, (handler, task)  # two thousandth of one for each
