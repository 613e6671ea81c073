# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The control port: clients are attached to serial ports, which are real ptys."""

import os
import random
import re
import termios
import time
import tty

import pytest
from harness import ESCAPE, transfer, wait_until

MEBIBYTE = 1 << 20


def random_bytes(seed, count=MEBIBYTE):
    data = random.Random(seed).randbytes(count)
    assert len(set(data)) == 256
    return data


def attach(client, name="uart0", raw=False):
    said = client.ok(f"attach {name}{' raw' if raw else ''}")
    assert said == f"attached {name} 115200,8N1" + ("" if raw else " Ctrl-] Enter detaches")


def detach(client, escape=ESCAPE):
    """Returns the numbers of bytes received, sent and dropped. All that was received before must have been read."""
    client.send_bytes(escape + b"\n")
    assert client.line() == ""
    match = re.fullmatch(r"ok detached \w+ received=(\d+) sent=(\d+) dropped=(\d+)", client.line())
    return tuple(int(number) for number in match.groups())


def uart_row(client, name="uart0"):
    return next(row for title, row in client.table("uarts").items() if title.split()[1] == name)


def test_uarts_lists_both_with_path_and_settings(client, gateway):
    uarts = client().table("uarts")
    assert list(uarts) == ["uart uart0 open", "uart uart1 open"]
    for name in ("uart0", "uart1"):
        assert uarts[f"uart {name} open"] == {
            "path": gateway.uarts[name], "settings": "115200,8N1", "clients": 0, "received": 0, "sent": 0,
            "discarded": 0, "dropped": 0, "reopened": 0}


def test_bytes_go_both_ways_until_the_client_detaches(client, port):
    c, far = client(), port("uart0")
    attach(c)
    c.send_bytes(b"to the port")
    assert far.read(11) == b"to the port"
    far.write(b"to the client\r\n\x00\xff")
    assert c.bytes(17) == b"to the client\r\n\x00\xff"
    assert detach(c) == (17, 11, 0)
    assert c.ok("read GPIO1") == "GPIO1=0"
    row = uart_row(c)
    assert (row["received"], row["sent"], row["clients"]) == (17, 11, 0)


@pytest.mark.parametrize("raw", [False, True], ids=["escaped", "raw"])
def test_a_mebibyte_goes_both_ways_unchanged(client, port, over, raw):
    c, far = client(over), port("uart0")
    attach(c, raw=raw)
    to_client, to_port = random_bytes(1), random_bytes(2)
    at_client, at_port = transfer(c, far, to_client, to_port, escaped=not raw)
    assert at_client == to_client
    assert at_port == to_port
    if raw:
        c.close()
    else:
        assert detach(c) == (MEBIBYTE, MEBIBYTE, 0)
    row = uart_row(client())
    assert (row["received"], row["sent"]) == (MEBIBYTE, MEBIBYTE)


def test_an_escaped_escape_byte_is_one_byte_however_it_is_cut(client, port):
    c, far = client(), port("uart0")
    attach(c)
    for piece in (b"a", ESCAPE, ESCAPE, b"b", ESCAPE * 2, ESCAPE * 3, ESCAPE + b"c"):
        c.send_bytes(piece)
    assert far.read(7) == b"a" + ESCAPE + b"b" + ESCAPE * 3 + b"c"
    c.send_bytes(ESCAPE)  # the way out is cut, too
    assert detach(c, escape=b"") == (0, 7, 0)


def test_raw_has_no_way_out_but_the_end_of_the_connection(client, port):
    c, other, far = client(), client(), port("uart0")
    attach(c, raw=True)
    c.send_bytes(ESCAPE + b"\nread GPIO1\n")
    assert far.read(13) == ESCAPE + b"\nread GPIO1\n"
    c.close()
    far.write(b"anybody there?")  # until then, it might be listening: TCP does not tell
    wait_until(lambda: uart_row(other)["clients"] == 0, "the closed connection is noticed")


def test_commands_after_the_way_out_are_executed(client, port):
    c, far = client(), port("uart0")
    c.send_bytes(b"attach uart0\nhello" + ESCAPE + b"\nread GPIO1\n")
    assert c.line() == "ok attached uart0 115200,8N1 Ctrl-] Enter detaches"
    assert [c.line() for _ in range(3)] == ["", "ok detached uart0 received=0 sent=5 dropped=0", "ok GPIO1=0"]
    assert far.read(5) == b"hello"


