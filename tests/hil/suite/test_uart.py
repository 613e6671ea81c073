# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Serial ports: every speed, every parity, breaks, and an adapter that is unplugged."""

import contextlib
import random

import harness
import pytest

pytestmark = pytest.mark.needs("uart_loopback")

FRAMES = ["8N1", "8E1", "8O1", "8N2", "7E1", "7O2"]


def row(client, uart):
    found = [row for key, row in client.table("uarts").items() if key.split()[1] == uart.name]
    assert len(found) == 1
    return found[0]


def exchange(target, uart, to_port, to_client):
    """Bytes both ways. In a loop, what is sent comes back."""
    client = target.connect()
    client.ok(f"attach {uart.name} raw")
    try:
        if uart.far_end == "loop":
            sent = 0
            back = b""
            while sent < len(to_port):  # no more under way than the gateway has room for
                client.send_bytes(to_port[sent : sent + 1024])
                back += client.bytes(min(1024, len(to_port) - sent))
                sent += 1024
            return back == to_port
        with contextlib.closing(target.open_port(uart)) as port:
            at_client, at_port = harness.transfer(client, port, to_client, to_port)
        return at_client == to_client and at_port == to_port
    finally:
        client.close()
        target.clients.remove(client)


def test_every_speed(target, client, uart):
    rng = random.Random(7)
    before = row(client, uart)["settings"]
    for rate in uart.baud_rates:
        assert client.ok(f"uart {uart.name} {rate},8N1").split()[1] == f"{rate},8N1"
        data = rng.randbytes(2048)
        assert exchange(target, uart, data, data[::-1]), f"at {rate} baud"
    client.ok(f"uart {uart.name} {before}")


def test_every_parity(target, client, uart):
    rng = random.Random(8)
    before = row(client, uart)["settings"]
    for frame in FRAMES:
        assert client.ok(f"uart {uart.name} 115200,{frame}").split()[1] == f"115200,{frame}"
        data = bytes(byte & 0x7F if frame[0] == "7" else byte for byte in rng.randbytes(1024))
        assert exchange(target, uart, data, data[::-1]), f"with {frame}"
    client.ok(f"uart {uart.name} {before}")


def test_a_megabyte_or_ten_seconds_worth(target, client, uart):
    """Unchanged, and counted as many at both ends."""
    size = 1 << 20 if uart.far_end == "emulator" else 115200
    rng = random.Random(9)
    before = row(client, uart)
    assert exchange(target, uart, rng.randbytes(size), rng.randbytes(size)), "what came out is not what went in"
    after = row(client, uart)
    assert after["sent"] - before["sent"] == after["received"] - before["received"] == size
    assert after["dropped"] == before["dropped"]


@pytest.mark.needs("uart_break")
def test_a_break_is_counted_and_no_byte_is_lost(target, client, uart):
    """Bytes before and after it arrive; of the break itself the port may make a zero byte, or nothing."""
    other = target.connect()
    other.ok(f"attach {uart.name} raw")
    with contextlib.closing(target.open_port(uart)) as port:
        port.write(b"before")
        assert other.bytes(6) == b"before"
        breaks = row(client, uart).get("breaks", 0)
        target.send_break(uart)
        port.write(b"after")
        received = b""
        while not received.endswith(b"after"):
            received += other.bytes(1)
    assert received.strip(b"\0") == b"after"
    after = row(client, uart)
    assert "breaks" not in after or after["breaks"] - breaks == 1  # not every driver counts, as that of hvc0


@pytest.mark.needs("uart_adapter")
def test_an_adapter_that_is_unplugged_and_plugged_in_again(target, client):
    uart = next(each for each in target.rig.uarts if each.name == "adapter")
    other = target.connect()
    other.ok(f"attach {uart.name}")
    with contextlib.closing(target.open_port(uart)) as port:
        port.write(b"here")
        assert other.bytes(4) == b"here"
    for _ in range(3):
        target.unplug()
        assert other.bytes(len("\nevent gone adapter\n")) == b"\nevent gone adapter\n"
        target.plug_in()
        assert other.bytes(len("\nevent back adapter\n")) == b"\nevent back adapter\n"
        with contextlib.closing(target.open_port(uart)) as port:
            port.write(b"again")
            assert other.bytes(5) == b"again"
            other.send_bytes(b"there")
            assert port.read(5) == b"there"
    assert row(client, uart)["reopened"] >= 3
