# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The control port: who watches lines is told of edges, and of what other clients do."""

import itertools
import re
import socket
import time

import pytest
from harness import LINES, LOST, Edge


def test_an_edge_is_one_line_with_the_kernels_time_stamp(client):
    c = client()
    assert c.ok("watch GPIO4") == "1"
    before = time.monotonic_ns()
    c.ok("pull GPIO4 up")
    after = time.monotonic_ns()
    line = c.event()
    assert re.fullmatch(r"event edge GPIO4 rising level=1 seq=1 time=\d+\.\d{9}", line)
    assert before <= Edge.parse(line).time <= after


@pytest.mark.parametrize(("edges", "seen"), [("rising", [1, 1]), ("falling", [0, 0]), ("both", [1, 0, 1, 0]),
                                             ("", [1, 0, 1, 0])])
def test_only_the_edges_asked_for_are_told(client, edges, seen):
    c = client()
    c.ok(f"watch GPIO4 {edges}")
    c.pull("GPIO4", "up", "down", "up", "down")
    got = [c.edge() for _ in seen]
    assert [edge.level for edge in got] == seen
    assert [edge.rising for edge in got] == [level == 1 for level in seen]
    c.ok("watch GPIO4 both")  # anything left over would come before what comes now
    c.pull("GPIO4", "up")
    assert c.edge().sequence == len(seen) + 1


def test_sequence_numbers_of_a_line_rise_by_one_and_times_never_fall(client):
    c = client()
    c.ok("watch GPIO4 GPIO5")
    edges = []
    for _ in range(100):
        c.pull("GPIO4", "up", "down")
        c.pull("GPIO5", "up")
        c.pull("GPIO5", "down")
        edges += [c.edge() for _ in range(4)]
    for line in ("GPIO4", "GPIO5"):
        own = [edge for edge in edges if edge.line == line]
        assert [edge.sequence for edge in own] == list(range(1, 201))
        assert [edge.level for edge in own] == [1, 0] * 100
    # Watched by one command, they are one request to the kernel, and one order.
    assert all(a.time <= b.time for a, b in itertools.pairwise(edges))


def test_an_active_low_line_rises_when_its_level_falls(client):
    c = client()
    c.ok("config GPIO4 input active=low bias=pull-up")
    c.ok("watch GPIO4 rising")
    c.ok("pull GPIO4 down")
    assert c.edge().level == 1


def test_two_clients_get_what_each_has_asked_for(client):
    one, two, puller = client(), client(), client()
    one.ok("watch GPIO4 rising")
    two.ok("watch GPIO4 falling")
    two.ok("watch GPIO5 both")
    puller.pull("GPIO4", "up", "down", "up")
    assert [one.edge().sequence for _ in range(2)] == [1, 3]
    assert two.edge().sequence == 2
    puller.pull("GPIO5", "up")
    assert two.edge().line == "GPIO5"
    assert one.ok("read GPIO5") == "GPIO5=1"
    assert not one.events


def test_a_client_that_watches_sees_what_another_sets_configures_and_pulls(client):
    watcher, doer = client(), client()
    watcher.ok("watch GPIO4 GPIO5 GPIO6")
    doer.ok("pull GPIO4 up")
    assert watcher.event().startswith("event edge GPIO4 rising level=1 seq=1 time=")
    doer.ok("config GPIO5 output level=1")
    assert re.fullmatch(r"event config GPIO5 time=\d+\.\d{9}", watcher.event())
    doer.ok("set GPIO5=0")
    assert re.fullmatch(r"event set GPIO5 level=0 time=\d+\.\d{9}", watcher.event())
    assert "line GPIO5 output" in watcher.table("lines GPIO5")
    assert not doer.events


def test_a_client_sees_its_own_doings_after_their_answer(client):
    c = client()
    c.ok("config GPIO5 output")
    c.ok("watch GPIO5")
    c.send("set GPIO5=1", "set GPIO5=0")
    lines = [c.line() for _ in range(4)]
    assert lines.index("ok GPIO5=1") < lines.index("ok GPIO5=0")
    assert [re.sub(" time=.*", "", line) for line in lines if line.startswith("event")] == [
        "event set GPIO5 level=1", "event set GPIO5 level=0"]
    assert lines[0] == "ok GPIO5=1"


def test_an_output_stays_an_output_when_it_is_watched(client):
    one, two = client(), client()
    one.ok("set GPIO7=1")
    two.ok("watch GPIO7")
    assert two.ok("read GPIO7") == "GPIO7=1"
    one.ok("set GPIO7=0")
    assert two.event().startswith("event set GPIO7 level=0 ")


