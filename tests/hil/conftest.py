# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Fixtures of the end-to-end tests: each test has a gateway of its own, which must end well."""

import pytest

pytest.register_assert_rewrite("harness")

import harness  # noqa: E402


@pytest.fixture
def start_gateway(tmp_path):
    """Starts gateways with options, limits or an environment. Each has to stop with status 0 and without an error."""
    started = []

    def start(*arguments, **how):
        folder = tmp_path / f"gateway{len(started)}"
        folder.mkdir()
        started.append(harness.Gateway(folder, arguments, **how))
        return started[-1]

    yield start
    failures = []
    for gateway in started:
        try:
            gateway.end()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


@pytest.fixture
def gateway(start_gateway):
    return start_gateway()


@pytest.fixture
def pigpiod(start_gateway):
    """A gateway that clients of pigpiod can connect to, too."""
    return start_gateway("--listen", "pigpio=127.0.0.1:0")


@pytest.fixture
def control(pigpiod):
    """A client of that gateway's control port: what is wired to its lines."""
    return pigpiod.connect()


@pytest.fixture(params=["tcp", "unix"])
def over(request):
    """How a client connects, for what is to be the same both ways."""
    return request.param


@pytest.fixture
def client(gateway):
    """Connects a client; the gateway's end closes it."""
    return gateway.connect


@pytest.fixture
def port(gateway):
    """Opens the far end of a serial port by its name."""
    opened = []

    def open_port(name):
        opened.append(harness.Port(gateway.uarts[name]))
        return opened[-1]

    yield open_port
    for each in opened:
        each.close()
