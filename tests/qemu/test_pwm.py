# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Clients of pigpiod, unmodified, and a driver of the kernel's PWM.

QEMU has no model of a PWM controller that a Raspberry Pi has. But the kernel's driver pwm-gpio makes pulses on any
line, here one of QEMU's own GPIO controller, and all else is the same: the channel's files, what they refuse, and who
is told. What arrives at the line is counted where the kernel sets it.
"""

import gzip
import pathlib
import re
import subprocess

import machine as machines
import pytest
from harness import Gateway
from test_pigpio import END_GATEWAY, GATEWAY

gpiozero = pytest.importorskip("gpiozero", reason="Debian's python3-gpiozero is not installed")
pigpio = pytest.importorskip("pigpio", reason="Debian's python3-pigpio is not installed")

from test_pigpio_gpiozero import factory, pins  # noqa: E402,F401
from test_pigpio_python import connect, pi, refused  # noqa: E402,F401
from test_pigpio_tools import pigs  # noqa: E402,F401

pytestmark = pytest.mark.on("virt arm64")

CONTROLLER = "/pl061@9030000"
OFFSET = 4  # of the line: 3 is the power button's
CHANNEL = "pwm-gpio:0"
GIVE_BACK = "chip=/sys/class/pwm/pwmchip0; [ ! -e $chip/pwm0 ] || echo 0 >$chip/unexport"
EDGES = "/sys/kernel/tracing"


def run(*command):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def with_pwm(folder):
    """Describes a PWM chip in the device tree that QEMU would give the kernel, and adds the driver."""
    tree = folder / "tree.dtb"
    run(machines.ROOT / "toolchain/qemu", "--sockets", "--port", "0", "--pigpio-port", "0", folder, "--", "-machine",
        f"dumpdtb={tree.name}")
    controller = run("fdtget", "-t", "u", tree, CONTROLLER, "phandle")
    run("fdtput", "-c", tree, "/pwm-gpio")
    run("fdtput", "-t", "s", tree, "/pwm-gpio", "compatible", "pwm-gpio")
    run("fdtput", "-t", "u", tree, "/pwm-gpio", "#pwm-cells", 3)
    run("fdtput", "-t", "u", tree, "/pwm-gpio", "gpios", controller, OFFSET, 0)
    kernel = pathlib.Path(run(machines.ROOT / "toolchain/kernel", machines.TARGET.arch))
    archive = machines.image.Archive()
    archive.add_file("lib/modules/pwm-gpio.ko", (kernel / "modules/extra/pwm-gpio.ko").read_bytes())
    archive.add_file("etc/passwd", b"root:x:0:0::/:/bin/sh\nnobody:x:1000:997::/:/bin/sh\n")
    archive.add_file("etc/group", b"root:x:0:\ngpio:x:997:\n")
    (folder / "initramfs.gz").unlink()
    (folder / "initramfs.gz").write_bytes((machines.IMAGE / "initramfs.gz").read_bytes() +
                                          gzip.compress(archive.bytes(), 1, mtime=0))


@pytest.fixture(scope="module")
def machine_with_pwm(tmp_path_factory):
    machine = machines.Machine(tmp_path_factory.mktemp("pwm") / "machine", prepare=with_pwm, qemu=("-dtb", "tree.dtb"))
    machine.connect()
    machine.run("insmod /lib/modules/pwm-gpio.ko")
    machine.run(f"mount -t debugfs debugfs /sys/kernel/debug; mount -t tracefs tracefs {EDGES}")
    machine.run(f"echo 'p:edge pl061_set_value offset=%x1 value=%x2' >{EDGES}/kprobe_events")
    machine.run(f"kill -STOP $(cat /run/gateway.supervisor); {END_GATEWAY}")
    yield machine
    machine.end()


class Pigpiod:
    """The gateway in a machine, as these tests know a gateway."""

    connect_pigpio = Gateway.connect_pigpio

    def __init__(self, machine):
        self.clients = machine.clients
        self.pigpio_port = machine.port(8888)
        self.connect = machine.connect


@pytest.fixture
def machine(machine_with_pwm):
    """With a gateway that nobody has used yet, and a channel that is off."""
    machine = machine_with_pwm
    machine.run(GIVE_BACK)
    start_gateway(machine)
    yield machine
    end_gateway(machine)


def start_gateway(machine):
    machine.run(f"{GATEWAY} --pwm GPIO18={CHANNEL} >/tmp/gateway 2>&1 &")
    machine.connect()


def end_gateway(machine):
    for each in machine.clients:
        each.abort()
    machine.clients.clear()
    machine.run(END_GATEWAY)


@pytest.fixture
def pigpiod(machine):
    return Pigpiod(machine)


@pytest.fixture
def control(machine):
    return machine.connect()


def channel(machine):
    """What the kernel says of it: whether it is on, its period and its pulses' width, in nanoseconds."""
    said = "\n".join(machine.run("cat /sys/kernel/debug/pwm"))
    found = re.search(r"pwm-0 +\(sysfs *\): requested( enabled)? +period: (\d+) ns duty: (\d+) ns polarity: normal",
                      said)
    assert found, said
    return bool(found[1]), int(found[2]), int(found[3])


