# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The test tool, held against the tiny projects of tests/projects, the mistakes in them included."""

import getpass
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = ROOT / "toolchain/test"
PROJECTS = ROOT / "tests/projects"
CONFIGURATION = "tests/project.yml"


class Run:
    """What one run of the tool did, by the lines that it printed."""

    def __init__(self, done: subprocess.CompletedProcess):
        self.status = done.returncode
        self.said = done.stdout
        self.error = done.stderr
        self.lines = done.stdout.splitlines()

    def done(self, step: str) -> list[str]:
        found = [line.removeprefix(step).strip() for line in self.lines if line.startswith(step)]
        return sorted(line for line in found if not line.startswith(("gtest-all", "gmock")))

    @property
    def compiled(self) -> list[str]:
        return self.done("Compiling ")

    @property
    def linked(self) -> list[str]:
        return [line.split("/", 3)[3] for line in self.done("Linking ")]

    @property
    def ran(self) -> list[str]:
        return sorted(match[1] for match in map(re.compile(r"(?:ok  |FAIL) (\S+): ").match, self.lines) if match)

    def summary_of(self, outcome: str) -> dict[str, str]:
        """The cases that the summary lists, each with what it says of them."""
        _, _, after = self.said.partition(f"\n{outcome} TEST SUMMARY\n")
        return dict(re.findall(r"^  (\S+?):? (.*)$", after.partition("\n\n---")[0], re.M))

    @property
    def failed(self) -> dict[str, str]:
        return self.summary_of("FAILED")


