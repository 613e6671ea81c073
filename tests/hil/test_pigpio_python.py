# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Debian's Python client of pigpiod, unmodified, on the simulated lines and serial ports."""

import os
import struct
import threading

import pytest
from harness import DEADLINE, Port, wait_until

pigpio = pytest.importorskip("pigpio", reason="Debian's python3-pigpio is not installed")


@pytest.fixture
def connect(pigpiod):
    """Connects clients: each has two sockets."""
    made = []

    def make():
        made.append(pigpio.pi("127.0.0.1", pigpiod.pigpio_port, show_errors=False))
        assert made[-1].connected
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def pi(connect):
    return connect()


class Callback:
    """A callback of a GPIO and what it was called with."""

    def __init__(self, pi, gpio, edge=pigpio.EITHER_EDGE):
        self.calls = []
        self.callback = pi.callback(gpio, edge, lambda *call: self.calls.append(call))

    def levels(self):
        return [level for _, level, _ in self.calls]

    def wait(self, levels):
        wait_until(lambda: self.levels() == levels, f"{levels} are told and not {self.levels()}")


def refused(pi_call, *arguments):
    with pytest.raises(pigpio.error) as caught:
        pi_call(*arguments)
    return caught.value.value


def test_it_is_a_pi_with_pigpio(pi):
    assert pi.get_pigpio_version() == 79
    assert pi.get_hardware_revision() == 0xA02082


def test_modes_pulls_and_levels(pi, control):
    assert pi.get_mode(4) == pigpio.INPUT
    assert pi.read(4) == 0
    pi.set_pull_up_down(4, pigpio.PUD_UP)
    assert pi.read(4) == 1
    pi.set_pull_up_down(4, pigpio.PUD_DOWN)
    assert pi.read(4) == 0
    pi.write(17, 1)
    assert pi.get_mode(17) == pigpio.OUTPUT
    assert control.ok("read GPIO17") == "GPIO17=1"
    pi.set_mode(17, pigpio.INPUT)
    assert pi.get_mode(17) == pigpio.INPUT
    row = control.table("lines GPIO4")["line GPIO4 input"]
    assert row["bias"] == "pull-down"


def test_errors_are_pigpiods_own(pi):
    assert refused(pi.set_mode, 54, 0) == "GPIO not 0-53"
    assert refused(pi.set_mode, 4, 8) == "mode not 0-7"
    assert refused(pi.set_mode, 40, 0) == "no permission to update GPIO"
    assert refused(pi.set_pull_up_down, 4, 3) == "pud not 0-2"
    assert refused(pi.write, 4, 2) == "level not 0-1"
    assert refused(pi.read, 54) == "GPIO not 0-53"
    assert refused(pi.set_watchdog, 32, 0) == "GPIO not 0-31"
    assert refused(pi.set_watchdog, 4, 60001) == "timeout not 0-60000"
    assert refused(pi.set_servo_pulsewidth, 4, 499) == "pulsewidth not 0 or 500-2500"
    assert refused(pi.set_PWM_dutycycle, 4, 256) == "dutycycle not 0-range (default 255)"
    assert refused(pi.get_PWM_dutycycle, 4) == "GPIO is not in use for PWM"
    assert refused(pi.get_servo_pulsewidth, 4) == "GPIO is not in use for servo pulses"
    assert refused(pi.gpio_trigger, 4, 101, 1) == "trigger pulse length not 1-100"
    assert refused(pi.hardware_PWM, 18, 800, 250000) == "GPIO has no hardware PWM"
    assert refused(pi.hardware_clock, 4, 5000) == "GPIO has no hardware clock"
    assert refused(pi.set_glitch_filter, 4, 300001) == "bad filter parameter"
    assert refused(pi.notify_begin, 31, 0) == "unknown handle"
    assert refused(pi.event_trigger, 32) == "bad event id"


