# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Clients of pigpiod that misbehave: nobody else notices."""

import os
import random
import struct

import pytest
from harness import (BR1, DEADLINE, EVT, FG, HWVER, MODES, NB, NC, NOIB, NP, PIGPV, PUD, PWM, READ, SERO, SERR, SERVO,
                     SERW, SHELL, TICK, TRIG, UNKNOWN_COMMAND, WRITE, WVAG, Port, wait_until)

MESSAGE_TOO_BIG = -103


@pytest.fixture
def witness(pigpiod):
    """A client that behaves, and is to be served whatever the others do."""
    return pigpiod.connect_pigpio()


def well(client):
    assert client.ask(PIGPV) == 79
    assert client.ask(WRITE, 17, 1) == 0
    assert client.ask(READ, 17) == 1


def closed(client):
    """The gateway has closed the connection."""
    try:
        while client.socket.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


def test_pipelined_requests_are_answered_in_order(pigpiod):
    client = pigpiod.connect_pigpio()
    requests = [(WRITE, 17, n % 2) for n in range(3000)]
    client.send_bytes(b"".join(struct.pack("<4I", *request, 0) for request in requests))
    assert [client.answer() for _ in requests] == [(*request, 0) for request in requests]


def test_requests_may_come_byte_by_byte(pigpiod):
    client = pigpiod.connect_pigpio()
    for byte in struct.pack("<4I", TRIG, 17, 10, 4) + struct.pack("<I", 1) + struct.pack("<4I", HWVER, 0, 0, 0):
        client.send_bytes(bytes([byte]))
    assert client.answer() == (TRIG, 17, 10, 0)
    assert client.answer() == (HWVER, 0, 0, 0xA02082)


def test_what_is_too_long_is_passed_over_and_answered(pigpiod, witness):
    client = pigpiod.connect_pigpio()
    assert client.ask(WVAG, 0, 0, bytes(12) * 5000) == UNKNOWN_COMMAND
    assert client.ask(SHELL, 4, 0, b"echo hello") == UNKNOWN_COMMAND
    assert client.ask(TRIG, 17, 10, bytes(60000)) == MESSAGE_TOO_BIG
    assert client.ask(SERO, 9600, 0, b"/dev/tty" + b"x" * 200) == MESSAGE_TOO_BIG
    assert client.ask(SERW, 5, 0, bytes(65000)) == -25
    well(client)
    for size in (1 << 16, 1 << 31, (1 << 32) - 1):  # pigpiod hangs up, too
        client = pigpiod.connect_pigpio()
        client.send_bytes(struct.pack("<4I", WVAG, 0, 0, size))
        assert closed(client)
    well(witness)


def test_truncated_requests_end_with_their_connection(pigpiod, control, witness):
    whole = struct.pack("<4I", TRIG, 17, 10, 4) + struct.pack("<I", 1)
    for length in range(len(whole)):
        client = pigpiod.connect_pigpio()
        client.send_bytes(whole[:length])
        client.abort() if length % 2 else client.close()
    well(witness)
    wait_until(lambda: control.status()["pigpio"]["open"] == 1, "the others are gone")


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_harm_nobody(pigpiod, control, witness, seed):
    chance = random.Random(seed)
    for _ in range(50):
        client = pigpiod.connect_pigpio()
        try:
            client.send_bytes(chance.randbytes(chance.randrange(2000)))
        except ConnectionError:
            pass
        client.close()
        well(witness)
    wait_until(lambda: control.status()["pigpio"]["open"] == 1, "the others are gone")


@pytest.mark.parametrize("seed", range(4))
def test_random_requests_are_each_answered(pigpiod, control, witness, seed):
    """Any command with any parameters: one answer each, and the data that it announces."""
    chance = random.Random(seed)
    numbers = [0, 1, 2, 4, 17, 31, 32, 53, 54, 100, 255, 256, 1500, 60000, 1 << 31, (1 << 32) - 1]
    client = pigpiod.connect_pigpio()
    for _ in range(2000):
        command = chance.choice([chance.randrange(120), MODES, PUD, WRITE, PWM, SERVO, FG, NB, NP, TRIG, EVT, SERR])
        if command == NOIB:
            continue  # reports would come in between
        p1, p2 = chance.choice(numbers), chance.choice(numbers)
        extension = chance.randbytes(chance.choice([0, 0, 4, 4, 12, 200]))
        result = client.ask(command, p1, p2, extension)
        if command == SERR and result > 0:
            client.bytes(result)
    for handle in range(32):
        client.ask(NC, handle)
    well(witness)
    assert control.status()["heap"] == {"calls-since-start": 0}


def test_handles_of_others_can_be_named_but_break_nothing(pigpiod, witness):
    assert witness.ask(NOIB) == 0
    intruder = pigpiod.connect_pigpio()
    for handle in (1, 31, 32, 1 << 31, (1 << 32) - 1):
        for command in (NB, NP, NC):
            assert intruder.ask(command, handle) == -25
    assert intruder.ask(NB, 0, 1 << 17) == 0, "as with pigpiod: that is how a client's first connection does it"
    assert intruder.ask(NC, 0) == 0
    well(witness)
    assert witness.ask(NOIB) == 0


