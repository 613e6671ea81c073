# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The control port: many clients at once, who come, flood, leave, or are turned away."""

import contextlib
import random
import re
import resource
import socket
import threading
import time

import pytest
from harness import LINES, wait_until

NO_SESSION = ("error: all connections are in use, this gateway, try later or raise connections in the board's "
              "capacities")
NO_DESCRIPTOR = "error: out of file descriptors, this gateway, try later or raise its limit of open files"


@contextlib.contextmanager
def in_the_background(*work):
    """Runs functions in threads; what one raises is raised here at the end."""
    failures = []

    def guarded(function):
        try:
            function()
        except BaseException as failure:  # noqa: BLE001
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(function,), daemon=True) for function in work]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a client is stuck"
    if failures:
        raise failures[0]


def test_the_unix_socket_and_tcp_are_the_same_port(client):
    tcp, unix = client("tcp"), client("unix")
    assert unix.ask("help") == tcp.ask("help")
    unix.ok("watch GPIO4")
    tcp.ok("set GPIO5=1")
    tcp.ok("pull GPIO4 up")
    assert unix.edge().line == "GPIO4"
    assert unix.ok("read GPIO5") == "GPIO5=1"
    unix.ok("set GPIO5=0")
    assert tcp.ok("read GPIO5") == "GPIO5=0"


def test_ten_thousand_commands_sent_before_the_first_answer_is_read_are_answered_in_order(client, over):
    c = client(over, receive_buffer=4096)
    count = 10_000
    # The sender may be held back: it goes on once the answers are read.
    with in_the_background(lambda: c.send(*(f"x{n}" for n in range(count)))):
        assert c.socket.recv(1, socket.MSG_PEEK), "the first answer is there, but not read"
        for n in range(count):
            assert c.answer().last == f'error: no such command, "x{n}", try help'
    assert c.ok("read GPIO1") == "GPIO1=0"


def test_long_answers_to_many_commands_come_whole_and_in_order(client, over):
    c = client(over, receive_buffer=4096)
    rounds = 300
    c.send(*["lines", "read GPIO1", "help", "fly"] * rounds)
    for _ in range(rounds):
        answers = [c.answer() for _ in range(4)]
        assert [len(answer.rows) for answer in answers] == [32, 0, 16, 0]
        assert [answer.last for answer in answers] == ["ok 32", "ok GPIO1=0", "ok 16",
                                                       'error: no such command, "fly", try help']


def test_many_clients_flood_at_once_and_each_gets_its_own_answers(client):
    commands = 3000
    names = [f"GPIO{n}" for n in range(8)]
    clients = [client("unix" if n % 2 else "tcp") for n in range(8)]
    watcher = client()
    clients[0].ok("config " + " ".join(names) + " output")

    def flood(c, name):
        wanted = [f"{name}={level}" for level in random.Random(name).choices((0, 1), k=commands)]
        with in_the_background(lambda: c.send(*(f"set {each}" for each in wanted))):
            for each in wanted:
                assert c.answer().last == f"ok {each}"

    def watch():
        seen = {name: 0 for name in names}
        lost = 0
        while sum(seen.values()) + lost < commands * len(names):
            event = watcher.event()
            if match := re.fullmatch(r"event lost (\d+)", event):
                lost += int(match[1])
            else:
                seen[event.split()[2]] += 1
        assert sum(seen.values()) + lost == commands * len(names)

    watcher.ok("watch " + " ".join(names))
    with in_the_background(watch, *(lambda c=c, name=name: flood(c, name)
                                    for c, name in zip(clients, names, strict=True))):
        pass
    status = watcher.status()
    assert status["events"]["logged"] == commands * len(names) + len(names)  # and the config


def test_a_client_that_floods_does_not_starve_another(client):
    flooder, other = client(receive_buffer=4096), client()
    stop = threading.Event()
    counts = {"sent": 0}

    def flood():
        while not stop.is_set():
            flooder.send(*["lines GPIO1"] * 100)
            counts["sent"] += 100

    def read():
        got = 0
        while not stop.is_set() or got < counts["sent"]:
            flooder.answer()
            got += 1

    with in_the_background(flood, read):
        wait_until(lambda: counts["sent"] > 100, "the flood has begun")
        for _ in range(300):
            assert other.ok("read GPIO1") == "GPIO1=0"
        flooder_has_sent = counts["sent"]
        wait_until(lambda: counts["sent"] > flooder_has_sent, "the flood goes on, too")
        stop.set()
        # Should both wait for more, this lets them go.
        flooder.send("lines GPIO1")
        counts["sent"] += 1


def test_64_clients_are_served_and_the_65th_is_refused_and_counted(client):
    clients = [client("unix" if n % 2 else "tcp") for n in range(64)]
    for n, c in enumerate(clients):
        assert c.ok(f"read GPIO{n % 32}") == f"GPIO{n % 32}=0"
    assert clients[0].status()["connections"] == {"open": 64, "most": 64, "served": 64, "refused": 0, "displaced": 0}
    for over in ("tcp", "unix"):
        assert client(over).rest() == [NO_SESSION]
    assert clients[0].status()["connections"] == {"open": 64, "most": 64, "served": 64, "refused": 2, "displaced": 0}
    for c in clients:
        assert c.ok("read GPIO1") == "GPIO1=0"
    clients[-1].close()
    wait_until(lambda: clients[0].status()["connections"]["open"] == 63, "the place is free")
    assert client().ok("read GPIO1") == "GPIO1=0"


