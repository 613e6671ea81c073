# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The image: how it boots, what holds in the system that it boots, how it ends, and that it can be made again."""

import pathlib
import re
import socket
import subprocess

import machine as machines
import pytest
from machine import LINE, TARGET

pytestmark = pytest.mark.needs("far ends of lines")

SERVING = 15  # seconds of the machine's clock after which the gateway serves, at the most; about 3 are usual


def test_the_gateway_serves_soon_and_the_host_reaches_it(machine, client):
    since = machine.serving_since()
    print(f"serving after {since:.2f} s of the machine's clock")
    assert since < SERVING
    client.status()
    assert [row.split()[1] for row in client.ask("lines").rows] == LINE


def test_the_heap_trap_is_armed(machine):
    command = machine.run("tr '\\0' ' ' </proc/$(pidof gateway)/cmdline")
    assert command[0].rstrip().endswith("--heap-trap abort")


def test_only_state_can_be_written(machine):
    assert "Read-only file system" in machine.run("touch /usr/sbin/gateway", status=1)[0]
    assert "Read-only file system" in machine.run("touch /new", status=1)[0]
    machine.run("touch /state/new && rm /state/new")
    on_disk = [line for line in machine.run("cat /proc/mounts") if line.startswith("/dev/")]
    assert len(on_disk) == 1 and on_disk[0].startswith(f"{TARGET.disk} /state ext4 rw,nosuid,nodev,noexec")


def test_the_console_has_a_shell(machine):
    console = machine.shell()
    console.sendall(b"echo $((6 * 7))$((6 * 7))\n")
    machines.receive_until(console, b"4242")
    console.close()


def test_the_tool_reaches_the_lines(machine, client):
    """toolchain/lines as a user calls it. The fixture's own connection has to go first: there is room for one."""
    machine.reconnect_lines()

    def lines(*words):
        done = subprocess.run([machines.ROOT / "toolchain/lines", "--machine", machine.folder, *words],
                              capture_output=True, text=True, timeout=machines.DEADLINE)
        return done.returncode, done.stdout, done.stderr

    assert lines("pull", LINE[10], "up") == (0, "", "")
    assert client.ok(f"read {LINE[10]}") == f"{LINE[10]}=1"
    assert lines("toggle", LINE[10], "3", "2") == (0, "", "")
    assert client.ok(f"read {LINE[10]}") == f"{LINE[10]}=0"
    client.ok(f"set {LINE[11]}=1")
    assert lines("level", LINE[11]) == (0, "1\n", "")
    assert lines("level", "GPIO32") == (1, "", f"error: no such line, GPIO32, write {TARGET.all_lines}\n")
    assert lines("pull", LINE[10], "sideways") == (1, "", "error: no such way to pull, sideways, write up or down\n")
    assert lines("run", "echo one; echo two; exit 3") == (3, "one\ntwo\n", "")
    assert lines("toggle", LINE[10])[0] == lines("toggle", LINE[10], "many")[0] == 2


def test_a_second_qemu_of_the_same_image_is_refused(machine):
    """It would take the sockets from the first one."""
    machine.reconnect_lines()
    second = subprocess.run([machines.ROOT / "toolchain/qemu", "--sockets", "--port", "0", machine.folder],
                            capture_output=True, text=True, timeout=machines.DEADLINE)
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.startswith(f"qemu: {machine.folder} is running already: ")
    assert machine.run("echo here") == ["here"]


def test_a_port_that_is_taken(tmp_path):
    (tmp_path / "manifest").write_bytes((machines.IMAGE / "manifest").read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused = subprocess.run([machines.ROOT / "toolchain/qemu", "--port", str(port), tmp_path],
                                 stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=machines.DEADLINE)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"qemu: nothing can listen at 127.0.0.1:{port}: give another port, make qemu PORT=7001\n"


def test_without_network_it_serves_as_soon(start_machine):
    """The cable is plugged in later."""
    machine = start_machine()
    machine.monitor.ask("set_link", name="net", up=False)
    machines.wait_until(lambda: machine.run("dmesg | grep -c 'gateway: Try: ' || true") == ["1"], "the gateway serves")
    assert machine.serving_since() < SERVING
    assert machine.run("dmesg | grep -c 'udhcpc: lease of' || true") == ["0"]
    machine.monitor.ask("set_link", name="net", up=True)
    machine.connect()


@pytest.mark.parametrize(
    "how", ["poweroff", pytest.param("power button", marks=pytest.mark.needs("power button")), "reboot"])
def test_power_off_is_clean(start_machine, how):
    machine = start_machine()
    machine.connect()
    if how == "power button":
        machine.monitor.ask("system_powerdown")
    else:
        machine.guest.send(f"run {how}")
    events = machine.monitor.rest()
    assert machine.wait() == 0
    assert events[-1] == "SHUTDOWN" and "WATCHDOG" not in events
    disk = machine.folder / "state.img"
    features = subprocess.run(["/sbin/dumpe2fs", "-h", disk], capture_output=True, text=True, check=True).stdout
    assert re.search(r"^Filesystem state: +clean$", features, re.M) and "needs_recovery" not in features
    assert subprocess.run(["/sbin/e2fsck", "-fn", disk], capture_output=True).returncode == 0
    said = subprocess.run(["/sbin/debugfs", "-R", "cat /ends", disk], capture_output=True, text=True, check=True)
    ends = said.stdout.splitlines()
    assert ends[0] == "boot=1 up" and ends[2] == "boot=1 shut down"
    assert re.fullmatch(r"boot=1 uptime=\S+ started=\S+ status=0: stopped by a signal, as asked\. .* 15", ends[1])


def test_the_watchdog_resets_a_system_that_hangs(start_machine):
    """That of the kernel, which nobody outside hears of, where the machine has no other."""
    machine = start_machine()
    machine.connect()
    machine.guest.send("run kill -STOP $(pidof watchdog)")
    events = machine.monitor.rest()
    machine.wait()
    assert events[-1] == "SHUTDOWN" and ("WATCHDOG" in events) == ("watchdog" in TARGET.has)
    again = start_machine()
    assert again.ends()[-2:] == ["boot=1 cut off: no power, or a reset", "boot=2 up"]


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    """In other folders, and with another umask."""
    program = pathlib.Path(machines.ROOT / f"build/release-{TARGET.arch}/{TARGET.board}/gateway.package")
    for name, umask in (("a", 0o022), ("b/deeper", 0o077)):
        subprocess.run([machines.ROOT / "toolchain/image", TARGET.board, "--arch", TARGET.arch,
                        "--gateway", program, "--output", tmp_path / name], check=True, umask=umask)
    made = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert set(made) >= {"vmlinuz", "initramfs.gz", "manifest"} and set(made) <= set(machines.FILES)
    for file in made:
        assert bool((tmp_path / "a" / file).read_bytes() == (tmp_path / "b/deeper" / file).read_bytes()), file
        assert bool((tmp_path / "a" / file).read_bytes() == (machines.IMAGE / file).read_bytes()), file
