# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""--record: what clients see of the lines is in the file, at the same times, whatever the disk does."""

import ctypes
import dataclasses
import fcntl
import itertools
import os
import pathlib
import re
import resource
import shutil
import signal
import struct
import subprocess

import pytest
from harness import LINES, PROGRAM, TRIG, wait_until
from test_syscalls import RECEIVES, SENDS, WAITS, check_only, count, tracer

LIBC = ctypes.CDLL(None)
PR_CAPBSET_DROP = 24  # <linux/prctl.h>
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2  # <linux/capability.h>


@dataclasses.dataclass
class Dump:
    """A value change dump, read by the rules of IEEE 1364 alone: words, whatever the lines."""

    begin: int = None  # what the time 0 is of CLOCK_MONOTONIC, in ns
    names: dict = dataclasses.field(default_factory=dict)  # of codes
    first: dict = dataclasses.field(default_factory=dict)  # levels in $dumpvars, by name
    changes: list = dataclasses.field(default_factory=list)  # time, name, level
    lost: list = dataclasses.field(default_factory=list)  # time, and how many up to then
    sections: list = dataclasses.field(default_factory=list)

    def of(self, name):
        return [(time, level) for time, line, level in self.changes if line == name]

    def edges(self, name):
        """Time and level of each change from a known level to the other."""
        known = [(time, level) for time, level in [(0, self.first[name]), *self.of(name)]]
        return [(self.begin + time, int(level)) for (_, before), (time, level) in zip(known, known[1:])
                if "x" not in (before, level)]


def read(path, whole=True):
    """`whole`: nothing is cut off in the end."""
    text = path.read_text("ascii")
    assert not whole or text.endswith("\n")
    words = iter(text.split() if whole else text[: text.rfind("\n")].split())
    dump, time, in_values, counter = Dump(), None, False, None
    for word in words:
        if word == "$end":
            in_values = False
        elif word == "$dumpvars":
            in_values = True
            dump.sections.append(word)
        elif word.startswith("$"):
            body = []
            while (part := next(words)) != "$end":
                body.append(part)
            if word == "$var":
                kind, width, code, name = body
                assert code not in dump.names and code != counter
                if kind == "wire":
                    assert width == "1"
                    dump.names[code] = name
                else:
                    assert (kind, width, name) == ("real", "64", "lost")
                    counter = code
            elif word == "$comment":
                if found := re.fullmatch(r"#0 is (\d+)\.(\d{9}) s of CLOCK_MONOTONIC", " ".join(body)):
                    dump.begin = int(found[1]) * 10**9 + int(found[2])
            dump.sections.append(word)
        elif word.startswith("#"):
            assert time is None or int(word[1:]) >= time, "time goes back"
            time = int(word[1:])
        elif word.startswith("r"):
            assert next(words) == counter
            dump.lost.append((time, int(word[1:])))
        elif in_values:
            dump.first[dump.names[word[1:]]] = word[0]
        else:
            assert word[0] in "01x" and word[1:] in dump.names, word
            dump.changes.append((time, dump.names[word[1:]], word[0]))
    return dump


def row(client, name="record"):
    """That row of status."""
    status = client.ask("status").rows
    line = next(line for line in status if line.startswith(name + " "))
    return {key: int(value.removesuffix("us")) if value.removesuffix("us").isdigit() else value
            for key, value in (word.split("=", 1) for word in line.split()[1:])}


def until_written(client, changes):
    """The row when that many changes are in the file, and nothing waits any more."""
    wait_until(lambda: row(client)["changes"] >= changes and row(client)["waiting"] == 0
               and row(client, "offload")["jobs"] == 0, f"{changes} changes are written")
    return row(client)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lines.vcd"


def quiet(gateway):
    """Errors of the record are what the test is about."""
    gateway.check_log = lambda: None


