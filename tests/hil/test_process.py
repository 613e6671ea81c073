# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The gateway as a process: options, exit status, signals, sockets in the file system, logs."""

import contextlib
import ctypes
import os
import pathlib
import re
import resource
import signal
import socket
import stat
import subprocess
import threading

import pytest
from harness import DEADLINE, PROGRAM, Port, wait_until

not_sanitized = pytest.mark.skipif("/release/" not in str(PROGRAM), reason="a sanitizer's memory is its own")


def run(*arguments, **how):
    """Runs a gateway that is to end by itself."""
    return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=DEADLINE, check=False, **how)


def test_help_tells_all_options_and_exit_codes():
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("--board", "--listen", "--uart", "--record", "--log", "--heap-trap", "--help", "--version"):
        assert f"\n  {word}" in done.stdout or f", {word}" in done.stdout, word
    assert "Exit status: 0 stopped by a signal, 1 the loop failed, 2 wrong command line" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


def test_version_is_one_line():
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"millrace \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--fly"], "error: no such option, --fly, try --help"),
        (["fly"], "error: no such argument, fly, try --help"),
        (["--listen"], "error: a value is missing, --listen, try --help"),
        (["--board", "c64"], "error: no such board, c64, see --help for those that there are"),
        (["--listen", "web=80"], "error: no such service, web=80, write --listen control=ADDRESS or "
                                "pigpio=ADDRESS"),
        (["--listen", "control=example.org:80"], "error: not an address to listen on or to connect to, "
                                                 "control=example.org:80, "),
        (["--listen", "control=65536"], "error: not an address to listen on or to connect to, control=65536, "),
        (["--listen", "control=unix:"], "error: not a Unix socket's path, control=unix:, give unix:/PATH"),
        (["--listen", "control=unix:/" + "x" * 107], "error: not a Unix socket's path, "),
        (["--listen", "control=0"] * 5, "error: too many addresses, control=0, raise listeners in the board's "
                                        "capacities"),
        (["--line", "GPIO4"], "error: no settings of a line, GPIO4, write for example GPIO17=output,level=1"),
        (["--line", "GPIO4=output,level=2"], "error: no settings of a line, GPIO4=output,level=2, write for example "),
        (["--line", "GPIO4=input"] * 33, "error: too many lines, GPIO4=input, raise lines in the board's capacities"),
        (["--uart", "x"], "error: no serial port, x, write --uart NAME=PATH or NAME=sim"),
        (["--uart", "x=sim,fast"], "error: settings not understood, x=sim,fast, write for example 115200,8N1"),
        (["--uart", "x=/" + "y" * 127], "error: name or path too long, "),
        (["--log", "loud"], "error: no such level, loud, write error, warning, info or debug"),
        (["--heap-trap", "maybe"], "error: no such action, maybe, write count or abort"),
    ],
)
def test_a_wrong_command_line_ends_with_status_2_and_says_why(arguments, error):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(error)
    assert done.stderr.count("\n") == 1


def test_an_unknown_short_option_is_named_in_the_error():
    done = run("-x")
    assert done.returncode == 2
    assert done.stderr == "error: no such option, -x, try --help\n"


def test_a_serial_port_that_is_not_there_ends_it_with_status_3(tmp_path):
    done = run("--board", "sim", "--uart", f"x={tmp_path}/none", "--listen", "control=127.0.0.1:0")
    assert done.returncode == 3
    assert done.stderr.startswith(f"error: x at {tmp_path}/none: cannot open the serial port")
    (tmp_path / "file").touch()
    done = run("--board", "sim", "--uart", f"x={tmp_path}/file", "--listen", "control=127.0.0.1:0")
    assert done.returncode == 3
    assert "this file is no serial port" in done.stderr


def test_lines_are_set_up_before_anybody_is_served(start_gateway):
    gateway = start_gateway("--line", "GPIO17=output,level=1", "--line=GPIO4=input,bias=pull-up,active=low",
                            "--line", "GPIO18=output,drive=open-drain")
    assert gateway.connect().ask("lines GPIO4 GPIO17 GPIO18").rows == [
        'line GPIO4 input bias=pull-up drive=push-pull active=low debounce=0us edges=none level=0 '
        'consumer="millrace" watchers=0',
        'line GPIO17 output bias=as-is drive=push-pull active=high debounce=0us edges=none level=1 '
        'consumer="millrace" watchers=0',
        'line GPIO18 output bias=as-is drive=open-drain active=high debounce=0us edges=none level=0 '
        'consumer="millrace" watchers=0']