def test_an_edge_reaches_64_clients(client):
    clients = [client() for _ in range(64)]
    for c in clients:
        assert c.ok("watch all rising") == "32"
    for line in LINES:
        clients[0].pull(line, "up")
    for c in clients:
        assert [c.edge().line for _ in LINES] == LINES


def test_a_thousand_clients_that_come_and_go_leave_nothing_behind(client, gateway, over):
    monitor = client()
    monitor.ok("lines")
    before = gateway.descriptors()
    for n in range(1000):
        c = gateway.connect(over)
        gateway.clients.pop()
        match n % 4:
            case 0:
                assert c.ok("read GPIO1") == "GPIO1=0"
                c.close()
            case 1:
                c.abort()
            case 2:
                c.ok("watch all")
                c.send("lines")  # and does not read the answer: to TCP that is a reset
                c.abort()
            case 3:
                c.ok("attach uart0")
                c.abort()
        if n % 16 == 0:
            monitor.ok("read GPIO1")  # let it keep up, so that none waits for a place
    wait_until(lambda: monitor.status()["connections"]["open"] == 1, "all are gone")
    status = monitor.status()
    assert status["connections"]["served"] + status["connections"]["refused"] <= 1001
    assert status["connections"]["served"] >= 751
    assert status["gpio"]["watched"] == 0
    assert status["uart uart0 open"]["clients"] == 0
    assert monitor.ok("release GPIO1") == ""  # what the watched lines needed
    for line in LINES:
        if '"millrace"' in monitor.ask(f"lines {line}").rows[0]:
            monitor.ok(f"release {line}")
    assert gateway.descriptors() == before


@pytest.mark.parametrize(
    "leftover",
    [b"set GPIO1=1 GPIO", b"x" * 600, b"set GPIO1=", b"attach uart0\n\x1d", b"attach uart0 raw\nset", b"watch all\nx",
     b"lines\n" * 5000],
    ids=["half a command", "half an oversize line", "half a word", "half the way out", "attached", "watching",
         "unread answers"],
)
def test_a_client_gets_nothing_of_what_the_one_before_it_left_behind(client, over, leftover):
    monitor = client()
    for _ in range(3):
        c = client(over, receive_buffer=4096)
        c.send_bytes(leftover)
        for _ in range(3):
            monitor.ok("pull GPIO1 up")
        c.abort()
        wait_until(lambda: monitor.status()["connections"]["open"] == 1, "it is gone")
        c = client(over)  # has the place of the one before it
        assert c.ok("read GPIO1") == "GPIO1=1"
        monitor.pull("GPIO1", "down", "up")
        c.send("", "help help", "quit")
        assert c.rest() == ["ok", "ok help [COMMAND] - what there is", "ok bye"]


def test_a_client_that_never_reads_and_then_leaves_is_let_go(client, gateway, over):
    monitor = client()
    monitor.ok("read GPIO1")
    before = gateway.descriptors()
    for leave in ("close", "abort"):
        c = client(over, receive_buffer=4096)
        c.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                c.socket.send(b"lines\n" * 1000)
        assert monitor.ok("read GPIO1") == "GPIO1=0"
        getattr(c, leave)()
        wait_until(lambda: monitor.status()["connections"]["open"] == 1, "it is gone")
    assert gateway.descriptors() == before


def limit_descriptors(count):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def test_without_a_free_descriptor_clients_are_refused_and_the_others_served_on(start_gateway, over):
    gateway = start_gateway(before_exec=limit_descriptors(30))
    served, refused = [], 0
    for _ in range(30):
        c = gateway.connect(over)
        line = c.greet()
        assert line in ("ok", NO_DESCRIPTOR)
        if line == "ok":
            served.append(c)
        else:
            refused += 1
    assert len(served) >= 5
    assert refused >= 5
    status = served[0].status()
    assert status["connections"]["refused"] == refused
    assert status["connections"]["open"] == len(served)
    # What needs a descriptor fails, and says why; all else works.
    assert "(Too many open files)" in served[-1].error("read GPIO2")
    for c in served:
        assert c.ok("pull GPIO1 up") == ""
    # When somebody has gone there is a place again.
    for c in served[-3:]:
        c.send("quit")
        assert c.rest() == ["ok bye"]
    c = gateway.connect(over)
    assert c.ok("read GPIO1") == "GPIO1=1"
    assert c.status()["connections"]["refused"] == refused


def test_without_a_free_descriptor_the_gateway_does_not_spin(start_gateway):
    gateway = start_gateway(before_exec=limit_descriptors(24))
    monitor = gateway.connect()
    monitor.ok("lines")
    while (said := gateway.connect().greet()) == "ok":
        pass
    assert said == NO_DESCRIPTOR
    before = monitor.status()["loop"]["turns"]
    time.sleep(0.3)  # how much happens while nothing is to happen
    assert monitor.status()["loop"]["turns"] - before <= 10


def test_a_client_that_only_listens_gives_its_place_to_a_new_one_when_all_are_taken(client):
    listener = client()
    listener.ok("watch GPIO4")
    listener.finish_sending()
    others = [client() for _ in range(63)]
    for other in others:
        other.greet()
    assert others[0].status()["connections"]["open"] == 64
    assert client().greet() == "ok"
    assert listener.rest() == []
    connections = others[0].status()["connections"]
    assert (connections["open"], connections["refused"], connections["displaced"]) == (64, 0, 1)


def test_a_client_that_goes_on_sending_after_quit_gets_all_answers_until_then(client, over):
    c = client(over)
    c.send("read GPIO1", "quit", *["read GPIO2"] * 20)
    assert c.rest() == ["ok GPIO1=0", "ok bye"]

