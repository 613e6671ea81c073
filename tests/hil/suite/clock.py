# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""What the clock of the target shows at a moment of this machine's: its events bear the former."""

import re
import time

SET = re.compile(r"event set (\S+) level=[01] time=(\d+)\.(\d{9})")
TRIES = 50


class Offset:
    """`target - here`, in nanoseconds, and how wrong that can be."""

    def __init__(self, least, most):
        assert least <= most, "the target's clock does not run as ours does"
        self.value, self.error = (least + most) // 2, (most - least + 1) // 2
        self._since = time.monotonic_ns()

    def error_now(self):
        """As above, but two clocks drift apart: by a thousandth at most, as one that is being corrected may."""
        return 2 * self.error + (time.monotonic_ns() - self._since) // 1000


def measure(client, line):
    """Has a line driven, which the gateway tells with its time: that lies between our asking and our hearing of it."""
    client.ok(f"config {line} output level=0")
    client.ok(f"watch {line}")
    least, most = -(1 << 63), 1 << 63
    for n in range(TRIES):
        before = time.monotonic_ns()
        client.ok(f"set {line}={(n + 1) % 2}")
        match = SET.fullmatch(client.event())
        after = time.monotonic_ns()
        told = int(match[2]) * 10**9 + int(match[3])
        least, most = max(least, told - after), min(most, told - before)
    client.ok(f"unwatch {line}")
    return Offset(least, most)
