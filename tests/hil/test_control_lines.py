# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The control port: lines are listed, read, set, configured and pulled."""

import re
import subprocess
import time

import pytest
from harness import LINES, PROGRAM


def test_help_lists_every_command_and_explains_each(client):
    c = client()
    answer = c.ask("help")
    names = [re.fullmatch(r"help (\w+) .*- .+", row)[1] for row in answer.rows]
    assert names == ["help", "lines", "read", "set", "config", "watch", "unwatch", "release", "pull", "wire", "uarts",
                     "uart", "attach", "status", "limits", "quit"]
    assert answer.last == f"ok {len(names)}"
    for name, row in zip(names, answer.rows, strict=True):
        assert c.ok(f"help {name}") == row.removeprefix("help ")
    assert c.error("help me") == 'error: no such command, "me", try help'


def test_lines_lists_all_32_lines_with_what_they_are(client):
    c = client()
    lines = c.table("lines")
    assert list(lines) == [f"line {name} input" for name in LINES]
    for line in lines.values():
        assert line == {"bias": "as-is", "drive": "push-pull", "active": "high", "debounce": "0us", "edges": "none",
                        "level": 0, "consumer": '""', "watchers": 0}


def test_lines_lists_only_those_that_are_named(client):
    c = client()
    assert [row.split()[1] for row in c.ask("lines GPIO3 GPIO1").rows] == ["GPIO1", "GPIO3"]
    assert c.error("lines GPIO3 GPIO32") == 'error: no such line, "GPIO32", see lines'


def test_a_line_is_read(client):
    c = client()
    assert c.ok("read GPIO4") == "GPIO4=0"
    c.ok("pull GPIO4 up")
    assert c.ok("read GPIO4") == "GPIO4=1"
    c.ok("pull GPIO4 down")
    assert c.ok("read GPIO4") == "GPIO4=0"


def test_several_lines_are_read_in_the_order_they_are_named(client):
    c = client()
    c.ok("pull GPIO9 up")
    c.ok("pull GPIO0 up")
    assert c.ok("read GPIO9 GPIO8 GPIO0 GPIO9") == "GPIO9=1 GPIO8=0 GPIO0=1 GPIO9=1"
    c.ok("read GPIO10")  # a request of its own
    assert c.ok("read GPIO10 GPIO0 GPIO11") == "GPIO10=0 GPIO0=1 GPIO11=0"
    assert c.ok("read " + " ".join(LINES)).count("=1") == 2


def test_set_drives_a_line_and_makes_it_an_output(client):
    c = client()
    assert c.ok("set GPIO17=1") == "GPIO17=1"
    assert c.ok("read GPIO17") == "GPIO17=1"
    line = c.table("lines GPIO17")["line GPIO17 output"]
    assert line["level"] == 1
    assert line["consumer"] == '"millrace"'
    assert c.ok("set GPIO17=off") == "GPIO17=0"
    assert c.ok("read GPIO17") == "GPIO17=0"


def test_several_lines_are_set_at_once(client):
    c = client()
    assert c.ok("set GPIO1=1 GPIO2=0 GPIO3=high") == "GPIO1=1 GPIO2=0 GPIO3=1"
    assert c.ok("read GPIO1 GPIO2 GPIO3") == "GPIO1=1 GPIO2=0 GPIO3=1"


def test_an_input_is_not_driven_and_nothing_else_changes(client):
    c = client()
    c.ok("config GPIO5 input")
    error = c.error("set GPIO4=1 GPIO5=1")
    assert error == "error: the line is an input (Operation not permitted), GPIO5, config it as output first"
    assert c.ok("read GPIO4 GPIO5") == "GPIO4=0 GPIO5=0"
    assert "line GPIO4 input" in c.table("lines GPIO4")


def test_direction_is_configured(client):
    c = client()
    assert c.ok("config GPIO6 output level=1") == ""
    assert c.table("lines GPIO6")["line GPIO6 output"]["level"] == 1
    c.ok("config GPIO6 input")
    assert c.table("lines GPIO6")["line GPIO6 input"]["level"] == 0
    c.ok("pull GPIO6 up")
    assert c.ok("read GPIO6") == "GPIO6=1"