def test_what_a_watching_client_is_told_is_in_the_record_at_the_same_times(start_gateway, path):
    gateway = start_gateway("--record", str(path))
    doer, watcher = gateway.connect(), gateway.connect()
    doer.ok("set GPIO17=0")
    watcher.ok("watch GPIO4 GPIO5 GPIO17")
    for n in range(50):
        doer.pull("GPIO4", *["up", "down"] * (n % 3 + 1))
        doer.ok(f"set GPIO17={(n + 1) % 2}")
        doer.pull("GPIO5", "down" if n % 2 else "up")
    told = {name: [] for name in ("GPIO4", "GPIO5", "GPIO17")}
    for _ in range(50 + 50 + 2 * sum(n % 3 + 1 for n in range(50))):
        event = watcher.event()
        found = re.match(r"event (?:edge|set) (\S+) .*level=([01]) .*time=(\d+)\.(\d{9})", event)
        told[found[1]].append((int(found[3]) * 10**9 + int(found[4]), int(found[2])))
    assert gateway.stop() == 0
    dump = read(path)
    assert list(dump.names.values()) == LINES
    assert dump.sections[:5] == ["$date", "$version", "$comment", "$timescale", "$scope"]
    for name in ("GPIO4", "GPIO5"):
        assert dump.first[name] == "x" and dump.of(name)[0][1] == "0"  # from when it was watched on
        assert dump.edges(name) == told[name]
    assert dump.edges("GPIO17") == told["GPIO17"]
    assert not dump.of("GPIO6") and dump.first["GPIO6"] == "x"


def test_edges_that_are_read_in_another_order_are_recorded_at_their_times(start_gateway, path):
    lines = ("GPIO4", "GPIO5", "GPIO6")  # each requested by itself
    gateway = start_gateway(*(word for line in lines for word in ("--line", line + "=input")), "--record", str(path))
    doer, watcher = gateway.connect(), gateway.connect()
    watcher.ok("watch " + " ".join(lines))
    rounds, told = 200, {line: [] for line in lines}
    for _ in range(rounds):
        for way in ("up", "down") * 2:
            doer.send(*(f"pull {line} {way}" for line in lines))
        for _ in range(4 * len(lines)):
            assert doer.answer().last == "ok"
        for _ in range(4 * len(lines)):
            found = re.match(r"event edge (\S+) .*level=([01]) .*time=(\d+)\.(\d{9})", watcher.event())
            told[found[1]].append((int(found[3]) * 10**9 + int(found[4]), int(found[2])))
    wait_until(lambda: row(doer)["changes"] == rounds * 4 * len(lines), "all is written")
    assert (row(doer)["late"], row(doer)["lost"]) == (0, 0)
    assert gateway.stop() == 0
    dump = read(path)
    for line in lines:
        assert dump.edges(line) == told[line]


def test_edges_of_a_line_that_is_set_up_anew_are_recorded_at_their_times(start_gateway, path):
    gateway = start_gateway("--line", "GPIO4=input,bias=pull-down", "--record", str(path))
    doer, watcher = gateway.connect(), gateway.connect()
    watcher.ok("watch GPIO4")
    told = []
    for _ in range(50):
        doer.send("config GPIO4 input bias=pull-up", "config GPIO4 input bias=pull-down")
        assert (doer.answer().last, doer.answer().last) == ("ok", "ok")
        for event in [watcher.event() for _ in range(4)]:
            if found := re.match(r"event edge GPIO4 .*level=([01]) .*time=(\d+)\.(\d{9})", event):
                told.append((int(found[2]) * 10**9 + int(found[3]), int(found[1])))
    assert len(told) == 100
    assert gateway.stop() == 0
    assert read(path).edges("GPIO4") == told


def test_inputs_and_outputs_are_recorded_that_nobody_watches(start_gateway, path):
    gateway = start_gateway("--line", "GPIO4=input", "--line", "GPIO17=output,level=1", "--record", str(path))
    c = gateway.connect()
    c.ok("config GPIO5 input bias=pull-up")
    c.pull("GPIO4", "up", "down")
    c.pull("GPIO5", "down")
    c.ok("set GPIO17=0")
    assert c.ok("read GPIO6") == "GPIO6=0"  # no input as anybody has set it up
    c.pull("GPIO6", "up")
    assert "watchers=0" in c.ask("lines GPIO4").rows[0]
    assert gateway.stop() == 0
    dump = read(path)
    assert (dump.first["GPIO4"], dump.first["GPIO17"], dump.first["GPIO5"]) == ("0", "1", "x")
    levels = {name: "".join(level for _, level in dump.of(name)) for name in LINES}
    assert (levels["GPIO4"], levels["GPIO5"], levels["GPIO17"], levels["GPIO6"]) == ("10", "10", "0", "")


def test_a_line_that_is_given_back_or_no_longer_seen_is_unknown(start_gateway, path):
    gateway = start_gateway("--record", str(path))
    c = gateway.connect()
    c.ok("set GPIO4=1")
    c.ok("release GPIO4")
    c.ok("set GPIO5=1")
    c.ok("config GPIO5 as-is")
    assert gateway.stop() == 0
    dump = read(path)
    assert [level for _, level in dump.of("GPIO4")] == ["1", "x"]
    assert [level for _, level in dump.of("GPIO5")] == ["1", "x"]


