# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The image: how it boots, what holds in the system that it boots, how it ends, and that it can be made again."""

import pathlib
import re
import subprocess

import machine as machines
import pytest

SERVING = 15  # seconds of the machine's clock after which the gateway serves, at the most; about 3 are usual


def test_the_gateway_serves_soon_and_the_host_reaches_it(machine, client):
    since = machine.serving_since()
    print(f"serving after {since:.2f} s of the machine's clock")
    assert since < SERVING
    client.status()
    assert len(client.ask("lines").rows) == 32


def test_the_heap_trap_is_armed(machine):
    command = machine.run("tr '\\0' ' ' </proc/$(pidof gateway)/cmdline")
    assert command[0].rstrip().endswith("--heap-trap abort")


def test_only_state_can_be_written(machine):
    assert "Read-only file system" in machine.run("touch /usr/sbin/gateway", status=1)[0]
    assert "Read-only file system" in machine.run("touch /new", status=1)[0]
    machine.run("touch /state/new && rm /state/new")
    on_disk = [line for line in machine.run("cat /proc/mounts") if line.startswith("/dev/")]
    assert len(on_disk) == 1 and on_disk[0].startswith("/dev/vda /state ext4 rw,nosuid,nodev,noexec")


def test_the_console_has_a_shell(machine):
    console = machines.connect(machine.folder, "console.sock")
    console.sendall(b"\n")
    said = b""
    while b"/ # " not in said:
        said += console.recv(4096)
    console.sendall(b"echo $((6 * 7))$((6 * 7))\n")
    while b"4242" not in said:
        said += console.recv(4096)
    console.close()


def test_the_tool_reaches_the_lines(machine, client):
    """toolchain/lines as a user calls it. The fixture's own connection has to go first: there is room for one."""
    machine.reconnect_lines()

    def lines(*words):
        done = subprocess.run([machines.ROOT / "toolchain/lines", "--machine", machine.folder, *words],
                              capture_output=True, text=True, timeout=machines.DEADLINE)
        return done.returncode, done.stdout, done.stderr

    assert lines("pull", "GPIO10", "up") == (0, "", "")
    assert client.ok("read GPIO10") == "GPIO10=1"
    client.ok("set GPIO11=1")
    assert lines("level", "GPIO11") == (0, "1\n", "")
    assert lines("level", "GPIO32") == (1, "", "error: no such line, GPIO32, write GPIO0 to GPIO31\n")
    assert lines("pull", "GPIO10", "sideways") == (1, "", "error: no such way to pull, sideways, write up or down\n")
    assert lines("run", "false") == (1, "", "")


def test_without_network_it_serves_as_soon(start_machine):
    """The cable is plugged in later."""
    machine = start_machine()
    machine.monitor.ask("set_link", name="net", up=False)
    machines.wait_until(lambda: machine.run("dmesg | grep -c 'gateway: Try: ' || true") == ["1"], "the gateway serves")
    assert machine.serving_since() < SERVING
    assert machine.run("dmesg | grep -c 'udhcpc: lease of' || true") == ["0"]
    machine.monitor.ask("set_link", name="net", up=True)
    machine.connect()


@pytest.mark.parametrize("how", ["poweroff", "power button", "reboot"])
def test_power_off_is_clean(start_machine, how):
    machine = start_machine()
    machine.connect()
    if how == "power button":
        machine.monitor.ask("system_powerdown")
    else:
        machine.lines.send(f"run {how}")
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
    machine = start_machine()
    machine.connect()
    machine.lines.send("run kill -STOP $(pidof watchdog)")
    events = machine.monitor.rest()
    machine.wait()
    assert "WATCHDOG" in events
    again = start_machine()
    assert again.ends()[-2:] == ["boot=1 cut off: no power, or a reset", "boot=2 up"]


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    """In other folders, and with another umask."""
    program = pathlib.Path(machines.ROOT / "build/release-arm64/qemu-virt/gateway.package")
    for name, umask in (("a", 0o022), ("b/deeper", 0o077)):
        subprocess.run([machines.ROOT / "toolchain/image", "qemu-virt", "--gateway", program,
                        "--output", tmp_path / name], check=True, umask=umask)
    for file in ("vmlinuz", "initramfs.gz", "manifest"):
        assert bool((tmp_path / "a" / file).read_bytes() == (tmp_path / "b/deeper" / file).read_bytes()), file
        assert bool((tmp_path / "a" / file).read_bytes() == (machines.IMAGE / file).read_bytes()), file
