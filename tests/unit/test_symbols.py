# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""What is built can't allocate, throw or ask for a type at run time: nobody refers to a function that does."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("MILLRACE_BUILD", "build/release/sim")
NM = os.environ.get("MILLRACE_NM", "nm")

EXAMPLES = ["blink", "edge_counter", "serial_echo", "two_cores",
            *(f"{example}_{style}" for example in ("button", "modbus", "modem") for style in ("callback", "task"))]

# Functions of C and C++ that allocate, or that only make sense with memory that was. By what they are for.
FORBIDDEN = {
    "the heap": """malloc calloc realloc reallocarray free cfree memalign aligned_alloc posix_memalign valloc pvalloc
        __libc_malloc __libc_calloc __libc_realloc __libc_memalign __libc_free brk sbrk mmap mmap64 mremap""",
    "operator new and delete": r"_Zn[wa]\w* _Zd[la]\w*",
    "exceptions": r"__cxa_(throw|rethrow|allocate_exception|free_exception|begin_catch|end_catch|get_exception_ptr"
                  r"|call_unexpected|bad_cast|bad_typeid) _ZSt\d+__throw_\w+ _ZSt9terminatev _Unwind_(Resume|RaiseException)"
                  r" __gxx_personality_v0",
    "type information": r"_ZT[IS]\w* __dynamic_cast _ZTVN10__cxxabiv1\w*",
    "locks of static locals": r"__cxa_guard_\w+",
    "text that it allocates": """strdup strndup __strdup asprintf vasprintf __asprintf_chk __vasprintf_chk getline
        getdelim __getdelim open_memstream wcsdup""",
    "streams, which allocate their buffers": r"""fopen fopen64 fdopen freopen freopen64 popen tmpfile tmpfile64 fmemopen
        printf fprintf vprintf vfprintf dprintf vdprintf __\w*printf_chk puts fputs putchar fputc putc perror scanf fscanf
        stdout stderr stdin _ZSt4cout _ZSt4cerr _ZSt3cin _ZNSt\w+stream\w*""",
    "folders": "opendir fdopendir scandir scandir64 glob glob64 ftw nftw fts_open wordexp getcwd canonicalize_file_name",
    "names of hosts and users": """getaddrinfo gethostbyname gethostbyname2 gethostbyaddr getservbyname getifaddrs
        if_nameindex getpwnam getpwuid getgrnam getgrgid getpwnam_r getpwuid_r getgrnam_r getgrgid_r initgroups""",
    "the environment": "setenv putenv unsetenv clearenv",
    "locales and time zones": "setlocale newlocale localtime localtime_r mktime timelocal strftime tzset iconv_open",
    "sorting, which allocates for large arrays": "qsort qsort_r",
    "the system's log": "syslog vsyslog __syslog_chk openlog",
    "libraries at run time": "dlopen dlsym dlvsym dlerror",
    "threads and timers, whose stacks are mapped": r"""_ZNSt6thread\w+ pthread_create thrd_create timer_create mq_open sem_open
        aio_read aio_write lio_listio pthread_setspecific""",
    "other programs": "system posix_spawn posix_spawnp fork vfork",
    "regular expressions": "regcomp backtrace backtrace_symbols",
    "functions for the end, beyond 32": "atexit on_exit __cxa_atexit at_quick_exit",
    "paths and messages": "realpath __realpath_chk getopt getopt_long getopt_long_only strerror strsignal ttyname ptsname",
}

# Who may refer to one nevertheless, and why that allocates nothing after start.
ALLOWED = {
    "heap_trap.o": (r"__libc_(malloc|calloc|realloc|memalign)", "it is malloc() for others: counted, or the end"),
    "io_uring.o": ("mmap|mmap64", "before the start: the kernel's rings"),
    "libgpiod_memory.o": ("realpath", "into a buffer of ours; it allocates for paths beyond a kilobyte"),
    "options.o": ("getopt_long", "before the start"),
    "thread.o": ("pthread_create", "before the start, and on a stack of ours"),
    "main.o": ("__cxa_atexit", "before the start, and the first of 32"),
    **{f"{example}.o": ("__cxa_atexit", "before the start, and some of the first of 32") for example in EXAMPLES},
    # libgpiod. Its malloc(), free() and so on are already renamed to those of our pool.
    "libgpiod_la-internal.o": (r"__snprintf_chk|snprintf|millrace_libgpiod_\w+", "a path, without widths"),
}

pytestmark = pytest.mark.skipif("/release/" not in f"{BUILD}/", reason="sanitizers refer to their own functions")