def test_unwatch_ends_it_for_some_lines_or_for_all(client):
    c = client()
    assert c.ok("watch GPIO1 GPIO2 GPIO3") == "3"
    assert c.ok("unwatch GPIO1") == "2"
    # One request, one order: an edge of GPIO1 would come first.
    c.pull("GPIO1", "up")
    c.pull("GPIO2", "up")
    assert c.edge().line == "GPIO2"
    assert c.ok("unwatch") == "0"
    assert c.status()["gpio"]["watched"] == 0
    c.pull("GPIO3", "up")
    assert c.ok("watch GPIO3") == "1"
    c.pull("GPIO3", "down")
    assert not c.edge().rising


def test_watching_anew_replaces_the_edges_of_that_line_only(client):
    c = client()
    c.ok("watch GPIO1 GPIO2 both")
    c.ok("watch GPIO1 falling")
    c.pull("GPIO1", "up")
    c.pull("GPIO2", "up")
    c.pull("GPIO1", "down")
    assert [(edge.line, edge.rising) for edge in (c.edge(), c.edge())] == [("GPIO2", True), ("GPIO1", False)]


def test_who_leaves_no_longer_counts_as_a_watcher(client):
    stays, leaves = client(), client()
    stays.ok("watch GPIO1 rising")
    leaves.ok("watch GPIO1 falling")
    assert stays.table("lines GPIO1")["line GPIO1 input"]["edges"] == "both"
    leaves.send("quit")
    assert leaves.rest() == ["ok bye"]
    line = stays.table("lines GPIO1")["line GPIO1 input"]
    assert (line["edges"], line["watchers"]) == ("rising", 1)


def test_all_32_lines_set_by_one_command_are_seen_in_order(client):
    watcher, doer = client(), client()
    doer.ok("config " + " ".join(LINES) + " output")
    assert watcher.ok("watch all") == "32"
    order = LINES[::2] + LINES[1::2]
    for level in (1, 0):
        doer.ok("set " + " ".join(f"{line}={level}" for line in order))
        events = [watcher.event() for _ in order]
        assert [re.sub(" time=.*", "", event) for event in events] == [
            f"event set {line} level={level}" for line in order]
        times = {re.search("time=(.*)", event)[1] for event in events}
        assert len(times) == 1, "they change in one instant"
        assert watcher.ok("read " + " ".join(order)) == " ".join(f"{line}={level}" for line in order)


def test_all_32_lines_pulled_in_one_go_are_seen_in_order(client):
    watcher, doer = client(), client()
    watcher.ok("watch all rising")
    order = LINES[::-1]
    doer.send(*(f"pull {line} up" for line in order))
    assert [watcher.edge().line for _ in order] == order
    assert [doer.answer().last for _ in order] == ["ok"] * 32


def test_events_never_stand_within_an_answer(client, over):
    doer = client()
    commands = 2_500  # whose answers are more than the kernel keeps: the gateway is stuck somewhere in one of them
    watchers = [client(over, receive_buffer=4096) for _ in range(4)]
    for n, watcher in enumerate(watchers):
        watcher.ok("watch all rising")
        watcher.send(*["read GPIO1"] * n, *["lines"] * commands)
    for line in LINES:
        doer.pull(line, "up")
    for n, watcher in enumerate(watchers):
        for _ in range(n + commands):
            watcher.answer()  # fails if there is an event among its rows
        assert watcher.events, "but they do not have to wait for the last answer"
        assert [watcher.edge().line for _ in LINES] == LINES


