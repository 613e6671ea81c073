# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""toolchain/memory-map and toolchain/stack-usage: on small programs whose numbers are known, and on the gateway."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD", ROOT / "build/release/sim"))
CXX = shlex.split(os.environ.get("MILLRACE_COMPILE", "g++"))[0]
FLAGS = ["-std=c++23", "-fno-exceptions", "-fno-rtti", "-O1", "-g", "-I", str(ROOT)]
IS_GCC = "clang" not in subprocess.run([CXX, "--version"], capture_output=True, text=True).stdout

needs_gcc = pytest.mark.skipif(not IS_GCC, reason="only g++ tells of stacks")
needs_gateway = pytest.mark.skipif(not (BUILD / "gateway.size").exists() or not (BUILD / "probe").exists(),
                                   reason="not measured: a sanitizer's build, or not built by `make test`")

BOARD = """
#include <array>
#include <cstddef>
namespace millrace::board {
struct Capacities { std::size_t cats = 3; std::size_t mice = 1000; std::size_t idle = 5; };
struct Budget { std::size_t code = CODE; std::size_t memory = MEMORY; std::size_t stack = STACK; };
[[gnu::used, gnu::retain]] inline constexpr Capacities capacities = [] {
  Capacities result;
#ifdef MILLRACE_PROBE
  result.MILLRACE_PROBE *= 2;
#endif
  return result;
}();
[[gnu::used, gnu::retain]] inline constexpr Budget budget;
}
using millrace::board::capacities;
"""

ZOO = BOARD + """
namespace {
struct Base { virtual int of() const { return 1; } long id; char tag; };
struct Empty {};
struct Cat { short lives; std::array<char, capacities.mice> mice; };
struct Zoo : Base, Empty {
  std::array<Cat, capacities.cats> cats;
  std::array<int, capacities.cats + capacities.mice> links;
  std::array<double, 32> fixed;
  union { char bytes[512]; long word; } either;
};
Zoo zoo;
}
int main(int count, char**) { zoo.links[0] += count; return zoo.of() + static_cast<Base*>(&zoo)->of(); }
"""


def run(*command, cwd=ROOT):
    return subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True)


def tool(name, *arguments, cwd=ROOT):
    return run(sys.executable, ROOT / "toolchain" / name, *arguments, cwd=cwd)


class Program:
    def __init__(self, folder, source, code=10**6, memory=10**6, stack=10**6):
        self.folder = folder
        (folder / "main.cpp").write_text(source)
        self.flags = [*FLAGS, f"-DCODE={code}", f"-DMEMORY={memory}", f"-DSTACK={stack}"]
        self.compile("main.o", *(["-fcallgraph-info=su"] if IS_GCC else []))
        done = run(CXX, "-o", "program", "main.o", "-Wl,-z,now", cwd=folder)
        assert done.returncode == 0, done.stderr

    def compile(self, output, *flags):
        done = run(CXX, *self.flags, *flags, "-c", "-o", output, "main.cpp", cwd=self.folder)
        assert done.returncode == 0, done.stderr

    def probe(self, *constants):
        for constant in constants:
            self.compile(f"{constant}.o", f"-DMILLRACE_PROBE={constant}", *(
                ["-femit-class-debug-always"] if IS_GCC else ["-fstandalone-debug"]))
        return [f"{constant}.o" for constant in constants]

    def map(self, *arguments):
        return tool("memory-map", "program", "--board", "zoo", *arguments, cwd=self.folder)

    def stack(self):
        return tool("stack-usage", "program", "main.ci", cwd=self.folder)


def rows(report):
    """Size and what sizes it, by object: of the first table."""
    table = re.split(r"\n *\d+  together\n", report)[0].splitlines()[1:]
    lines = [re.split(r" {2,}", line.strip()) + [""] for line in table]
    return {line[1]: (int(line[0]), line[2]) for line in lines}