@pytest.mark.parametrize("line, error", [
    ("GPIO99=output", "error: no such line, GPIO99=output, board sim has others: see the command lines"),
    ("GPIO4=output,debounce=5ms", "error: GPIO4=output,debounce=5ms: "),
])
def test_a_line_that_can_not_be_set_up_ends_it_with_status_3(line, error):
    done = run("--board", "sim", "--line", line, "--listen", "control=127.0.0.1:0")
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr.startswith(error)


def test_two_serial_ports_of_one_name_end_it_with_status_3():
    done = run("--board", "sim", "--uart", "x=sim", "--uart", "x=sim", "--listen", "control=127.0.0.1:0")
    assert done.returncode == 3
    assert "a serial port of that name is there already" in done.stderr


def test_an_address_in_use_ends_it_with_status_4_and_leaves_no_socket_file(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("--board", "sim", "--listen", f"control=unix:{tmp_path}/s", "--listen", f"control={address}")
    assert done.returncode == 4
    assert done.stdout == ""
    assert re.search(rf"^error: control={address}: .*stop it, or choose another port", done.stderr, re.M)
    assert os.listdir(tmp_path) == []


def test_without_descriptors_the_loop_can_not_be_started_and_it_ends_with_status_1():
    def limit():  # one more than it starts with: enough for the loader
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))

    if any(name in PROGRAM.read_bytes() for name in (b"__asan_init", b"__tsan_init")):
        pytest.skip("a sanitizer needs descriptors of its own")
    done = run("--board", "sim", "--listen", "control=127.0.0.1:0", preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the loop can't be started: ")


def test_a_signal_that_is_ignored_as_nohup_has_it_stays_ignored(start_gateway):
    gateway = start_gateway(before_exec=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    gateway.process.send_signal(signal.SIGHUP)
    assert gateway.connect().ok("read GPIO1") == "GPIO1=0"
    assert gateway.stop() == 0
    assert gateway.stderr() == "info: stopping on signal 15\n"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_with_status_0(gateway, how):
    c = gateway.connect()
    c.ok("read GPIO1")
    assert gateway.stop(how) == 0
    assert gateway.stderr() == f"info: stopping on signal {int(how)}\n"
    assert c.rest() == []
    assert not gateway.unix_path.exists()


def test_it_says_what_it_serves_and_a_line_to_try(gateway):
    lines = gateway.stdout().splitlines()
    assert re.fullmatch(r"Millrace \d+\.\d+\.\d+ on board sim: simulated lines and serial ports", lines[0])
    assert lines[1] == "  lines    GPIO0 to GPIO31, 32 of 32"
    assert lines[2] == f"  uart0    {gateway.uarts['uart0']} at 115200,8N1"
    assert lines[3] == f"  uart1    {gateway.uarts['uart1']} at 115200,8N1"
    assert lines[4] == f"  control  127.0.0.1:{gateway.port}"
    assert lines[5] == f"  control  unix:{gateway.unix_path}"
    assert re.fullmatch("  memory   (locked|not locked: .*; allow it: .*)", lines[6])
    # The line is meant to be tried; what it pipes into nc is fit to be sent as it is.
    shown = re.fullmatch(r"Try: (printf '.*') \| nc -N 127\.0\.0\.1 (\d+)     or talk to it: nc 127\.0\.0\.1 \2",
                         lines[7])
    assert int(shown[2]) == gateway.port
    c = gateway.connect()
    c.send_bytes(subprocess.run(["sh", "-c", shown[1]], capture_output=True, check=True).stdout)
    c.finish_sending()
    assert c.rest()[-1] == "ok 16"


def test_by_default_it_listens_on_loopback_7000_and_in_the_runtime_directory(tmp_path):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 7000))
        except OSError as error:
            pytest.skip(f"port 7000 is not free here: {error}")
    out = tmp_path / "out"
    with open(out, "wb") as stdout:
        process = subprocess.Popen([PROGRAM, "--board", "sim"], stdin=subprocess.DEVNULL, stdout=stdout,
                                   env=os.environ | {"RUNTIME_DIRECTORY": str(tmp_path)})
    try:
        wait_until(lambda: "\nTry: " in out.read_text(), "it serves")
        assert re.findall(r"  control  (.*)", out.read_text()) == ["127.0.0.1:7000", f"unix:{tmp_path}/millrace.sock"]
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0