def test_two_clients_at_one_port_both_hear_it_and_both_speak(client, port):
    one, two, far = client(), client("unix"), port("uart0")
    attach(one)
    attach(two)
    far.write(b"to both")
    assert one.bytes(7) == two.bytes(7) == b"to both"
    one.send_bytes(b"from one")
    assert far.read(8) == b"from one"
    two.send_bytes(b"from two")
    assert far.read(8) == b"from two"
    assert detach(one) == (7, 8, 0)
    far.write(b"to two only")
    assert two.bytes(11) == b"to two only"
    assert one.ok("read GPIO1") == "GPIO1=0"
    assert detach(two) == (18, 8, 0)


def test_the_two_ports_do_not_mix(client, port):
    one, two = client(), client()
    far_one, far_two = port("uart0"), port("uart1")
    attach(one, "uart0")
    attach(two, "uart1")
    far_one.write(b"ONE")
    far_two.write(b"TWO")
    assert (one.bytes(3), two.bytes(3)) == (b"ONE", b"TWO")
    one.send_bytes(b"one")
    two.send_bytes(b"two")
    assert (far_one.read(3), far_two.read(3)) == (b"one", b"two")


def test_what_a_port_says_before_anybody_is_attached_waits(client, port):
    port("uart0").write(b"early bird")
    c = client()
    attach(c)
    assert c.bytes(10) == b"early bird"


def test_a_client_too_slow_for_the_port_is_told_how_many_bytes_it_missed(client, port, over):
    slow, monitor, far = client(over, receive_buffer=4096), client(), port("uart0")
    attach(slow)
    total = 8 * MEBIBYTE
    far.write(bytes(total))
    wait_until(lambda: uart_row(monitor)["received"] == total, "the port has been read")
    slow.send_bytes(ESCAPE + b"\n")
    received = 0
    while slow.bytes(1) == b"\0":
        received += 1
    words = slow.line().split()
    numbers = {key: int(value) for key, value in (word.split("=") for word in words[3:])}
    assert numbers["received"] == received
    assert numbers["received"] + numbers["dropped"] == total
    assert numbers["dropped"] > 0, "nothing was dropped: this test tests nothing"
    assert numbers["sent"] == 0


def test_a_slow_client_at_the_port_slows_nobody_else_there(client, port, over):
    slow, fast, far = client(over, receive_buffer=4096), client(over), port("uart0")
    attach(slow)
    attach(fast)
    data = random_bytes(3, 4 * MEBIBYTE)
    assert transfer(fast, far, data) == (data, b"")
    assert detach(fast) == (len(data), 0, 0)


def test_who_sends_faster_than_the_port_takes_is_held_back_and_loses_nothing(client, port, over):
    c, other, far = client(over), client(), port("uart0")
    attach(c, raw=True)
    data = random_bytes(4)
    c.socket.setblocking(False)
    sent = 0
    while sent < len(data):  # until nobody on the way takes any more, as nobody reads
        try:
            sent += c.socket.send(data[sent:])
        except BlockingIOError:
            break
    assert other.ok("read GPIO1") == "GPIO1=0"
    assert far.read(sent) == data[:sent]
    assert transfer(c, far, b"", data[sent:]) == (b"", data[sent:])


@pytest.mark.parametrize("leave", ["close", "finish_sending"])
def test_what_a_client_sends_before_it_leaves_still_reaches_the_port(client, port, over, leave):
    other, far = client(), port("uart0")
    data = random_bytes(5, 20_000)
    # Some of these end just where the gateway holds back what the port doesn't take yet.
    for count in range(1, len(data), 487):
        c = client(over)
        attach(c, raw=True)
        c.send_bytes(data[:count])
        getattr(c, leave)()
        for _ in range(3):
            other.ok("read GPIO1")
        assert far.read(count) == data[:count]
        c.close()
        if over == "tcp":
            far.write(b"?")  # TCP tells that a client listens no more only when something is sent to it
        wait_until(lambda: uart_row(other)["clients"] == 0, "the connection is gone")


