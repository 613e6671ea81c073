# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Each example is started as a newcomer would, and does what its first line says."""

import os
import pathlib
import re
import subprocess
import tty

import pytest

EXAMPLES = pathlib.Path(os.environ.get("MILLRACE_BUILD", "build/release/sim")) / "examples"


@pytest.fixture
def start():
    """Starts an example; it is ended after the test."""
    started = []

    def start(name):
        process = subprocess.Popen([EXAMPLES / name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        errors = process.communicate(timeout=10)[0]
        assert "Sanitizer" not in errors and "error" not in errors, errors


def test_blink_switches_the_led_on_and_off(start):
    blink = start("blink")
    assert [blink.stdout.readline().strip() for _ in range(3)] == [f"info: GPIO17 is {state}" for state in ("on", "off", "on")]


def test_edge_counter_counts_the_edges_of_the_simulated_button(start):
    counter = start("edge_counter")
    counts = [int(re.fullmatch(r"info: GPIO27: (\d+) edges\n", counter.stdout.readline())[1]) for _ in range(2)]
    assert 0 < counts[0] < counts[1]


def test_serial_echo_sends_back_what_it_receives(start):
    path = start("serial_echo").stdout.readline().removeprefix("echoing at ").strip()
    port = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(port)
    sent = bytes(range(256)) * 16
    os.write(port, sent)
    received = b""
    while len(received) < len(sent):
        received += os.read(port, 4096)
    os.close(port)
    assert received == sent
