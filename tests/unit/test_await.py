# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""No co_await is the condition of an if or a while: g++ 12 drops the body of some functions that have one.

firmware/reactor/tasks.hpp tells what else to avoid, and why.
"""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = [file for folder in ("firmware", "tests") for file in sorted((ROOT / folder).rglob("*.[ch]pp"))
         if "co_await" in file.read_text()]
CONDITION = re.compile(r"\b(?:if|while) \((?![^;()]*=)[^;{]*?\bco_await\b")


def test_a_condition_is_told_from_a_declaration():
    for wrong in ("if (co_await a(1)) {", "while (!co_await a) {", "if (b && co_await a.next())"):
        assert CONDITION.search(wrong), wrong
    for right in ("if (const auto x = co_await a; !x) {", "while (const auto x = co_await a.next()) {",
                  "if (x) { co_await a; }"):
        assert not CONDITION.search(right), right


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_condition_awaits(file):
    assert not CONDITION.findall(file.read_text())
