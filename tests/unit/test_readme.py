# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""What README shows of a file is what the file has: between `// [README` and `// README]`."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
SHOWN = dict(re.findall(r"<!-- (\S+) -->\n+```cpp\n(.*?)```\n", README, re.S))
EXAMPLES = ROOT / "firmware/examples"


def marked(file: pathlib.Path) -> str:
    return "".join(re.findall(r"^// \[README\n(.*?)^// README\]\n", file.read_text(), re.S | re.M))


@pytest.mark.parametrize("file", sorted(SHOWN))
def test_shows_what_the_file_has(file):
    assert SHOWN[file] == marked(ROOT / file)


def test_each_marked_file_is_shown():
    files = {file.relative_to(ROOT).as_posix() for file in EXAMPLES.glob("*.cpp") if marked(file)}
    assert files and files == set(SHOWN)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*_task.cpp")), ids=lambda file: file.stem)
def test_a_task_is_under_40_lines_and_shorter_than_its_callbacks(file):
    task, callback = marked(file), marked(file.with_stem(file.stem.replace("_task", "_callback")))
    assert task.count("\n") < 40
    assert task.count("\n") < callback.count("\n")
