# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The control port: whatever bytes come, in whatever pieces, each line gets one answer."""

import random

import pytest
from harness import ESCAPE, LINES

TOO_LONG = "error: line too long, this command, keep it within the line-length that limits shows"
NOT_ENDED = "error: command not executed, the last line, end it with a newline"


def padded(command, length):
    return command + b" " * (length - len(command))


def is_answer(line):
    return line == "ok" or line.startswith(("ok ", "error: "))


def answers_to(client, data):
    """Sends garbage and then ends. Returns the last lines of all answers."""
    client.send_bytes(data)
    client.finish_sending()
    return [line for line in client.rest() if is_answer(line)]


@pytest.mark.parametrize("seed", range(10))
def test_garbage_gets_one_answer_a_line_and_harms_nobody(client, seed):
    c, other = client(), client()
    garbage = random.Random(seed).randbytes(50_000) + b"\n"
    answers = answers_to(c, garbage)
    assert len(answers) == garbage.count(b"\n"), f"seed {seed}"
    assert all(" " <= character <= "~" for line in answers for character in line), f"seed {seed}"
    assert other.ok("read GPIO1") == "GPIO1=0"


@pytest.mark.parametrize("seed", range(10))
def test_mangled_commands_get_one_answer_a_line_and_harm_nobody(client, seed):
    chance = random.Random(seed)
    words = ["help", "lines", "read", "set", "config", "watch", "unwatch", "release", "pull", "uarts", "uart", "status",
             "limits", "all", "rising", "falling", "both", "up", "down", "input", "output", "as-is", "bias=pull-up",
             "bias=pull-down", "drive=open-drain", "active=low", "active=high", "debounce=1us", "debounce=4294967295s",
             "level=1", "uart0", "9600", "9600,7E2,rtscts", "GPIO0=1", "GPIO1=0", "=", "", "\0", "\x1d", "é",
             *LINES[:8]]
    commands = []
    for _ in range(3000):
        command = bytearray(" ".join(chance.choices(words, k=chance.randrange(1, 7))).encode())
        while chance.random() < 0.3:
            position = chance.randrange(len(command) + 1)
            command[position : position + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        command = bytes(command).replace(b"\n", b"")
        if command.split()[:1] not in ([b"quit"], [b"attach"]):
            commands.append(command)
    commands.append(b"unwatch")  # who watches stays, even if it sends nothing more
    c, other = client(), client()
    limits = other.ok("limits")
    answers = answers_to(c, b"\n".join(commands) + b"\n")
    assert len(answers) == len(commands), f"seed {seed}"
    assert other.ok("limits") == limits, f"seed {seed}"


def test_every_byte_value_within_a_command_is_quoted_harmlessly(client):
    c = client()
    for value in set(range(256)) - set(b" \t\n\r"):
        c.send_bytes(b"fly" + bytes([value]) + b"\n")
        shown = chr(value) if 0x20 < value < 0x7F and value != ord('"') else "?"
        assert c.answer().last == f'error: no such command, "fly{shown}", try help'
    c.send_bytes(b"fly\rme\r\r\n")  # a CR counts only before the LF, and there once
    assert c.answer().last == 'error: no such command, "fly?me?", try help'
    c.send_bytes(b"read GPIO1\0\n")
    assert c.answer().last == 'error: no such line, "GPIO1?", see lines'


def test_a_long_wrong_word_is_shown_shortened(client):
    c = client()
    assert c.error("x" * 500) == f'error: no such command, "{"x" * 32}", try help'


def test_commands_may_come_one_byte_at_a_time(client, over):
    c = client(over)
    for byte in b"set GPIO1=1\r\nread GPIO1 GPIO2\nlines GPIO1\n":
        c.send_bytes(bytes([byte]))
    assert [c.answer().last for _ in range(3)] == ["ok GPIO1=1", "ok GPIO1=1 GPIO2=0", "ok 1"]


def test_commands_may_come_cut_anywhere(client):
    c, chance = client(), random.Random(7)
    commands = [f"read GPIO{n % 32}" for n in range(2000)]
    rest = "".join(command + chance.choice(["\n", "\r\n"]) for command in commands).encode()
    while rest:
        count = chance.randrange(1, 40)
        c.send_bytes(rest[:count])
        rest = rest[count:]
    for n in range(len(commands)):
        assert c.answer().last == f"ok GPIO{n % 32}=0"


def test_a_half_typed_command_holds_up_nobody(client):
    c, other = client(), client()
    c.send_bytes(b"set GPIO1")
    assert other.ok("set GPIO1=0") == "GPIO1=0"
    c.send_bytes(b"=1\n")
    assert c.answer().last == "ok GPIO1=1"


def test_a_command_that_is_cut_by_the_end_is_not_executed_and_that_is_told(client, over):
    c, other = client(over), client()
    c.send_bytes(b"set GPIO2=1\nset GPIO1=1")
    c.finish_sending()
    assert c.rest() == ["ok GPIO2=1", NOT_ENDED]
    assert other.ok("read GPIO1 GPIO2") == "GPIO1=0 GPIO2=1"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_a_line_may_be_512_bytes_long(client, end):
    c = client()
    for length in (511, 512):
        c.send_bytes(padded(b"set GPIO1=1", length) + end)
        assert c.answer().last == "ok GPIO1=1"
        c.send_bytes(padded(b"set GPIO1=0", length) + end)
        assert c.answer().last == "ok GPIO1=0"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("length", [513, 514, 1023, 1024, 1025, 100_000])
def test_a_longer_line_is_refused_once_and_not_executed(client, length, end):
    c = client()
    c.send_bytes(padded(b"set GPIO1=1", length) + end + b"read GPIO1" + end)
    assert c.answer().last == TOO_LONG
    assert c.answer().last == "ok GPIO1=0"


def test_a_line_of_a_mebibyte_is_one_oversize_line(client):
    c = client()
    c.send_bytes(b"\r" * (1 << 20) + b"\nread GPIO1\n")
    assert [c.answer().last for _ in range(2)] == [TOO_LONG, "ok GPIO1=0"]


def test_an_oversize_line_that_is_cut_by_the_end_is_told_too(client):
    c = client()
    c.send_bytes(b"x" * 2000)
    c.finish_sending()
    assert c.rest() == [NOT_ENDED]


def test_as_many_words_as_fit_into_a_line_do_no_harm(client):
    c = client()
    assert c.error("a " * 256) == "error: too many words, this command, use several commands"
    assert c.ok("read " + " ".join(LINES)) == " ".join(f"{line}=0" for line in LINES)


@pytest.mark.parametrize("seed", range(3))
def test_garbage_to_an_attached_port_comes_out_there_and_the_way_out_still_works(client, port, seed):
    c, far = client(), port("uart0")
    garbage = random.Random(seed).randbytes(3000)
    c.ok("attach uart0")
    c.send_bytes(garbage.replace(ESCAPE, ESCAPE * 2) + ESCAPE + b"\nread GPIO1\n")
    assert far.read(len(garbage)) == garbage, f"seed {seed}"
    assert [c.line() for _ in range(3)] == ["", "ok detached uart0 received=0 sent=3000 dropped=0", "ok GPIO1=0"]


@pytest.mark.parametrize("path", ["/", "/" + 600 * "x"])
def test_a_web_page_that_has_a_browser_post_commands_is_cut_off_before_them(client, path):
    browser, other = client(), client()
    browser.send(f"POST {path} HTTP/1.1\r", "Host: 127.0.0.1:7000\r", "Content-Type: text/plain\r", "\r", "set GPIO7=1")
    answers = browser.rest()
    assert answers[-1] == "error: this is no web server, this connection, write commands: try help"
    assert len(answers) <= 2
    assert other.ok("read GPIO7") == "GPIO7=0"
