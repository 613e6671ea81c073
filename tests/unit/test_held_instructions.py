# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""tests/bench/held.py finds that the reactor takes more instructions than announced. (make bench counts them.)"""

import pathlib
import platform
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/bench"))
import benchmarks  # noqa: E402
import held  # noqa: E402

FIGURES = {"g++ 12 pdp11": {"chain": {"millrace": 200.0, "epoll": 50.0}}}


def counts(millrace: float, epoll: float = 50.0) -> dict:
    return {"chain": {"millrace": millrace, "epoll": epoll}}


@pytest.mark.parametrize("line, name", [
    ("g++ (Debian 12.2.0-14+deb12u1) 12.2.0", "g++ 12"),
    ("g++-14 (Debian 14.2.0-19) 14.2.0", "g++ 14"),
    ("aarch64-linux-gnu-g++ (Debian 12.2.0-14) 12.2.0", "g++ 12"),
    ("Debian clang version 19.1.7 (3~deb12u1)", "clang 19"),
    ("Ubuntu clang version 14.0.0-1ubuntu1.1", "clang 14"),
])
def test_a_compiler_is_known_by_its_name_and_major_version(line, name):
    assert held.key(line) == f"{name} {platform.machine()}"


def test_two_percent_more_are_allowed_and_no_more():
    assert held.compare("g++ 12 pdp11", counts(204.0), FIGURES) == ([], [])
    risen, _ = held.compare("g++ 12 pdp11", counts(204.1), FIGURES)
    assert risen == ["chain: 204.1 instructions, announced are 200.0 (+2.0 %)"]


def test_what_the_bare_loop_takes_does_not_matter_where_the_compiler_is_known():
    assert held.compare("g++ 12 pdp11", counts(200.0, 20.0), FIGURES) == ([], [])


def test_less_is_told_so_that_it_can_be_held():
    risen, remarks = held.compare("g++ 12 pdp11", counts(180.0), FIGURES)
    assert not risen
    assert "announce" in remarks[0]


def test_a_case_that_was_not_announced_is_a_failure():
    assert held.compare("g++ 12 pdp11", {"echo": {"millrace": 1.0, "epoll": 1.0}}, FIGURES)[0]
    assert held.compare("clang 19 pdp11", {"echo": {"millrace": 1.0, "epoll": 1.0}}, FIGURES)[0]
    assert held.compare("g++ 12 pdp11", counts(1.0), {})[0]


def test_of_an_unknown_compiler_only_the_ratio_to_the_bare_loop_is_held():
    risen, remarks = held.compare("clang 19 pdp11", counts(400.0, 100.0), FIGURES)
    assert not risen
    assert "no figures for clang 19 pdp11" in remarks[0]
    assert held.compare("clang 19 pdp11", counts(301.0, 50.0), FIGURES)[0]


def test_each_case_that_is_measured_is_announced():
    for compiler, figures in held.read().items():
        assert set(figures) == set(benchmarks.INSTRUCTIONS), compiler
