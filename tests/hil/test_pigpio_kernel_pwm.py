# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""PWM, servo and hardware PWM of pigpiod's clients, unmodified, on lines that the kernel's PWM drives.

The kernel's files are only files here: what a driver does of them is tested in QEMU.
"""

import subprocess

import pytest
from harness import DEADLINE, PROGRAM
from pwm_chip import PwmChip

gpiozero = pytest.importorskip("gpiozero", reason="Debian's python3-gpiozero is not installed")
pigpio = pytest.importorskip("pigpio", reason="Debian's python3-pigpio is not installed")

from test_pigpio_gpiozero import factory, pins  # noqa: E402,F401
from test_pigpio_python import connect, pi, refused  # noqa: E402,F401
from test_pigpio_tools import pigs  # noqa: E402,F401


@pytest.fixture
def chip(tmp_path):
    return PwmChip(tmp_path / "pwmchip0")


@pytest.fixture
def pigpiod(start_gateway, chip):
    """GPIO18 and GPIO13 have the two channels of a chip."""
    return start_gateway("--listen", "pigpio=127.0.0.1:0", "--pwm", f"GPIO18={chip.name()}",
                         "--pwm", f"GPIO13={chip.name(1)}")


def test_it_says_which_lines_the_kernel_drives(pigpiod, chip):
    assert f"  pwm      GPIO18 by {chip.name()}\n  pwm      GPIO13 by {chip.name(1)}\n" in pigpiod.stdout()
    assert chip.pulses() is None, "until a client asks, nothing is done"


def test_a_pwm_led_has_the_kernels_pulses(pins, chip, control):  # noqa: F811
    led = gpiozero.PWMLED(18, frequency=440, pin_factory=pins)
    assert chip.pulses() == (2272727, 0)
    led.value = 0.25
    assert chip.pulses() == (2272727, 2272727 // 4)
    assert led.value == pytest.approx(0.25, abs=0.001)
    led.value = 1
    assert chip.pulses() == (2272727, 2272727)
    status = control.status()
    assert status["pulses"]["lines"] == status["pulses"]["edges"] == 0, "no timer has to do with it"
    row = status["pulses GPIO18"]
    assert (row["by"], row["channel"], row["period"], row["width"]) == (
        "kernel", chip.name(), "2272727ns", "2272727ns")
    led.close()
    assert chip.pulses() is None


def test_a_servo_moves_by_the_kernels_pulses(pins, chip):  # noqa: F811
    servo = gpiozero.Servo(13, pin_factory=pins)
    servo.min()
    assert chip.pulses(1) == (20000000, 1000000)
    servo.max()
    assert chip.pulses(1) == (20000000, 2000000)
    servo.close()


def test_hardware_pwm_and_clock(pi, chip):  # noqa: F811
    assert pi.hardware_PWM(18, 1000000, 250000) == 0
    assert chip.pulses() == (1000, 250)
    assert pi.get_PWM_dutycycle(18) == 250000
    assert pi.get_PWM_frequency(18) == 1000000
    assert pi.get_PWM_range(18) == 1000000
    assert pi.get_PWM_real_range(18) == 1000
    assert pi.hardware_clock(13, 10000000) == 0
    assert chip.pulses(1) == (100, 50)
    assert pi.hardware_PWM(18, 0, 0) == 0
    assert chip.pulses() == (1000, 0)
    assert refused(pi.get_PWM_dutycycle, 18) == "GPIO is not in use for PWM"
    assert refused(pi.hardware_PWM, 12, 800, 0) == "GPIO has no hardware PWM"
    assert refused(pi.hardware_clock, 12, 10000) == "GPIO has no hardware clock"
    assert refused(pi.hardware_PWM, 18, 125000001, 0) == "invalid hardware PWM frequency"
    assert refused(pi.hardware_PWM, 18, 800, 1000001) == "hardware PWM dutycycle not 0-1M"


def test_pigs_has_hardware_pwm(pigs, chip):  # noqa: F811
    assert pigs("hp", 18, 800, 500000) == []
    assert chip.pulses() == (1250000, 625000)
    assert pigs("gdc", 18, "pfg", 18, "prg", 18) == ["500000", "800", "1000000"]
    assert pigs("hp", 17, 800, 500000)[0] == "-95"


def test_such_a_line_is_an_output_that_is_never_or_always_high(pi, chip):  # noqa: F811
    assert refused(pi.read, 18) == "no permission to update GPIO", "nobody knows its level while it is off"
    pi.write(18, 1)
    assert chip.pulses() == (1000000, 1000000)
    assert (pi.read(18), pi.get_mode(18), pi.read_bank_1() >> 18 & 1) == (1, pigpio.OUTPUT, 1)
    pi.clear_bank_1(1 << 18)
    assert chip.pulses() == (1000000, 0)
    assert pi.read(18) == 0
    pi.set_PWM_dutycycle(18, 51)
    assert chip.pulses() == (1250000, 250000)
    pi.set_bank_1(1 << 18)
    assert chip.pulses() == (1250000, 250000), "banks do not end PWM"
    pi.set_mode(18, pigpio.INPUT)
    assert chip.pulses() is None
    assert pi.get_mode(18) == pigpio.INPUT
    assert refused(pi.gpio_trigger, 18, 10, 1) == "no permission to update GPIO"


def test_the_line_is_never_requested_as_a_gpio(pi, chip, control):  # noqa: F811
    remedy = "GPIO18, drive it by the pigpio port, or leave out its --pwm"
    busy = "error: the line is driven by the kernel's PWM (Device or resource busy)"
    for command in ("set GPIO18=1", "read GPIO18", "config GPIO18 output", "watch GPIO18"):
        assert control.error(command) == f"{busy}, {remedy}"
    assert control.ok("watch all") == "30"
    pi.set_PWM_dutycycle(18, 51)
    pi.set_pull_up_down(18, pigpio.PUD_UP)
    pi.set_glitch_filter(18, 20000)
    assert 'consumer=""' in control.ask("lines GPIO18").rows[0]


def test_what_was_set_goes_on_when_the_gateway_ends(pi, pigpiod, chip, start_gateway):  # noqa: F811
    pi.hardware_PWM(18, 1000, 500000)
    pi.stop()
    pigpiod.end()
    assert chip.pulses() == (1000000, 500000)
    again = start_gateway("--listen", "pigpio=127.0.0.1:0", "--pwm", f"GPIO18={chip.name()}")
    row = again.connect().status()["pulses GPIO18"]
    assert (row["enabled"], row["period"], row["width"]) == (1, "1000000ns", "500000ns")


def test_what_the_driver_refuses_is_told_and_counted(chip, start_gateway):
    chip.break_file("duty_cycle")
    gateway = start_gateway("--listen", "pigpio=127.0.0.1:0", "--pwm", f"GPIO18={chip.name()}")
    broken = pigpio.pi("127.0.0.1", gateway.pigpio_port, show_errors=False)
    for _ in range(3):
        assert refused(broken.hardware_PWM, 18, 1000, 500000) == "no permission to update GPIO"
    broken.stop()
    assert gateway.connect().status()["pulses GPIO18"]["refused"] == 3
    assert gateway.stderr().count("PWM of GPIO18") == 1, "in the log, once"


@pytest.mark.parametrize("option, status, said", [
    ("GPIO18", 2, "no PWM channel is known, GPIO18"),
    ("GPIO18=", 2, "no PWM channel is known, GPIO18="),
    ("GPIO99={chip}:0", 3, "no such line, --pwm GPIO99="),
    ("GPIO18={chip}", 3, "no name of a PWM channel: Invalid argument; write CHIP:CHANNEL"),
    ("GPIO18={chip}:2", 3, "the PWM chip has no such channel"),
    ("GPIO18={chip}:0 --pwm GPIO12={chip}:0", 3, "the line or the PWM channel is in use"),
    ("GPIO18={chip}:0 --pwm GPIO18={chip}:1", 3, "the line or the PWM channel is in use"),
    ("GPIO18={chip}:0 --line GPIO18=output", 3, "the line is driven by the kernel's PWM"),
    ("GPIO18=/nowhere/pwmchip0:0", 3, "there is no such PWM chip: No such device; enable it, on a Raspberry Pi"),
])
def test_a_channel_that_is_not_there_is_named(chip, option, status, said):
    options = option.format(chip=chip.folder).split()
    command = [PROGRAM, "--board", "sim", "--listen", "pigpio=127.0.0.1:0", "--pwm", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == status
    assert said in done.stderr