def test_what_is_not_served_is_refused_at_once_and_the_connection_goes_on(pi):
    for call, arguments in (
        (pi.wave_clear, ()), (pi.wave_add_generic, ([pigpio.pulse(1 << 4, 0, 100)] * 50,)), (pi.wave_create, ()),
        (pi.wave_tx_busy, ()), (pi.wave_chain, (b"\x00\xff",)), (pi.i2c_open, (1, 0x53)), (pi.spi_open, (0, 50000)),
        (pi.store_script, (b"tag 0 w 4 1 mils 500 jmp 0",)), (pi.bb_serial_read_open, (4, 9600)),
        (pi.get_pad_strength, (0,)),
        (pi.file_open, ("/etc/passwd", pigpio.FILE_READ)), (pi.shell, ("anything", "at all")),
    ):
        assert refused(call, *arguments) == "unknown command", call
    assert pi.read(4) == 0


def test_callbacks_are_called_for_their_edges(pi, control):
    either, rising, falling = (Callback(pi, 4, edge) for edge in
                               (pigpio.EITHER_EDGE, pigpio.RISING_EDGE, pigpio.FALLING_EDGE))
    for _ in range(5):
        control.pull("GPIO4", "up", "down")
    either.wait([1, 0] * 5)
    rising.wait([1] * 5)
    falling.wait([0] * 5)
    ticks = [tick for _, _, tick in either.calls]
    assert ticks == sorted(ticks) or max(ticks) - min(ticks) > 2**31
    either.callback.cancel()
    control.pull("GPIO4", "up")
    rising.wait([1] * 6)
    assert len(either.calls) == 10


def test_no_edge_is_lost_in_a_burst(pi, control):
    callback = pi.callback(4, pigpio.EITHER_EDGE)
    for _ in range(200):
        control.pull("GPIO4", *["up", "down"] * 4)  # the line's FIFO holds as many again
    wait_until(lambda: callback.tally() == 1600, "all are counted")


def test_the_first_edge_after_setting_a_pull_up_is_told(pi, control):
    """The client compares levels with those that it was told last: a pull that changes one must not mislead it."""
    pi.set_pull_up_down(4, pigpio.PUD_UP)
    assert pi.read(4) == 1
    heard = []
    pi.event_callback(31, lambda *call: heard.append(call))
    pi.event_trigger(31)
    wait_until(lambda: heard, "its thread has heard all that came before")
    callback = Callback(pi, 4)
    control.pull("GPIO4", "down")
    callback.wait([0])
    control.pull("GPIO4", "up")
    callback.wait([0, 1])


def test_wait_for_edge_waits_and_gives_up(pi, control):
    result = []
    thread = threading.Thread(target=lambda: result.append(pi.wait_for_edge(4, pigpio.RISING_EDGE, DEADLINE)))
    thread.start()
    wait_until(lambda: "rising" in control.ask("lines GPIO4").rows[0] or "both" in control.ask("lines GPIO4").rows[0],
               "it watches")
    control.pull("GPIO4", "up")
    thread.join(DEADLINE)
    assert result == [True]
    assert pi.wait_for_edge(5, pigpio.RISING_EDGE, 0.2) is False


def test_a_watchdog_barks_while_nothing_changes(pi, control):
    callback = Callback(pi, 4)
    pi.set_watchdog(4, 20)
    wait_until(lambda: len(callback.calls) >= 3, "it has barked")
    pi.set_watchdog(4, 0)
    assert set(callback.levels()) == {pigpio.TIMEOUT}
    gaps = [(b[2] - a[2]) % 2**32 for a, b in zip(callback.calls, callback.calls[1:])]
    assert min(gaps) >= 20000
    count = len(callback.calls)
    control.pull("GPIO4", "up")
    wait_until(lambda: callback.levels()[count:] == [1] or callback.levels()[count + 1 :] == [1], "the edge is told")


def test_events_go_from_client_to_client(connect):
    one, other = connect(), connect()
    heard = []
    callback = other.event_callback(7, lambda event, tick: heard.append(event))
    one.event_trigger(8)
    one.event_trigger(7)
    wait_until(lambda: heard == [7], "the event is told")
    callback.cancel()
    waiting = threading.Thread(target=lambda: heard.append(other.wait_for_event(9, DEADLINE)))
    waiting.start()
    while waiting.is_alive():  # as nobody can tell when it has begun to wait
        one.event_trigger(9)
        waiting.join(0.01)
    assert heard == [7, True]


