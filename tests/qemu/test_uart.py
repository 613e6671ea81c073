# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Serial ports of the machine: bytes from a client to what is connected to the port, and back."""

import random

import harness
import pytest
from machine import TARGET

pytestmark = pytest.mark.needs("far ends of lines")

MEGABYTE = 1 << 20


@pytest.mark.parametrize("name", TARGET.uarts)
def test_a_megabyte_each_way(machine, client, name):
    rng = random.Random(3)
    to_port, to_client = rng.randbytes(MEGABYTE), rng.randbytes(MEGABYTE)
    port = machine.serial_port(name)
    client.ok(f"attach {name} raw")
    at_client, at_port = harness.transfer(client, port, to_client, to_port)
    port.close()
    # Not compared by pytest, which would explain every byte.
    assert bool(at_client == to_client), "what the client got is not what the port sent"
    assert bool(at_port == to_port), "what the port got is not what the client sent"


def counters(client, name):
    """The row of `uarts`; the word after the port's name is its state."""
    return next(row for key, row in client.table("uarts").items() if key.startswith(f"uart {name} "))


def test_the_gateway_counts_the_same_bytes(machine, client):
    name = TARGET.uarts[0]
    port = machine.serial_port(name)
    other = machine.connect()
    before = counters(other, name)
    client.ok(f"attach {name} raw")
    assert harness.transfer(client, port, b"x" * 1000, b"y" * 500) == (b"x" * 1000, b"y" * 500)
    after = counters(other, name)
    assert after["received"] - before["received"] == 1000
    assert after["sent"] - before["sent"] == 500
    assert after["discarded"] == before["discarded"]
    port.close()