class Edges:
    """What arrives at the line from now on: its levels, and when the kernel has set them, in seconds."""

    def __init__(self, machine):
        self.machine = machine
        machine.run(f"echo >{EDGES}/trace; echo 1 >{EDGES}/events/kprobes/edge/enable")

    def all(self):
        said = "\n".join(self.machine.run(f"cat {EDGES}/trace"))
        return [(int(value, 16), float(time)) for time, value in
                re.findall(rf" ([0-9.]+): edge: .* offset={OFFSET:#x} value=(0x[01])", said)]

    def wait(self, count):
        machines.wait_until(lambda: len(self.all()) >= count, f"there are {count} edges")
        self.machine.run(f"echo 0 >{EDGES}/events/kprobes/edge/enable")
        return self.all()


def rhythm(edges):
    """The time from one rise to the next, in seconds, and which part of it is high.

    Of all of them together: the driver's timer may be late, as the machine may have to wait for a processor, but never
    drifts, so that this depends on how many edges there are, and hardly on when each is.
    """
    levels = [level for level, _ in edges]
    assert levels == [(levels[0] + n) % 2 for n in range(len(levels))], "up and down in turn"
    rises = [n for n, level in enumerate(levels) if level]
    whole = edges[rises[-1]][1] - edges[rises[0]][1]
    high = sum(edges[n + 1][1] - edges[n][1] for n in rises[:-1])
    return whole / (len(rises) - 1), high / whole


def test_the_gateway_asks_the_kernel_for_the_channel_and_leaves_it_off(machine, control):
    assert channel(machine) == (False, 0, 0)
    row = control.status()["pulses GPIO18"]
    assert (row["by"], row["channel"], row["enabled"]) == ("kernel", CHANNEL, 0)


def test_a_pwm_led_has_the_kernels_pulses(pins, machine, control):  # noqa: F811
    led = gpiozero.PWMLED(18, frequency=50, pin_factory=pins)
    assert channel(machine) == (True, 20_000_000, 0)
    edges = Edges(machine)
    led.value = 0.25
    assert channel(machine) == (True, 20_000_000, 5_000_000)
    period, high = rhythm(edges.wait(80))
    assert period == pytest.approx(0.020, rel=0.2)
    assert high == pytest.approx(0.25, abs=0.15)
    assert control.status()["pulses"]["edges"] == 0, "none is the gateway's"
    led.value = 1
    assert channel(machine) == (True, 20_000_000, 20_000_000)
    led.close()
    assert channel(machine)[0] is False


def test_a_servo_has_the_kernels_pulses(pins, machine):  # noqa: F811
    edges = Edges(machine)
    servo = gpiozero.Servo(18, initial_value=1, pin_factory=pins)
    assert channel(machine) == (True, 20_000_000, 2_000_000)
    period, high = rhythm(edges.wait(80))
    assert period == pytest.approx(0.020, rel=0.2)
    assert high == pytest.approx(0.1, abs=0.1)
    servo.close()


