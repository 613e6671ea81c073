# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Debian's gpiozero with its PiGPIOFactory, unmodified, on the simulated lines."""

import subprocess
import sys
import threading
import warnings

import pytest
from harness import DEADLINE, wait_until

gpiozero = pytest.importorskip("gpiozero", reason="Debian's python3-gpiozero is not installed")
pytest.importorskip("pigpio", reason="Debian's python3-pigpio is not installed")

from gpiozero.pins.pigpio import PiGPIOFactory  # noqa: E402


@pytest.fixture
def factory(pigpiod):
    """Makes connections such as a program of gpiozero's has."""
    made = []

    def make():
        made.append(PiGPIOFactory("127.0.0.1", pigpiod.pigpio_port))
        return made[-1]

    yield make
    for each in made:
        for pin in list(each.pins.values()):
            for device in [reference() for reference in each._reservations[pin.number]]:
                if device is not None:
                    device.close()
        each.close()


@pytest.fixture
def pins(factory):
    return factory()


def level(control, line):
    return control.ok(f"read {line}") == f"{line}=1"


def test_it_finds_out_which_board_this_is(pins):
    assert pins.pi_info.model == "3B"
    assert pins.pi_info.physical_pin("GPIO17") == ("J8", 11)


def test_an_led_is_on_and_off(pins, control):
    led = gpiozero.LED(17, pin_factory=pins)
    assert not level(control, "GPIO17")
    led.on()
    assert level(control, "GPIO17")
    led.toggle()
    assert not level(control, "GPIO17")
    led.on()
    led.close()
    assert control.table("lines GPIO17")["line GPIO17 input"], "as gpiozero leaves it"


def test_a_button_tells_each_press_and_release(pins, control):
    button = gpiozero.Button(4, pin_factory=pins)
    assert control.table("lines GPIO4")["line GPIO4 input"]["bias"] == "pull-up"
    told = []
    button.when_pressed = lambda: told.append("pressed")
    button.when_released = lambda: told.append("released")
    for n in range(1, 11):
        control.pull("GPIO4", "down")
        wait_until(lambda: len(told) == 2 * n - 1, "the press is told")
        assert button.is_pressed
        control.pull("GPIO4", "up")
        wait_until(lambda: len(told) == 2 * n, "the release is told")
        assert not button.is_pressed
    assert told == ["pressed", "released"] * 10


def test_a_button_waits_for_its_press(pins, control):
    button = gpiozero.Button(4, pin_factory=pins)
    thread = threading.Thread(target=button.wait_for_press)
    thread.start()
    control.pull("GPIO4", "down")
    thread.join(DEADLINE)
    assert not thread.is_alive()


@pytest.mark.parametrize("bounce_time", [0.002, 0.05], ids=["filtered-here", "debounced-by-the-kernel"])
def test_a_buttons_bounces_are_no_presses(pins, control, bounce_time):
    button = gpiozero.Button(4, bounce_time=bounce_time, pin_factory=pins)
    presses, releases = [], []
    button.when_pressed = lambda: presses.append(1)
    button.when_released = lambda: releases.append(1)
    for n in range(1, 6):
        control.pull("GPIO4", *["down", "up"] * 20, "down")
        wait_until(lambda: len(presses) == n, "the press is told")
        control.pull("GPIO4", *["up", "down"] * 20, "up")
        wait_until(lambda: len(releases) == n, "the release is told")
    assert (len(presses), len(releases)) == (5, 5)
    debounce = control.table("lines GPIO4")["line GPIO4 input"]["debounce"]
    assert debounce == ("50000us" if bounce_time > 0.01 else "0us")


def test_a_pwm_led_has_pulses_and_gives_them_up(pins, control):
    control.ok("watch GPIO18")
    led = gpiozero.PWMLED(18, frequency=100, pin_factory=pins)
    assert control.event().startswith("event config GPIO18")
    led.value = 0.25
    assert led.value == 0.25
    pulses = []
    while len(pulses) < 20:
        if (event := control.event().split())[1] == "set":
            pulses.append(event[3])
    assert pulses[-10:] in (["level=0", "level=1"] * 5, ["level=1", "level=0"] * 5)
    assert control.status()["pulses"]["lines"] == 1
    led.value = 1
    assert led.value == 1
    assert level(control, "GPIO18")
    assert control.status()["pulses"]["lines"] == 0
    led.value = 0.5
    led.close()
    assert control.status()["pulses"]["lines"] == 0


def test_an_rgb_led_has_three_of_them(pins, control):
    led = gpiozero.RGBLED(20, 21, 22, pin_factory=pins)
    led.color = (1, 0, 0.5)
    assert led.value == (1, 0, 0.5)
    assert (level(control, "GPIO20"), level(control, "GPIO21")) == (True, False)
    assert control.status()["pulses"]["lines"] == 1
    led.color = (0.1, 0.2, 0.3)
    assert control.status()["pulses"]["lines"] == 3


def test_a_servo_moves(pins, control):
    servo = gpiozero.Servo(12, pin_factory=pins)
    servo.min()
    assert servo.value == pytest.approx(-1)
    servo.max()
    assert servo.value == pytest.approx(1)
    assert control.status()["pulses"]["lines"] == 1
    servo.detach()
    assert control.status()["pulses"]["lines"] == 0