# --- Memory ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    program = Program(tmp_path_factory.mktemp("zoo"), ZOO)
    done = program.map("--probes", *program.probe("cats", "mice", "idle"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names_objects_and_what_sizes_them(zoo):
    found = rows(zoo)
    assert found["zoo.cats[3].mice[1000]"] == (3000, "cats 3 × 1000, mice 1000 × 3")
    assert found["zoo.links[1003]"] == (4012, "cats 3 × 4, mice 1000 × 4")
    assert found["zoo.fixed[32]"] == (256, "double")
    assert found["zoo.either"] == (512, "")  # a union, without a name
    assert found["zoo.*"] == (18, "1 smaller members")  # Base, whose own padding Zoo makes use of
    assert found["padding"][0] > 0
    assert found["zoo.cats[3].*"] == (6, "cats 3 × 2")


def test_shows_the_largest_first(zoo):
    sizes = [size for size, _ in rows(zoo).values()]
    assert sizes == sorted(sizes, reverse=True)


def test_says_what_one_more_costs(zoo):
    assert re.search(r"^ *4012  mice +1000 × 7$|^ *7000  mice +1000 × 7$", zoo, re.M)
    assert re.search(r"^ *0  idle +sizes nothing$", zoo, re.M)


@pytest.mark.parametrize("name", ["code", "memory"])
def test_a_program_over_its_budget_fails(name, tmp_path):
    first = Program(tmp_path, ZOO).map()
    used = int(re.search(rf"^ *{name} +(\d+)", first.stdout, re.M)[1])
    assert Program(tmp_path, ZOO, **{name: used}).map().returncode == 0
    over = Program(tmp_path, ZOO, **{name: used - 1}).map()
    assert over.returncode == 1
    assert f"{name} is {used} bytes, 1 over the budget of {used - 1}" in over.stderr
    assert f"Budget::{name} in board/zoo.hpp" in over.stderr


def test_a_program_without_a_budget_fails(tmp_path):
    done = Program(tmp_path, "int main() {}").map()
    assert done.returncode == 1 and "millrace::board::budget" in done.stderr


# --- Frames of coroutines ----------------------------------------------------------------------

FRAMES_OF_TASKS = BOARD + """
#include <coroutine>
struct Task {
  struct promise_type {
    Task get_return_object() { return {}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};
namespace { Task small(int) { co_await std::suspend_always(); } }
Task large(long) { volatile char bytes[5000] = {}; co_await std::suspend_always(); bytes[0] = bytes[1]; }
struct Zoo { Task open(int) { volatile char bytes[100] = {}; co_await std::suspend_always(); bytes[0] = bytes[1]; } };
int main(int count, char**) { small(count); large(count); Zoo().open(count); }
"""


@needs_gcc
def test_frames_of_coroutines_largest_first(tmp_path):
    done = Program(tmp_path, FRAMES_OF_TASKS).map("--frames")
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()[1:]]
    assert [name for _, _, name in lines] == ["large(long)   too large for the pool", "Zoo::open(int)",
                                              "(anonymous namespace)::small(int)"]
    sizes = [int(size) for size, _, _ in lines]
    assert 5000 < sizes[0] < 5200 and 100 < sizes[1] < 300 and 0 < sizes[2] < 100
    for size, taken, _ in lines:
        assert int(taken) % 16 == 0 and 16 <= int(taken) - int(size) < 32


def test_a_program_without_coroutines_has_no_frames(tmp_path):
    assert "there is none" in Program(tmp_path, ZOO).map("--frames").stdout


# --- Stack -------------------------------------------------------------------------------------

FRAMES = """
[[gnu::noinline]] void use(volatile char* bytes) { bytes[0] = 1; }
template <int N> [[gnu::noinline]] int frame() { volatile char bytes[N]; use(bytes); return bytes[0]; }
"""


def stack_of(program):
    done = program.stack()
    assert done.returncode == 0, done.stderr
    return int(re.match(r"stack (\d+) ", done.stdout)[1]), done.stdout


@needs_gcc
def test_the_deepest_chain_counts(tmp_path):
    source = BOARD + FRAMES + """
    [[gnu::noinline]] int both() { return frame<5000>() + frame<3000>(); }
    int main(int count, char**) { return count > 1 ? both() : frame<1000>(); }"""
    program = Program(tmp_path, source)
    used, report = stack_of(program)
    assert 5000 < used < 5500
    assert re.search(r"main \d+ > both \d+ > frame 5\d\d\d > use \d+", report)
    (tmp_path / "stack").write_text(report)
    assert f"{used}" in program.map("--stack", "stack").stdout
    assert Program(tmp_path, source, stack=used).map("--stack", "stack").returncode == 0
    over = Program(tmp_path, source, stack=used - 1).map("--stack", "stack")
    assert over.returncode == 1 and "Budget::stack in board/zoo.hpp" in over.stderr


@needs_gcc
def test_virtual_calls_are_those_of_all_classes(tmp_path):
    used, _ = stack_of(Program(tmp_path, BOARD + FRAMES + """
    struct Animal { virtual int eat() = 0; };
    struct Cat : Animal { int eat() override { return frame<100>(); } };
    struct Whale : Animal { int eat() override { return frame<7000>(); } };
    Cat cat; Whale whale; Animal* volatile animal = &cat; Animal* other = &whale;
    int main(int count, char**) { return animal->eat(); }"""))
    assert 7000 < used < 7500


@needs_gcc
def test_handlers_are_called_by_the_loop(tmp_path):
    used, report = stack_of(Program(tmp_path, BOARD + FRAMES + """
    #include "firmware/reactor/message.hpp"
    using namespace millrace;
    struct Door { int open = 0; void on_bell(const Message&) { open += frame<3000>(); }
                  void on_wind(const Message&) { open += frame<500>(); } };
    Door door; volatile bool wind;
    int main() {
      const Handler handler = wind ? Handler::to<&Door::on_wind>(door) : Handler::to<&Door::on_bell>(door);
      handler(Message{});
    }"""))
    assert 3000 < used < 3500
    assert re.search(r"^ +3\d\d\d  Door::on_bell$", report, re.M)
    assert re.search(r"^ +5\d\d  Door::on_wind$", report, re.M)


@needs_gcc
@pytest.mark.parametrize("source, complaint", {
    "recursion": ("""
        [[gnu::noinline]] int f(int n); [[gnu::noinline]] int g(int n) { volatile int x = n; return f(x - 1) + x; }
        int f(int n) { volatile int x = n; return n > 0 ? g(x) + x : 0; }
        int main(int count, char**) { return f(count); }""", r"recursion: (f calls g calls f|g calls f calls g)\n"),
    "through a pointer": ("""
        int (*volatile unknown)() ; int main() { return 1 + unknown(); }""",
        r"main calls through a pointer at main.cpp:\d+:\d+, and that may be anybody.*return 1 \+ unknown\(\);"),
    "beside a virtual call": ("""
        struct Animal { virtual int eat() { return 1; } }; Animal cat; Animal* volatile animal = &cat;
        int (*volatile unknown)(int); int main() { return 1 + unknown(animal->eat()); }""",
        r"main calls through a pointer at main.cpp:\d+:\d+, and that may be anybody"),
    "alloca": ("""
        void use(void* p) { *static_cast<volatile char*>(p) = 1; }
        int main(int count, char**) { use(__builtin_alloca(static_cast<unsigned>(count) * 10)); return 0; }""",
        r"main has a stack whose size is not known"),
    "called back": ("""
        #include <cstdlib>
        int compare(const void*, const void*) { return 0; } int v[9];
        int main() { std::qsort(v, 9, 4, compare); return v[0]; }""", r"qsort\(\) calls back"),
    "object left out": ("""
        namespace millrace { [[gnu::noinline]] int elsewhere(int n) { volatile int x = n; return x; } }
        int main(int count, char**) { return millrace::elsewhere(count); }""",
        r"nothing is known of millrace::elsewhere\(int\)"),
}.values(), ids=["recursion", "pointer", "beside", "alloca", "called back", "left out"])
def test_what_is_not_known_is_refused(source, complaint, tmp_path):
    program = Program(tmp_path, BOARD + source)
    if "elsewhere" in source:
        known = (tmp_path / "main.ci").read_text()
        (tmp_path / "main.ci").write_text(re.sub(r"node: .*elsewhere.*\n", "", known))
    done = program.stack()
    assert done.returncode == 1
    assert re.search(complaint, done.stderr), done.stderr


# --- The gateway -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gateway_map():
    done = tool("memory-map", BUILD / "gateway", "--board", os.environ["MILLRACE_BOARD"], "--stack", BUILD /
                "gateway.stack", "--least", "1", "--probes", *sorted((BUILD / "probe").glob("*.o")))
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_gateway
def test_the_gateways_parts_add_up(gateway_map):
    listing = run("readelf", "-SW", BUILD / "gateway").stdout
    written = sum(int(size, 16) for size in re.findall(r"\w+ \w+ (\w+) \w\w +WA", listing))
    assert sum(size for size, _ in rows(gateway_map).values()) == written
    assert re.search(rf"^ *{written}  together$", gateway_map, re.M)
    assert any(path.startswith("gateway.server_.sessions_[") for path in rows(gateway_map))


@needs_gateway
def test_every_capacity_sizes_something_or_is_said_not_to(gateway_map):
    declaration = re.search(r"struct Capacities \{(.*?)\n\};", (ROOT / "board/board.hpp").read_text(), re.S)[1]
    for name in re.findall(r"std::size_t (\w+) =", declaration):
        sizes = any(re.search(rf"\b{name} \d+ × ", sized_by) for _, sized_by in rows(gateway_map).values())
        said = r"\d+ × " if sizes else "sizes nothing"
        assert re.search(rf"^ *\d+  {name} +{said}", gateway_map, re.M), name


@needs_gcc
@needs_gateway
def test_every_handler_has_its_stack(gateway_map):
    sources = "".join(path.read_text() for path in (ROOT / "firmware/gateway").glob("*.cpp"))
    handlers = set(re.findall(r"Handler::to<&([\w:]+)>", sources))
    assert handlers
    for handler in handlers:
        assert re.search(rf"^ +\d+  (\w+::)*{handler}$", gateway_map, re.M), handler
