# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""From an edge's time stamp to its arrival at a client of this machine: idle, and while the gateway is busy."""

import contextlib
import statistics
import threading
import time

import clock
import pytest

pytestmark = pytest.mark.needs("gpio_loopback")

EDGES = 300


def latencies(target, client, wire, offset):
    """Edges one by one: the next is made when the one before has arrived. Nanoseconds."""
    result = []
    for n in range(EDGES):
        before = time.monotonic_ns()
        target.far_end(wire).drive((n + 1) % 2)
        edge = client.edge()
        after = time.monotonic_ns()
        happened = edge.time - offset.value
        # It can't have happened before it was made, nor have arrived before it happened.
        assert before - offset.error_now() <= happened <= after + offset.error_now()
        result.append(after - happened)
    return result


def check(result, offset, limits, figure, report, request, load):
    ordered = sorted(result)
    found = {"p50": statistics.median(ordered), "p99": ordered[len(ordered) * 99 // 100], "max": ordered[-1]}
    for name, value in found.items():
        figure(f"edge to client, {load}, {name}", round(value / 1000), "us")
    figure("error of the target's clock", round(offset.error / 1000), "us")
    micros = [value / 1000 for value in result]
    report.histogram(request.node.name, f"Edge to client, {load}", micros, "us")
    report.timeline(request.node.name, f"Edge to client, {load}", {"latency, us": list(enumerate(micros))})
    for name, value in found.items():
        limit = limits.get(f"edge_latency_{name}")
        measured = value / 1000
        assert limit is None or measured <= limit, f"{name} is {measured:.0f} us, and the rig's limit {limit} us"


def start(target, client, wire):
    offset = clock.measure(client, wire.line)
    client.ok(f"config {wire.line} input")
    target.far_end(wire).drive(0)
    client.ok(f"watch {wire.line}")
    return offset


def test_edge_to_client_when_idle(target, client, figure, limits, report, request):
    wire = target.rig.wires[0]
    offset = start(target, client, wire)
    check(latencies(target, client, wire, offset), offset, limits, figure, report, request, "idle")


@contextlib.contextmanager
def load(target):
    """Two clients that ask without end, and bytes through every serial port, both ways where they can be."""
    stop = threading.Event()
    failures = []

    def guarded(work):
        try:
            work()
        except Exception as failure:  # a test in another thread
            failures.append(failure)

    def ask():
        client = target.open_client()
        with contextlib.closing(client):
            while not stop.is_set():
                for _ in range(16):
                    client.send("status")
                for _ in range(16):
                    assert client.answer().last.startswith("ok")

    def feed(uart):
        client = target.open_client()
        with contextlib.closing(client):
            client.ok(f"attach {uart.name} raw")
            port = None if uart.far_end == "loop" else target.open_port(uart)
            while not stop.is_set():
                client.send_bytes(bytes(256))
                if port:
                    assert port.read(256) == bytes(256)
                    port.write(bytes(256))
                assert client.bytes(256) == bytes(256)
            if port:
                port.close()

    works = [ask, ask, *(lambda uart=uart: feed(uart) for uart in target.rig.uarts)]
    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


def test_edge_to_client_under_load(target, client, figure, limits, report, request):
    wire = target.rig.wires[0]
    offset = start(target, client, wire)
    with load(target):
        result = latencies(target, client, wire, offset)
    check(result, offset, limits, figure, report, request, "under load")