def test_it_does_without_the_port_of_pigpiod_where_that_is_running(tmp_path):
    with socket.socket() as pigpiod:
        pigpiod.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            pigpiod.bind(("127.0.0.1", 8888))
            pigpiod.listen()
            socket.create_server(("127.0.0.1", 7000)).close()
        except OSError as error:
            pytest.skip(f"ports 7000 and 8888 are not free here: {error}")
        out, err = tmp_path / "out", tmp_path / "err"
        with open(out, "wb") as stdout, open(err, "wb") as stderr:
            process = subprocess.Popen([PROGRAM, "--board", "sim"], stdin=subprocess.DEVNULL, stdout=stdout,
                                       stderr=stderr, env=os.environ | {"RUNTIME_DIRECTORY": str(tmp_path)})
        try:
            wait_until(lambda: "\nTry: " in out.read_text(), "it serves")
            assert "  pigpio   " not in out.read_text()
            assert err.read_text().startswith("warning: pigpio=127.0.0.1:8888: ")
        finally:
            process.terminate()
            assert process.wait(DEADLINE) == 0
        asked_for = run("--listen", "pigpio=8888")
        assert asked_for.returncode == 4
        assert asked_for.stderr.startswith("error: pigpio=127.0.0.1:8888: ")


def test_it_listens_at_several_addresses_and_warns_of_those_that_are_open_to_the_network(start_gateway):
    gateway = start_gateway("--listen", "control=0.0.0.0:0")
    ports = re.findall(r"  control  \S+:(\d+)$", gateway.stdout(), re.M)
    assert len(ports) == 2
    for port in ports:
        with socket.create_connection(("127.0.0.1", int(port)), DEADLINE) as connection:
            connection.sendall(b"read GPIO1\nquit\n")
            assert connection.makefile().read() == "ok GPIO1=0\nok bye\n"
    assert re.search(rf"^warning: control=0\.0\.0\.0:{ports[1]} is open to the network: ", gateway.stderr(), re.M)


def test_the_socket_file_is_for_owner_and_group_only(gateway):
    mode = os.stat(gateway.unix_path).st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def test_a_socket_file_left_by_a_killed_gateway_is_taken_over(start_gateway):
    first = start_gateway()
    first.expected_status = -signal.SIGKILL
    first.process.kill()
    first.process.wait()
    assert first.unix_path.exists()
    second = start_gateway("--listen", f"control=unix:{first.unix_path}")
    second.unix_path = first.unix_path
    assert second.connect("unix").ok("read GPIO1") == "GPIO1=0"


def test_the_socket_file_of_a_gateway_that_runs_is_left_to_it(gateway):
    done = run("--board", "sim", "--listen", f"control=unix:{gateway.unix_path}")
    assert done.returncode == 4
    assert "stop the other gateway, or choose another path" in done.stderr
    assert gateway.connect("unix").ok("read GPIO1") == "GPIO1=0"


def test_a_gateway_that_ends_leaves_another_one_its_socket_file(start_gateway):
    first = start_gateway()
    first.unix_path.unlink()
    second = start_gateway("--listen", f"control=unix:{first.unix_path}")
    assert first.stop() == 0
    second.unix_path = first.unix_path
    assert second.connect("unix").ok("read GPIO1") == "GPIO1=0"


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    file = tmp_path / "precious"
    file.write_text("data")
    done = run("--board", "sim", "--listen", f"control=unix:{file}")
    assert done.returncode == 4
    assert "the file there is no socket: choose another path" in done.stderr
    assert file.read_text() == "data"


