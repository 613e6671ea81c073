# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""npm's clients of pigpiod, unmodified, of the versions that toolchain/npm-clients names, on the simulated lines."""

import os
import pathlib
import subprocess

import pytest
from harness import DEADLINE, ROOT, wait_until

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def modules():
    """The folder with the clients; fetched if need be."""
    try:
        fetched = subprocess.run([ROOT / "toolchain/npm-clients"], capture_output=True, text=True, timeout=120,
                                 check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm does not answer")
    if fetched.returncode != 0:
        pytest.skip(fetched.stderr.strip())
    return fetched.stdout.strip()


class Program:
    """A JavaScript program: told what to do line by line."""

    def __init__(self, modules, script, port):
        self.process = subprocess.Popen(["node", HERE / script, str(port)], env=os.environ | {"NODE_PATH": modules},
                                        text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, command):
        self.process.stdin.write(command + "\n")

    def line(self):
        line = self.process.stdout.readline()
        assert line, "it has ended"
        return line.rstrip()

    def ask(self, command):
        self.tell(command)
        return self.line()

    def end(self):
        self.process.stdin.close()
        status = self.process.wait(DEADLINE)
        self.process.stdout.close()
        return status


@pytest.fixture
def start(modules, pigpiod):
    started = []

    def run(script):
        started.append(Program(modules, script, pigpiod.pigpio_port))
        return started[-1]

    yield run
    assert [program.end() for program in started] == [0] * len(started)


def test_pigpio_client(start, control):
    js = start("pigpio_client.js")
    assert js.line() == f"connected {0xA02082} 79"
    assert js.ask("17 write 1") == "write 0"
    assert control.ok("read GPIO17") == "GPIO17=1"
    assert js.ask("17 modeGet") == "modeGet 1"
    assert js.ask("4 modeSet input") == "modeSet 0"
    assert js.ask("4 pullUpDown 2") == "pullUpDown 0"
    assert js.ask("4 read") == "read 1"
    assert js.ask("4 glitchSet 0") == "glitchSet 0"
    assert js.ask("4 notify") == "notify"
    assert js.ask("4 read") == "read 1", "and it watches by now"
    for _ in range(3):
        control.pull("GPIO4", "down")
        assert js.line() == "level 4 0"
        control.pull("GPIO4", "up")
        assert js.line() == "level 4 1"
    assert js.ask("18 analogWrite 64") == "analogWrite 0"
    assert js.ask("18 setPWMfrequency 100") == "setPWMfrequency 100"
    assert js.ask("18 getPWMdutyCycle") == "getPWMdutyCycle 64"
    assert control.status()["pulses"]["lines"] == 1
    assert js.ask("18 setServoPulsewidth 1500") == "setServoPulsewidth 0"
    assert js.ask("18 getServoPulsewidth") == "getServoPulsewidth 1500"
    assert js.ask("17 trigger 20 1") == "trigger 0"
    assert js.ask("17 waveClear") == "waveClear PI_UNKNOWN_COMMAND"
    assert js.ask("17 waveBusy") == "waveBusy PI_UNKNOWN_COMMAND"
    assert js.ask("17 read") == "read 0"


def test_js_pigpio(start, control):
    js = start("js_pigpio.js")
    assert js.line() == "connected"

    def tell(command):
        """And waits until it is executed: the client takes each packet for one answer, or for one report."""
        before = control.status()["pigpio"]["commands"]
        js.tell(command)
        wait_until(lambda: control.status()["pigpio"]["commands"] > before, "it is executed")

    assert js.ask("getHardwareRevision") == f"getHardwareRevision {0xA02082}"
    tell("write 17 1")
    assert js.ask("read 17") == "read 1"
    assert control.ok("read GPIO17") == "GPIO17=1"
    assert js.ask("get_mode 17") == "get_mode 1"
    tell("set_mode 4 0")
    assert js.ask("get_mode 4") == "get_mode 0"
    tell("set_glitch_filter 4 10000")
    tell("watch 4")
    assert "edges=both" in control.ask("lines GPIO4").rows[0]
    for _ in range(3):
        control.pull("GPIO4", "up")
        assert js.line() == "level 4 1"
        control.pull("GPIO4", "down")
        assert js.line() == "level 4 0"
    tell("set_PWM_frequency 18 100")
    assert js.ask("get_PWM_frequency 18") == "get_PWM_frequency 100"
    tell("set_PWM_dutycycle 18 128")
    assert js.ask("get_PWM_dutycycle 18") == "get_PWM_dutycycle 128"
    assert control.status()["pulses"]["lines"] == 1
    tell("setServoPulsewidth 18 0")
    assert control.status()["pulses"]["lines"] == 0