def test_bias_is_configured_and_moves_the_level(client):
    c = client()
    for bias, level in (("pull-up", 1), ("pull-down", 0), ("disabled", 0)):
        c.ok(f"config GPIO7 input bias={bias}")
        line = c.table("lines GPIO7")["line GPIO7 input"]
        assert (line["bias"], line["level"]) == (bias, level)


def test_drive_is_configured_and_lets_go_of_the_line(client):
    c = client()
    c.ok("config GPIO8 output drive=open-drain")
    assert c.table("lines GPIO8")["line GPIO8 output"]["drive"] == "open-drain"
    c.ok("set GPIO8=1")
    assert c.ok("read GPIO8") == "GPIO8=0"  # let go: what the pull makes of it
    c.ok("pull GPIO8 up")
    assert c.ok("read GPIO8") == "GPIO8=1"
    c.ok("set GPIO8=0")
    assert c.ok("read GPIO8") == "GPIO8=0"
    c.ok("config GPIO8 drive=open-source")
    assert c.ok("read GPIO8") == "GPIO8=1"
    c.ok("config GPIO8 input")
    assert c.table("lines GPIO8")["line GPIO8 input"]["drive"] == "push-pull"


def test_active_low_turns_the_level_around_for_inputs_and_outputs(client):
    c = client()
    c.ok("config GPIO9 input active=low")
    assert c.table("lines GPIO9")["line GPIO9 input"]["active"] == "low"
    assert c.ok("read GPIO9") == "GPIO9=1"
    c.ok("pull GPIO9 up")
    assert c.ok("read GPIO9") == "GPIO9=0"
    c.ok("config GPIO9 output level=1")
    assert c.ok("read GPIO9") == "GPIO9=1"
    c.ok("config GPIO9 active=high level=0")
    assert c.ok("read GPIO9") == "GPIO9=0"


def test_a_wired_line_follows_what_the_other_end_drives(client):
    c = client()
    c.ok("wire GPIO4 GPIO5")
    c.ok("watch GPIO5")
    c.ok("set GPIO4=1")
    edge = c.edge()
    assert (edge.line, edge.level) == ("GPIO5", 1)
    assert c.ok("read GPIO4 GPIO5") == "GPIO4=1 GPIO5=1"
    c.ok("wire GPIO4 GPIO4")
    c.ok("set GPIO4=0")
    assert c.ok("read GPIO4 GPIO5") == "GPIO4=0 GPIO5=1"


def test_several_lines_are_configured_by_one_command(client):
    c = client()
    c.ok("config GPIO1 GPIO2 GPIO3 input bias=pull-up debounce=5ms")
    for name, line in c.table("lines GPIO1 GPIO2 GPIO3").items():
        assert name.endswith(" input")
        assert (line["bias"], line["debounce"], line["level"]) == ("pull-up", "5000us", 1)


def test_a_debounced_line_gives_no_event_for_a_pulse_shorter_than_its_period(client):
    period = 300_000_000
    c = client()
    c.ok("config GPIO5 input debounce=300ms")
    assert c.table("lines GPIO5")["line GPIO5 input"]["debounce"] == "300000us"
    c.ok("watch GPIO5")
    before = time.monotonic_ns()
    c.pull("GPIO5", "up", "down", "up", "down", "up")  # undebounced, five edges
    edge = c.edge()
    assert (edge.line, edge.rising, edge.sequence) == ("GPIO5", True, 1)
    assert edge.time >= before + period
    before = time.monotonic_ns()
    c.pull("GPIO5", "down", "up", "down")
    edge = c.edge()
    assert (edge.rising, edge.sequence) == (False, 2)
    assert edge.time >= before + period


def test_settings_that_do_not_belong_together_are_refused(client):
    c = client()
    for command in ("config GPIO1 output debounce=5ms", "config GPIO1 input drive=open-drain"):
        assert c.error(command).startswith("error: only a GPIO ")
    c.ok("config GPIO2 input debounce=5ms")
    c.ok("config GPIO2 output")  # of an earlier command, it just goes
    assert c.table("lines GPIO2")["line GPIO2 output"]["debounce"] == "0us"
    error = c.error("config GPIO1 GPIO1 output")
    assert error == "error: the line is named twice (Invalid argument), GPIO1, name each line once"
    assert "line GPIO1 input" in c.table("lines GPIO1")


