# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""What all parts of a rig do with their settings: look for mistakes in them, and run the commands in them."""

import difflib
import os
import select
import shlex
import signal
import subprocess
import tempfile

NUMBER = (int, float)
KINDS = {str: "text", list: "a list", dict: "keys and values", int: "a whole number", NUMBER: "a number"}


def check(settings, part, known, error):
    """Raises `error` for a key that is not among the known ones, or whose value is not of its type."""
    if not isinstance(settings, dict):
        raise error(f"{part}: expected keys and values, got {settings!r}")
    for key, value in settings.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            advice = f"did you mean {near[0]}?" if near else f"expected one of: {', '.join(known)}"
            raise error(f"{part}.{key}: there is no such key; {advice}")
        # YAML reads `on`, `off`, `yes` and `no` as truth values, which Python counts as numbers.
        if not isinstance(value, known[key]) or isinstance(value, bool):
            hint = ": put it in quotes" if known[key] is str and isinstance(value, (bool, *NUMBER)) else ""
            raise error(f"{part}.{key}: expected {KINDS[known[key]]}, got {value!r}{hint}")


def words(settings, part, key, error):
    """A command's words. As in labgrid no shell reads them: who wants one writes `sh -c '…'`."""
    try:
        found = shlex.split(settings[key])
    except ValueError as failure:
        raise error(f"{part}.{key}: {settings[key]!r} is no command: {failure}") from None
    if not found:
        raise error(f"{part}.{key}: expected a command, got {settings[key]!r}")
    return found


def end_group(process):
    """Ends a process that leads a session of its own, and what it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def run(command, deadline, stdin=subprocess.DEVNULL):
    """Runs a command: its status, None if it had to be killed at the deadline; what it said to stdout, and to stderr.

    Files take what it says, for a process that it leaves behind would keep a pipe open.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdin=stdin, stdout=out, stderr=err, start_new_session=True)
        end = os.pidfd_open(process.pid)
        try:
            ended, _, _ = select.select([end], [], [], deadline)
            if not ended:
                end_group(process)
            status = process.wait() if ended else None
        except BaseException:  # an interrupt from the keyboard
            end_group(process)
            raise
        finally:
            os.close(end)
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode(errors="replace"))
    return status, *said


def last_words(text, limit=2000):
    """The end of what something said, for a message."""
    text = text.replace("\r\n", "\n").strip()
    return text if len(text) <= limit else f"…{text[-limit:]}"