def test_what_follows_in_one_turn_is_recorded_in_that_order(start_gateway, path):
    gateway = start_gateway("--record", str(path))
    c = gateway.connect()
    c.ok("set GPIO4=0")
    c.send("set GPIO4=1", "config GPIO4 output level=0", "set GPIO6=1", "release GPIO6")
    assert [c.answer().last.split()[0] for _ in range(4)] == ["ok"] * 4
    assert gateway.stop() == 0
    dump = read(path)
    assert [level for _, level in dump.of("GPIO4")] == ["0", "1", "0"]
    assert [level for _, level in dump.of("GPIO6")] == ["1", "x"]


def test_pulses_by_timers_are_recorded(start_gateway, path):
    gateway = start_gateway("--listen", "pigpio=127.0.0.1:0", "--record", str(path))
    control, pigpio = gateway.connect(), gateway.connect_pigpio()
    control.ok("set GPIO4=0")
    assert pigpio.ask(TRIG, 4, 100, struct.pack("<I", 1)) == 0
    wait_until(lambda: row(control)["changes"] == 3, "the pulse is over, and written")
    assert gateway.stop() == 0
    (_, first), (up, high), (down, low) = read(path).of("GPIO4")
    assert (first, high, low) == ("0", "1", "0") and down > up


def test_tens_of_thousands_of_edges_are_all_there(start_gateway, path):
    gateway = start_gateway("--record", str(path))
    c = gateway.connect()
    c.ok("config GPIO4 GPIO5 input")
    rounds, burst = 2500, 4  # the kernel would keep 16
    changes = 2  # by config
    for n in range(rounds):
        c.pull("GPIO4", *["up", "down"] * burst)
        c.pull("GPIO5", "up", "down")
        changes += (burst + 1) * 2
        if n % 90 == 0:  # however slow the disk is, no more wait than the log has room for
            until_written(c, changes)
    assert changes > 20_000
    record = until_written(c, changes)
    assert (record["lost"], record["late"], record["errors"], record["files"]) == (0, 0, 0, 1)
    assert record["changes"] == changes
    assert c.status()["gpio"]["lost-by-kernel"] == 0
    assert gateway.stop() == 0
    dump = read(path)
    assert "".join(level for _, level in dump.of("GPIO4")) == "0" + "10" * rounds * burst
    assert "".join(level for _, level in dump.of("GPIO5")) == "0" + "10" * rounds
    assert path.stat().st_size == record["bytes"]


def test_a_record_can_be_read_while_it_goes_on_and_wherever_it_is_cut_off(start_gateway, path, tmp_path):
    gateway = start_gateway("--line", "GPIO4=input", "--record", str(path))
    c = gateway.connect()
    wait_until(lambda: path.exists() and path.read_text().count("$end\n") > 36, "the header is there")
    c.pull("GPIO4", *["up", "down"] * 8)
    until_written(c, 16)
    whole = read(path)
    assert len(whole.of("GPIO4")) == 16
    text = path.read_text()
    gateway.expected_status = -signal.SIGKILL
    gateway.process.kill()
    gateway.process.wait()
    assert path.read_text() == text
    cut = tmp_path / "cut.vcd"
    for length in range(len(text) - 60, len(text)):
        cut.write_text(text[:length])
        part = read(cut, whole=False)
        assert part.changes == whole.changes[: len(part.changes)] and len(part.changes) >= 9


def test_an_earlier_record_is_kept_by_another_name(start_gateway, path):
    for n in range(3):
        gateway = start_gateway("--record", str(path))
        gateway.connect().ok(f"set GPIO{n}=1")
        assert gateway.stop() == 0
    assert "record " in gateway.stderr() and "lines.vcd.2 now" in gateway.stderr()
    found = {file.name: [name for _, name, _ in read(file).changes] for file in path.parent.glob("lines.vcd*")}
    assert found == {"lines.vcd.1": ["GPIO0"], "lines.vcd.2": ["GPIO1"], "lines.vcd": ["GPIO2"]}


def test_what_has_such_a_name_already_is_left_alone_whatever_it_is(start_gateway, path):
    path.write_text("mine")
    os.mkfifo(f"{path}.1")  # to open it would wait for a writer
    os.symlink("nowhere", f"{path}.2")
    os.mkdir(f"{path}.3")
    gateway = start_gateway("--record", str(path))
    gateway.connect().ok("set GPIO4=1")
    assert gateway.stop() == 0
    assert "lines.vcd.4 now" in gateway.stderr()
    assert pathlib.Path(f"{path}.4").read_text() == "mine"
    assert pathlib.Path(f"{path}.1").is_fifo() and os.readlink(f"{path}.2") == "nowhere"
    assert read(path).of("GPIO4")[-1][1] == "1"