@pytest.mark.parametrize("lines", [["GPIO4"], ["GPIO4", "GPIO5", "GPIO6"]], ids=["one line", "lines together"])
def test_edges_that_the_kernel_has_no_room_for_are_told_as_gaps(client, lines):
    """The kernel keeps 16 edges for each line requested; what one client does in one go may be more than that."""
    c, doer = client(), client()
    c.ok("watch " + " ".join(lines))
    total = 400  # of each line
    doer.send(*(f"pull {line} {way}" for way in ["up", "down"] * (total // 2) for line in lines))
    gaps = dict.fromkeys(lines, 0)  # before the line's next edge
    last = dict.fromkeys(lines, 0)  # sequence number
    lost = 0
    while set(last.values()) != {total}:
        event = c.event()
        if match := re.fullmatch(r"event gap (\S+) lost=(\d+) level=[01] time=\d+\.\d{9}", event):
            gaps[match[1]] += int(match[2])
            lost += int(match[2])
        else:
            edge = Edge.parse(event)
            assert edge.sequence == last[edge.line] + gaps[edge.line] + 1
            last[edge.line], gaps[edge.line] = edge.sequence, 0
    status = c.status()
    assert lost > 0, "nothing was lost: this test tests nothing"
    assert status["gpio"]["lost-by-kernel"] == lost
    assert status["gpio"]["edges"] == total * len(lines) - lost


def make_edges(doer, fast, line, edges):
    """Makes edges, no more at once than the kernel's FIFO holds, while `fast` reads each."""
    received = []
    for _ in range(edges // 10):
        doer.pull(line, *["up", "down"] * 5)
        received += [fast.edge() for _ in range(10)]
    return received


def test_a_slow_client_loses_its_oldest_events_is_told_how_many_and_slows_nobody(client, over):
    total = 20_000
    commands = 2_500  # whose answers, 10 MB, are more than the kernel keeps for a client
    slow = client(over, receive_buffer=4096)
    fast, doer, monitor = client(over), client(over), client(over)
    slow.ok("watch GPIO4 both")
    fast.ok("watch GPIO4 both")
    fast.ok("watch GPIO5 both")
    slow.send(*["lines"] * commands)
    received = []
    for _ in range(4):
        received += make_edges(doer, fast, "GPIO4", total // 4)
        assert [edge.line for edge in make_edges(doer, fast, "GPIO5", 160)] == ["GPIO5"] * 160  # not the slow one's
        assert monitor.ok("read GPIO4") == "GPIO4=0"
    assert [edge.sequence for edge in received] == list(range(1, total + 1)), "another client was slowed"

    # Now it reads. Exactly the edges that are missing are told, where they are missing.
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    slow_answers = [slow.answer() for _ in range(commands)]
    assert {len(answer.rows) for answer in slow_answers} == {32}
    lost = got = previous = 0
    while previous < total:
        event = slow.event()
        missing = 0
        if match := LOST.fullmatch(event):
            missing = int(match[1])
            lost += missing
            event = slow.event()
        edge = Edge.parse(event)
        assert edge.line == "GPIO4"
        assert edge.sequence == previous + missing + 1
        previous = edge.sequence
        got += 1
    assert lost > 0, "nothing was lost: this test tests nothing"
    assert lost + got == total
    assert got >= 1024 - 160, "the newest are kept: as many as the log holds, with those of GPIO5"
    status = monitor.status()
    assert status["events"]["lost-by-clients"] == lost
    assert status["gpio"]["lost-by-kernel"] == 0
    # And it is as good as any other from now on.
    assert slow.ok("read GPIO4") == "GPIO4=0"
    doer.pull("GPIO4", "up")
    assert slow.edge().sequence == total + 1


def test_a_slow_client_is_told_how_many_it_lost_only_of_those_it_watches(client, over):
    commands = 2_500
    slow = client(over, receive_buffer=4096)
    fast, doer = client(over), client(over)
    slow.ok("watch GPIO4 rising")
    slow.ok("watch GPIO5 falling")
    slow.send(*["lines"] * commands)
    fast.ok("watch GPIO4 GPIO5 both")
    for _ in range(600):
        doer.send(*["pull GPIO4 up", "pull GPIO5 up", "pull GPIO4 down", "pull GPIO5 down"] * 4)
        for _ in range(16):
            doer.answer()
            fast.edge()
    doer.ok("config GPIO5 output")
    for _ in range(commands):
        slow.answer()
    lost, edges = 0, []
    while (event := slow.event()) and not event.startswith("event config GPIO5"):
        if match := LOST.fullmatch(event):
            lost += int(match[1])
        else:
            edges.append(Edge.parse(event))
    assert lost > 0, "nothing was lost: this test tests nothing"
    assert lost + len(edges) == 2 * 600 * 4
    assert {(edge.line, edge.rising) for edge in edges} == {("GPIO4", True), ("GPIO5", False)}


def test_a_client_that_is_behind_need_not_read_all_events_before_it_can_unwatch(client):
    slow, fast, doer = client("unix", receive_buffer=4096), client("unix"), client("unix")
    slow.ok("watch GPIO4 both")
    fast.ok("watch GPIO4 both")
    make_edges(doer, fast, "GPIO4", 20_000)
    assert slow.ok("unwatch") == "0"
    told = sum(int(match[1]) if (match := LOST.fullmatch(event)) else 1 for event in slow.events)
    assert told < 20_000, "the command waited until all events had been told"


def test_a_client_that_has_closed_its_sending_half_still_gets_events(client, over):
    monitor = client()
    watcher = client(over)
    watcher.ok("watch GPIO4")
    watcher.finish_sending()
    for level in (1, 0, 1):
        monitor.pull("GPIO4", "up" if level else "down")
        assert watcher.edge().level == level
    assert monitor.status()["connections"]["open"] == 2


def test_a_client_that_has_closed_its_sending_half_and_waits_for_nothing_is_let_go(client, over):
    c = client(over)
    c.send("read GPIO1")
    c.finish_sending()
    assert c.rest() == ["ok GPIO1=0"]