def test_hardware_pwm_is_exactly_what_is_asked_for(pi, machine):  # noqa: F811
    """Longer and shorter, one after the other: the kernel refuses pulses that are longer than their period."""
    for hertz, duty in ((100, 900_000), (300, 900_000), (10, 10_000), (11, 990_000), (250, 500_000), (250, 1_000_000),
                        (3, 333_333), (500, 0), (100, 750_000)):
        assert pi.hardware_PWM(18, hertz, duty) == 0
        period = round(1e9 / hertz)
        assert channel(machine) == (True, period, period * duty // 1_000_000)
        assert (pi.get_PWM_frequency(18), pi.get_PWM_dutycycle(18)) == (hertz, duty)
    edges = Edges(machine)
    period, high = rhythm(edges.wait(160))
    assert period == pytest.approx(0.010, rel=0.2)
    assert high == pytest.approx(0.75, abs=0.15)


def test_pigs_has_hardware_pwm(pigs, machine):  # noqa: F811
    assert pigs("hp", 18, 200, 500000) == []
    assert channel(machine) == (True, 5_000_000, 2_500_000)
    assert pigs("w", 18, 1) == []
    assert channel(machine) == (True, 5_000_000, 5_000_000)
    assert pigs("hp", 18, 200, 250000, "hp", 18, 0, 0) == []
    assert channel(machine) == (True, 5_000_000, 0)
    assert pigs("hp", 17, 200, 500000)[0] == "-95"


def test_the_gateway_sleeps_while_there_are_pulses(pi, machine, control):  # noqa: F811
    assert pi.hardware_PWM(18, 200, 500_000) == 0
    before = control.status()["loop"]["turns"]
    Edges(machine).wait(200)
    assert control.status()["loop"]["turns"] - before < 20, "which are those that ask"


def test_pulses_go_on_without_a_gateway_and_the_next_one_takes_them_over(pi, machine):  # noqa: F811
    assert pi.hardware_PWM(18, 100, 250_000) == 0
    pi.stop()
    end_gateway(machine)
    edges = Edges(machine)
    assert len(edges.wait(40)) >= 40
    assert channel(machine) == (True, 10_000_000, 2_500_000)
    start_gateway(machine)
    row = machine.connect().status()["pulses GPIO18"]
    assert (row["enabled"], row["period"], row["width"]) == (1, "10000000ns", "2500000ns")


def test_a_user_needs_no_more_than_the_group_that_udev_gives_the_files_to(machine_with_pwm):
    """The package's rule, but who follows it here is this test."""
    machine = machine_with_pwm
    rules = (machines.ROOT / "toolchain/package/millrace.rules").read_text()
    command, = re.findall(r"""^SUBSYSTEM=="pwm", .*RUN\+="/bin/sh -c '(.*)'"$""", rules, re.M)
    chip = machine.run("realpath /sys/class/pwm/pwmchip0")[0].removeprefix("/sys")
    udev = command.replace("%p", chip).replace("$$", "$")
    machine.run(f"chgrp gpio /dev/gpiochip*; chmod g+rw /dev/gpiochip*; {GIVE_BACK}")
    program, options = GATEWAY.split(" ", 1)
    as_user = f"start-stop-daemon -S -c nobody:gpio -x {program} -- {options} --pwm GPIO18={CHANNEL}"
    said = machine.run(f"{as_user} 2>&1", status=3)
    assert f"PWM of GPIO18 by {CHANNEL}: cannot open the PWM channel: Permission denied; give its files to" in said[0]
    machine.run(udev)  # the chip is there
    told = int(machine.run("cat /sys/kernel/uevent_seqnum")[0])
    machine.run(f"{as_user} >/tmp/gateway 2>&1 &")
    machines.wait_until(lambda: machine.run(f"ls -d /sys{chip}/pwm0 2>/dev/null; true"), "the channel is there")
    assert int(machine.run("cat /sys/kernel/uevent_seqnum")[0]) > told, "which udev is told"
    machine.run(udev)
    assert machine.connect().status()["pulses GPIO18"]["by"] == "kernel"
    # One that has ended, and whose parent sleeps, has no command line.
    users = machine.run("for pid in $(pidof gateway); do"
                        " ! grep -q . /proc/$pid/cmdline || grep ^Uid: /proc/$pid/status; done")
    assert [user.split()[1:] for user in users] == [["1000"] * 4]
    client = pigpio.pi("127.0.0.1", machine.port(8888), show_errors=False)
    assert client.hardware_PWM(18, 100, 250_000) == 0
    client.stop()
    assert channel(machine) == (True, 10_000_000, 2_500_000)
    end_gateway(machine)


def test_a_channel_that_does_not_exist_is_named(machine):
    said = machine.run("gateway --pwm GPIO17=pwm-gpio:1", status=3)
    assert "PWM of GPIO17 by pwm-gpio:1: the PWM chip has no such channel" in said[0]
    said = machine.run("gateway --pwm GPIO17=fe20c000.pwm:0", status=3)
    assert "there is no such PWM chip" in said[0]