def test_banks_are_read_and_written_together(pi, control):
    for gpio in (8, 9, 10):
        pi.set_mode(gpio, pigpio.OUTPUT)
    pi.set_bank_1(0b111 << 8)
    assert pi.read_bank_1() >> 8 & 0b111 == 0b111
    pi.clear_bank_1(0b010 << 8)
    assert control.ok("read GPIO8 GPIO9 GPIO10") == "GPIO8=1 GPIO9=0 GPIO10=1"
    assert pi.read_bank_1() >> 8 & 0b111 == 0b101
    control.pull("GPIO11", "up")
    assert pi.read_bank_1() >> 11 & 1 == 1
    assert pi.read_bank_2() == 0
    assert refused(pi.set_bank_2, 1) == "no permission to update one or more GPIO"


def test_a_glitch_filter_holds_back_what_is_short(pi, control):
    pi.set_mode(4, pigpio.INPUT)
    pi.set_glitch_filter(4, 5000)
    callback = Callback(pi, 4)
    control.pull("GPIO4", *["up", "down"] * 20)
    control.pull("GPIO4", "up")
    callback.wait([1])
    pi.set_glitch_filter(4, 0)
    control.pull("GPIO4", "down", "up")
    callback.wait([1, 0, 1])


def test_a_noise_filter_passes_a_burst_after_a_quiet_time(pi, control):
    pi.set_mode(4, pigpio.INPUT)
    callback = Callback(pi, 4)
    pi.set_noise_filter(4, 50000, 1000000)
    control.pull("GPIO4", "up", "down")  # too early: it was not quiet for long enough
    assert pi.wait_for_edge(5, pigpio.EITHER_EDGE, 0.1) is False  # quiet
    control.pull("GPIO4", "up", "down", "up")
    callback.wait([1, 0, 1])
    pi.set_noise_filter(4, 0, 0)


def test_pwm_as_it_is_asked_for_and_as_it_is(pi, control):
    assert pi.get_PWM_frequency(18) == 800
    assert pi.get_PWM_range(18) == 255
    assert pi.get_PWM_real_range(18) == 250
    assert pi.set_PWM_frequency(18, 90) == 100
    assert pi.set_PWM_range(18, 100) == 2000
    pi.set_PWM_dutycycle(18, 25)
    assert pi.get_PWM_dutycycle(18) == 25
    control.ok("watch GPIO18")
    edges = []
    while len(edges) < 40:
        event = control.event().split()
        if event[1] == "set":
            edges.append((event[3], float(event[4].removeprefix("time="))))
    highs = [end - begin for (level, begin), (_, end) in zip(edges, edges[1:]) if level == "level=1"]
    lows = [end - begin for (level, begin), (_, end) in zip(edges, edges[1:]) if level == "level=0"]
    assert 0.15 < sum(highs) / (sum(highs) + sum(lows)) < 0.35  # on average, whatever each one's lateness
    pulses = control.status()["pulses"]
    assert pulses["lines"] == 1
    assert pulses["edges"] >= 40
    pi.set_PWM_dutycycle(18, 0)
    assert control.status()["pulses"]["lines"] == 0
    assert pi.get_PWM_dutycycle(18) == 0


def test_servo_pulses(pi, control):
    pi.set_servo_pulsewidth(18, 1500)
    assert pi.get_servo_pulsewidth(18) == 1500
    assert pi.get_mode(18) == pigpio.OUTPUT
    before = control.status()["pulses"]["edges"]
    wait_until(lambda: control.status()["pulses"]["edges"] > before + 10, "it moves")
    pi.write(18, 0)
    assert refused(pi.get_servo_pulsewidth, 18) == "GPIO is not in use for servo pulses"
    assert control.status()["pulses"]["lines"] == 0