def test_where_the_folder_can_not_be_kept_the_record_goes_on_and_that_is_told(start_gateway, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "lines.vcd"
    path.write_text("mine")
    folder.chmod(0o300)  # not to be opened, but by who may read everything: root without these two may not, either

    def may_not_read_everything():
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)

    gateway = start_gateway("--record", str(path), before_exec=may_not_read_everything)
    c = gateway.connect()
    c.ok("set GPIO4=1")
    record = until_written(c, 1)
    assert (record["errors"], record["files"]) == (0, 1)
    assert gateway.stop() == 0
    folder.chmod(0o700)
    assert read(path).of("GPIO4")[-1][1] == "1"
    assert (folder / "lines.vcd.1").read_text() == "mine"
    assert "a power cut may undo that, as its folder: open: Permission denied" in gateway.stderr()


def test_a_record_that_is_moved_away_is_followed_by_a_new_one(start_gateway, path):
    gateway = start_gateway("--line", "GPIO4=input", "--record", str(path))
    c = gateway.connect()
    c.pull("GPIO4", "up")
    until_written(c, 1)
    away = path.with_name("away.vcd")
    path.rename(away)
    sent = [1]

    def followed():
        c.pull("GPIO4", "down" if sent[0] % 2 else "up")
        sent[0] += 1
        return path.exists()

    wait_until(followed, "a new one")
    assert gateway.stop() == 0
    old, new = read(away), read(path)
    assert old.begin == new.begin
    assert new.first["GPIO4"] == old.of("GPIO4")[-1][1]
    assert len(old.of("GPIO4")) + len(new.of("GPIO4")) == sent[0]
    assert "the file was taken away, a new one begins" in gateway.stderr()


def test_a_record_that_is_emptied_begins_anew(start_gateway, path):
    """As by logrotate's copytruncate, while the file is open."""
    gateway = start_gateway("--line", "GPIO4=input", "--record", str(path))
    c = gateway.connect()
    c.pull("GPIO4", "up")
    until_written(c, 1)
    copy = path.with_name("copy.vcd")
    shutil.copy(path, copy)
    os.truncate(path, 0)
    c.pull("GPIO4", "down", "up")
    wait_until(lambda: row(c)["changes"] == 3, "these are written, too")
    record = row(c)
    assert gateway.stop() == 0
    old, new = read(copy), read(path)
    assert old.begin == new.begin and new.first["GPIO4"] == old.of("GPIO4")[-1][1]
    assert [level for _, level in new.of("GPIO4")] == ["0", "1"]
    assert record["files"] == 2
    assert "the file was taken away, a new one begins" in gateway.stderr()


def test_a_full_disk_is_told_once_and_counted_and_the_record_goes_on_when_there_is_room(start_gateway, path):
    limit = 2000  # the header has some 1,150

    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    gateway = start_gateway("--line", "GPIO4=input", "--record", str(path), before_exec=small)
    quiet(gateway)
    c = gateway.connect()
    for _ in range(20):
        c.pull("GPIO4", *["up", "down"] * 4)
    wait_until(lambda: row(c)["errors"] > 0, "it can't be written")
    assert c.ok("read GPIO4") == "GPIO4=0"  # all else goes on
    assert path.stat().st_size <= limit
    assert path.read_text().endswith("\n")  # nothing is written by halves
    full = row(c)
    assert full["changes"] == len(read(path).of("GPIO4")) and full["changes"] + full["waiting"] == 160
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_until(lambda: row(c)["waiting"] == 0 and row(c)["changes"] == 160, "it goes on")
    assert gateway.stop() == 0
    assert len(read(path).of("GPIO4")) == 160
    assert len(re.findall("^error: ", gateway.stderr(), re.M)) == 1
    assert re.search(rf"^error: record {path}: pwrite: File too large; see to that disk, or record elsewhere; "
                     r"it is tried again each 5 s$", gateway.stderr(), re.M)
    assert f"info: record {path}: goes on" in gateway.stderr()


