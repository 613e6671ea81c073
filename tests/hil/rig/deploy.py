# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Puts the gateway on a board and looks after it there, by OpenSSH; the board may have any server, as Dropbear.

  ssh               [USER@]HOST; ~/.ssh/config counts
  port, options     and a port, and a list of what follows -o: [IdentityFile=~/.ssh/rig]
  copy              a list of [FROM, TO]; {build} in FROM is the build's folder
  package           a .deb, of which a pattern may say just enough: build/deb/millrace_*_arm64.deb
  restart, stop     commands for the shell on the board: start the gateway, which may run already; end it
  kill              one that kills it with SIGKILL
  reboot            one that restarts the whole system
  pause, resume     stop it for a while, as SIGSTOP does, and let it go on: kill -STOP $(pidof millrace)
  logs              one that prints what it has logged

No password is ever asked for: keys let us in, and sudo has to do without.
"""

import atexit
import glob
import os
import pathlib
import re
import shlex
import shutil
import tempfile

from . import settings as rig

ROOT = pathlib.Path(__file__).resolve().parents[3]

CONNECT_DEADLINE = 10  # seconds
DEADLINE = 60.0  # seconds, for a command and for each file
INSTALL_DEADLINE = 300.0  # seconds, for dpkg on a slow card
ALIVE_INTERVAL = 5  # seconds: a connection is given up when a board has been silent for three of these
IDLE = 60  # seconds, after which a connection that is not in use ends

KNOWN = {"ssh": str, "port": int, "options": list, "copy": list, "package": str, "restart": str, "stop": str,
         "kill": str, "reboot": str, "pause": str, "resume": str, "logs": str}

FACTS = {
    "kernel": "uname -a",
    "model": "tr -d '\\0' </proc/device-tree/model",
    "system": "(. /etc/os-release; echo $PRETTY_NAME)",
}

REMEDIES = [
    ("REMOTE HOST IDENTIFICATION HAS CHANGED",
     "the host's key is another than before; if its system was installed anew: ssh-keygen -R {host}"),
    ("Host key verification failed", "its key is not known here yet: log in by hand once, and compare it"),
    (r"Permission denied \(|Too many authentication failures",
     "no key of yours lets you in: ssh-copy-id, or options: [IdentityFile=…]"),
    ("No route to host|Network is unreachable", "is the board on, and in the same network?"),
    ("timed out|not responding", "is the board on, and its network up?"),
    ("Connection refused", "no ssh server listens there: is it enabled, and the port right?"),
    ("Could not resolve hostname", "nobody knows that name: use an address, or name.local where mDNS is in use"),
    ("a password is required|a terminal is required", "let sudo do this without a password: man sudoers, NOPASSWD"),
    ("sudo: (command )?not found", "log in as root where there is no sudo"),
    ("Permission denied|Read-only file system", "that user may not write there"),
    ("No space left on device", "make room there"),
]


class DeployError(Exception):
    """Says which host and command it is about, its status, what it said, and what may help."""


class Deploy:
    """One connection, made at first use and when it was lost, serves all commands. Each method raises DeployError."""

    def __init__(self, settings, build):
        self.host = settings["ssh"]
        self._settings = settings
        self._files = [(source(key, path, build), to) for key, path, to in
                       [(f"copy[{n}]", *pair) for n, pair in enumerate(settings.get("copy", []))]]
        self._package = source("package", settings["package"], build) if "package" in settings else None
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="hil-ssh-", dir="/tmp"))  # a socket's path must be short
        self._socket = self._folder / "ssh"
        # The first value that ssh finds of an option counts.
        options = [*settings.get("options", []), "BatchMode=yes", f"ConnectTimeout={CONNECT_DEADLINE}",
                   f"ServerAliveInterval={ALIVE_INTERVAL}", "ServerAliveCountMax=3", "LogLevel=ERROR",
                   f"ControlPath={self._socket}"]
        self._command = ["ssh", *(["-p", str(settings["port"])] if "port" in settings else [])]
        for option in options:
            self._command += ["-o", option]
        atexit.register(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self.disconnect()
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.close)

    def disconnect(self) -> None:
        """Gives the connection up, as after the board's power was cut; the next command makes another one."""
        if self._socket.exists():
            self._ssh(["-O", "exit"])
            self._socket.unlink(missing_ok=True)

    def run(self, command: str, deadline: float = DEADLINE) -> tuple[int, str]:
        """Runs a shell command on the board: its exit status, and what it printed."""
        status, out, _ = self._run("ssh", command, deadline)
        return status, out

    def install(self) -> None:
        """Copies the files, and installs the package. A file that is in use, as a program that runs, is replaced."""
        for n, (path, to) in enumerate(self._files):
            self._copy(f"copy[{n}]", path, to)
        if self._package:
            folder = self._ask("package", "mktemp -d").strip()
            self._copy("package", self._package, f"{folder}/{self._package.name}")
            sudo = "$([ $(id -u) = 0 ] || echo sudo -n)"
            self._ask("package", f"{sudo} env DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i "
                                 f"{folder}/{shlex.quote(self._package.name)}", INSTALL_DEADLINE)
            self._ask("package", f"rm -r {folder}")

    def restart(self) -> None:
        """Starts the gateway; it may run already."""
        self._do("restart")

    def stop(self) -> None:
        self._do("stop")

    def kill(self) -> None:
        """Kills the gateway by SIGKILL."""
        self._do("kill")

    def pause(self) -> None:
        self._do("pause")

    def resume(self) -> None:
        self._do("resume")

    def reboot(self) -> None:
        """Has the whole system restarted, which may cut the connection before the command's end."""
        self._connect()
        command = self._settings["reboot"]
        status, out, err = self._ssh(["--", self.host, command], DEADLINE)
        if status not in (0, 255, None):
            raise self._error("reboot", repr(command), f"ended with status {status}", err or out)

    def logs(self) -> str:
        return self._do("logs")

    def facts(self) -> dict[str, str]:
        """What the board says it is: kernel, model and system, as far as it knows."""
        script = "; ".join(f'v=$({command} 2>/dev/null); [ -z "$v" ] || echo "{name}=$v"'
                           for name, command in FACTS.items())
        return dict(line.split("=", 1) for line in self._ask("ssh", script).splitlines())

    def _do(self, key):
        if key not in self._settings:
            raise DeployError(f"deploy.{key}: it is missing")
        return self._ask(key, self._settings[key])

    def _copy(self, key, path, to):
        size, mode = path.stat().st_size, path.stat().st_mode & 0o777
        # What arrives takes its place at once, or not at all.
        script = (f't={quoted(to)}; if [ -d "$t" ]; then t=$t/{shlex.quote(path.name)}; fi; '
                  f'trap \'rm -f "$t.new"\' EXIT; cat >"$t.new" && n=$(wc -c <"$t.new") && '
                  f'if [ "$n" -ne {size} ]; then echo "$n of {size} bytes have arrived" >&2; exit 1; fi && '
                  f'chmod {mode:o} "$t.new" && mv -f "$t.new" "$t"')
        self._ask(key, script, stdin=path, what=f"copying {path} to {to}")

    def _ask(self, key, command, deadline=DEADLINE, stdin=None, what=None):
        """What a command prints that has to succeed."""
        status, out, err = self._run(key, command, deadline, stdin, what)
        if status:
            raise self._error(key, what or repr(command), f"ended with status {status}", err or out)
        return out

    def _run(self, key, command, deadline, stdin=None, what=None):
        what = what or repr(command)
        self._connect()
        status, out, err = self._ssh(["--", self.host, command], deadline, stdin)
        if status is None:
            self.disconnect()
            raise self._error(key, what, f"did not end within {deadline:g} s; if it leaves a process behind, redirect "
                                         "what that one says", err or out)
        if status == 255 and not self._connected():
            raise self._error(key, what, "was cut off: the board or its network went away", err)
        return status, out, err

    def _connected(self):
        return self._socket.exists() and self._ssh(["-O", "check"])[0] == 0

    def _connect(self):
        if self._connected():
            return
        self._socket.unlink(missing_ok=True)
        command = ["-M", "-N", "-f", "-o", f"ControlPersist={IDLE}", "--", self.host]
        status, _, err = self._ssh(command, 3 * CONNECT_DEADLINE)
        if status is None:
            raise self._error("ssh", "connecting", f"did not end within {3 * CONNECT_DEADLINE} s",
                              err or "not responding")
        if status:
            raise self._error("ssh", "connecting", f"ended with status {status}", err)

    def _ssh(self, words, deadline=CONNECT_DEADLINE, stdin=None):
        if words[0] == "-O":
            words = [*words, "--", self.host]
        try:
            if stdin:
                with open(stdin, "rb") as file:
                    return rig.run([*self._command, *words], deadline, file)
            return rig.run([*self._command, *words], deadline)
        except OSError as failure:
            raise DeployError(f"deploy: {failure.filename}: {failure.strerror}") from None

    def _error(self, key, what, outcome, said):
        remedy = next((each.format(host=self.host.rpartition("@")[2]) for pattern, each in REMEDIES
                       if re.search(pattern, said)), None)
        return DeployError(f"deploy.{key}: {self.host}: {what} {outcome}; it said: {rig.last_words(said) or 'nothing'}"
                           f"{f'. {remedy}' if remedy else ''}")