@pytest.mark.parametrize("leave", ["close", "abort"])
def test_a_client_that_leaves_a_blocked_port_makes_nobody_spin(client, port, over, leave):
    """Its connection is ready all the time, but nothing can be done about that until the port takes bytes."""
    c, other = client(over), client()
    port("uart0")  # and does not read
    attach(c, raw=True)
    c.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            c.socket.send(bytes(1 << 16))
    if leave == "close":
        c.close()
    else:
        c.abort()
    before = other.status()["loop"]["turns"]
    time.sleep(0.2)  # how much happens while nothing is to happen
    # A pty may still take some bytes, in a few dozen turns. A loop that spins makes tens of thousands.
    assert other.status()["loop"]["turns"] - before <= 500


def test_events_wait_until_the_client_has_detached(client, port):
    c, doer = client(), client()
    far = port("uart0")
    c.ok("watch GPIO4")
    attach(c)
    doer.pull("GPIO4", "up", "down")
    far.write(b"pure")
    assert c.bytes(4) == b"pure"
    assert detach(c) == (4, 0, 0)
    assert [c.edge().sequence for _ in range(2)] == [1, 2]


def test_the_port_is_raw_and_at_the_configured_speed(client, port):
    c, far = client(), port("uart1")
    for settings, speed, stop_bits in (("9600,8N2", termios.B9600, termios.CSTOPB), ("1000000", termios.B1000000, 0)):
        full = settings if "," in settings else settings + ",8N1"
        assert c.ok(f"uart uart1 {settings}") == f"uart1 {full}"
        assert uart_row(c, "uart1")["settings"] == full
        assert c.ok("attach uart1") == f"attached uart1 {full} Ctrl-] Enter detaches"
        iflag, oflag, cflag, lflag, ispeed, ospeed, _ = termios.tcgetattr(far.fd)
        assert (ispeed, ospeed) == (speed, speed)
        assert cflag & termios.CSTOPB == stop_bits
        assert (iflag, oflag, lflag) == (0, 0, 0)
        detach(c)
    assert uart_row(c, "uart0")["settings"] == "115200,8N1"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("attach", "error: words missing or not understood, attach, write attach UART [raw]"),
        ("attach uart0 cooked", "error: words missing or not understood, attach, write attach UART [raw]"),
        ("attach uart9", 'error: no such serial port, "uart9", see uarts'),
        ("uart uart0", "error: words missing or not understood, uart, write uart UART SETTINGS"),
        ("uart uart9 9600", 'error: no such serial port, "uart9", see uarts'),
        ("uart uart0 fast", 'error: settings not understood, "fast", write for example 115200,8N1'),
        ("uart uart0 9600,9N1", 'error: settings not understood, "9600,9N1", write for example 115200,8N1'),
        ("uart uart0 0", 'error: settings not understood, "0", write for example 115200,8N1'),
    ],
)
def test_a_wrong_command_is_refused_and_changes_nothing(client, command, error):
    c = client()
    assert c.error(command) == error
    row = uart_row(c)
    assert (row["settings"], row["clients"]) == ("115200,8N1", 0)


def test_an_unplugged_adapter_is_told_to_the_attached_and_taken_again_when_it_is_back(start_gateway, tmp_path):
    """An adapter is a pty here, and its name in /dev/serial/by-id a symbolic link."""

    def plug_in():
        device, other_end = os.openpty()
        tty.setraw(other_end)
        path = os.ttyname(other_end)
        os.close(other_end)
        return device, path

    name = tmp_path / "usb-adapter"
    device, path = plug_in()
    name.symlink_to(path)
    gateway = start_gateway("--uart", f"adapter={name},9600")
    c, other = gateway.connect(), gateway.connect()
    assert c.ok("attach adapter") == "attached adapter 9600,8N1 Ctrl-] Enter detaches"
    c.send_bytes(b"hello")
    assert os.read(device, 100) == b"hello"

    os.close(device)
    assert c.line() == ""
    assert c.line() == "event gone adapter"
    assert "uart adapter gone" in other.table("uarts")
    c.send_bytes(b"lost")
    wait_until(lambda: uart_row(other, "adapter")["discarded"] == 4, "the bytes are counted")

    name.unlink()
    device, path = plug_in()
    name.symlink_to(path)
    assert c.line() == ""
    assert c.line() == "event back adapter"
    c.send_bytes(b"again")
    assert os.read(device, 100) == b"again"
    os.write(device, b"yes")
    assert c.bytes(3) == b"yes"
    row = uart_row(other, "adapter")
    assert (row["reopened"], row["clients"]) == (1, 1)
    assert detach(c) == (3, 14, 0)
    os.close(device)