@pytest.mark.parametrize("where, error", [
    ("{folder}/none/lines.vcd", "open: No such file or directory; make the folder, or mount the disk"),
    ("{folder}", "open: Is a directory; name a regular file"),
    ("/dev/full", "fstat: Invalid argument; name a regular file"),
    ("/dev/null", "fstat: Invalid argument; name a regular file"),
    ("{folder}/fifo", "fstat: Invalid argument; name a regular file"),
])
def test_what_can_not_be_recorded_to_is_told_with_a_remedy_and_disturbs_nobody(start_gateway, tmp_path, where, error):
    os.mkfifo(tmp_path / "fifo")
    gateway = start_gateway("--record", where.format(folder=tmp_path))
    quiet(gateway)
    c = gateway.connect()
    wait_until(lambda: row(c)["errors"] >= 1, "it has failed")
    c.ok("watch GPIO4")
    for _ in range(100):
        c.pull("GPIO4", *["up", "down"] * 8)
        for _ in range(16):
            c.edge()
    assert gateway.stop() == 0
    where = where.format(folder=tmp_path)
    told = re.findall(r"^error: record (\S+): (.*); it is tried again each 5 s$", gateway.stderr(), re.M)
    assert len(told) == 1 == gateway.stderr().count("error: ")
    assert told[0][0] == where and re.fullmatch(error, told[0][1])


class StuckDisk:
    """Whoever opens that file to write waits in the kernel, up to /proc/sys/fs/lease-break-time: a lease is on it."""

    def __init__(self, path):
        path.touch()
        self.fd = os.open(path, os.O_RDONLY)
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        fcntl.fcntl(self.fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)

    def release(self):
        os.close(self.fd)


def test_a_stuck_disk_holds_up_nobody_and_what_is_lost_is_told(start_gateway, path):
    disk = StuckDisk(path)
    gateway = start_gateway("--line", "GPIO4=input", "--line", "GPIO5=input", "--record", str(path))
    c = gateway.connect()
    c.pull("GPIO5", "up")
    wait_until(lambda: row(c, "offload")["running"] == 1, "it is stuck")
    rounds = 1000
    for _ in range(rounds):
        c.pull("GPIO4", *["up", "down"] * 4)
    c.pull("GPIO4", "up")
    wait_until(lambda: c.status()["gpio"]["edges"] == 8 * rounds + 2, "all edges were seen")
    assert c.status()["gpio"]["lost-by-kernel"] == 0
    stuck = row(c)
    assert stuck["bytes"] == 0 and stuck["changes"] == 0
    disk.release()
    wait_until(lambda: row(c)["changes"] > 0 and row(c)["waiting"] == 0, "it goes on")
    changes = row(c)["changes"]
    c.pull("GPIO5", "down")
    record = until_written(c, changes + 1)
    assert c.status()["events"]["lost-by-clients"] == 0
    assert gateway.stop() == 0
    dump = read(path)
    assert dump.lost[0] == (0, 0)
    assert dump.lost[-1][1] == record["lost"] > 5000
    assert len(dump.edges("GPIO4")) + len(dump.edges("GPIO5")) + record["lost"] >= 8 * rounds
    for name in ("GPIO4", "GPIO5"):  # from the loss on it is unknown, and then known again
        assert (dump.lost[1][0], "x") in dump.of(name)
    assert dump.of("GPIO4")[-1][1] == "1"
    assert [level for _, level in dump.of("GPIO5")][-2:] == ["1", "0"]
    assert len(re.findall(r"^warning: record .*: \d+ changes are lost", gateway.stderr(), re.M)) == 1


def test_a_stuck_disk_does_not_keep_the_gateway_from_ending(start_gateway, path):
    disk = StuckDisk(path)
    gateway = start_gateway("--record", str(path))
    quiet(gateway)
    c = gateway.connect()
    wait_until(lambda: row(c, "offload")["running"] == 1, "it is stuck")
    c.ok("set GPIO4=1")
    assert gateway.stop() == 0
    assert "a call of lane 0 has not ended, and is left behind" in gateway.stderr()
    assert re.search(r"^warning: record .*: \d+ bytes and \d+ changes could not be written$", gateway.stderr(), re.M)
    disk.release()


def test_what_has_just_happened_is_in_the_record_when_it_stops(start_gateway, path):
    gateway = start_gateway("--record", str(path))
    c = gateway.connect()
    for n in range(20):  # 640 changes, as the log has room for them all
        c.ok(" ".join(["set", *(f"{line}={(n + 1) % 2}" for line in LINES)]))
    assert gateway.stop() == 0
    dump = read(path)
    assert {name: "".join(level for _, level in dump.of(name)) for name in LINES} == dict.fromkeys(LINES, "10" * 10)


