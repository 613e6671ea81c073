# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The target under test: a process, a machine in QEMU or a board. To the suite they are the same.

`lacking(need)` says why the target has not what a test needs, or nothing if it has it. The needs:

  gpio_loopback    at least one line whose other end drives it and senses it
  many_lines       at least four of these
  outputs          lines that the gateway sets up when it starts
  driver_apart     whoever drives them goes on while the gateway is stopped
  bias             resistors that show in the level of a line that nothing drives
  open_output      outputs that drive one level only, and let go at the other
  uart_loopback    a serial port whose bytes come back, or come out at a far end that the suite holds
  uart_break       a far end that can send a break
  uart_adapter     a serial port that can be unplugged
  kill             the gateway can be killed, and is started again
  reboot           the system can be restarted
  power            the power can be cut
"""

import contextlib
import os
import pathlib
import platform
import pty
import signal
import socket
import sys
import termios
import time
import tty

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE.parent), str(ROOT / "tests/qemu")]

import harness  # noqa: E402

from rig import console, deploy, far_end, power  # noqa: E402
from rig.rig import RigError  # noqa: E402

PATIENCE = 60.0  # seconds for a board to be there again


def wait_until(condition, what, patience):
    end = time.monotonic() + patience
    while not (result := condition()) or time.monotonic() > end:
        if time.monotonic() > end:
            raise RigError(f"waited {patience:g} s in vain until {what}" + (", which took longer" if result else ""))
        time.sleep(0.05)
    return result


class Target:
    """What all kinds share. Use as a context: leaving it ends what it has started."""

    def __init__(self, rig, folder):
        self.rig, self.folder = rig, folder
        self.clients = []
        self._far_client = None
        self.far_ends = {}

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.disconnect()
        self.end()

    def open_client(self):
        """A client of the control port, which is the caller's to close."""
        return connect(self.address())

    def connect(self):
        """A client of the control port; disconnect() closes it."""
        self.clients.append(self.open_client())
        return self.clients[-1]

    def disconnect(self):
        """By a reset: one that has only closed could still be reading, as far as the gateway can tell."""
        for client in [*self.clients, *filter(None, [self._far_client])]:
            client.abort()
        self.clients.clear()
        self._far_client = None
        self.far_ends = {}

    def far_client(self):
        if not self._far_client:
            self._far_client = connect(self.rig.far_address) if self.rig.drive == "gateway" else self.open_client()
        return self._far_client

    def let_go(self):
        """Makes inputs of both ends of all wires: what drives one then never meets another that drives it, too.

        A line that is given back to the kernel may go on driving what it drove.
        """
        if self.rig.drive == "emulator":
            return
        client = self.connect()
        for wire in self.rig.wires:
            client.ok(f"config {wire.line} input bias=as-is active=high")
            self.far_end(wire).let_go()

    def far_end(self, wire):
        """The other end of a wire."""
        if wire.line not in self.far_ends:
            self.far_ends[wire.line] = self.make_far_end(wire)
        return self.far_ends[wire.line]

    def make_far_end(self, wire):
        return far_end.LineOfGateway(self.far_client(), wire.far)

    def line_options(self):
        """For the gateway's command line, where it is ours."""
        return [f"--line={line}=output,level={level}" for line, level in self.rig.outputs.items()]

    def lacking(self, need):
        """Why a test that needs it can't be run; nothing if it can."""
        return self.rig.lacks.get(need) or getattr(self, f"no_{need}")()

    def no_gpio_loopback(self):
        return None if self.rig.wires else "no line has another end: see wires in the rig's file"

    def no_many_lines(self):
        return None if len(self.rig.wires) >= 4 else f"of 4 wires there are {len(self.rig.wires)}"

    def no_outputs(self):
        return None if self.rig.outputs else "no line is set up at the gateway's start: see outputs in the rig's file"

    def no_driver_apart(self):
        return "the target's inputs are driven by its own outputs" if self.rig.drive == "wires" else None

    def no_bias(self):
        return None

    def no_open_output(self):
        return None

    def no_uart_loopback(self):
        return None if self.rig.uarts else "no serial port is wired: see uarts in the rig's file"

    def no_uart_break(self):
        return "no far end of a serial port can send a break"

    def no_uart_adapter(self):
        return "no serial port can be unplugged by this rig"

    def no_kill(self):
        return None

    def no_reboot(self):
        return "the rig has no way to restart the system"

    def no_power(self):
        return "the rig has no power: see power in its file"

    def facts(self):
        """What the report begins with."""
        with contextlib.closing(self.open_client()) as client:
            gateway = client.status()["gateway"]
        if gateway["board"] != self.rig.board:
            raise RigError(f"the rig's file says board: {self.rig.board}, and the gateway that it is on"
                           f" {gateway['board']}: which is right?")
        return {"target": self.rig.name, "realm": realm(self.rig.kind, gateway["board"]), "board": gateway["board"],
                "gateway": gateway["version"]} | self.system()


def realm(kind, board):
    """What a result is worth. A board's own word counts: whatever a rig says, a simulation is no hardware."""
    if "sim" in (kind, board):
        return "simulation"
    return "emulation" if kind == "qemu" or board.startswith("qemu-") else "hardware"


