# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""toolchain/deb makes a package that is complete, reproducible, and true to the program that is in it."""

import gzip
import io
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tarfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/hil"))

from pwm_chip import PwmChip  # noqa: E402

BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD", "build/release/sim"))
PROGRAM = ROOT / BUILD / "gateway-static.package"
ARCHITECTURE = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
TIME = 1_700_000_000

pytestmark = pytest.mark.skipif("release" not in BUILD.parts, reason="what a sanitizer is in is not packaged")


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def build(folder: pathlib.Path, *, program=PROGRAM, libraries=(), **environment):
    command = [ROOT / "toolchain/deb", program, ARCHITECTURE, folder, *libraries]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(TIME)} | environment
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def libraries():
    """The static libraries that are in the program."""
    libc = output("gcc", "-print-file-name=libc.a").strip()
    return [libc, output("pkg-config", "--variable=libdir", "libgpiod").strip() + "/libgpiod.a"]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    built = build(folder, libraries=libraries())
    assert built.returncode == 0, built.stderr
    (path,) = folder.iterdir()
    assert built.stdout == f"{path}\n"
    return path


def members(path, what):
    data = subprocess.run(["dpkg-deb", what, path], capture_output=True, check=True).stdout
    return tarfile.open(fileobj=io.BytesIO(data))


