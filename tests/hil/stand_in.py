#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Stands in for a board: keeps the gateway running as a service would, with simulated lines, and its wires in place.

  stand_in.py FOLDER PORT LINE=LINE...     FOLDER/gateway serves at 127.0.0.1:PORT; its uart0 is a loop

A wire whose name is in FOLDER/unplugged, a line each, is not there. FOLDER/pid has the gateway's process.
"""

import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time


def loop(path):
    """TXD wired to RXD, until the port is gone."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        while data := os.read(fd, 4096):
            while data:
                data = data[os.write(fd, data) :]
    except OSError:
        pass
    os.close(fd)


def ask(port, commands):
    """What the gateway answers, once it serves."""
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall("".join(f"{command}\n" for command in [*commands, "quit"]).encode())
                return connection.makefile().read()
        except ConnectionError:
            time.sleep(0.01)


def main():
    folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    wires = [wire.split("=") for wire in sys.argv[3:]]
    while True:
        with open(folder / "log", "ab") as log:
            gateway = subprocess.Popen([folder / "gateway", "--board", "sim", "--listen", f"control=127.0.0.1:{port}",
                                        "--heap-trap", "abort", "--line", "GPIO22=output,level=1"],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        (folder / "pid.new").write_text(str(gateway.pid))
        (folder / "pid.new").replace(folder / "pid")
        unplugged = folder / "unplugged"
        missing = unplugged.read_text().split() if unplugged.exists() else []
        answer = ask(port, [f"wire {one} {other}" for one, other in wires if f"{one}={other}" not in missing] + ["uarts"])
        path = re.search(r"^uart uart0 open path=(\S+)", answer, re.M)[1]
        threading.Thread(target=loop, args=(path,), daemon=True).start()
        (folder / "up").touch()
        gateway.wait()
        (folder / "up").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
