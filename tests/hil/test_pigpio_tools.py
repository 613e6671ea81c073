# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""pigs and a C program on libpigpiod-if2, both as Debian has them, on the simulated lines and serial ports."""

import os
import pathlib
import shutil
import subprocess

import pytest
from harness import DEADLINE, EVT, Port, wait_until

SOURCE = pathlib.Path(__file__).with_name("pigpio_if2_client.c")


@pytest.fixture
def pigs(pigpiod):
    """Runs pigs; what it prints. Each time a connection is made and closed."""
    if not shutil.which("pigs"):
        pytest.skip("Debian's pigpio-tools is not installed")
    environment = {"PIGPIO_ADDR": "127.0.0.1", "PIGPIO_PORT": str(pigpiod.pigpio_port), "PATH": os.environ["PATH"]}

    def run(*words):
        done = subprocess.run(["pigs", *map(str, words)], env=environment, capture_output=True, text=True,
                              timeout=DEADLINE, check=False)
        return (done.stdout + done.stderr).split()

    return run


def test_pigs_reads_and_writes(pigs, control):
    assert pigs("w", 17, 1) == []
    assert control.ok("read GPIO17") == "GPIO17=1"
    assert pigs("r", 17, "mg", 17) == ["1", "1"]
    assert pigs("m", 17, "r", "pud", 17, "u", "r", 17) == ["1"]
    assert pigs("bs1", 0, "br1")[-1] == f"{1 << 17:08x}".upper()
    assert pigs("pigpv", "hwver") == ["79", str(0xA02082)]


def test_pigs_is_told_what_is_wrong(pigs):
    assert pigs("wvclr") == ["-88", "ERROR:", "unknown", "command"]
    assert pigs("r", 40)[0] == "-3"
    assert pigs("w", 40, 1)[0] == "-41"
    assert pigs("gdc", 18)[0] == "-92"


def test_pigs_drives_pulses(pigs, control):
    assert pigs("pfs", 18, 100, "prs", 18, 1000, "p", 18, 250, "gdc", 18) == ["100", "2000", "250"]
    assert control.status()["pulses"]["lines"] == 1
    assert pigs("s", 18, 1500, "gpw", 18) == ["1500"]
    assert pigs("w", 18, 0) == []
    assert control.status()["pulses"]["lines"] == 0
    control.ok("watch GPIO18")
    assert pigs("trig", 18, 20, 1) == []
    assert [control.event().split()[3] for _ in range(2)] == ["level=1", "level=0"]


def test_a_serial_handle_outlives_the_connection(pigs, pigpiod):
    far = Port(pigpiod.uarts["uart0"])
    try:
        assert pigs("sero", "/dev/serial0", 9600, 0) == ["0"]
        assert pigs("serw", 0, 104, 105) == []
        assert far.read(2) == b"hi"
        far.write(b"!")
        wait_until(lambda: pigs("serda", 0) == ["1"], "it has come in")
        assert pigs("serrb", 0) == ["33"]
        assert pigs("serc", 0) == []
        assert pigs("serda", 0)[0] == "-25"
    finally:
        far.close()


def test_a_handle_with_a_fifo_outlives_the_connection(pigs, control):
    if not os.access("/dev", os.W_OK):
        pytest.skip("only who may write to /dev can have FIFOs there")
    handle = pigs("no")[0]
    with open(f"/dev/pigpio{handle}", "rb", buffering=0) as fifo:
        assert pigs("nb", handle, 1 << 4) == []
        control.pull("GPIO4", "up")
        assert len(fifo.read(12)) == 12
        assert pigs("nc", handle) == []
    assert pigs("nb", handle, 1)[0] == "-25"


@pytest.fixture
def program(pigpiod, tmp_path):
    """The C program, with functions to tell it what to do and to read what it says."""
    compiled = tmp_path / "client"
    built = subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-o", compiled, SOURCE, "-l:libpigpiod_if2.so.1"],
                           capture_output=True, text=True, check=False)
    if "cannot find -l:libpigpiod_if2.so.1" in built.stderr:
        pytest.skip("Debian's libpigpiod-if2-1 is not installed")
    assert built.returncode == 0, built.stderr
    process = subprocess.Popen([compiled, "127.0.0.1", str(pigpiod.pigpio_port)], text=True, bufsize=1,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield process
    process.stdin.close()
    assert process.wait(DEADLINE) == 0
    process.stdout.close()


def test_a_c_program_reads_writes_and_is_told(program, pigpiod, control):
    other = pigpiod.connect_pigpio()

    def ask(command):
        program.stdin.write(command + "\n")
        return program.stdout.readline().rstrip()

    def hear_event():
        """Once the program has heard it, it has heard all that came before, too. It can't trigger one itself:
        event_trigger() of libpigpiod-if2 1.78 sends EVM instead of EVT."""
        assert other.ask(EVT, 7) == 0
        assert program.stdout.readline() == "event 7\n"

    assert ask("await 7").startswith("await ")
    assert ask("write 17 1") == "write 0"
    assert control.ok("read GPIO17") == "GPIO17=1"
    assert ask("mode 4 0") == "mode 0"
    assert ask("pull 4 2") == "pull 0"
    assert ask("read 4") == "read 1"
    hear_event()
    assert ask("watch 4").startswith("watch ")
    control.pull("GPIO4", "down", "up")
    assert [program.stdout.readline() for _ in range(2)] == ["edge 4 0\n", "edge 4 1\n"]
    assert ask("glitch 4 300000") == "glitch 0"
    assert ask("noise 4 1000 1000") == "noise 0"
    assert ask("noise 4 0 0") == "noise 0"
    assert ask("trigger 17 10 1") == "trigger 0"
    assert ask("trigger 17 101 1") == "trigger -46"
    assert ask("pwm 18 128") == "pwm 0"
    assert ask("duty 18") == "duty 128"
    assert ask("wave") == "wave -88"
    assert ask("mode 54 0") == "mode -3"


def test_a_c_programs_watchdog_and_bytes(program, pigpiod):
    far = Port(pigpiod.uarts["uart0"])
    try:
        program.stdin.write("serial\n")
        assert program.stdout.readline() == "serial 0\n"
        assert far.read(1) == b"x"
        program.stdin.write("watch 5\n")
        assert program.stdout.readline().startswith("watch ")
        program.stdin.write("watchdog 5 10\n")
        assert program.stdout.readline() == "watchdog 0\n"
        assert program.stdout.readline() == "edge 5 2\n", "a time-out"
        program.stdin.write("watchdog 5 0\n")
        while (line := program.stdout.readline()) == "edge 5 2\n":
            pass
        assert line == "watchdog 0\n"
    finally:
        far.close()