def quoted(path):
    """A path for a shell, `~/` as it is meant."""
    return f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)


def source(key, path, build):
    """The one file that a path or pattern means, which is relative to the project."""
    if "{build}" in path:
        build = build or os.environ.get("MILLRACE_BUILD")
        if not build:
            raise DeployError(f"deploy.{key}: {{build}} stands for a build's folder, and none was said")
        path = path.replace("{build}", glob.escape(str(build)))
    whole = str(ROOT / os.path.expanduser(path))
    found = [whole] if os.path.exists(whole) else glob.glob(whole)
    if len(found) != 1:
        raise DeployError(f"deploy.{key}: {path} is "
                          f"{f'more than one file: {sorted(found)}' if found else 'no file here: has it been built?'}")
    if not os.path.isfile(found[0]):
        raise DeployError(f"deploy.{key}: {path} is no file")
    return pathlib.Path(found[0])


def open_deploy(settings: dict, build: pathlib.Path | None = None) -> Deploy:
    """Connects at first use. `build` is what {build} stands for, $MILLRACE_BUILD unless it is given."""
    rig.check(settings, "deploy", KNOWN, DeployError)
    if not settings.get("ssh") or settings["ssh"].startswith("-"):
        raise DeployError("deploy.ssh: expected [USER@]HOST")
    for key, value in (("options", settings.get("options", [])), ("copy", settings.get("copy", []))):
        for n, each in enumerate(value):
            if key == "options" and not isinstance(each, str):
                raise DeployError(f"deploy.options[{n}]: expected NAME=VALUE, got {each!r}")
            if key == "copy" and not (isinstance(each, list) and len(each) == 2
                                      and all(isinstance(path, str) and path for path in each)):
                raise DeployError(f"deploy.copy[{n}]: expected [FROM, TO], got {each!r}")
    return Deploy(settings, build)