def test_without_a_record_there_is_no_thread_and_no_descriptor_more(start_gateway, path):
    without, recording = start_gateway(), start_gateway("--record", str(path))

    def files(gateway):
        return [re.sub(r":\[\d+\]$|^/dev/pt.*|.*/std(out|err)$", "", link) for link in gateway.open_files()]

    if b"__tsan_init" not in PROGRAM.read_bytes():
        assert (without.threads(), recording.threads()) == (["gateway"], ["gateway", "offload 0"])
    assert not [row for row in without.connect().ask("status").rows if row.startswith(("record", "tasks", "offload"))]
    wait_until(lambda: str(path) in recording.open_files(), "it is begun")
    more = [name for name in files(recording) if name not in files(without)]
    assert set(more) <= {str(path), "anon_inode:[io_uring]", "anon_inode:io_uring"} and more
    assert files(recording).count("anon_inode:[eventfd]") == files(without).count("anon_inode:[eventfd]") + 1


def test_status_and_limits_show_tasks_offload_and_record(start_gateway, path):
    gateway = start_gateway("--record", str(path))
    c = gateway.connect()
    c.ok("set GPIO4=1")
    record = until_written(c, 1)
    assert record["path"] == str(path) and record["files"] == 1 and record["changes"] == 1
    assert record["bytes"] == path.stat().st_size
    tasks, offload = row(c, "tasks"), row(c, "offload")
    assert (tasks["frames"], tasks["refused"]) == (1, 0) and 0 < tasks["largest"] < 4096 and tasks["most"] >= 3
    assert (offload["jobs"], offload["most"], offload["refused"], offload["workers-idle"]) == (0, 1, 0, 1)
    assert offload["done"] >= 4
    limits = c.table("limits")
    task_memory = next(limits[name] for name in limits if name.startswith("limit task-memory "))
    assert task_memory == {"used": tasks["memory-used"], "high-water": tasks["memory-high-water"]}
    assert {name.split()[1] for name in limits} >= {"offload-workers", "offload-jobs", "offload-buffer", "record-events",
                                                    "record-buffer"}


def test_a_wrong_path_ends_it_with_status_2():
    for wrong in ("", "/" + "x" * 250):
        done = subprocess.run([PROGRAM, "--record", wrong], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("error: no path for a record, ")


def test_an_idle_record_makes_no_system_call_and_edges_share_theirs(start_gateway, path, tmp_path):
    gateway = start_gateway("--line", "GPIO4=input", "--record", str(path))
    trace = tracer(gateway, tmp_path)
    c = gateway.connect()
    c.pull("GPIO4", "up", "down")
    uses_ring = row(c, "offload")["io-uring"] == 1
    # When the file was kept, and closed, there is nothing left to do.
    until_written(c, 2)
    wait_until(lambda: str(path) not in gateway.open_files(), "the file is closed")
    tracing = trace()
    tracing.mark("begin")
    rounds = 80
    for _ in range(rounds):
        c.pull("GPIO4", *["up", "down"] * 4)
    wait_until(lambda: len(read(path, whole=False).changes) >= 8 * rounds + 2, "the record is written")
    tracing.mark("end")
    calls = tracing.calls()
    files = {"openat", "open", "fstat", "newfstatat", "pwrite64", "fsync", "fdatasync", "close", "io_uring_enter", "futex"}
    check_only(calls, files, WAITS, RECEIVES, SENDS)
    # 640 edges: a write for each 100 ms, or for as many as fit into the text (some 200), whatever strace slows down.
    writes = count(calls, {"io_uring_enter"} if uses_ring else {"pwrite64"})
    assert 1 <= writes <= 640 / 16


def test_pulseview_s_library_reads_it(start_gateway, path):
    if not shutil.which("sigrok-cli"):
        pytest.skip("sigrok-cli is not installed")
    gateway = start_gateway("--line", "GPIO4=input", "--record", str(path))
    c = gateway.connect()
    c.pull("GPIO4", *["up", "down"] * 8)
    assert gateway.stop() == 0
    assert len(read(path).changes) == 16
    shown = subprocess.run(["sigrok-cli", "-I", "vcd", "-i", path, "-C", "GPIO4", "-O",
                            "csv:header=false:label=off"], capture_output=True, text=True, check=True).stdout
    levels = [line for line in shown.splitlines() if line in ("0", "1")]  # one for each ns, up to the last change
    assert "".join(level for level, _ in itertools.groupby(levels)) == "01" * 8