def test_a_distance_sensor_hears_its_echo(pins, pigpiod):
    """Whoever watches the trigger is the sensor: it answers each pulse with one of its own."""
    sensor, stop = pigpiod.connect(), threading.Event()

    def echo():
        sensor.ok("set GPIO23=0")
        sensor.ok("watch GPIO23")
        sensor.socket.settimeout(0.1)
        while not stop.is_set():
            try:
                if "event set GPIO23 level=0" in sensor.event():
                    sensor.send("pull GPIO24 up", "pull GPIO24 down")
                    sensor.socket.settimeout(DEADLINE)
                    assert [sensor.answer().last for _ in range(2)] == ["ok", "ok"]
                    sensor.socket.settimeout(0.1)
            except TimeoutError:
                pass

    thread = threading.Thread(target=echo)
    thread.start()
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            # Longer than any echo of a busy machine: what matters is that each is heard.
            distance = gpiozero.DistanceSensor(echo=24, trigger=23, max_distance=15, queue_len=5, pin_factory=pins)
            wait_until(lambda: distance.value < 1, "the queue has distances")
            assert 0 <= distance.distance < 15
            distance.close()
        assert not [w for w in heard if issubclass(w.category, gpiozero.DistanceSensorNoEcho)], "some were not heard"
    finally:
        stop.set()
        thread.join(DEADLINE)


def test_a_motion_sensor_tells_motion(pins, control):
    sensor = gpiozero.MotionSensor(5, pin_factory=pins)
    assert sensor.wait_for_no_motion(DEADLINE)  # it has taken its first sample
    told = []
    sensor.when_motion = lambda: told.append("motion")
    sensor.when_no_motion = lambda: told.append("none")
    control.pull("GPIO5", "up")
    assert sensor.wait_for_motion(DEADLINE)
    control.pull("GPIO5", "down")
    assert sensor.wait_for_no_motion(DEADLINE)
    wait_until(lambda: told == ["motion", "none"], "both are told")


def test_edge_callbacks_tell_the_kernels_time(pins, control):
    device = gpiozero.DigitalInputDevice(6, pin_factory=pins)
    ticks = []

    def changed(tick, state):
        ticks.append((tick, state))

    device.pin.when_changed = changed
    control.ok("watch GPIO6")
    control.pull("GPIO6", *["up", "down"] * 5)
    edges = [control.edge() for _ in range(10)]
    wait_until(lambda: len(ticks) == 10, "all are told")
    assert ticks == [(edge.time // 1000 % 2**32, edge.level) for edge in edges]


def test_two_connections_share_the_lines(factory, control):
    one, other = factory(), factory()
    led = gpiozero.LED(17, pin_factory=one)
    seen = []
    watcher = gpiozero.DigitalInputDevice(4, pin_factory=other)
    watcher.when_activated = lambda: seen.append("other")
    again = gpiozero.DigitalInputDevice(4, pin_factory=one)
    again.when_activated = lambda: seen.append("one")
    led.on()
    assert other.connection.read(17) == 1
    other.connection.write(17, 0)
    assert not led.is_lit
    control.pull("GPIO4", "up")
    wait_until(lambda: sorted(seen) == ["one", "other"], "both are told")


PROGRAM = """
import sys, gpiozero
from gpiozero.pins.pigpio import PiGPIOFactory
button, led = int(sys.argv[1]), int(sys.argv[2])
pins = PiGPIOFactory()
led = gpiozero.LED(led, pin_factory=pins)
button = gpiozero.Button(button, pin_factory=pins)
count = 0
def pressed():
    global count
    count += 1
    led.toggle()
    print(count, flush=True)
button.when_pressed = pressed
print("ready", flush=True)
sys.stdin.read()
"""


def test_several_processes_work_side_by_side(pigpiod, control):
    environment = {"PIGPIO_ADDR": "127.0.0.1", "PIGPIO_PORT": str(pigpiod.pigpio_port), "PATH": "/usr/bin:/bin"}
    pairs = [(n, n + 16) for n in (4, 5, 6, 7, 8)]
    programs = [subprocess.Popen([sys.executable, "-c", PROGRAM, str(button), str(led)], text=True, env=environment,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                for button, led in pairs]
    try:
        for program in programs:
            assert program.stdout.readline() == "ready\n", program.stderr.read()
        presses = 20
        for n in range(1, presses + 1):
            for button, _ in pairs:
                control.pull(f"GPIO{button}", "down", "up")
            for program in programs:
                assert program.stdout.readline() == f"{n}\n"
        for _, led in pairs:
            assert level(control, f"GPIO{led}") == bool(presses % 2)
    finally:
        for program in programs:
            program.stdin.close()
            program.wait(DEADLINE)
            program.stdout.close()
            program.stderr.close()
    assert control.status()["pigpio"]["handles"] == 0, "they died with their sockets"


def test_edges_of_others_outputs_are_told_too(pins, control):
    """pigpiod samples the level, whoever drives it."""
    led = gpiozero.LED(17, pin_factory=pins)
    seen = []
    callback = pins.connection.callback(17, 2, lambda gpio, value, tick: seen.append(value))
    control.ok("set GPIO17=1")
    control.ok("set GPIO17=0")
    led.on()
    wait_until(lambda: seen == [1, 0, 1], "all are told")
    callback.cancel()


def test_edge_times_never_go_back(pins, control):
    """Those of a line: what makes its ticks is what stamps its edges."""
    ticks = []
    callback = pins.connection.callback(6, 2, lambda gpio, value, tick: ticks.append(tick))
    before = pins.connection.get_current_tick()
    for _ in range(50):
        control.pull("GPIO6", "up", "down")
    wait_until(lambda: len(ticks) == 100, "all are told")
    after = pins.connection.get_current_tick()
    times = [(tick - before) % 2**32 for tick in (*ticks, after)]
    assert times == sorted(times)
    assert times[-1] < 2**31
    callback.cancel()