@pytest.fixture(scope="module")
def unpacked(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def options(unpacked):
    """What the service is started with, as systemd and a shell read it."""
    text = (unpacked / "etc/default/millrace").read_text()
    (line,) = [line for line in text.splitlines() if line and not line.startswith("#")]
    name, value = line.split("=", 1)
    assert name == "MILLRACE_OPTIONS"
    return shlex.split(*shlex.split(value))


def run(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20, check=False)


def test_every_file_is_where_it_belongs_and_roots(package):
    with members(package, "--fsys-tarfile") as tar:
        files = {m.name[1:]: m.mode for m in tar if m.isfile()}
        assert {(m.uname, m.gname, m.uid, m.gid, m.mtime) for m in tar} == {("root", "root", 0, 0, TIME)}
        assert {m.mode for m in tar if m.isdir()} == {0o755}
        assert not [m.name for m in tar if not m.isfile() and not m.isdir()]
    assert files.pop("/usr/bin/millrace") == 0o755
    assert files == dict.fromkeys(
        [
            "/etc/default/millrace",
            "/usr/lib/systemd/system/millrace.service",
            "/usr/lib/udev/rules.d/60-millrace.rules",
            "/usr/share/doc/millrace/changelog.gz",
            "/usr/share/doc/millrace/copyright",
            "/usr/share/lintian/overrides/millrace",
            "/usr/share/man/man1/millrace.1.gz",
        ],
        0o644,
    )
    with members(package, "--ctrl-tarfile") as tar:
        scripts = {m.name: m.mode for m in tar if m.isfile()}
        sums = tar.extractfile("./md5sums").read().decode().splitlines()
        assert tar.extractfile("./conffiles").read() == b"/etc/default/millrace\n"
    assert {name for name, mode in scripts.items() if mode & 0o111} == {"./postinst", "./prerm", "./postrm"}
    assert sorted(f"/{line.split()[1]}" for line in sums) == sorted([*files, "/usr/bin/millrace"])


def test_control_fields_are_those_of_this_version_and_architecture(package):
    fields = dict(re.findall(r"^([\w-]+): (.*)$", output("dpkg-deb", "-f", package), re.M))
    released = re.search(r'version = "(.*)"', (ROOT / "firmware/gateway/version.hpp").read_text())[1]
    assert fields["Package"] == "millrace"
    assert re.fullmatch(re.escape(released) + r"(\+git20231114\.2213\.[0-9a-f]{9})?(\+changed)?", fields["Version"])
    assert package.name == f"millrace_{fields['Version']}_{ARCHITECTURE}.deb"
    assert fields["Architecture"] == ARCHITECTURE
    assert fields["Depends"] == "adduser"  # for the group; the program needs no library
    kib = PROGRAM.stat().st_size / 1024
    assert kib < int(fields["Installed-Size"]) < kib + 100


def test_the_sources_of_the_libraries_in_it_are_named(package, tmp_path):
    built_using = output("dpkg-deb", "-f", package, "Built-Using")
    assert f"glibc (= {output('dpkg-query', '-W', '-f', '${source:Version}', 'libc6-dev')})" in built_using
    packaged = run("dpkg-query", "-S", libraries()[1]).returncode == 0
    assert ("libgpiod (= 2." in built_using) == packaged
    # One in a sysroot is of no package here: its own changelog tells.
    doc = tmp_path / "usr/share/doc/libgpiod-dev"
    doc.mkdir(parents=True)
    (doc / "changelog.Debian.gz").write_bytes(gzip.compress(b"libgpiod (2.9-1) x; urgency=low\n"))
    (tmp_path / "usr/lib").mkdir()
    library = tmp_path / "usr/lib/libgpiod.a"
    library.touch()
    built = build(tmp_path / "out", libraries=[library])
    assert output("dpkg-deb", "-f", built.stdout.strip(), "Built-Using") == "libgpiod (= 2.9-1)\n"


def test_two_builds_are_the_same_byte_for_byte(package, tmp_path):
    program = tmp_path / "copy"
    shutil.copy(PROGRAM, program)
    program.chmod(0o700)
    os.utime(program, (1, 1))
    mask = os.umask(0o077)
    try:
        elsewhere = {"TZ": "Asia/Tokyo", "TMPDIR": str(tmp_path), "LC_ALL": "C.UTF-8"}
        again = build(tmp_path / "again", program=program, libraries=libraries(), **elsewhere)
    finally:
        os.umask(mask)
    assert pathlib.Path(again.stdout.strip()).read_bytes() == package.read_bytes()
    # A board without a clock of its own is in the past.
    later = build(tmp_path / "later", SOURCE_DATE_EPOCH="4000000000")
    with members(later.stdout.strip(), "--fsys-tarfile") as tar:
        assert {m.mtime for m in tar} == {4_000_000_000}


def test_a_package_replaces_the_earlier_one_of_its_architecture_only(tmp_path):
    for name in (f"millrace_0.0_{ARCHITECTURE}.deb", "millrace_0.0_other.deb", "notes"):
        (tmp_path / name).touch()
    built = pathlib.Path(build(tmp_path).stdout.strip())
    assert {path.name for path in tmp_path.iterdir()} == {built.name, "millrace_0.0_other.deb", "notes"}


def test_what_can_not_be_packaged_is_refused(tmp_path):
    dynamic = build(tmp_path, program=PROGRAM.with_name("gateway"))
    assert (dynamic.returncode, dynamic.stdout) == (1, "")
    assert "link it with -static" in dynamic.stderr
    script = build(tmp_path, program=__file__)
    assert script.returncode == 1
    assert "is not a program" in script.stderr
    assert run(ROOT / "toolchain/deb", "only", "two").returncode == 2
    assert not list(tmp_path.iterdir())


def test_the_program_is_static_and_goes_by_the_packages_name(unpacked):
    program = unpacked / "usr/bin/millrace"
    assert program.read_bytes() == PROGRAM.read_bytes()
    assert run(program, "--version").stdout.startswith("millrace ")
    assert run(program, "--help").stdout.startswith("usage: millrace [OPTION ...]\n\nServes")


def test_the_manual_tells_all_options_boards_and_commands(unpacked):
    page = gzip.decompress((unpacked / "usr/share/man/man1/millrace.1.gz").read_bytes()).decode()
    text = page.replace("\\-", "-")
    wanted = set(re.findall(r"--[a-z-]+", run(unpacked / "usr/bin/millrace", "--help").stdout))
    wanted |= {path.stem for path in (ROOT / "board").glob("*.hpp")} - {"board", "boards"}
    source = (ROOT / "firmware/gateway/control_commands.cpp").read_text()
    commands = re.findall(r'^ +\{"([a-z]+)", &ControlCommands::', source, re.M)
    assert {"--listen", "rpi4", "sim"} <= wanted
    assert {"help", "attach", "quit"} <= set(commands)
    assert not [word for word in sorted(wanted) if word not in text]
    assert not [command for command in commands if not re.search(rf"^\.BR? {command}\b", text, re.M)]


def test_the_service_listens_where_the_gateway_does_by_itself_and_its_options_are_understood(unpacked, options):
    program = unpacked / "usr/bin/millrace"
    assert run(program, *options, "--version").returncode == 0
    assert run(program, *options, "--nonsense").returncode == 2
    assert "--listen" not in options
    assert "\nRuntimeDirectory=millrace\n" in unit_of(unpacked)  # where millrace.sock will be


def unit_of(unpacked):
    return (unpacked / "usr/lib/systemd/system/millrace.service").read_text()


def test_unit_rule_and_scripts_agree_on_names(unpacked):
    unit = unit_of(unpacked)
    assert "\nExecStart=/usr/bin/millrace $MILLRACE_OPTIONS\n" in unit
    assert "\nEnvironmentFile=-/etc/default/millrace\n" in unit
    assert "\nGroup=gpio\n" in unit
    assert "\nRuntimeDirectory=millrace\n" in unit
    assert "\nStateDirectory=millrace\n" in unit
    manual = gzip.decompress((unpacked / "usr/share/man/man1/millrace.1.gz").read_bytes()).decode()
    for text in (manual.replace("\\-", "-"), (unpacked / "etc/default/millrace").read_text()):
        assert "--record /var/lib/millrace/lines.vcd" in text
    rules = (unpacked / "usr/lib/udev/rules.d/60-millrace.rules").read_text().splitlines()
    assert 'SUBSYSTEM=="gpio", KERNEL=="gpiochip[0-9]*", GROUP="gpio", MODE="0660"' in rules
    assert "\nReadWritePaths=-/sys/devices\n" in unit


def test_the_rule_gives_a_pwm_chips_files_to_the_group_and_no_others(unpacked, tmp_path):
    rules = (unpacked / "usr/lib/udev/rules.d/60-millrace.rules").read_text()
    command, = re.findall(r"""^SUBSYSTEM=="pwm", .*RUN\+="/bin/sh -c '(.*)'"$""", rules, re.M)
    assert "/sys%p" in command and "chgrp gpio " in command
    chip = PwmChip(tmp_path / "pwmchip0")
    files = [path for path in chip.folder.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o644)
    # As udev has a shell run it, but in this folder, and for a group that there is.
    command = command.replace("/sys%p", str(chip.folder)).replace("$$", "$").replace(" gpio ", f" {os.getgid()} ")
    assert run("/bin/sh", "-c", command).returncode == 0
    given = {str(path.relative_to(chip.folder)) for path in files if path.stat().st_mode & 0o020}
    assert given == {"export", *(f"pwm{n}/{name}" for n in (0, 1)
                                 for name in ("period", "duty_cycle", "polarity", "enable"))}


def analyze(*arguments):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    return run("systemd-analyze", *arguments)


def test_systemd_finds_nothing_wrong_with_the_unit(unpacked, tmp_path):
    unit = tmp_path / "millrace.service"
    text = unit_of(unpacked).replace("=/usr/bin/millrace", f"={unpacked}/usr/bin/millrace")
    unit.write_text(text)
    found = analyze("verify", "--man=no", unit)
    assert (found.returncode, found.stderr) == (0, "")
    unit.write_text(text.replace("RestartSec=5s", "RestartSec=often"))
    assert "often" in analyze("verify", "--man=no", unit).stderr


def test_the_service_is_confined(unpacked, tmp_path):
    unit = tmp_path / "millrace.service"
    unit.write_text(unit_of(unpacked))
    found = analyze("security", "--offline=true", "--threshold=15", unit)
    if "unrecognized option" in found.stderr:
        pytest.skip("systemd-analyze is too old to look at a unit that is not loaded")
    assert found.returncode == 0, found.stdout.splitlines()[-1]
    unit.write_text(unit_of(unpacked).replace("DynamicUser=yes", "User=root"))
    assert analyze("security", "--offline=true", "--threshold=15", unit).returncode != 0


# A machine whose commands only write down how they were called; it has the group gpio or not.
STUB = """#!/bin/sh
echo "${0##*/} $*" >>"$CALLS"
[ "${0##*/}" != getent ] || [ -n "$HAS_GROUP" ]
"""


@pytest.fixture
def script(package, tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("addgroup", "getent", "udevadm", "deb-systemd-helper", "deb-systemd-invoke", "systemctl"):
        (tmp_path / "bin" / name).write_text(STUB)
        (tmp_path / "bin" / name).chmod(0o755)
    subprocess.run(["dpkg-deb", "-e", package, tmp_path / "control"], check=True)

    def call(name, *arguments, has_group=""):
        calls = tmp_path / "calls"
        calls.write_text("")
        environment = {"PATH": str(tmp_path / "bin"), "CALLS": str(calls), "HAS_GROUP": has_group}
        subprocess.check_output([tmp_path / "control" / name, *arguments], env=environment)
        return calls.read_text()

    return call


def test_installing_makes_the_group_unless_it_is_there_and_enables_the_service(script):
    calls = script("postinst", "configure", "")
    assert "addgroup --quiet --system gpio\n" in calls
    assert "deb-systemd-helper enable millrace.service\n" in calls
    assert "addgroup" not in script("postinst", "configure", "0.1.0", has_group="yes")
    assert script("postinst", "triggered", "x") == ""


def test_purging_forgets_the_service_and_leaves_the_group(script):
    assert "deb-systemd-helper mask millrace.service\n" in script("postrm", "remove")
    assert "purge" not in script("postrm", "remove")
    purged = script("postrm", "purge")
    assert "deb-systemd-helper purge millrace.service\n" in purged
    assert "deb-systemd-helper unmask millrace.service\n" in purged
    assert "group" not in purged
    assert script("postrm", "upgrade", "0.1.0") == ""
    assert script("prerm", "upgrade", "0.1.0") == ""


def test_lintian_has_nothing_to_say(package):
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed: toolchain/setup deb")
    found = run("lintian", "--fail-on", "error,warning", package)
    assert (found.returncode, found.stdout) == (0, "")