def connect(address):
    host, _, port = address.rpartition(":")
    try:
        connection = socket.create_connection((host, int(port)), harness.DEADLINE)
    except OSError as failure:
        raise RigError(f"address {address}: {failure}: is the gateway running, and listens there"
                       f" (--listen control=*:{port})?") from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return harness.Client(connection)


def serves(open_client):
    """A client, or nothing if there is nobody who serves one yet."""
    try:
        client = open_client()
        if client.greet() == "ok":
            return client
        client.close()
    except (OSError, EOFError, RigError):
        pass
    return None


class Adapter:
    """A serial adapter that can be unplugged: a pseudo-terminal behind a name that stays."""

    def __init__(self, path):
        self.path = path
        self.fd = None
        self.plug_in()

    def plug_in(self):
        self.fd, slave = pty.openpty()
        tty.setraw(slave)
        name = os.ttyname(slave)
        new = self.path.with_name(self.path.name + ".new")
        new.symlink_to(name)
        new.replace(self.path)
        self._slave = slave  # as without one, reading the master is an error until the gateway has opened it

    def unplug(self):
        self.path.unlink()
        os.close(self._slave)
        os.close(self.fd)
        self.fd = None


class Simulation(Target):
    """The gateway on the board `sim`."""

    gateway = None

    def start(self):
        self._started = 0
        self.adapter = Adapter(self.folder / "adapter")
        self._start()

    def _start(self):
        folder = self.folder / f"gateway{self._started}"
        folder.mkdir()
        self._started += 1
        self.gateway = harness.Gateway(folder, ["--uart", "uart0=sim", "--uart", "uart1=sim",
                                                "--uart", f"adapter={self.adapter.path}", *self.line_options()])

    def address(self):
        return f"127.0.0.1:{self.gateway.port}"

    def make_far_end(self, wire):
        return far_end.PulledBySimulation(self.far_client(), wire.line)

    def open_port(self, uart):
        if uart.name == "adapter":
            port = harness.Port.__new__(harness.Port)
            port.fd = os.dup(self.adapter.fd)
            os.set_blocking(port.fd, False)
            return port
        return harness.Port(self.gateway.uarts[uart.name])

    def no_driver_apart(self):
        return "the simulation is part of the gateway"

    def no_reboot(self):
        return "a process has no system of its own"

    def no_uart_adapter(self):
        return None

    def unplug(self):
        self.adapter.unplug()

    def plug_in(self):
        self.adapter.plug_in()

    def kill(self):
        """Nobody supervises it but we."""
        self.gateway.process.send_signal(signal.SIGKILL)
        self.gateway.process.wait()
        self.gateway.check_log()
        self._start()

    def stop_gateway(self):
        self.gateway.process.send_signal(signal.SIGSTOP)

    def continue_gateway(self):
        self.gateway.process.send_signal(signal.SIGCONT)

    def system(self):
        return {"kernel": f"{platform.system()} {platform.release()} (of this machine)"}

    def end(self):
        if self.gateway:
            self.gateway.end()


class Emulation(Target):
    """A machine in QEMU that has booted the image."""

    machine = None

    def start(self):
        import machine as machines
        self._machines = machines
        suffix = "" if self.rig.arch == "arm64" else f"-{self.rig.arch}"
        self.image = ROOT / f"build/images/{self.rig.board}{suffix}"
        if not (self.image / "manifest").exists():
            raise RigError(f"there is no image in {self.image}: make hil TARGET={self.rig.name} makes it")
        self._boot()

    def _boot(self):
        self.machine = self._machines.Machine(self.folder / "machine", image=self.image,
                                              options=" ".join(["--heap-trap abort", *self.line_options()]))
        self._wait()

    def _wait(self):
        """QEMU accepts before anybody in the machine does."""
        self.machine.connect().close()
        self.machine.clients.clear()

    def address(self):
        return f"127.0.0.1:{self.machine.port()}"

    def make_far_end(self, wire):
        return far_end.PulledByEmulator(self.machine, wire.line)

    def open_port(self, uart):
        return self.machine.serial_port(uart.name)

    def disconnect(self):
        super().disconnect()
        self.machine.reconnect_lines()

    def no_power(self):
        return None

    def no_uart_break(self):
        return None

    def send_break(self, uart):
        self.machine.monitor.ask("chardev-send-break", id=uart.name)

    def run(self, command):
        return self.machine.run(command)

    def kill(self):
        before = self.machine.gateway_pid()
        self.machine.run("kill -KILL $(pidof gateway)")
        self._wait()
        assert self.machine.gateway_pid() != before

    def stop_gateway(self):
        self.machine.run("kill -STOP $(pidof gateway)")

    def continue_gateway(self):
        self.machine.run("kill -CONT $(pidof gateway)")

    def cut_power(self):
        self.machine.kill()
        self.machine.end()
        self._boot()

    def no_reboot(self):
        return None

    def reboot(self):
        self.machine.guest.send("run reboot")
        self.machine.wait()
        self.machine.end()
        self._boot()

    def system(self):
        version = self.machine.monitor.ask("query-version")["qemu"]
        return {"kernel": self.run("uname -srm")[0],
                "emulator": "QEMU {major}.{minor}.{micro}, machine ".format(**version) + str(self.rig.machine)}

    def end(self):
        if self.machine:
            self.machine.end()