def test_release_gives_a_line_back(client):
    c = client()
    c.ok("set GPIO1=1 GPIO2=1")
    c.ok("release GPIO2")
    for line in c.table("lines GPIO1 GPIO2").values():
        assert (line["consumer"], line["level"]) == ('""', 0)
    assert c.error("release GPIO1").startswith("error: the line is not in use by the gateway")
    c.ok("watch GPIO3")
    assert c.error("release GPIO3").startswith("error: the line, or one requested with it, is watched")


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("fly", 'error: no such command, "fly", try help'),
        ("READ GPIO1", 'error: no such command, "READ", try help'),
        ("read", "error: words missing or not understood, read, write read LINE ..."),
        ("read GPIO99", 'error: no such line, "GPIO99", see lines'),
        ("read GPIO1 gpio2", 'error: no such line, "gpio2", see lines'),
        ("set", "error: words missing or not understood, set, write set LINE=0|1 ..."),
        ("set GPIO1", 'error: no level, "GPIO1", write LINE=0 or LINE=1'),
        ("set GPIO1=2", 'error: no level, "GPIO1=2", write LINE=0 or LINE=1'),
        ("set GPIO1=", 'error: no level, "GPIO1=", write LINE=0 or LINE=1'),
        ("set GPIO1=1 HEAT=1", 'error: no such line, "HEAT", see lines'),
        ("config GPIO1", "error: words missing or not understood, config, write config LINE ... SETTING ..."),
        ("config output", 'error: no such line, "output", see lines'),
        ("config GPIO1 sideways", 'error: setting not understood, "sideways", try help config'),
        ("config GPIO1 bias=pull-left", 'error: setting not understood, "bias=pull-left", try help config'),
        ("config GPIO1 debounce=5", 'error: setting not understood, "debounce=5", try help config'),
        ("config GPIO1 debounce=-1ms", 'error: setting not understood, "debounce=-1ms", try help config'),
        ("pull GPIO1", "error: words missing or not understood, pull, write pull LINE up|down"),
        ("pull GPIO1 sideways", "error: words missing or not understood, pull, write pull LINE up|down"),
        ("pull GPIO99 up", 'error: no such line, "GPIO99", see lines'),
        ("watch", "error: words missing or not understood, watch, write watch LINE ...|all [rising|falling|both]"),
        ("watch both", "error: words missing or not understood, watch, write watch LINE ...|all [rising|falling|both]"),
        ("watch GPIO1 none", "error: words missing or not understood, watch, "
                             "write watch LINE ...|all [rising|falling|both]"),
        ("watch GPIO1 GPIO99", 'error: no such line, "GPIO99", see lines'),
        ("unwatch GPIO99", 'error: no such line, "GPIO99", see lines'),
        ("release", "error: words missing or not understood, release, write release LINE"),
        ("read " + "GPIO1 " * 33, "error: words missing or not understood, read, write read LINE ..."),
        ("read " + "GPIO1 " * 60, "error: too many words, this command, use several commands"),
    ],
)
def test_a_wrong_command_is_answered_with_what_where_and_remedy(client, command, error):
    c = client()
    assert c.error(command) == error
    assert c.table("status")["gpio"]["claimed"] == 0, "and nothing has been done"


def test_blanks_and_empty_lines_do_no_harm(client):
    c = client()
    assert c.ok("") == ""
    assert c.ok(" \t ") == ""
    assert c.ok("\t read   GPIO1\t GPIO2  ") == "GPIO1=0 GPIO2=0"


def test_lines_may_end_in_cr_lf(client):
    c = client()
    c.send_bytes(b"set GPIO1=1\r\nread GPIO1\r\n\r\n")
    assert [c.answer().last for _ in range(3)] == ["ok GPIO1=1", "ok GPIO1=1", "ok"]


