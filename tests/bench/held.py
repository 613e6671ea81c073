# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""How many instructions the reactor may take for an event: those of instructions.json, and 2 % more.

They are counted, not timed, so that a busy machine changes nothing. They depend on the compiler, so each has its own;
for one that has none, only the ratio to the bare loop can be held, and not as closely.
"""

import json
import pathlib
import platform
import re

FILE = pathlib.Path(__file__).resolve().parent / "instructions.json"
TOLERANCE = 1.02
RATIO_TOLERANCE = 1.5  # compilers differ in what they make of the bare loop by as much


def key(version_line: str) -> str:
    """'g++ (Debian 12.2.0-14) 12.2.0' is 'g++ 12 x86_64' on such a machine."""
    name = "clang" if "clang" in version_line else "g++"
    numbers = re.findall(r"(?:^|[ -])(\d+)\.\d+\.\d+", version_line)
    major = (numbers[0] if name == "clang" else numbers[-1]) if numbers else "?"
    return f"{name} {major} {platform.machine()}"


def read() -> dict:
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def announce(compiler: str, now: dict) -> None:
    """Writes down `now`: for each case, instructions of 'millrace' and of 'epoll'."""
    rounded = {case: {loop: round(count, 1) for loop, count in counts.items()} for case, counts in now.items()}
    FILE.write_text(json.dumps({**read(), compiler: rounded}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def compare(compiler: str, now: dict, figures: dict) -> tuple[list[str], list[str]]:
    """What has risen, which is a failure, and what else there is to say."""
    if compiler in figures:
        return _compare_counts(now, figures[compiler])
    if not figures:
        return [f"{FILE.name} has no figures"], []
    other = min(figures)
    risen = []
    for case, counts in now.items():
        before = figures[other].get(case)
        if before is None:
            risen.append(f"{case}: nothing was announced")
            continue
        ratio, ratio_before = counts["millrace"] / counts["epoll"], before["millrace"] / before["epoll"]
        if ratio > RATIO_TOLERANCE * ratio_before:
            risen.append(f"{case}: {ratio:.2f} times those of the bare loop, with {other} {ratio_before:.2f} times")
    return risen, [f"{FILE.name} has no figures for {compiler}: only ratios to the bare loop were held, "
                   f"to {RATIO_TOLERANCE} times those of {other}"]


def _compare_counts(now: dict, before: dict) -> tuple[list[str], list[str]]:
    risen, remarks = [], []
    for case, counts in now.items():
        if case not in before:
            risen.append(f"{case}: nothing was announced")
            continue
        count, allowed = counts["millrace"], before[case]["millrace"]
        change = f"{case}: {count:.1f} instructions, announced are {allowed:.1f} ({100 * (count / allowed - 1):+.1f} %)"
        if count > TOLERANCE * allowed:
            risen.append(change)
        elif count < allowed / TOLERANCE:
            remarks.append(f"{change}: announce that, so that it is held")
    return risen, remarks