def test_a_hundred_clients_are_served_and_one_more_is_turned_away(pigpiod, control):
    most = int(next(row for row in control.ask("limits").rows if "pigpio-connections" in row).split()[2])
    clients = [pigpiod.connect_pigpio() for _ in range(100)]
    for client in clients:
        client.send(WRITE, 17, 1)
    for client in clients:
        assert client.answer() == (WRITE, 17, 1, 0)
    handles = [client.ask(NOIB) for client in clients[:40]]
    assert handles == [*range(32)] + [-24] * 8
    more = [pigpiod.connect_pigpio() for _ in range(most - len(clients))]
    for client in more:
        assert client.ask(TICK) != 0
    assert closed(pigpiod.connect_pigpio())
    assert control.status()["pigpio"]["refused"] == 1
    for client in clients + more:
        client.close()
    wait_until(lambda: control.status()["pigpio"]["open"] == 0, "all are gone")
    well(pigpiod.connect_pigpio())
    assert control.status()["pigpio"]["handles"] == 0


def test_who_never_reads_loses_the_oldest_reports_and_delays_nobody(pigpiod, control):
    deaf, other = pigpiod.connect_pigpio(receive_buffer=2048), pigpiod.connect_pigpio()
    assert (deaf.ask(NOIB), other.ask(NOIB)) == (0, 1)
    doer = pigpiod.connect_pigpio()
    for handle in (0, 1):
        assert doer.ask(NB, handle, 1 << 4) == 0
    edges = 0
    while control.status()["pigpio"]["lost-by-clients"] == 0:
        for _ in range(50):
            control.pull("GPIO4", "up", "down", "up", "down")
            reports = [other.report() for _ in range(4)]
            assert [report.sequence for report in reports] == [(edges + n) % 65536 for n in range(4)]
            assert [report.levels for report in reports] == [1 << 4, 0] * 2
            edges += 4
        assert edges < 10**6, "it takes everything"
    control.pull("GPIO4", "up")
    last = other.report()
    assert last.levels == 1 << 4
    lost = control.status()["pigpio"]["lost-by-clients"]
    # Once it reads, what it has missed shows in the numbers, and the last word of levels is the latest.
    heard = [deaf.report()]
    while heard[-1].tick != last.tick:
        heard.append(deaf.report())
    assert heard[-1] == last
    assert len(heard) == edges + 1 - lost
    gaps = [(b.sequence - a.sequence) % 65536 for a, b in zip(heard, heard[1:])]
    assert sum(gap - 1 for gap in gaps) == lost
    assert sum(gap > 1 for gap in gaps) == 1
    well(doer)


def test_who_never_reads_its_answers_is_not_listened_to_either(pigpiod, witness):
    deaf = pigpiod.connect_pigpio(receive_buffer=2048)
    deaf.socket.settimeout(0.2)
    sent = 0
    try:
        while sent < 10**8:
            sent += deaf.socket.send(struct.pack("<4I", BR1, 0, 0, 0) * 1000)
            well(witness)
    except TimeoutError:
        pass
    assert sent < 10**8, "it is held back"
    deaf.socket.settimeout(DEADLINE)
    for _ in range(sent // 16):
        assert deaf.answer()[:3] == (BR1, 0, 0)
    well(witness)


def test_a_serial_port_that_takes_nothing_holds_up_its_own_client_only(pigpiod, witness):
    far = Port(pigpiod.uarts["uart0"])
    try:
        client = pigpiod.connect_pigpio()
        handle = client.ask(SERO, 9600, 0, b"/dev/serial0")
        data = os.urandom(60000)
        client.send(SERW, handle, 0, data)
        client.send(READ, 17)
        for _ in range(100):
            well(witness)
        assert far.read(len(data)) == data
        assert client.answer() == (SERW, handle, 0, 0)
        assert client.answer() == (READ, 17, 0, 1)
    finally:
        far.close()


def test_a_client_that_vanishes_amid_a_trigger_or_a_transfer_leaves_nothing(pigpiod, control, witness):
    for _ in range(20):
        client = pigpiod.connect_pigpio()
        client.send(WRITE, 23, 0)
        client.send(TRIG, 23, 100, struct.pack("<I", 1))
        client.abort()
        client = pigpiod.connect_pigpio()
        client.send_bytes(struct.pack("<4I", SERW, 0, 0, 1000) + b"x" * 10)
        client.abort()
    wait_until(lambda: control.status()["pigpio"]["open"] == 1, "they are gone")
    wait_until(lambda: control.ok("read GPIO23") == "GPIO23=0", "each pulse has ended")
    well(witness)


def test_many_pulses_leave_time_for_everybody_else(pigpiod, control, witness):
    for gpio in range(32):
        if gpio != 17:
            assert witness.ask(PWM, gpio, 100) == 0  # 800 Hz
    assert control.status()["pulses"]["lines"] == 31
    before = control.status()["pulses"]["edges"]
    for _ in range(200):
        well(witness)
    wait_until(lambda: control.status()["pulses"]["edges"] > before + 1000, "they go on")
