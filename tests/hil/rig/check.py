# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Measures each wire of a rig, before any test relies on it."""

import contextlib
import os


def check_wires(target, client):
    """Says of each wire whether it is there: [(wire, what is wrong with it, or None)].

    Both ends are tried as outputs. While one line is driven high all others are low, so that a wire that leads
    somewhere else is found, and named.
    """
    wires = target.rig.wires
    problems = {wire: None for wire in wires}
    for wire in wires:
        try:
            client.ok(f"config {wire.line} input bias=as-is active=high debounce=0ms")
            target.far_end(wire).drive(0)
        except AssertionError as failure:
            problems[wire] = str(failure).splitlines()[0]
    if any(problems.values()):
        return [(wire, problem or "not measured, as other lines are missing") for wire, problem in problems.items()]

    def note(wire, what):
        problems[wire] = problems[wire] or what

    def levels():
        answer = client.ok("read " + " ".join(wire.line for wire in wires)) if wires else ""
        return {word.split("=")[0]: int(word.split("=")[1]) for word in answer.split()}

    for line, level in levels().items():
        if level:
            note(next(wire for wire in wires if wire.line == line), "reads 1 though its other end drives 0")
    for wire in wires:
        target.far_end(wire).drive(1)
        high = [line for line, level in levels().items() if level]
        if wire.line not in high:
            elsewhere = ", ".join(high)
            note(wire, f"the wire is missing: {wire.line} stays 0 when its other end drives 1" +
                 (f", and {elsewhere} follows instead" if elsewhere else ""))
        elif high != [wire.line]:
            note(wire, f"{', '.join(line for line in high if line != wire.line)} follows, too: are they connected?")
        target.far_end(wire).drive(0)
    for wire in wires:
        target.far_end(wire).let_go()
        for level in (1, 0):
            client.ok(f"config {wire.line} output drive=push-pull level={level}")
            sensed = target.far_end(wire).sense()
            if sensed != level:
                note(wire, f"the wire is missing: its other end reads {sensed} when {wire.line} drives {level}")
    for wire in wires:
        client.ok(f"config {wire.line} input bias=as-is")
    return list(problems.items())


def check_uart(target, uart):
    """What is wrong with a serial port, or None: bytes must come back, or out at its far end."""
    token = os.urandom(16).hex().encode()
    with contextlib.closing(target.open_client()) as client:
        answer = client.ask(f"attach {uart.name} raw").last
        if not answer.startswith("ok"):
            return answer
        client.socket.settimeout(5.0)
        try:
            if uart.far_end == "loop":
                client.send_bytes(token)
                return None if client.bytes(len(token)) == token else "what comes back is not what was sent"
            with contextlib.closing(target.open_port(uart)) as port:
                client.send_bytes(token)
                there = port.read(len(token))
                port.write(token)
                back = client.bytes(len(token))
            return None if there == back == token else "what arrives is not what was sent"
        except (OSError, AssertionError, EOFError) as failure:
            end = "nothing comes back: is TXD wired to RXD?" if uart.far_end == "loop" else "nothing arrives"
            return f"{end} ({failure or type(failure).__name__})"


def check(target):
    """All problems of a rig, each with the name of what it is about; and what was found to be in order."""
    good, bad = [], []
    with contextlib.closing(target.open_client()) as client:
        for wire, problem in check_wires(target, client):
            if problem:
                bad.append(f"wire {wire}: {problem}")
            else:
                good.append(f"wire {wire}")
    target.disconnect()
    for uart in target.rig.uarts:
        problem = check_uart(target, uart)
        if problem:
            bad.append(f"serial port {uart.name}: {problem}")
        else:
            good.append(f"serial port {uart.name}, {uart.far_end}")
    return good, bad