def test_a_trigger_is_one_pulse(pi, control):
    pi.write(23, 0)
    control.ok("watch GPIO23")
    for _ in range(20):
        pi.gpio_trigger(23, 50, 1)
    levels = [control.event().split()[3] for _ in range(40)]
    assert levels == ["level=1", "level=0"] * 20


def test_serial_ports(pi, pigpiod):
    far = Port(pigpiod.uarts["uart0"])
    try:
        handle = pi.serial_open("/dev/serial0", 9600)
        assert pi.serial_data_available(handle) == 0
        assert refused(pi.serial_read_byte, handle) == "ser read no data available"
        assert pi.serial_read(handle)[0] == 0
        pi.serial_write(handle, b"hello")
        assert far.read(5) == b"hello"
        pi.serial_write_byte(handle, 0xFF)
        assert far.read(1) == b"\xff"
        far.write(b"\x00world")
        wait_until(lambda: pi.serial_data_available(handle) == 6, "it has come in")
        assert pi.serial_read_byte(handle) == 0
        assert pi.serial_read(handle, 3) == (3, bytearray(b"wor"))
        assert pi.serial_read(handle, 100) == (2, bytearray(b"ld"))
        pi.serial_close(handle)
        assert pi.serial_read(handle)[0] == pigpio.PI_BAD_HANDLE
        assert refused(pi.serial_open, "/etc/passwd", 9600) == "bad serial device name"
        assert refused(pi.serial_open, "/dev/ttyS7", 9600) == "can't open serial device"
        assert refused(pi.serial_open, "/dev/serial0", 12345) == "bad serial baud rate"
    finally:
        far.close()


def test_megabytes_go_through_a_serial_port(pi, pigpiod, control):
    """More than any buffer holds, both ways: each waits for the other and nothing is dropped."""
    far = Port(pigpiod.uarts["uart0"])
    data = os.urandom(200_000)
    try:
        handle = pi.serial_open("uart0", 115200)
        reader = threading.Thread(target=lambda: received.append(far.read(len(data))))
        received = []
        reader.start()
        for at in range(0, len(data), 10_000):
            pi.serial_write(handle, data[at : at + 10_000])
        reader.join(DEADLINE)
        assert received == [data]
        writer = threading.Thread(target=lambda: far.write(data))
        writer.start()
        back = bytearray()
        while len(back) < len(data):
            count, part = pi.serial_read(handle, 1000)
            back += part[:count] if count > 0 else b""
        writer.join(DEADLINE)
        assert bytes(back) == data
        assert control.table("uarts")["uart uart0 open"]["dropped"] == 0
    finally:
        far.close()


def test_reports_of_a_handle_of_its_own_come_through_a_fifo(pi, control):
    if not os.access("/dev", os.W_OK):
        pytest.skip("only who may write to /dev can have FIFOs there")
    handle = pi.notify_open()
    path = f"/dev/pigpio{handle}"
    with open(path, "rb", buffering=0) as fifo:
        pi.notify_begin(handle, 1 << 4)
        control.pull("GPIO4", "up", "down")
        reports = b""
        while len(reports) < 24:
            reports += fifo.read(24 - len(reports))
        (first, flags, begin, levels), (second, _, end, _) = struct.iter_unpack("<2H2I", reports)
        assert (first, second, flags, levels) == (0, 1, 0, 1 << 4)
        assert (end - begin) % 2**32 < 2**31
        pi.notify_pause(handle)
        control.pull("GPIO4", "up")
        pi.notify_close(handle)
        assert fifo.read(12) == b"", "nothing while paused, and the end when it is closed"
    assert not os.path.exists(path)


def test_handles_die_with_their_sockets_and_lines_stay(connect, control):
    one = connect()
    one.write(17, 1)
    Callback(one, 4)
    assert control.status()["pigpio"]["handles"] == 1
    one.stop()
    wait_until(lambda: control.status()["pigpio"]["handles"] == 0, "the handle is closed")
    assert control.status()["pigpio"]["open"] == 0
    assert control.ok("read GPIO17") == "GPIO17=1"
    assert connect().read(17) == 1