def test_status_counts_what_has_happened(client, gateway):
    c = client()
    c.ok("watch GPIO1")
    for _ in range(10):
        c.pull("GPIO1", "up", "down")
        c.edge(), c.edge()
    c.ok("set GPIO2=1")
    first = c.status()
    assert list(first) == ["gateway", "loop", "queue urgent", "queue normal", "queue background", "connections",
                           "events", "heap", "memory", "libgpiod", "gpio", "pigpio", "pulses", "uart uart0 open",
                           "uart uart1 open"]
    assert first["gateway"]["board"] == "sim"
    assert first["loop"]["poller"] in ("epoll", "poll", "select")
    assert first["connections"] == {"open": 1, "most": 1, "served": 1, "refused": 0, "displaced": 0}
    assert first["events"] == {"logged": 21, "lost-by-clients": 0, "watched": 1}
    assert first["heap"] == {"calls-since-start": 0}
    assert 0 < first["memory"]["resident"] <= first["memory"]["mapped"]
    assert first["memory"]["stack-high-water"] > 0
    if "/release/" in str(PROGRAM):  # a sanitizer's frames are larger
        assert first["memory"]["stack-high-water"] < first["memory"]["stack-prepared"]
    assert first["libgpiod"] == {"allocations": 0, "refused": 0, "memory-used": 0, "memory-high-water": 0}
    assert first["gpio"] == {"lines": 32, "missing": 0, "claimed": 2, "watched": 1, "edges": 20, "lost-by-kernel": 0}
    for name in ("uart0", "uart1"):
        assert first[f"uart {name} open"]["path"] == gateway.uarts[name]
    for queue in ("urgent", "normal", "background"):
        assert first[f"queue {queue}"]["refused"] == 0
    assert first["queue normal"]["high-water"] >= 1
    second = c.status()
    for row, counter in (("loop", "turns"), ("loop", "sleeps"), ("queue normal", "dispatched")):
        assert second[row][counter] > first[row][counter]
    assert second["loop"]["turns"] >= second["loop"]["sleeps"]
    assert second["memory"]["mapped"] == first["memory"]["mapped"]


def test_limits_shows_how_many_of_everything_there_is_and_is_in_use(client):
    c = client()
    others = [client(), client()]
    for other in others:
        other.ok("read GPIO1")
    limits = {}
    for row in c.ask("limits").rows:
        word, name, most, *rest = row.split()
        assert word == "limit"
        limits[name] = int(most), {key: int(value) for key, value in (pair.split("=") for pair in rest)}
    assert list(limits) == ["fds", "timers", "messages", "mailbox", "lines", "libgpiod-memory", "uarts", "listeners", "connections",
                            "line-length", "receive-ring", "send-ring", "uart-ring", "events", "pigpio-connections",
                            "pigpio-send-ring", "pigpio-reports", "pigpio-serials", "pwms", "task-memory", "offload-workers",
                            "offload-jobs", "offload-buffer", "record-events", "record-buffer"]
    assert limits["lines"] == (32, {"used": 32})
    assert limits["connections"] == (64, {"used": 3, "high-water": 3})
    assert limits["listeners"][1] == {"used": 2}
    assert limits["uarts"][1] == {"used": 2}
    assert limits["line-length"] == (512, {})
    for name, (most, use) in limits.items():
        assert 0 < most
        assert use.get("used", 0) <= most, name


def test_quit_says_good_bye_and_closes(client):
    c = client()
    c.send("read GPIO1", "quit")
    assert c.rest() == ["ok GPIO1=0", "ok bye"]


def test_a_shell_script_can_do_all_that(gateway):
    script = f"""
      exec 3<>/dev/tcp/127.0.0.1/{gateway.port} || exit
      ask() {{
        echo "$*" >&3
        while read -r line <&3; do
          echo "$line"
          [[ $line = ok* || $line = error:* ]] && break
        done
      }}
      ask set GPIO4=1
      ask lines GPIO4
      ask read GPIO99
      ask watch GPIO5 rising
      ask pull GPIO5 up
      read -r event <&3 && echo "${{event% time=*}}"
      ask quit
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        "ok GPIO4=1",
        'line GPIO4 output bias=as-is drive=push-pull active=high debounce=0us edges=none level=1 '
        'consumer="millrace" watchers=0',
        "ok 1",
        'error: no such line, "GPIO99", see lines',
        "ok 1",
        "ok",
        "event edge GPIO5 rising level=1 seq=1",
        "ok bye",
    ]
