# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Each example is started as a newcomer would, and does what its first line says."""

import os
import pathlib
import re
import socket
import select
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


# --- The same firmware as a task, and as handlers and a state ---


def open_port(example):
    """The other end of its serial port."""
    path = example.stdout.readline().removeprefix("talking at ").strip()
    port = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(port)
    return port


def read_until(port, last, within=10):
    received = b""
    while not received.endswith(last):
        assert select.select([port], [], [], within)[0], f"nothing after {received}"
        received += os.read(port, 1)
    return received


def crc(frame):
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


@pytest.mark.parametrize("style", ["task", "callback"])
def test_modbus_asks_again_and_gives_up(style, start):
    modbus = start(f"modbus_{style}")
    port = open_port(modbus)
    request = bytes([1, 3, 0, 7, 0, 1]) + crc(bytes([1, 3, 0, 7, 0, 1]))
    answer = bytes([1, 3, 2, 4, 210]) + crc(bytes([1, 3, 2, 4, 210]))
    damaged = answer[:3] + b"\x7f" + answer[4:]
    for reply in (b"", damaged, answer[:4]):  # nothing, nonsense, and then half of it
        assert read_until(port, request) == request
        os.write(port, reply)
    assert modbus.stdout.readline().startswith("warning: register 7: the device does not answer")
    for reply in (b"", answer):
        assert read_until(port, request) == request
        os.write(port, reply)
    assert modbus.stdout.readline() == "info: register 7 is 1234\n"
    assert read_until(port, request) == request  # the next time
    os.close(port)


@pytest.mark.parametrize("style", ["task", "callback"])
def test_button_tells_short_from_long_presses_and_bounces_from_both(style, start):
    button = start(f"button_{style}")
    presses = [button.stdout.readline().strip() for _ in range(4)]
    assert presses == ["info: short press", "info: long press"] * 2


@pytest.mark.parametrize("style", ["task", "callback"])
@pytest.mark.parametrize(("reply", "outcome", "status"), [
    (b"\r\n+CSQ: 21,0\r\n\r\nOK\r\n", ["info: modem: +CSQ: 21,0", "info: modem: done"], 0),
    (b"ERROR\r\n", ["info: modem: failed"], 1),
    (b"", ["info: modem: failed"], 1),
])
def test_modem_has_a_dialogue(style, reply, outcome, status, start):
    modem = start(f"modem_{style}")
    port = open_port(modem)
    read_until(port, b"AT\r\n")  # it sleeps
    read_until(port, b"AT\r\n")
    os.write(port, b"AT\r\nOK\r\n")  # with an echo
    read_until(port, b"ATE0\r\n")
    os.write(port, b"ATE0\r\r\nOK\r\n")
    read_until(port, b"AT+CSQ\r\n")
    os.write(port, reply)
    lines = modem.stdout.read().splitlines()
    assert modem.wait(timeout=10) == status
    assert [line.rstrip() for line in lines[:len(outcome) + 1]] == ["info: modem:", *outcome]
    if style == "task":
        report = "\n".join(lines[len(outcome) + 1:])
        assert re.search(r"^tasks memory=\d+ used=0 high-water=\d+ frames=0 most=3 refused=0$", report, re.M), report
        assert re.search(r"^task frame=\d+ live=0 most=1 .*command\(", report, re.M)
    os.close(port)


def test_two_cores_echo_what_their_clients_send_and_tell_how_much(start):
    server = start("two_cores")
    port = int(server.stdout.readline().rsplit(":", 1)[1])
    told = {"0": 0, "1": 0}
    sent = 0
    while not all(told.values()):
        assert sent < 64_000, "the kernel has dealt all connections to one of them"
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(bytes(1000))
            received = 0
            while received < 1000:
                received += len(client.recv(1000))
        sent += 1000
        while sum(told.values()) < sent:
            number, count = re.fullmatch(r"processor (\d) has echoed (\d+) bytes\n", server.stdout.readline()).groups()
            told[number] += int(count)
    assert sum(told.values()) == sent
    names = {(path / "comm").read_text().strip() for path in pathlib.Path(f"/proc/{server.pid}/task").iterdir()}
    assert names == {"two_cores", "second"}