def forbidden(symbol: str) -> str | None:
    """What a symbol's function does that nobody may; None if there is nothing against it."""
    for what, names in FORBIDDEN.items():
        if re.fullmatch("|".join(f"(?:{name})" for name in names.split()), symbol):
            return what
    return None


def symbols(file: pathlib.Path, *options: str) -> list[tuple[str, str]]:
    """The object and the symbol's name, for what nm lists."""
    listing = subprocess.run([NM, "-A", "-P", *options, file], check=True, capture_output=True, text=True).stdout
    found = []
    for line in listing.splitlines():
        where, name = line.split(": ", 1)
        member = re.search(r"\[(.*)\]$", where)
        found.append((member[1] if member else pathlib.Path(where).name, name.split()[0].split("@")[0]))
    return found


def complaints(references: list[tuple[str, str]]) -> list[str]:
    found = []
    for member, symbol in references:
        what = forbidden(symbol)
        if what and not re.fullmatch(ALLOWED.get(member, ("", ""))[0], symbol):
            found.append(f"{member} refers to {symbol}: {what}")
    return found


def objects():
    return [BUILD.parent / "libmillrace.a", BUILD / "libgateway.a", BUILD.parent / "libgpiod.a",
            *sorted((BUILD / "obj/firmware").rglob("main.o")), *sorted((BUILD / "obj/firmware/examples").glob("*.o"))]


def test_what_is_linked_is_looked_at():
    names = [path.name for path in objects()]
    assert names == ["libmillrace.a", "libgateway.a", "libgpiod.a", "main.o",
                     *(f"{name}.o" for name in sorted(EXAMPLES))]
    members = {member for file in objects() for member, _ in symbols(file)}
    assert {"reactor.o", "gateway.o", "uart.o", "libgpiod_la-chip.o", "main.o"} <= members


@pytest.mark.parametrize("file", objects(), ids=lambda path: path.name)
def test_no_object_refers_to_what_allocates_or_throws(file):
    assert not complaints(symbols(file, "-u"))


@pytest.mark.parametrize("file", objects(), ids=lambda path: path.name)
def test_no_object_defines_type_information_or_an_operator(file):
    defined = [f"{member} defines {symbol}" for member, symbol in symbols(file, "--defined-only")
               if re.fullmatch(r"_ZT[IS]\w*|_Zn[wa]\w*|_Zd[la]\w*", symbol)]
    assert not defined


@pytest.mark.parametrize("program", ["gateway", *(f"examples/{name}" for name in EXAMPLES)])
def test_no_program_asks_a_library_for_what_allocates_or_throws(program):
    asked = {symbol for _, symbol in symbols(BUILD / program, "-D", "-u")}
    assert "epoll_ctl" in asked  # it is read
    may = {symbol for symbol in asked for allowed, _ in ALLOWED.values() if re.fullmatch(allowed, symbol)}
    assert not {symbol: forbidden(symbol) for symbol in asked - may if forbidden(symbol)}


def test_every_allowance_is_needed():
    used = {member for file in objects() for member, symbol in symbols(file, "-u")
            if forbidden(symbol) and re.fullmatch(ALLOWED.get(member, ("", ""))[0], symbol)}
    assert used == set(ALLOWED)


@pytest.mark.parametrize(("statement", "what"), [
    ("delete new int;", "operator new and delete"),
    ("free(malloc(argc));", "the heap"),
    ("throw argc;", "exceptions"),
    ("std::string_view(argv[0]).substr(argc);", "exceptions"),
    ("static const int kept = getpid(); argc += kept;", "locks of static locals"),
    ("puts(argv[0]);", "streams"),
    ("std::cout << argc;", "streams"),
    ("argc += typeid(Base).name()[0];", "type information"),
    ("opendir(argv[0]);", "folders"),
    ("std::thread([]{}).detach();", "threads"),
])
def test_it_sees_such_a_reference(statement, what, tmp_path):
    source = tmp_path / "wrong.cpp"
    source.write_text(f"""
        #include <cstdio>
        #include <cstdlib>
        #include <dirent.h>
        #include <iostream>
        #include <string_view>
        #include <thread>
        #include <typeinfo>
        #include <unistd.h>
        struct Base {{ virtual void f(); }};
        int main(int argc, char** argv) {{ {statement} return argc + (argv != nullptr); }}
    """)
    subprocess.run(["g++", "-std=c++23", "-O0", "-c", source, "-o", tmp_path / "wrong.o"], check=True)
    assert any(f": {what}" in complaint for complaint in complaints(symbols(tmp_path / "wrong.o", "-u")))