def test_it_stops_with_clients_that_idle_watch_and_are_attached(gateway):
    clients = [gateway.connect("unix" if n % 2 else "tcp") for n in range(30)]
    for n, c in enumerate(clients):
        c.ok(["read GPIO1", "watch all", "attach uart0 raw"][n % 3])
    assert gateway.stop() == 0
    for c in clients:
        assert c.rest() == []


def test_it_stops_while_bytes_flow_through_a_port_that_nobody_reads(gateway):
    c = gateway.connect()
    port = Port(gateway.uarts["uart0"])
    c.ok("attach uart0 raw")
    c.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            c.socket.send(bytes(1 << 16))
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(port.fd, bytes(1 << 16))
    assert gateway.stop() == 0
    port.close()


def test_it_stops_in_the_middle_of_a_flood(gateway):
    flooders = [gateway.connect(receive_buffer=4096) for _ in range(4)]
    slow = gateway.connect(receive_buffer=4096)
    slow.send(*["lines"] * 2000)

    def flood(c):
        with contextlib.suppress(OSError):
            while True:
                c.send(*["help", "set GPIO1=1"] * 50)

    def drain(c):
        with contextlib.suppress(OSError):
            while c.socket.recv(1 << 16):
                pass

    threads = [threading.Thread(target=what, args=(c,), daemon=True) for c in flooders for what in (flood, drain)]
    for thread in threads:
        thread.start()
    monitor = gateway.connect()
    wait_until(lambda: monitor.status()["queue normal"]["dispatched"] > 1000, "the flood has begun")
    assert gateway.stop() == 0
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()


def test_logs_carry_the_journals_prefixes_when_it_reads_them(tmp_path):
    log = tmp_path / "journal"
    with open(log, "wb") as err:
        status = os.fstat(err.fileno())
        process = subprocess.Popen([PROGRAM, "--board", "sim", "--listen", "control=127.0.0.1:0"], stderr=err,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   env=os.environ | {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    assert process.stdout.readline().startswith(b"Millrace ")
    process.terminate()
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert log.read_text() == "<6>stopping on signal 15\n"


def test_log_levels_below_the_one_asked_for_are_left_out(start_gateway):
    gateway = start_gateway("--log", "error")
    assert gateway.stop() == 0
    assert gateway.stderr() == ""


def test_a_reader_of_its_output_that_leaves_does_not_stop_it(tmp_path):
    process = subprocess.Popen([PROGRAM, "--board", "sim", "--listen", f"control=unix:{tmp_path}/s"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    process.stderr.close()
    wait_until(lambda: (tmp_path / "s").exists(), "it listens")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE)
        wait_until(lambda: connection.connect_ex(str(tmp_path / "s")) == 0, "it accepts")
        connection.sendall(b"read GPIO1\nquit\n")
        assert connection.makefile().read() == "ok GPIO1=0\nok bye\n"
    process.terminate()
    assert process.wait(DEADLINE) == 0


def kernel_says(gateway, name):
    """A line of /proc/PID/status, as a number."""
    return int(re.search(rf"^{name}:\s+(\d+)", pathlib.Path(f"/proc/{gateway.pid}/status").read_text(), re.M)[1])


@not_sanitized
def test_with_the_heap_trap_set_to_abort_the_kernel_refuses_growth_as_well(start_gateway):
    assert kernel_says(start_gateway(), "Seccomp") == 2  # SECCOMP_MODE_FILTER
    assert kernel_says(start_gateway("--heap-trap", "count"), "Seccomp") == 0


@not_sanitized
def test_memory_is_locked_where_it_says_so(start_gateway):
    gateway = start_gateway()
    assert ("  memory   locked\n" in gateway.stdout()) == (kernel_says(gateway, "VmLck") > 0)


@not_sanitized
def test_memory_that_may_not_be_locked_is_said_so_and_all_else_goes_on(start_gateway):
    def limit():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
        ctypes.CDLL(None).prctl(24, 14, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_IPC_LOCK: root may exceed the limit

    gateway = start_gateway(before_exec=limit)
    assert kernel_says(gateway, "VmLck") == 0
    assert "  memory   not locked: this process may not lock so much memory: " in gateway.stdout()
    assert gateway.connect().ok("read GPIO1") == "GPIO1=0"
