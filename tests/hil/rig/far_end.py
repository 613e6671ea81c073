# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The other end of a wire to a line of the target: it drives the target's inputs and senses its outputs.

All kinds have the same methods:

  drive(level)     puts a level on the wire
  toggle(count)    so many edges, as fast as it can; returns when they have been made
  sense()          the level that the target drives
  let_go()         leaves the line to itself, so that its bias shows
"""

WINDOW = 64  # commands under way to a gateway


def in_windows(client, commands):
    """Sends commands without waiting for each answer, but never more than are read again."""
    waiting = 0
    for command in commands:
        client.send(command)
        waiting += 1
        if waiting == WINDOW:
            expect_ok(client)
            waiting -= 1
    for _ in range(waiting):
        expect_ok(client)


def expect_ok(client):
    answer = client.answer()
    assert answer.last.startswith("ok"), answer.last


class PulledBySimulation:
    """On the board `sim`: another client tells the simulation what is connected."""

    def __init__(self, client, line):
        self._client, self._line = client, line
        self._level = 0

    def _pull(self):
        return f"pull {self._line} {'up' if self._level else 'down'}"

    def drive(self, level):
        self._level = level
        self._client.ok(self._pull())

    def _toggles(self, count):
        for _ in range(count):
            self._level ^= 1
            yield self._pull()

    def toggle(self, count):
        in_windows(self._client, self._toggles(count))

    def sense(self):
        """The level itself, whatever the line calls it: there is no pin but in the simulation."""
        (row,) = self._client.ask(f"lines {self._line}").rows
        return int(" level=1 " in row) ^ int(" active=low " in row)

    def let_go(self):
        """Whatever is pulled gives way to a bias that is set later."""


class PulledByEmulator:
    """In QEMU: toolchain/lines reaches the controller's pins, or the kernel's simulator."""

    def __init__(self, machine, line):
        self._machine, self._line = machine, line

    def drive(self, level):
        self._machine.pull(self._line, "up" if level else "down")

    def toggle(self, count):
        self._machine.toggle(self._line, count)

    def sense(self):
        return self._machine.level(self._line)

    def let_go(self):
        """Whatever is pulled gives way to a bias that is set later."""


class LineOfGateway:
    """A line of a gateway: of the target itself, by a jumper wire, or of a second one on another board."""

    def __init__(self, client, line):
        self._client, self._line = client, line
        self._output = False
        self._level = 0

    def drive(self, level):
        if self._output:
            self._client.ok(f"set {self._line}={level}")
        else:
            self._client.ok(f"config {self._line} output bias=as-is drive=push-pull active=high level={level}")
            self._output = True
        self._level = level

    def _toggles(self, count):
        for _ in range(count):
            self._level ^= 1
            yield f"set {self._line}={self._level}"

    def toggle(self, count):
        if not self._output:
            self.drive(self._level)
        in_windows(self._client, self._toggles(count))

    def sense(self):
        self.let_go()
        return int(self._client.ok(f"read {self._line}")[-1])

    def let_go(self):
        self._client.ok(f"config {self._line} input bias=disabled active=high")
        self._output = False
