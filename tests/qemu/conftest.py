# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Fixtures of the tests in QEMU."""

import os
import re
import shutil

import pytest

pytest.register_assert_rewrite("machine", "harness")

import machine as machines  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(WHAT): only on machines that have it, such as a power button")
    config.addinivalue_line("markers", "on(NAME...): only on machines whose name, such as `virt arm64`, begins so")


def pytest_addoption(parser):
    parser.addoption("--matching", metavar="REGEX", default="", help="only tests whose file or name matches")


def pytest_collection_modifyitems(config, items):
    chosen = [item for item in items if re.search(config.getoption("--matching"), item.nodeid)]
    if chosen != items:
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
    for item in items:
        for needs in item.iter_markers("needs"):
            if needs.args[0] not in machines.TARGET.has:
                item.add_marker(pytest.mark.skip(reason=f"{machines.TARGET} has no {needs.args[0]}"))
        for on in item.iter_markers("on"):
            if not any(str(machines.TARGET).startswith(name) for name in on.args):
                item.add_marker(pytest.mark.skip(reason=f"not on {machines.TARGET}, but on {', '.join(on.args)}"))
    # make test-qemu has installed QEMU and made the image: then their absence is an error.
    if os.environ.get("MILLRACE_QEMU") == "required":
        return
    missing = ("QEMU is not installed" if not shutil.which("qemu-system-aarch64") else
               f"there is no image in {machines.IMAGE}" if not (machines.IMAGE / "vmlinuz").exists() else None)
    if missing:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=f"{missing}: make test-qemu sees to it"))


@pytest.fixture
def start_machine(tmp_path):
    """Starts machines of a test's own."""
    started = []

    def start(name="machine", **how):
        started.append(machines.Machine(tmp_path / name, **how))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture(scope="session")
def shared_machine(tmp_path_factory):
    started = machines.Machine(tmp_path_factory.mktemp("shared") / "machine")
    yield started
    started.end()


@pytest.fixture
def machine(shared_machine):
    """A machine that serves. The gateway in it has to be the same one after the test, or else it has crashed."""
    client = shared_machine.connect()
    pid = shared_machine.gateway_pid()
    yield shared_machine
    for each in shared_machine.clients:
        each.close()
    shared_machine.clients.clear()
    client.close()
    shared_machine.reconnect_lines()  # after a failed test, answers may be on their way
    assert shared_machine.gateway_pid() == pid, f"the gateway has ended: {shared_machine.ends()}"


@pytest.fixture
def client(machine):
    return machine.connect()
