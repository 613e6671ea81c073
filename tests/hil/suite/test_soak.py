# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Everything at once, for as long as --soak says; at the end the counters must add up."""

import contextlib
import random
import re
import threading
import time

import harness
import pytest

pytestmark = pytest.mark.needs("gpio_loopback")

GAP = re.compile(r"event gap \S+ lost=(\d+) level=[01] time=\S+")


class Watcher(threading.Thread):
    """Counts what one client is told, until it is told of an edge of the last line."""

    def __init__(self, client, lines, last):
        super().__init__()
        self.client, self.lines, self.last = client, lines, last
        self.told = dict.fromkeys(lines, 0)
        self.gaps = dict.fromkeys(lines, 0)
        self.lost = 0
        self.failure = None

    def run(self):
        try:
            while True:
                event = self.client.event()
                words = event.split()
                if words[1] == "lost":
                    self.lost += int(words[2])
                elif words[1] == "gap":
                    self.gaps[words[2]] += int(GAP.fullmatch(event)[1])
                elif words[1] == "edge":
                    if words[2] == self.last:
                        return
                    self.told[words[2]] += 1
        except Exception as failure:  # a test in another thread
            self.failure = failure


def background(stop, failures, work):
    def guarded():
        try:
            while not stop.is_set():
                work()
        except Exception as failure:
            failures.append(failure)

    thread = threading.Thread(target=guarded)
    thread.start()
    return thread


def test_everything_at_once_and_the_counters_add_up(target, client, request, figure, report):
    minutes = request.config.getoption("--soak")
    wires = target.rig.wires[:5]
    if len(wires) < 2:
        pytest.skip("two wires are needed")
    lines = [wire.line for wire in wires]
    client.ok("config " + " ".join(lines) + " input debounce=0ms")
    for wire in wires:
        target.far_end(wire).drive(0)
    before = client.status()
    watchers = []
    for _ in range(3):
        one = target.connect()
        one.ok("watch " + " ".join(lines))
        watchers.append(Watcher(one, lines, lines[-1]))
    for each in watchers:
        each.start()

    stop, failures, moved = threading.Event(), [], {uart.name: 0 for uart in target.rig.uarts}

    def guests():
        with contextlib.closing(target.open_client()) as guest:
            assert guest.greet() == "ok"
            guest.send(*["status"] * 8)
            for _ in range(8):
                guest.answer()

    def feed(uart, attached, port):
        data = random.randbytes(512)
        if port:
            at_client, at_port = harness.transfer(attached, port, data, data)
            assert at_client == at_port == data
        else:
            attached.send_bytes(data)
            assert attached.bytes(len(data)) == data
        moved[uart.name] += len(data)

    with contextlib.ExitStack() as opened:
        opened.callback(stop.set)
        threads = [background(stop, failures, guests)]
        for uart in target.rig.uarts:
            attached = opened.enter_context(contextlib.closing(target.open_client()))
            attached.ok(f"attach {uart.name} raw")
            port = None
            if uart.far_end != "loop":
                port = opened.enter_context(contextlib.closing(target.open_port(uart)))
            threads.append(background(stop, failures,
                                      lambda uart=uart, attached=attached, port=port: feed(uart, attached, port)))
        rng = random.Random(11)
        made = dict.fromkeys(lines, 0)
        end = time.monotonic() + 60 * minutes
        rates, since, edges = [], time.monotonic(), 0
        while time.monotonic() < end:
            wire = rng.choice(wires[:-1])
            count = rng.randrange(1, 24)
            target.far_end(wire).toggle(count)
            made[wire.line] += count
            edges += count
            if time.monotonic() - since >= 1:
                rates.append((len(rates), edges / (time.monotonic() - since)))
                since, edges = time.monotonic(), 0
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures
    # What is told of this line comes after all the others.
    target.far_end(wires[-1]).drive(1)
    for each in watchers:
        each.join(harness.DEADLINE)
        assert not each.is_alive(), "a watcher was not told of the last edge"
        assert not each.failure, each.failure

    total = sum(made.values())
    for each in watchers:
        for line in lines[:-1]:
            if not each.lost:
                assert each.told[line] + each.gaps[line] == made[line], line
        assert sum(each.told.values()) + sum(each.gaps.values()) + each.lost >= total
    after = client.status()
    edges_in = after["gpio"]["edges"] - before["gpio"]["edges"]
    dropped = after["gpio"]["lost-by-kernel"] - before["gpio"]["lost-by-kernel"]
    assert edges_in + dropped == total + 1
    lost = after["events"]["lost-by-clients"] - before["events"]["lost-by-clients"]
    assert lost == sum(each.lost for each in watchers)
    assert after["heap"]["calls-since-start"] == 0
    for queue in ("urgent", "normal", "background"):
        assert after[f"queue {queue}"]["refused"] == before[f"queue {queue}"]["refused"]
    figure("edges made", total, "edges")
    figure("dropped by the kernel, and counted", dropped, "edges")
    figure("not told to slow clients, and counted", lost, "events")
    figure("bytes through serial ports, each way", sum(moved.values()), "bytes")
    if rates:
        report.timeline(request.node.name, "Edges made", {"edges/s": rates})