class Project:
    """A copy of a project, with nothing built. The stand-in for GoogleTest is beside it, as some use that."""

    def __init__(self, name: str, into: pathlib.Path):
        for each in ("stand_in", name):
            shutil.copytree(PROJECTS / each, into / each, dirs_exist_ok=True)
        self.folder = into / name

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MILLRACE", "MAKE", "PYTEST"))}
        return subprocess.Popen([sys.executable, TOOL, *arguments], cwd=self.folder, env=kept | environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                # A shell lets what it starts in the background ignore this.
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    @staticmethod
    def end(process: subprocess.Popen) -> Run:
        output, error = process.communicate(timeout=100)
        return Run(subprocess.CompletedProcess(process.args, process.returncode, output, error))

    def run(self, *arguments: str, **environment: str) -> Run:
        """A run in the order as written, unless the arguments say more of that."""
        seed = [] if any(each.startswith("--seed") for each in arguments) else ["--seed=0"]
        run = self.end(self.start(*seed, *arguments, **environment))
        assert "Traceback" not in run.error, run.error
        return run

    def path(self, name: str) -> pathlib.Path:
        return self.folder / name

    def change(self, name: str, old: str = "", new: str = "") -> None:
        """Replaces a text in a file, or changes nothing but the file's time."""
        text = self.path(name).read_text()
        assert old in text
        self.path(name).write_text(text.replace(old, new) if old else text)

    def configure(self, old: str, new: str) -> None:
        self.change(CONFIGURATION, old, new)

    def write(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)


@pytest.fixture
def project(tmp_path):
    return lambda name: Project(name, tmp_path)


@pytest.fixture(scope="session")
def first_runs(tmp_path_factory):
    """Projects with all their tests run once, for those that look at what that printed and left."""
    made = {}

    def get(name: str) -> tuple[Project, Run]:
        if name not in made:
            project = Project(name, tmp_path_factory.mktemp("first"))
            made[name] = project, project.run("test:all", "--junit=reports/all.xml")
        return made[name]

    return get


@pytest.fixture
def first_run(first_runs):
    return lambda name: first_runs(name)[1]


@pytest.fixture
def built(first_runs, tmp_path):
    """A copy of a project after its first run. Nothing in it knows where it was built."""

    def copy(name: str) -> Project:
        project = Project(name, tmp_path)
        shutil.copytree(first_runs(name)[0].folder, project.folder, dirs_exist_ok=True)
        return project

    return copy


def is_running(file: pathlib.Path) -> bool:
    """Whether the process runs whose id is in the file. One that nobody has waited for yet does not."""
    stat = pathlib.Path("/proc", file.read_text().strip(), "stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def soon(condition, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


LINKING_TESTS = ["tests/deeper/test_adder.cpp", "tests/test_adder.c", "tests/test_adder.cpp", "tests/test_comment.cpp",
                 "tests/test_doubler.cpp", "tests/test_elsewhere.cpp", "tests/test_helper.cpp", "tests/test_inside.cpp",
                 "tests/test_port.cpp", "tests/test_space.cpp"]


class TestLinking:
    def test_each_source_that_includes_lead_to_is_compiled_once(self, first_run):
        run = first_run("linking")
        assert run.status == 0, run.said
        sources = ["src/adder.cpp", "src/apart/elsewhere.cpp", "src/doubler.cpp", "src/port_for_linux.cpp", "src/ring.c",
                   "src/with space/spaced.cpp", "tests/support/c_case.cpp", "tests/support/helper.cpp"]
        assert run.compiled == sorted([*LINKING_TESTS, *sources])

    def test_one_program_for_each_test_file(self, first_run):
        run = first_run("linking")
        assert run.linked == sorted(test.removesuffix(".cpp") for test in LINKING_TESTS)
        assert run.ran == LINKING_TESTS
        assert run.lines[-1] == f"{len(LINKING_TESTS)} passed, 0 failed"

    def test_what_counts_is_what_the_compiler_includes(self, built):
        project = built("linking")
        project.change("tests/test_comment.cpp", "#if 0", "#if 1")
        run = project.run("test:comment")
        assert run.status == 1
        assert "src/broken.cpp:6" in run.failed["test_comment"]

    def test_a_header_that_gets_a_source_is_linked_with_it(self, built):
        project = built("linking")
        project.write("src/late.hpp", "#pragma once\ninline int late() { return 3; }\n")
        project.change("tests/test_adder.cpp", '#include "adder.hpp"', '#include "adder.hpp"\n#include "late.hpp"')
        assert project.run("test:adder").status == 0
        project.write("src/late.cpp", '#include "late.hpp"\n')
        run = project.run("test:adder")
        assert (run.status, run.compiled, run.linked) == (0, ["src/late.cpp"], ["tests/test_adder"])

    def test_what_was_removed_is_not_used_any_more(self, built):
        project = built("linking")
        project.path("src/adder.cpp").unlink()
        run = project.run("test:tests/test_adder.cpp")
        assert run.status == 1
        assert "leads to a source with add(int, int)" in run.failed["test_adder"]
        assert "src/adder.hpp" in run.failed["test_adder"]


class TestMocks:
    def test_a_mock_is_linked_in_place_of_its_module(self, first_run):
        run = first_run("mocks")
        assert "FAIL tests/test_bell.cpp: 1 passed, 1 failed" in run.said
        assert not [source for source in run.compiled if source.endswith("/clock.cpp")]

    def test_an_unexpected_call_is_named(self, first_run):
        run = first_run("mocks")
        assert run.status == 1
        assert list(run.failed) == ["Bell.asks_no_clock"]
        assert "hour()" in run.failed["Bell.asks_no_clock"]


class TestUnbuildable:
    @pytest.mark.parametrize("test, place, reason", [
        ("both", "tests/test_both.cpp:4", "src/clock.hpp is both real and mocked, by tests/support/mock_clock.hpp"),
        ("both_by_name", "tests/test_both_by_name.cpp:6", "src/clock.cpp is both real and mocked"),
        ("broken_a", "src/broken.cpp:6", "Compiling src/broken.cpp: failed"),
        ("broken_b", "src/broken.cpp:6", "Compiling src/broken.cpp: failed"),
        ("broken_c", "src/broken.cpp:6", "Compiling src/broken.cpp: failed"),
        ("mock_of_nothing", "tests/test_mock_of_nothing.cpp",
         "tests/support/mock_nothing.hpp: it mocks nothing, as it does not include a header named nothing"),
        ("no_file", "tests/test_no_file.cpp:5", 'the include of "missing.hpp" leads to no file'),
        ("no_source", "tests/test_no_source.cpp", "nothing that it includes leads to a source with promise(). Headers "
                                                  "without a source: src/promise.hpp."),
        ("no_such_source", "tests/test_no_such_source.cpp:6", "there is no file src/missing.cpp"),
        ("no_test", "tests/test_no_test.cpp", "there is no test in it"),
    ])
    def test_the_reason_is_named(self, first_run, test, place, reason):
        said = first_run("unbuildable").failed[f"test_{test}"]
        assert said.startswith(f"({place}): ")
        assert reason in said

    def test_the_others_are_built_and_run(self, first_run):
        run = first_run("unbuildable")
        assert "ok   tests/test_good.cpp: 1 passed" in run.said
        assert (run.status, run.lines[-1]) == (1, "1 passed, 10 failed")

    def test_what_is_wrong_with_a_shared_source_is_shown_once(self, first_run):
        assert first_run("unbuildable").said.count("src/broken.cpp:6:23: error:") == 1

    def test_build_only_fails_as_well(self, built):
        run = built("unbuildable").run("test:build_only")
        assert run.status == 1
        assert "test_both" in run.failed and "test_no_test" not in run.failed


class TestIncremental:
    def test_nothing_is_built_again_if_nothing_has_changed(self, built):
        run = built("linking").run("test:all")
        assert (run.compiled, run.linked, run.ran) == ([], [], LINKING_TESTS)

    def test_a_source(self, built):
        project = built("linking")
        project.change("src/doubler.cpp")
        run = project.run("test:all")
        assert (run.compiled, run.linked) == (["src/doubler.cpp"], ["tests/test_doubler"])

    def test_a_header(self, built):
        project = built("linking")
        project.change("src/doubler.hpp")
        run = project.run("test:all")
        assert run.compiled == ["src/doubler.cpp", "tests/test_doubler.cpp"]
        assert run.linked == ["tests/test_doubler"]

    def test_a_path_with_a_space(self, built):
        project = built("linking")
        project.change("src/with space/spaced.hpp")
        assert project.run("test:all").compiled == ["src/with space/spaced.cpp", "tests/test_space.cpp"]

    def test_a_test(self, built):
        project = built("linking")
        project.change("tests/test_port.cpp")
        run = project.run("test:all")
        assert (run.compiled, run.linked) == (["tests/test_port.cpp"], ["tests/test_port"])

    def test_a_flag(self, built):
        project = built("linking")
        project.configure("-O0", "-O0, -Wunused")
        run = project.run("test:tests/test_adder.cpp")
        assert run.compiled == ["src/adder.cpp", "tests/test_adder.cpp"]

    def test_what_failed_to_compile_is_compiled_again(self, built):
        project = built("unbuildable")
        project.change("src/broken.cpp", "this does not compile", "1")
        run = project.run("test:broken_a")
        assert run.compiled == ["src/broken.cpp"]
        assert list(run.failed.values()) == ["(tests/test_broken_a.cpp): there is no test in it"]

    def test_changed_runs_what_depends_on_the_change(self, built):
        project = built("linking")
        run = project.run("test:changed")
        assert (run.status, run.lines) == (0, [f"Nothing has changed since all {len(LINKING_TESTS)} tests passed."])
        project.change("src/adder.cpp")
        run = project.run("test:changed")
        assert run.ran == ["tests/deeper/test_adder.cpp", "tests/test_adder.cpp", "tests/test_doubler.cpp",
                           "tests/test_inside.cpp"]

    def test_changed_runs_what_failed_once_more(self, built):
        project = built("mocks")
        for _ in range(2):
            run = project.run("test:changed")
            assert (run.status, run.ran) == (1, ["tests/test_bell.cpp"])

    def test_changed_runs_what_has_failed_since_it_was_built(self, project):
        project = project("framework")
        project.configure("building:", "building:\n  run: test ! -e broken && {program} {arguments}")
        assert project.run().status == 0
        project.write("broken", "")
        assert project.run().status == 1
        project.path("broken").unlink()
        assert project.run("test:changed").ran == ["tests/test_nothing.cpp"]

    def test_changed_is_not_misled_by_a_run_of_some_cases(self, built):
        project = built("order")
        project.change("tests/test_order.cpp")
        assert project.run("test:order", "--test-case=case_0").status == 0
        run = project.run("test:changed", "--test-case=no_such_case")
        assert (run.status, run.lines[-1]) == (1, "0 passed, 0 failed")
        assert project.run("test:changed").lines[-1] == "6 passed, 0 failed"


class TestOutcomes:
    """The first run of the project outcomes, in which nearly everything happens."""

    @pytest.fixture
    def run(self, first_run):
        return first_run("outcomes")

    @pytest.mark.parametrize("case, place, reason", [
        ("Mixed.fails", "tests/test_mixed.cpp:7", "Expected equality of these values: 1 + 1 Which is: 2 3"),
        ("Crash.crashes", "tests/test_crash.cpp:7", "crashed: SIGILL"),
        ("Exit.ends_it_all", "tests/test_exit.cpp:6", "ended with status 0"),
        ("test_late_crash", "tests/test_late_crash.cpp", "crashed: SIGILL"),
        ("Endless.waits_for_its_grandchild", "tests/test_endless.cpp:8", "still running after 2 s"),
        ("NoText.fails", "tests/test_no_text.cpp:7", "Failed"),
    ])
    def test_a_failure_is_told_with_its_place(self, run, case, place, reason):
        assert run.failed[case].startswith(f"({place}): {reason}")

    def test_nothing_else_fails(self, run):
        assert len(run.failed) == 6

    def test_what_is_ignored_says_why(self, run):
        assert run.summary_of("IGNORED") == {"Mixed.is_skipped": "no such hardware",
                                             "Mixed.DISABLED_is_not_ready": "disabled"}

    def test_the_account_at_the_end(self, run):
        assert run.said.endswith("\nOVERALL TEST SUMMARY\n--------------------\nTESTED:  14\nPASSED:  6\nFAILED:  6\n"
                                 "IGNORED: 2\n\n6 passed, 6 failed\n")
        assert run.status == 1

    def test_output_is_shown_of_what_failed_alone(self, run):
        assert "said while it passed" in run.said
        assert "nobody wants to read this" not in run.said

    def test_verbose_shows_it_all_and_the_commands(self, built):
        project = built("outcomes")
        project.change("tests/test_quiet.cpp")
        run = project.run("test:quiet", "--verbose")
        assert "nobody wants to read this" in run.said
        assert "g++ -std=c++20 -O0" in run.said

    def test_what_is_no_text_hurts_nobody(self, run):
        assert "FAIL tests/test_no_text.cpp: 1 passed, 1 failed" in run.said

    @pytest.mark.parametrize("file", ["grandchild", "left"])
    def test_no_process_is_left_behind(self, first_runs, file):
        assert soon(lambda: not is_running(first_runs("outcomes")[0].path(file)))

    def test_summary_prints_it_once_more(self, built, run):
        again = built("outcomes").run("summary")
        assert (again.status, again.failed, again.lines[-1]) == (1, run.failed, run.lines[-1])

    def test_junit(self, first_runs):
        project, run = first_runs("outcomes")
        root = xml.parse(project.path("reports/all.xml")).getroot()
        assert {name: root.get(name) for name in ("tests", "failures", "skipped")} == {
            "tests": "14", "failures": "6", "skipped": "2"}
        suites = {suite.get("name"): suite for suite in root}
        assert sorted(suites) == run.ran
        crash = {case.get("name"): case for case in suites["tests/test_crash.cpp"].iter("testcase")}
        assert sorted(crash) == ["Crash.crashes", "Crash.passes_before"]
        assert crash["Crash.crashes"].get("file") == "tests/test_crash.cpp:7"
        assert crash["Crash.crashes"].find("failure").get("message") == "crashed: SIGILL"
        assert crash["Crash.passes_before"].find("failure") is None
        assert "[ RUN      ] Crash.crashes" in suites["tests/test_crash.cpp"].findtext("system-out")

    def test_junit_of_what_can_not_be_built_any_more(self, built):
        project = built("outcomes")
        project.change("tests/test_quiet.cpp", "puts", "no_such_function")
        project.run("test:quiet", "--junit=new.xml")
        root = xml.parse(project.path("new.xml")).getroot()
        assert (root.get("tests"), root.get("failures")) == ("1", "1")

    def test_a_file_in_which_nothing_passes_or_fails_is_no_success(self, built):
        run = built("outcomes").run("test:mixed", "--test-case=skipped|ready")
        assert (run.status, run.lines[-1]) == (1, "0 passed, 0 failed")


class TestChoosing:
    @pytest.mark.parametrize("command, expected", [
        ("test:port", ["tests/test_port.cpp"]),
        ("test:adder", ["tests/deeper/test_adder.cpp", "tests/test_adder.c", "tests/test_adder.cpp"]),
        ("test:tests/test_adder.c", ["tests/test_adder.c"]),
        ("test:path[tests/deeper]", ["tests/deeper/test_adder.cpp"]),
        ("test:pattern[_(port|space)]", ["tests/test_port.cpp", "tests/test_space.cpp"]),
        ("test:all", LINKING_TESTS),
    ])
    def test_files(self, built, command, expected):
        run = built("linking").run(command)
        assert (run.status, run.ran) == (0, expected)

    def test_several_commands_are_one_run(self, built):
        run = built("linking").run("test:port", "test:space", "test:port")
        assert run.ran == ["tests/test_port.cpp", "tests/test_space.cpp"]
        assert run.lines[-1] == "2 passed, 0 failed"

    @pytest.mark.parametrize("command, answer", [
        ("test:prot", "there is no test of prot; did you mean port?"),
        ("test:pattern[zebra]", "test:pattern: no test's path matches zebra"),
        ("test:pattern[(]", "test:pattern: expected a regular expression: "),
        ("test:path[nowhere]", "test:path: there are no tests in nowhere"),
        ("tset:all", "tset: there is no such command; did you mean test?"),
        ("files:all", "files:all: expected one of: test, source, header, support, mock"),
        ("sanitize:adress", "sanitizers: there is no adress; there is: none"),
        ("sanitize:", "sanitize: expected one of: none is configured"),
        ("--fixture=nowhere", "fixtures: there is no nowhere; there is: none"),
        ("--test-case=(", "--test-case: expected a regular expression: "),
        ("--seed=100000", "--seed: expected 0 to 99999"),
        ("--jobs=0", "--jobs: expected 1 or more"),
        ("new:Bad-name", "new:Bad-name: expected PATH/NAME, the name of lower-case letters, digits and _"),
        ("new:widget", "new.header: expected a template for new files"),
        ("valgrind:nothing", "there is no test of nothing"),
        ("summary", "there was no run yet: test:all is one"),
    ])
    def test_what_is_not_there_is_answered(self, project, command, answer):
        run = project("linking").run(command)
        assert run.status == 2
        assert answer in run.error, run.error

    @pytest.mark.parametrize("options, passed, failed", [
        (["--test-case=passes"], 1, 0),
        (["--test-case=^Mixed.fails$"], 0, 1),
        (["--test-case=Mixed", "--exclude-test-case=fails"], 1, 0),
        (["--exclude-test-case=passes"], 0, 1),
    ])
    def test_cases(self, built, options, passed, failed):
        run = built("outcomes").run("test:mixed", *options)
        assert run.lines[-1] == f"{passed} passed, {failed} failed"
        assert run.status == (1 if failed else 0)

    def test_no_case_is_no_success(self, built):
        run = built("linking").run("test:all", "--test-case=no_such_case")
        assert (run.status, run.ran, run.lines[-1]) == (1, [], "0 passed, 0 failed")
        assert "No test ran." in run.lines

    def test_a_program_that_can_not_say_its_cases_fails(self, built):
        run = built("outcomes").run("test:late_crash", "--test-case=no_such_case")
        assert "its tests can't be listed: crashed: SIGILL" in run.failed["test_late_crash"]

    def test_build_only(self, project):
        run = project("framework").run("test:build_only")
        assert (run.status, run.linked, run.ran) == (0, ["tests/test_nothing"], [])


class TestOrder:
    def failures(self, run: Run) -> str:
        return run.said.partition("FAILED TEST SUMMARY")[2]

    def test_as_written_if_so_wished(self, first_run):
        run = first_run("order")
        assert (run.status, "Seed" in run.said) == (0, False)

    def test_shuffled_by_default_with_a_seed_that_repeats_it(self, built):
        project = built("order")
        runs = [project.end(project.start("test:all")) for _ in range(3)]  # all three as written: 1 in 720 ** 3
        seeds = [re.fullmatch(r"Seed (\d+): --seed=\1 repeats this order", run.lines[0])[1] for run in runs]
        shuffled = next(i for i, run in enumerate(runs) if run.status == 1)
        assert len(set(seeds)) > 1
        again = project.run("test:all", f"--seed={seeds[shuffled]}")
        assert (again.status, self.failures(again)) == (1, self.failures(runs[shuffled]))


class TestScripts:
    def test_run_beside_programs_after_what_they_need(self, first_run):
        run = first_run("scripts")
        assert (run.status, run.lines[-1]) == (1, "1 passed, 3 failed")
        assert run.failed["test_fails"].startswith("(tests/test_script.py:16): ")
        assert run.failed["test_fails_elsewhere"].startswith("(tests/test_script.py:24): ")
        assert run.summary_of("IGNORED") == {"test_is_skipped": "no such hardware"}
        assert "a_module_that_nobody_has" in run.said

    def test_the_environment_goes_before_the_configuration(self, built):
        run = built("scripts").run("test:script", WHO="the user")
        assert "test_has_what_it_needs" in run.failed

    def test_cases(self, built):
        run = built("scripts").run("test:script", "--test-case=needs")
        assert (run.status, run.lines[-1]) == (0, "1 passed, 0 failed")

    def test_the_name_of_the_file_is_no_case(self, built):
        run = built("scripts").run("test:script", "--test-case=script")
        assert (run.status, run.lines[-1]) == (1, "0 passed, 0 failed")

    def test_one_that_can_not_be_read_fails_whatever_is_chosen(self, built):
        run = built("scripts").run("test:unreadable", "--test-case=anything")
        assert "its tests can't be listed" in run.failed["test_unreadable"]

    def test_changed_looks_at_what_they_depend_on(self, built):
        project = built("scripts")
        project.change("tests/test_script.py", "1 + 1 == 3", "True")
        project.change("tests/test_script.py", 'json.loads("{")', "pass")
        assert project.run("test:script").status == 0
        project.path("tests/test_unreadable.py").unlink()
        assert "Nothing has changed" in project.run("test:changed", "--prepared").said
        assert project.run("test:changed").ran == ["tests/test_script.py"]

    def test_prepare_that_fails(self, built):
        project = built("scripts")
        project.configure("echo needed >made", "false")
        run = project.run("test:script")
        assert (run.status, run.ran) == (2, [])
        assert "'false' failed" in run.error


class TestFramework:
    """With a stand-in for GoogleTest that is compiled in no time."""

    GOOGLE = ["Compiling gmock-all.cc", "Compiling gmock_main.cc", "Compiling gtest-all.cc"]

    def compiled(self, run: Run) -> list[str]:
        assert run.status == 0, run.error + run.said
        return sorted(line for line in run.lines if line.startswith(("Compiling gmock", "Compiling gtest")))

    def test_compiled_once_for_all_projects(self, project, tmp_path):
        cache = str(tmp_path / "cache")
        first, second = project("framework"), Project("framework", tmp_path / "second")
        assert self.compiled(first.run(XDG_CACHE_HOME=cache)) == self.GOOGLE
        assert self.compiled(second.run(XDG_CACHE_HOME=cache)) == []
        first.run("clobber")
        assert self.compiled(first.run(XDG_CACHE_HOME=cache)) == []

    @pytest.mark.parametrize("file, old, new", [
        (CONFIGURATION, "-O0", "-O1"), ("../stand_in/googletest/src/gtest-all.cc", "\n", "\n// A newer one.\n")])
    def test_compiled_anew_for_other_flags_or_sources(self, project, tmp_path, file, old, new):
        cache, project = str(tmp_path / "cache"), project("framework")
        project.run(XDG_CACHE_HOME=cache)
        project.change(file, old, new)
        run = project.run(XDG_CACHE_HOME=cache)
        assert self.compiled(run) == self.GOOGLE
        assert run.linked == ["tests/test_nothing"]

    def test_kept_with_the_build_if_there_is_no_other_place(self, project):
        project = project("framework")
        assert self.compiled(project.run(XDG_CACHE_HOME="/dev/null")) == self.GOOGLE
        assert self.compiled(project.run(XDG_CACHE_HOME="/dev/null")) == []

    def test_a_place_without_it(self, project):
        project = project("framework")
        shutil.rmtree(project.path("../stand_in"))
        run = project.run()
        assert (run.status, run.lines) == (2, ["Compiling tests/test_nothing.cpp"])
        assert "tests/project.yml:6: framework: there is no " in run.error

    def test_clobber_removes_what_was_built(self, project):
        project = project("framework")
        project.run()
        assert project.run("clobber").status == 0
        assert not project.path("build/tests").exists()
        assert project.run().compiled == ["tests/test_nothing.cpp"]

    def test_two_runs_at_a_time_are_one_after_the_other(self, project):
        project = project("framework")
        project.configure("building:", "building:\n  run: sleep 1; {program} {arguments}")
        processes = [project.start("--seed=0"), project.start("--seed=0")]
        runs = [project.end(process) for process in processes]
        assert [run.status for run in runs] == [0, 0]
        assert sum("Waiting for another run in build/tests/native" in run.lines for run in runs) == 1
        assert sorted(run.compiled for run in runs) == [[], ["tests/test_nothing.cpp"]]

    def test_a_source_that_changes_while_it_is_compiled_is_compiled_again(self, project):
        project = project("framework")
        project.write("compiler", '#!/bin/sh\ng++ "$@"\ncase " $* " in *" -c "*)\n'
                                  '[ ! -e edit ] || { sleep 0.05; touch tests/test_nothing.cpp; } ;; esac\n')
        project.path("compiler").chmod(0o755)
        project.configure("g++", "./compiler")
        project.write("edit", "")
        assert project.run().compiled == ["tests/test_nothing.cpp"]
        project.path("edit").unlink()
        assert project.run().compiled == ["tests/test_nothing.cpp"]
        assert project.run().compiled == []


class TestInterruption:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
    def test_ends_at_once_leaves_nothing_running_and_keeps_what_was_built(self, built, how):
        project = built("outcomes")
        project.configure("timeout: 2", "timeout: 90")
        project.path("grandchild").unlink()
        project.change("tests/test_endless.cpp")
        process = project.start("test:endless", "--seed=0")
        assert soon(lambda: project.path("grandchild").exists() and project.path("grandchild").read_text())
        process.send_signal(how)
        output, error = process.communicate(timeout=20)
        assert (process.returncode, error) == (130, "interrupted\n")
        assert "Linking" in output
        assert soon(lambda: not is_running(project.path("grandchild")))
        project.configure("timeout: 90", "timeout: 0.1")
        run = project.run("test:endless")
        assert (run.compiled, run.linked) == ([], [])

    def test_a_reader_that_goes_away(self, built):
        project = built("outcomes")
        process = project.start("files:test")
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr.read() == ""


class TestFixtures:
    def test_the_command_runs_the_program_which_is_built_in_a_folder_of_its_own(self, project):
        project = project("fixtures")
        run = project.run("test:tests/test_target.cpp", "--fixture=wrapped")
        assert project.path("wrapped").read_text() == f"{project.folder}/build/tests/wrapped/tests/test_target\n"
        assert (run.status, run.lines[-1]) == (1, "1 passed, 1 failed")
        assert run.failed["Target.fails"].startswith("(tests/test_target.cpp:")
        assert project.run("test:tests/test_target.cpp").compiled == ["tests/test_target.cpp"]
        assert project.run("test:tests/test_target.cpp", "--fixture=wrapped").compiled == []

    def test_scripts_are_left_out(self, project):
        run = project("fixtures").run("test:script", "--fixture=wrapped")
        assert (run.status, run.ran, run.lines[-1]) == (1, [], "0 passed, 0 failed")

    def test_a_target_without_this_machine_s_files(self, project):
        project = project("fixtures")
        run = project.run("--fixture=board")
        copies = sorted(path.name for path in project.path("elsewhere").iterdir())
        assert copies == ["tests-deeper-test_target", "tests-test_target"]
        assert run.lines[-1] == "2 passed, 1 failed"
        assert run.failed["Target.fails"].startswith("(tests/test_target.cpp:")
        run = project.run("--fixture=board", "--test-case=passes")
        assert (run.status, run.lines[-1]) == (0, "2 passed, 0 failed")

    def test_ssh(self, project, ssh_server):
        project = project("fixtures")
        ssh_server(project)
        run = project.run("test:tests/test_target.cpp", "--fixture=remote")
        assert run.lines[-1] == "1 passed, 1 failed", run.said
        assert run.failed["Target.fails"].startswith("(tests/test_target.cpp:")
        assert project.path("there/tests-test_target").exists()


@pytest.fixture
def ssh_server(tmp_path):
    """Starts a server for this user alone, on a port of the loopback interface; its clients begin in the project."""
    server = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not server or not shutil.which("ssh"):
        pytest.skip("no sshd and ssh here: Debian's package openssh-server")
    started = []

    def start(project: Project) -> None:
        folder = project.path("ssh")
        folder.mkdir(mode=0o700)
        project.path("there").mkdir()
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (folder / "server").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
            f"StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin yes\n"
            f"Subsystem sftp internal-sftp -d {project.folder}\n")
        (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
        (folder / "config").write_text(
            f"Host target\nHostName 127.0.0.1\nPort {port}\nUser {getpass.getuser()}\nIdentityFile {folder}/user\n"
            f"IdentitiesOnly yes\nUserKnownHostsFile {folder}/known\nBatchMode yes\n")
        project.configure('"cd there', f'"cd {project.folder}/there')
        log = (folder / "log").open("w")
        if os.getuid() == 0:  # only then does it want this folder
            pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        started.append(subprocess.Popen([server, "-D", "-e", "-f", folder / "server"], stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log))
        command = ["ssh", "-F", folder / "config", "target", "true"]
        assert soon(lambda: subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0), (
            folder / "log").read_text()

    yield start
    for process in started:
        process.terminate()
        process.wait()


class TestSanitizers:
    @pytest.mark.parametrize("command, test, finding", [
        ("sanitize:address[end]", "test_end", "heap-buffer-overflow"),
        ("sanitize:thread[race]", "test_race", "data race"),
        ("valgrind:end", "test_end", "Invalid write of size 1"),
    ])
    def test_what_it_finds_is_a_failure(self, project, command, test, finding):
        if command.startswith("valgrind") and not shutil.which("valgrind"):
            pytest.skip("no valgrind here")
        run = project("sanitizers").run(command)
        assert run.status == 1
        assert finding in run.said
        assert list(run.failed) == [test]

    def test_without_them_nobody_sees(self, project):
        run = project("sanitizers").run("test:end")
        assert (run.status, run.lines[-1]) == (0, "1 passed, 0 failed")


@pytest.mark.skipif(not shutil.which("gcovr"), reason="no gcovr here")
class TestCoverage:
    @pytest.fixture(scope="class")
    def covered(self, tmp_path_factory):
        project = Project("coverage", tmp_path_factory.mktemp("covered"))
        return project, project.run("gcov:all")

    def test_floors_that_are_not_reached_fail(self, covered):
        _, run = covered
        assert (run.status, run.lines[-1]) == (1, "2 passed, 0 failed")
        assert "src/sign.cpp: 75.0 % of lines (3 of 4), floor 100 %  TOO LOW" in run.lines
        assert "  src/sign.cpp:8: never ran: return -1;  // nobody runs this" in run.lines
        assert "Coverage is too low." in run.lines

    def test_what_is_whole_and_what_is_exempt(self, covered):
        _, run = covered
        assert "src/whole: 100.0 % of lines (4 of 4), floor 100 %" in run.lines
        assert "src/whole: 100.0 % of branches (2 of 2), floor 100 %" in run.lines
        assert "src/exempt.cpp: 100.0 % of lines (3 of 3), floor 100 %" in run.lines
        assert "  src/exempt.cpp: return -1;: it can't happen" in run.lines

    def test_a_source_that_no_test_links(self, covered):
        assert "  src/forgotten/forgotten.cpp: no test links it" in covered[1].lines

    def test_the_report_is_in_html(self, covered):
        project, run = covered
        path = next(line for line in run.lines if line.startswith("The report is ")).split()[-1]
        assert "sign.cpp" in project.path(path).read_text()

    def test_what_was_mended_passes(self, covered):
        project, _ = covered
        project.path("src/forgotten/forgotten.cpp").unlink()
        project.configure("    - {path: src/forgotten, lines: 0}\n", "")
        project.path("src/whole/whole.cpp").unlink()
        project.change("src/whole/whole.hpp", "int whole(bool yes);", "inline int whole(bool yes) { return yes; }")
        project.change("tests/test_sign.cpp", "EXPECT_EQ(sign(1), 1);", "EXPECT_EQ(sign(1) + sign(-1), 0);")
        run = project.run("gcov:all")
        assert run.status == 0, run.said
        assert not project.path("build/tests/native-gcov/obj/src/whole/whole.cpp.gcno").exists()

    def test_what_ran_in_an_earlier_run_does_not_count(self, covered):
        project, _ = covered
        project.change("tests/test_sign.cpp", "EXPECT_EQ(sign(1) + sign(-1), 0);", "EXPECT_EQ(sign(1), 1);")
        assert "src/sign.cpp: 75.0 % of lines (3 of 4), floor 100 %  TOO LOW" in project.run("gcov:all").lines

    def test_an_exemption_of_nothing(self, covered):
        project, _ = covered
        project.configure("return -1;,", "return -2;,")
        run = project.run("gcov:all")
        assert run.status == 1
        assert "tests/project.yml:16: coverage.exempt[0]: src/exempt.cpp has no such line" in run.said

    def test_of_nothing_that_ran(self, project):
        project = project("coverage")
        project.change("tests/test_sign.cpp", "EXPECT_EQ", "NOTHING")
        run = project.run("gcov:sign")
        assert (run.status, run.lines[-1]) == (1, "0 passed, 1 failed")
        assert "Nothing ran." in run.lines


class TestNew:
    def test_makes_a_module_whose_test_passes(self, project):
        project = project("new")
        run = project.run("new:src/traffic_light")
        files = ["src/traffic_light.hpp", "src/traffic_light.cpp", "tests/src/test_traffic_light.cpp"]
        assert (run.status, run.lines) == (0, files)
        run = project.run("test:traffic_light")
        assert (run.status, run.lines[-1]) == (0, "1 passed, 0 failed")
        assert "TrafficLight" in project.path(files[0]).read_text()

    def test_overwrites_nothing(self, project):
        project = project("new")
        project.write("src/lamp.cpp", "mine")
        run = project.run("new:lamp")
        assert (run.status, "src/lamp.cpp is there already" in run.error) == (2, True)
        assert project.path("src/lamp.cpp").read_text() == "mine"
        assert not project.path("src/lamp.hpp").exists()


class TestFiles:
    @pytest.mark.parametrize("kind, expected", [
        ("test", ["tests/test_bell.cpp"]),
        ("header", ["src/bell.hpp", "src/sun/clock.hpp", "src/wall/clock.hpp"]),
        ("source", ["src/bell.cpp", "src/sun/clock.cpp", "src/wall/clock.cpp"]),
        ("support", ["tests/support/helper.hpp"]),
        ("mock", [f"tests/support/{place}/mock_clock.{ending}" for place in ("sun", "wall") for ending in ("cpp", "hpp")]),
    ])
    def test_lists(self, project, kind, expected):
        project = project("mocks")
        project.write("tests/support/helper.hpp", "")
        run = project.run(f"files:{kind}")
        assert (run.status, run.lines) == (0, [*expected, f"file count: {len(expected)}"])

    def test_those_of_support_are_no_tests(self, project):
        project = project("mocks")
        project.write("tests/support/test_helper.cpp", "")
        assert project.run("files:test").lines[-1] == "file count: 1"


class TestConfiguration:
    """Each mistake is answered with its line and key, and what was expected."""

    @pytest.mark.parametrize("text, answer", [
        ("biuld: here", "1: biuld: there is no such key; did you mean build?"),
        ("a: b", "1: a: there is no such key; expected one of: build, paths, "),
        ("paths:\n  tset: x", "2: paths.tset: there is no such key; expected one of: tests, sources, "),
        ("building: {flag: []}", "1: building.flag: there is no such key; did you mean flags?"),
        ("sanitizers:\n  address:\n    flasg: x", "3: sanitizers.address.flasg: there is no such key; did you mean flags?"),
        ("building:\n  timeout: soon", "2: building.timeout: expected a number, got 'soon'"),
        ("building: {timeout: -1}", "1: building.timeout: expected a number, got '-1'"),
        ("building: {timeout: [1]}", "1: building.timeout: expected a number, got a list"),
        ("building: {flags: {a: b}}", "1: building.flags: expected a list of texts, got keys and values"),
        ("building: {flags: [[a]]}", "1: building.flags[0]: expected text, got a list"),
        ("building: {flags: \"a 'b\"}", "1: building.flags: expected a list of texts, got No closing quotation"),
        ("building:", "1: building: expected keys and values, got nothing"),
        ("build:", "1: build: expected text, got nothing"),
        ("build: {}", "1: build: expected text, got keys and values"),
        ("- a", "1: the file: expected keys and values, got a list"),
        ("build: a\nbuild: b", "2: build: expected once, and it is there twice"),
        ("build: 'a", "2: expected YAML, but found unexpected end of stream"),
        ("a: b: c", "1: expected YAML, but mapping values are not allowed here"),
        ("building: {run: 'qemu {program}'}", "1: building.run: expected a command with {program} and {arguments}"),
        ("building:\n  run: 'qemu {programm} {arguments}'",
         "2: building.run: expected a command with {program} and {arguments}, got 'qemu {programm} {arguments}'"),
        ("coverage: {floors: [{lines: 3}]}", "1: coverage.floors[0]: expected path as well"),
        ("coverage: {floors: {path: src}}", "1: coverage.floors: expected a list, got keys and values"),
        ("build: .", "1: build: expected a folder for what is built alone, as clobber removes it; tests/project.yml is in ."),
        ("paths: {sources: build/tests/made}", " build: expected a folder for what is built alone, as clobber removes it; "
                                               "build/tests/made is in build/tests"),
        ("building: {from: 'echo never; false'}", "1: building.from: 'echo never; false' failed"),
        ("building: {from: 'echo x: y'}", "what 'echo x: y' prints:1: x: there is no such key"),
        ("building: {c++: no-such-compiler}", "the compiler no-such-compiler can't be run: No such file or directory"),
    ])
    def test_a_mistake(self, project, text, answer):
        project = project("linking")
        project.write(CONFIGURATION, text + "\n")
        run = project.run("test:port")
        assert run.status == 2
        assert run.error.startswith("error: ") and run.error.count("\n") == 1, run.error
        assert answer in run.error
        if answer[0].isdigit():
            assert f"{CONFIGURATION}:{answer}" in run.error

    def test_what_is_no_text(self, project):
        project = project("linking")
        project.path(CONFIGURATION).write_bytes(b"build: \xff\n")
        run = project.run("test:port")
        assert (run.status, "tests/project.yml: expected YAML, but " in run.error) == (2, True)

    def test_no_configuration(self, tmp_path):
        project = Project("linking", tmp_path)
        project.path(CONFIGURATION).unlink()
        run = project.run()
        assert run.status == 2
        assert "tests/project.yml: No such file or directory. Run this from the project's root" in run.error

    def test_check_of_what_is_right(self, project):
        run = project("linking").run("check")
        assert (run.status, run.lines) == (0, ["tests/project.yml is right, and all is there."])

    @pytest.mark.parametrize("text, answer", [
        ("paths:\n  sources: [src, lib]", "tests/project.yml:2: paths.sources[1]: there is no folder lib"),
        ("paths: {support: tests/nowhere}", "tests/project.yml:1: paths.support[0]: there is no folder tests/nowhere"),
        ("patience: {slow: 3}", "tests/project.yml:1: patience.slow: there is no folder slow"),
        ("framework: nowhere", "tests/project.yml:1: framework: there is no folder nowhere: it is Debian's package "
                               "googletest"),
        ("building:\n  c: no-such-cc", "tests/project.yml:2: building.c: there is no program no-such-cc"),
        ("fixtures:\n  board:\n    c++: [arm-g++]", "tests/project.yml:3: fixtures.board.c++: there is no program arm-g++"),
        ("fixtures: {board: {run: 'A=b no-qemu {program} {arguments}'}}",
         "tests/project.yml:1: fixtures.board.run: there is no program no-qemu"),
        ("building: {libraries: [-lm, lib/a.a]}", "tests/project.yml:1: building.libraries[1]: there is no file lib/a.a"),
        ("coverage: {floors: [{path: src/none.cpp}]}",
         "tests/project.yml:1: coverage.floors[0]: there is no file or folder src/none.cpp"),
    ])
    def test_check_of_what_is_missing(self, project, text, answer):
        project = project("linking")
        project.write(CONFIGURATION, text + "\n")
        run = project.run("check")
        assert run.status == 1
        assert answer in run.lines

    def test_what_a_fixture_says_goes_before_what_a_command_prints(self, project):
        project = project("framework")
        project.write("printed", "flags: [-DONE]\ntimeout: 7\n")
        project.configure("building:", "fixtures:\n  other: {flags: [-DTWO], timeout: 9}\n  more: {from: cat more}\n"
                                       "building:\n  from: cat printed")
        run = project.run("--verbose", "--fixture=other")
        assert run.status == 0, run.error
        compiling = next(line for line in run.lines if line.endswith("tests/test_nothing.cpp") and " -c " in line)
        assert " -DONE -DTWO " in compiling
        project.write("more", "flags: [-DTHREE]\n")
        compiling = " ".join(project.run("--verbose", "--fixture=more").lines)
        assert " -DTHREE " in compiling and "-DONE" not in compiling
