# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Opens the target of a rig, checks its wires before any test, and writes the report after the last."""

import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
pytest.register_assert_rewrite("harness", "machine", "rig.far_end")

import harness  # noqa: E402

from rig import check  # noqa: E402
from rig import rig as rigs  # noqa: E402
from rig import target as targets  # noqa: E402
from rig.report import Report  # noqa: E402

KEY = pytest.StashKey()


class Session:
    """The one target of all tests."""

    def __init__(self, config):
        self.rig = rigs.read(rigs.path_of(config.getoption("--target")))
        results = config.getoption("--results")
        self.results = pathlib.Path(results) if results else None
        self.folder = tempfile.TemporaryDirectory(prefix="hil-")
        self.target = targets.open_target(self.rig, pathlib.Path(self.folder.name) / "target")
        self.report = Report(f"Hardware-in-the-loop: {self.rig.name}")

    def open(self):
        self.target.start()
        self.report.facts = self.target.facts()
        self.report.rig = {"wires": ", ".join(map(str, self.rig.wires)),
                           "serial ports": ", ".join(f"{uart.name} ({uart.far_end})" for uart in self.rig.uarts)}
        _, bad = check.check(self.target)
        if bad:
            raise rigs.RigError("the rig is not as its file says:\n  " + "\n  ".join(bad))

    def close(self):
        """Ends the target; what it has logged is kept with the report."""
        try:
            self.target.disconnect()
            self.target.end()
        finally:
            if self.results:
                self._keep_logs()
            self.folder.cleanup()

    def _keep_logs(self):
        self.results.mkdir(parents=True, exist_ok=True)
        for path in [*self.target.folder.rglob("*.log"), *self.target.folder.rglob("stderr")]:
            shutil.copy(path, self.results / "-".join(path.relative_to(self.target.folder).parts))


def pytest_addoption(parser):
    group = parser.getgroup("hardware in the loop")
    group.addoption("--target", default="sim", help="a rig of tests/hil/rigs, or the path of a rig's file")
    group.addoption("--soak", type=float, default=0.2, metavar="MIN", help="minutes of soaking (default: 0.2)")
    group.addoption("--results", metavar="FOLDER", help="where the report is written to")


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*names): what the target must have; rig/target.py lists the names")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    if session.config.getoption("collectonly"):
        return
    try:
        opened = Session(session.config)
    except rigs.RigError as failure:
        pytest.exit(str(failure), returncode=2)
    session.config.stash[KEY] = opened
    try:
        opened.open()
    except BaseException as failure:
        del session.config.stash[KEY]
        opened.close()
        if isinstance(failure, targets.FAILURES):
            pytest.exit(str(failure), returncode=2)
        raise
    for name, value in opened.report.facts.items():
        print(f"{name}: {value}")


def pytest_terminal_summary(terminalreporter, config):
    if KEY in config.stash and (results := config.stash[KEY].results):
        terminalreporter.write_line(str(results / "report.html"))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    opened = session.config.stash.get(KEY, None)
    if opened:
        try:
            opened.close()
        finally:
            if opened.results:
                opened.report.write(opened.results)


def pytest_runtest_setup(item):
    opened = item.config.stash[KEY]
    for marker in item.iter_markers("needs"):
        for need in marker.args:
            if reason := opened.target.lacking(need):
                pytest.skip(f"{need}: {reason}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    result = outcome.get_result()
    if result.when != "call" and result.passed:
        return
    reason = result.longrepr[2].removeprefix("Skipped: ") if result.skipped and result.longrepr else ""
    item.config.stash[KEY].report.add(item.name, result.outcome, call.duration, reason,
                                      result.longreprtext if result.failed else "")


@pytest.fixture(scope="session", autouse=True)
def facts_in_junit(request, record_testsuite_property):
    for name, value in request.config.stash[KEY].report.facts.items():
        record_testsuite_property(name, value)


@pytest.fixture
def target(request):
    """The target. After a test that left the gateway alone it has to be the same gateway still; its lines are free."""
    opened = request.config.stash[KEY].target
    before = uptime(opened)
    yield opened
    opened.disconnect()
    opened.let_go()
    opened.disconnect()
    after = uptime(opened)
    needs = {name for marker in request.node.iter_markers("needs") for name in marker.args}
    if not needs & {"kill", "power", "reboot"}:
        assert after > before, "the gateway has ended in this test"
    give_back(opened)


def give_back(target):
    """All lines, to the kernel: the next test finds them as after a start."""
    client = target.connect()
    for row in client.ask("lines").rows:
        line = row.split()[1]
        if " missing" not in row:  # a watcher's end may not have been noticed yet
            harness.wait_until(lambda line=line: " is watched (" not in client.ask(f"release {line}").last,
                               f"nobody watches {line}: does another client of the target?")
    target.disconnect()


def uptime(target):
    client = target.connect()
    value = int(client.status()["gateway"]["uptime"].removesuffix("us"))
    target.disconnect()
    return value


@pytest.fixture
def client(target):
    return target.connect()


@pytest.fixture
def a_wire(target):
    """One of the wires, for what is the same with all of them."""
    return target.rig.wires[0]


@pytest.fixture
def figure(request):
    """Keeps a number that was measured for the report."""
    report = request.config.stash[KEY].report
    return lambda name, value, unit: report.figure(request.node.name, name, value, unit)


@pytest.fixture
def report(request):
    return request.config.stash[KEY].report


@pytest.fixture
def limits(request):
    return request.config.stash[KEY].rig.limits


def pytest_generate_tests(metafunc):
    """`wire`: the test is run with each wire of the rig; `uart`: with each serial port."""
    for name, values in (("wire", "wires"), ("uart", "uarts")):
        if name in metafunc.fixturenames:
            opened = metafunc.config.stash.get(KEY, None)
            found = getattr(opened.rig, values) if opened else ()
            ids = [str(getattr(each, "name", each)).replace("–", "-") for each in found]
            metafunc.parametrize(name, found, ids=ids)