def set_up(fd, rate, frame):
    """A serial port of this machine: `115200`, `8N1`. Bytes pass as they are, and none is left from before."""
    attributes = termios.tcgetattr(fd)
    attributes[0] = attributes[1] = attributes[3] = 0
    attributes[2] = termios.CREAD | termios.CLOCAL | {"7": termios.CS7, "8": termios.CS8}[frame[0]] | {
        "N": 0, "E": termios.PARENB, "O": termios.PARENB | termios.PARODD}[frame[1]] | (
        termios.CSTOPB if frame[2] == "2" else 0)
    speed = getattr(termios, f"B{rate}", None)
    if speed is None:
        raise RigError(f"a port of this machine can't be set to {rate} baud: leave it out of baud_rates")
    attributes[4] = attributes[5] = speed
    try:
        termios.tcsetattr(fd, termios.TCSAFLUSH, attributes)
    except termios.error as failure:
        raise RigError(f"a port of this machine can't be set to {rate},{frame}: {failure}") from None


class Board(Target):
    """A board, reached as its rig says."""

    power = console = deploy = None

    def start(self):
        self.power = power.open_power(self.rig.power)
        if self.power:
            self.power.on()
        if self.rig.console:
            self.console = console.open_console(self.rig.console, self.folder / "console.log")
        build = os.environ.get("MILLRACE_BUILD", ROOT / f"build/release-{self.rig.arch}/{self.rig.board}")
        if self.rig.deploy:
            self.deploy = deploy.open_deploy(self.rig.deploy, pathlib.Path(build))
            self.deploy.install()
            self.deploy.restart()
        self._wait()
        self._log_in()

    def _log_in(self):
        if self.console and not self.deploy:
            self.console.login()

    def _wait(self):
        patience = self.rig.limits.get("boot", PATIENCE)
        wait_until(lambda: serves(self.open_client), f"the gateway serves at {self.rig.address}", patience).close()

    def address(self):
        return self.rig.address

    def open_port(self, uart):
        """A port of this machine, set up as the gateway's is."""
        with contextlib.closing(self.open_client()) as client:
            rows = client.table("uarts").items()
        rate, frame = next(row["settings"] for key, row in rows if key.split()[1] == uart.name).split(",")[:2]
        port = harness.Port(uart.far_end)
        set_up(port.fd, rate, frame)
        return port

    def no_kill(self):
        return None if self.deploy and "kill" in self.rig.deploy else "the rig has no deploy with a kill command"

    def no_driver_apart(self):
        pauses = self.deploy and {"pause", "resume"} <= set(self.rig.deploy)
        return super().no_driver_apart() or (None if pauses else "the rig has no deploy with pause and resume")

    def no_reboot(self):
        return None if self.deploy and "reboot" in self.rig.deploy else "the rig has no deploy with a reboot command"

    def no_power(self):
        return None if self.power else super().no_power()

    def kill(self):
        since = time.monotonic()
        self.deploy.kill()
        self._wait_for_another(since)

    def stop_gateway(self):
        self.deploy.pause()

    def continue_gateway(self):
        self.deploy.resume()

    def cut_power(self):
        since = time.monotonic()
        self.power.cycle()
        self._back_up(since)

    def reboot(self):
        since = time.monotonic()
        self.deploy.reboot()
        self._back_up(since)

    def _back_up(self, since):
        """The system is another, so nothing that was connected to the one before is."""
        if self.deploy:
            self.deploy.disconnect()
        self._wait_for_another(since)
        if self.console and "cmd" in self.rig.console:
            self.console.close()
            self.console = console.open_console(self.rig.console, self.folder / "console.log")
        self._log_in()

    def _wait_for_another(self, since):
        """Until a gateway serves that was started later than this: the one of before may still do so for a while."""

        def another():
            client = serves(self.open_client)
            if not client:
                return False
            with contextlib.closing(client):
                uptime = int(client.status()["gateway"]["uptime"].removesuffix("us"))
            return uptime / 1e6 < time.monotonic() - since

        wait_until(another, "the gateway serves again", self.rig.limits.get("boot", PATIENCE))

    def system(self):
        if self.deploy:
            return self.deploy.facts()
        return {"kernel": self.console.run("uname -srm")[1][0]} if self.console else {}

    def end(self):
        try:
            if self.deploy and "logs" in self.rig.deploy:
                (self.folder / "gateway.log").write_text(self.deploy.logs())
        finally:
            if self.deploy:
                self.deploy.close()
            if self.console:
                self.console.close()


FAILURES = (RigError, power.PowerError, console.ConsoleError, deploy.DeployError)
KINDS = {"sim": Simulation, "qemu": Emulation, "board": Board}


def open_target(rig, folder):
    folder.mkdir(parents=True, exist_ok=True)
    return KINDS[rig.kind](rig, folder)
