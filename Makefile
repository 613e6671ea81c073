# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
#
# `make help` tells the targets and variables. Everything built goes into build/:
#
#   build/VARIANT/libmillrace.a    hal, drivers and reactor: the same for every board
#   build/VARIANT/libgpiod.a       with its malloc() renamed to ours
#   build/VARIANT/BOARD/           what depends on the board: gateway, examples/, tests/
#   build/VARIANT/BOARD/gateway.*  what it takes: size, stack; probe/ for its memory map
#   build/fuzz/                    fuzzers, and what they have found
#   build/lint/                    which files clang-tidy has passed

define help_text
Targets
  make                 build the gateway and the examples
  make run             set up, build and start the gateway on this machine's board
  make test            set up, build and run all tests
  make lint            clang-tidy over the C++ code, shellcheck over the scripts
  make format          clang-format all C++ code in place (make format-check only looks)
  make coverage        all tests once more, and which lines and branches they reach
  make size            what code, memory and stack the gateway takes, of the board's budget
  make memory-map      the same, object by object, and the constants that size them; handler by handler; APP=modem_task: frames of tasks
  make bench           the reactor beside other loops; BENCH=chain, cores or rings for one, QUICK=1 for a check
  make fuzz            fuzz the decoders, parsers and rings, SECONDS=60 each, or RUNS=20000 each; the corpus is kept
  make footprint       the gateway on disk and in memory beside ser2net, and echo servers on libuv and libev
  make deb             a Debian package of the gateway, for all boards of this architecture or of ARCH=; checked by lintian
  make image           what the board boots from, straight into the gateway: $(image_boards); into build/images/BOARD
  make qemu            boot an image in QEMU, PORT=7000 here leading to it, and PIGPIO_PORT=8888; toolchain/lines pulls lines
  make test-qemu       what holds only in a whole system: boot, edges, serial ports, power cuts; TEST=REGEX for some
  make hil             hardware in the loop: TARGET=sim, qemu-virt, qemu-imx8mp or the file of a rig of yours; SOAK=10 minutes
  make hil-check       measure each wire of a rig, and name what is missing
  make boards          build for every board, as each has limits that only its own build checks
  make setup           only install what building and testing need
  make clean           remove build/

Variables
  BOARD=NAME           $(BOARDS); now: $(BOARD)
  MACHINE=virt         of QEMU, which the board follows from: $(machines). virt is ARCH=armhf, too
  APP=blink            run an example instead of the gateway
  ARGS='--help'        options for the program to run
  TEST=REGEX           only the tests whose file or name matches
  ARCH=arm64           cross-build static programs, ARCH=armhf for 32 bits; TARGET=arm64 tests them in an emulator
  SANITIZE=address     find memory errors and undefined behaviour; SANITIZE=thread finds data races
  CXX=clang++-19       another compiler; CPPFLAGS, CXXFLAGS, LDFLAGS and LDLIBS are yours too
  SETUP=no             install nothing
  LWRB=/path           use the original LwRB, checked out there, in place of hal/compat/lwrb
  V=1                  show the commands
endef

# As parallel as the machine, unless -j says otherwise.
MAKEFLAGS := $(MAKEFLAGS) --no-builtin-rules $(if $(filter 0,$(MAKELEVEL)),$(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc)))
.DELETE_ON_ERROR:
.PHONY: build run test coverage show-building what-scripts-need size memory-map bench fuzz footprint deb image qemu test-qemu hil hil-check hil-target boards lint format format-check setup clean help FORCE
build:

# --- What to build, and for which board ---

find    = $(shell find $1 $2 2>/dev/null | sort)
quote   = '$(subst ','\'',$1)'
goals  := $(or $(MAKECMDGOALS),build)

# A header for each board, besides what a board is and the list of all.
BOARDS := $(filter-out board boards,$(patsubst board/%.hpp,%,$(wildcard board/*.hpp)))

# Which board QEMU's machines are.
machines         := virt imx8mp-evk raspi3b
board_virt       := qemu-virt
board_imx8mp-evk := qemu-imx8mp
board_raspi3b    := rpi3
ifneq ($(and $(MACHINE),$(filter image qemu test-qemu,$(goals))),)
  BOARD := $(or $(board_$(MACHINE)),$(error MACHINE is one of: $(machines)))
endif

# A target of hardware-in-the-loop tests is a rig, and what it needs follows from the rig's file.
ifneq ($(filter hil hil-check,$(goals)),)
  hil_rig  := $(or $(firstword $(wildcard tests/hil/rigs/$(or $(TARGET),sim).yaml $(TARGET))),\
                $(error TARGET=$(TARGET) is neither a file nor one of $(basename $(notdir $(wildcard tests/hil/rigs/*.yaml)))))
  hil_key   = $(shell sed -n "s/^$1: *[\"']*\([^ \"']*\).*/\1/p" $(hil_rig))
  hil_kind := $(call hil_key,kind)
  hil_arch := $(or $(call hil_key,arch),arm64)
  BOARD    := $(call hil_key,board)
  override TARGET :=
endif

# Tests and lint mean the same on every machine, and a package is for every board; all else is for the board at hand.
BOARD ?= $(if $(filter test coverage show-building what-scripts-need lint,$(goals)),sim,$\
         $(if $(filter deb,$(goals)),generic,$(if $(filter image qemu test-qemu,$(goals)),qemu-virt,$(shell toolchain/board))))
BOARD := $(BOARD)
APP   ?= gateway

lib_sources     := $(filter-out $(if $(LWRB),hal/compat/lwrb/%),$(call find,hal drivers firmware/reactor,-name '*.cpp'))
lwrb_sources    := $(if $(LWRB),$(or $(wildcard $(LWRB)/lwrb/src/lwrb/*.c),$(error LWRB=$(LWRB) has no lwrb/src/lwrb)))
gateway_sources := $(filter-out %/main.cpp,$(wildcard firmware/gateway/*.cpp board/*.cpp))
example_sources := $(wildcard firmware/examples/*.cpp)
helper_sources  := $(wildcard tests/hil/*.cpp tests/qemu/*.cpp)
# tests/projects/ has mistakes in it on purpose.
all_cpp         := $(call find,hal drivers firmware board tests,-path tests/projects -prune -o -name '*.cpp' -print)
all_hpp         := $(call find,hal drivers firmware board tests,-path tests/projects -prune -o -name '*.hpp' -print)

# Cross-built programs are static: they need nothing of the system that they run on.
triplet_arm64 := aarch64-linux-gnu
triplet_armhf := arm-linux-gnueabihf
triplet       := $(if $(ARCH),$(or $(triplet_$(ARCH)),$(error ARCH is arm64 or armhf)))

# --- Setting up ---

# This happens while the Makefile is read, as pkg-config is asked below; nothing missing costs about 20 ms.
setup_goal := $(or $(if $(filter lint format format-check,$(goals)),lint),$\
                   $(if $(filter test hil hil-check setup,$(goals)),test),$\
                   $(if $(filter memory-map,$(goals)),map),$\
                   $(if $(filter-out clean help,$(goals)),build)) $(filter coverage bench fuzz footprint,$(goals))
setup_goal := $(if $(ARCH)$(TARGET),$(or $(ARCH),$(TARGET)),$(setup_goal)) $(filter deb,$(goals)) \
              $(if $(filter image qemu test-qemu,$(goals))$(filter qemu,$(hil_kind)),qemu) $(if $(filter board,$(hil_kind)),$(hil_arch))
dry_run    := $(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS))))
ifneq ($(and $(strip $(setup_goal)),$(if $(filter no,$(SETUP))$(dry_run),,yes)),)
  ifneq ($(shell (set -e; for goal in $(setup_goal); do toolchain/setup $$goal; done) >&2 && echo done),done)
    $(error setting up failed, see above)
  endif
endif

# --- Compilers and flags ---

ifneq ($(triplet),)
  CXX        := $(triplet)-g++
  CC         := $(triplet)-gcc
  AR         := $(triplet)-ar
  sysroot    := $(or $(shell toolchain/sysroot $(ARCH)),$(error there is no sysroot for $(ARCH), see above))
  PKG_CONFIG := PKG_CONFIG_SYSROOT_DIR=$(sysroot) PKG_CONFIG_LIBDIR=$(sysroot)/usr/lib/$(triplet)/pkgconfig pkg-config
endif
CXXFLAGS     ?= $(if $(SANITIZE),-O1,-O2) -g
PKG_CONFIG   ?= pkg-config
PYTHON       ?= /usr/bin/python3
CLANG_TIDY   ?= clang-tidy-19
CLANG_FORMAT ?= clang-format-19
GTEST        ?= /usr/src/googletest

sanitize_address := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
sanitize_thread  := -fsanitize=thread -fno-omit-frame-pointer
sanitize         := $(if $(SANITIZE),$(or $(sanitize_$(SANITIZE)),$(error SANITIZE is address or thread)))

lwrb_include := $(if $(LWRB),-isystem $(LWRB)/lwrb/src/include)
language := -std=c++23 -fno-exceptions -fno-rtti -pthread -I. $(lwrb_include) -isystem hal/compat $(shell $(PKG_CONFIG) --cflags libgpiod 2>/dev/null)
# Sanitizers add code of their own, and GCC then warns of that; the plain build has warned of ours already.
warnings := $(if $(SANITIZE),-w,-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast \
            -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align -Wnull-dereference -Werror)
c_warnings := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Werror
board     = $(if $(filter $(BOARD),$(BOARDS)),,$(error BOARD is one of: $(BOARDS)))$\
            -DMILLRACE_BOARD=$(subst -,_,$(BOARD))
gtest    := -isystem $(GTEST)/googletest/include -isystem $(GTEST)/googlemock/include

# hal/heap_trap.cpp says why.
comma            := ,
trapped          := malloc calloc realloc memalign aligned_alloc posix_memalign
wrap_heap        := $(addprefix -Wl$(comma)--wrap=,$(trapped)) -Wl$(comma)--undefined=__wrap_malloc
static           := $(if $(ARCH),-static)
static_heap_trap := $(if $(filter -static%,$(static) $(LDFLAGS)),$(wrap_heap))

compile := $(CXX) $(language) -ffunction-sections -fdata-sections $(sanitize) $(CPPFLAGS) $(CXXFLAGS)
# What toolchain/stack-usage reads beside each object: whom its functions call, with how much stack. Only g++ tells.
stack   := $(if $(SANITIZE)$(findstring clang,$(shell $(CXX) --version | head -n 1)),,-fcallgraph-info=su)
# -z now: the dynamic linker's work, and the stack that it needs, are over before main() begins.
link    := $(CXX) -pthread -Wl,--gc-sections,-z,now $(sanitize) $(CXXFLAGS) $(static_heap_trap) $(static) $(LDFLAGS)
libs    := $(LDLIBS)

# libgpiod's static library, where pkg-config has it; hal/libgpiod_memory.hpp says why.
OBJCOPY      ?= $(AR:%ar=%objcopy)
libgpiod_dir := $(patsubst -L%,%,$(shell PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 $(PKG_CONFIG) --libs-only-L libgpiod 2>/dev/null))
libgpiod     := $(wildcard $(libgpiod_dir:%=%/libgpiod.a))
no_libgpiod   = $(error there is no libgpiod.a in $(libgpiod_dir): Debian's package libgpiod-dev has it, a build \
                from source with --enable-static)

# --- Building ---

out       := build/$(or $(SANITIZE),release)$(ARCH:%=-%)
board_out := $(out)/$(BOARD)

lwrb_objects    := $(lwrb_sources:$(LWRB)/%.c=$(out)/upstream/%.o)
lib_objects     := $(lib_sources:%.cpp=$(out)/lib/%.o) $(lwrb_objects)
gateway_objects := $(gateway_sources:%.cpp=$(board_out)/obj/%.o)
gateway         := $(board_out)/gateway
within_budget   := $(if $(SANITIZE),,$(board_out)/gateway.size)
examples        := $(example_sources:firmware/%.cpp=$(board_out)/%)
helpers         := $(helper_sources:%.cpp=$(board_out)/%)

# Show one short line a step, or with V=1 the command; nothing with -s.
Q     := $(if $(V),,@)
quiet := $(V)$(findstring s,$(filter-out --%,$(firstword -$(MAKEFLAGS))))
step   = @mkdir -p $(@D)$(if $(quiet),,; echo '$1 $2')

# Rewrite $@ only if its text changes: whatever depends on it is then made again.
record = @mkdir -p $(@D); printf '%s\n' $(call quote,$1) >$@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@

build: $(gateway) $(examples) $(within_budget)

$(out)/flags: FORCE
	$(call record,$(compile) $(stack) $(warnings) $(link) $(libs) $(shell $(CXX) --version | head -n 1))
$(out)/members: FORCE
	$(call record,$(lib_objects))
$(board_out)/members: FORCE
	$(call record,$(gateway_objects))

# The original LwRB instead of ours; its warnings are not ours.
$(out)/upstream/%.o: $(LWRB)/%.c $(out)/flags
	$(call step,CC,$<)
	$(Q)$(CC) -std=c11 -O2 -w $(sanitize) -DLWRB_DEV -I$(LWRB)/lwrb/src/include -c -o $@ $<

$(out)/lib/%.o: %.cpp $(out)/flags
	$(call step,CXX,$<)
	$(Q)$(compile) $(stack) $(warnings) -MMD -MP -c -o $@ $<

$(board_out)/obj/%.o: %.cpp $(out)/flags
	$(call step,CXX,$<)
	$(Q)$(compile) $(stack) $(warnings) $(board) -MMD -MP -c -o $@ $<

$(out)/libgpiod.a: hal/libgpiod_memory.symbols $(libgpiod) $(out)/flags
	$(call step,OBJCOPY,$@)
	$(Q)$(OBJCOPY) --redefine-syms=$< $(or $(libgpiod),$(no_libgpiod)) $@

%.a:
	$(call step,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(out)/libmillrace.a: $(lib_objects) $(out)/members
$(board_out)/libgateway.a: $(gateway_objects) $(board_out)/members

# libgpiod calls back into libmillrace: its malloc() is there.
firmware_libs := $(board_out)/libgateway.a $(out)/libgpiod.a $(out)/libmillrace.a

$(gateway): $(board_out)/obj/firmware/gateway/main.o $(firmware_libs)
$(examples): $(board_out)/%: $(board_out)/obj/firmware/%.o $(firmware_libs)
$(helpers): $(board_out)/%: $(board_out)/obj/%.o $(firmware_libs)
$(gateway) $(examples) $(helpers):
	$(call step,LINK,$@)
	$(Q)$(link) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(libs)

-include $(shell find $(out)/lib $(board_out)/obj $(board_out)/probe -name '*.d' 2>/dev/null)

# --- Measuring ---

# Not for a sanitizer's build, whose code, memory and stack are not the gateway's alone.
stack_files := $(patsubst %.o,%.ci,$(filter-out $(out)/upstream/%,$(board_out)/obj/firmware/gateway/main.o \
               $(gateway_objects) $(lib_objects)))
$(board_out)/gateway.stack: $(gateway) toolchain/stack-usage
	$(Q)$(if $(stack),$(PYTHON) toolchain/stack-usage $< $(stack_files),echo 'stack: only g++ tells it') >$@
$(board_out)/gateway.stripped: $(gateway)
	$(Q)$(OBJCOPY) --strip-all $< $@
measure = $(PYTHON) toolchain/memory-map $(gateway) --board $(BOARD) --stack $(gateway).stack --stripped $(gateway).stripped
$(board_out)/gateway.size: $(board_out)/gateway.stack $(board_out)/gateway.stripped toolchain/memory-map
	$(Q)$(measure) >$@ || { cat $@ >&2; exit 1; }
size: $(board_out)/gateway.size
	@cat $<

# The gateway's objects once more for each capacity, with twice as much of it: toolchain/memory-map sees what grows.
# Nothing of that runs, so what is asserted about sizes does not matter; -O0 is fastest.
capacities := $(shell sed -n '/^struct Capacities/,/^};/s/^ *std::size_t \([a-z_]*\) .*/\1/p' board/board.hpp)
probes     := $(capacities:%=$(board_out)/probe/%.o)
$(board_out)/probe/%.o: firmware/gateway/main.cpp $(out)/flags
	$(call step,PROBE,$*)
	$(Q)$(compile) $(board) -w -O0 -g $(if $(stack),-femit-class-debug-always,-fstandalone-debug) \
	  '-Dstatic_assert(...)=static_assert(true)' -DMILLRACE_PROBE=$* -MMD -MP -c -o $@ $<
ifeq ($(APP),gateway)
memory-map: $(board_out)/gateway.stack $(board_out)/gateway.stripped $(probes)
	@$(measure) --probes $(probes)
else
memory-map: $(board_out)/examples/$(APP)
	@$(PYTHON) toolchain/memory-map $< --board $(BOARD) --frames
endif

# --- Running and testing ---

apps := gateway $(example_sources:firmware/examples/%.cpp=%)
ifeq ($(filter $(APP),$(apps)),)
  $(error APP is one of: $(apps))
endif
run: $(board_out)/$(if $(filter gateway,$(APP)),,examples/)$(APP) $(if $(filter gateway,$(APP)),$(within_budget))
	@exec $< $(ARGS)

# ThreadSanitizer cannot place its shadow memory under the address randomisation of some kernels.
same_addresses = $(shell setarch -R true 2>/dev/null && echo setarch -R)

# TEST is about the paths of tests if it matches one, else about the names of their cases.
test_files   := $(call find,tests/unit tests/hil,-name 'test_*.cpp' -o -name 'test_*.c' -o -name 'test_*.py')
chosen_tests := $(or $(if $(TEST),$(shell printf '%s\n' $(test_files) | grep -E -- $(call quote,$(TEST)))),$(test_files))
by_path      := $(if $(TEST),$(if $(filter-out $(words $(test_files)),$(words $(chosen_tests))),yes))
test_command := $(if $(SANITIZE),sanitize:$(SANITIZE)$(if $(by_path),[$(TEST)]),test:$(if $(by_path),pattern[$(TEST)],all))
test_tool     = MILLRACE_COMPILE=$(call quote,$(compile) $(warnings) $(board) $(gtest)) \
                MILLRACE_BUILD=$(board_out) MILLRACE_BOARD=$(BOARD) $(PYTHON) toolchain/test --prepared \
                $(if $(TARGET),--fixture=$(TARGET)) $(if $(V),--verbose) \
                $(if $(by_path),,$(if $(TEST),--test-case=$(call quote,$(TEST))))
test: $(if $(TARGET),,$(if $(filter %.py,$(chosen_tests)),what-scripts-need))
	@$(if $(filter thread,$(SANITIZE)),$(same_addresses)) env $(test_tool) $(call quote,$(test_command))
coverage:
	@$(test_tool) gcov:all

# For toolchain/test: how to compile and link, in YAML; and what the scripts among the tests test.
quoted = $(foreach word,$1,"$(subst ",\",$(word))",)
show-building: $(out)/libgpiod.a $(lwrb_objects)
	@echo 'c++: [$(call quoted,$(compile) $(warnings) $(board))]'
	@echo 'c: [$(call quoted,$(CC) -std=c11 -O2 -g -I. $(lwrb_include) -isystem hal/compat $(c_warnings) $(sanitize) $(CFLAGS))]'
	@echo 'link: [$(call quoted,$(sanitize) -Wl$(comma)--gc-sections $(LDFLAGS))]'
	@echo 'libraries: [$(call quoted,$(lwrb_objects) $(out)/libgpiod.a $(libs))]'
what-scripts-need: $(gateway) $(examples) $(helpers) $(within_budget) $(if $(SANITIZE),,$(probes) $(out)/bench/bench_task)

# --- Benchmarks and fuzzing ---

# The reactor beside other loops, and rings beside others. Our face of LwRB is measured even if LWRB is given; the
# original then is beside it, under other names. Loops start at even addresses, or else where the linker happens to put
# them makes differences of 30 %.
bench_compile  := $(if $(LWRB),$(subst $(lwrb_include),,$(compile)) -DMILLRACE_BENCH_LWRB,$(compile)) \
                  -falign-functions=64 -falign-loops=32
bench_rings    := $(out)/bench/bench_ring_buffer
bench_loops    := $(patsubst tests/bench/loops/%.cpp,$(out)/bench/%,$(wildcard tests/bench/loops/*.cpp))
bench_cores    := $(out)/bench/bench_cores
bench_load     := $(out)/bench/echo_load
$(out)/bench/flags: FORCE
	$(call record,$(bench_compile))
$(out)/bench/obj/%.o: %.cpp $(out)/bench/flags
	$(call step,CXX,$<)
	$(Q)$(bench_compile) $(warnings) $(bench_warnings) -MMD -MP -c -o $@ $<
$(out)/bench/obj/tests/bench/loops/asio.o: bench_warnings := -Wno-null-dereference # what asio is said to do
$(out)/bench/lwrb.o: $(filter %/lwrb.c,$(lwrb_sources)) $(out)/bench/flags
	$(call step,CC,$<)
	$(Q)$(CC) -std=c11 -O2 -w -falign-functions=64 -falign-loops=32 -I$(LWRB)/lwrb/src/include -c -o $@ $<
	$(Q)nm --defined-only --extern-only $@ | sed 's/.* \(.*\)/\1 original_\1/' >$@.names
	$(Q)$(OBJCOPY) --redefine-syms=$@.names $@
$(bench_rings): $(out)/bench/obj/tests/bench/bench_ring_buffer.o $(out)/bench/obj/hal/compat/lwrb/lwrb.o \
                $(if $(LWRB),$(out)/bench/lwrb.o)
$(bench_cores): $(out)/bench/obj/tests/bench/bench_cores.o $(out)/bench/libmillrace.a
$(bench_load): $(out)/bench/obj/tests/bench/echo_load.o
$(bench_loops): $(out)/bench/%: $(out)/bench/obj/tests/bench/loops/%.o
$(out)/bench/libmillrace.a: $(patsubst %.cpp,$(out)/bench/obj/%.o,$(filter firmware/reactor/% hal/%,$(lib_sources)))
$(filter $(out)/bench/millrace%,$(bench_loops)): $(out)/bench/libmillrace.a
$(out)/bench/io_uring $(out)/bench/io_uring_completions: bench_libs := -luring
$(out)/bench/libev: bench_libs := -lev
$(out)/bench/libevent $(out)/bench/libevent_precise: bench_libs := -levent_core -levent_pthreads
$(out)/bench/libuv: bench_libs := -luv
$(out)/bench/sd_event: bench_libs := -lsystemd
# What awaiting costs: for tests/bench/task-cost.
$(out)/bench/bench_task: $(out)/bench/obj/tests/bench/bench_task.o $(out)/libmillrace.a
$(bench_rings) $(bench_cores) $(bench_load) $(bench_loops) $(out)/bench/bench_task:
	$(call step,LINK,$@)
	$(Q)$(CXX) -pthread -Wl,--gc-sections $(sanitize) $(CXXFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) \
	  $(bench_libs)

# BENCH is one or more names of tests/bench/benchmarks.py, or cores, or rings, or nothing for all.
bench_names := $(filter-out cores rings,$(BENCH))
bench_all   := $(if $(BENCH),,yes)
bench_edges := build/release-arm64/qemu-virt/tests/qemu/edge_bench
bench: $(if $(bench_names)$(bench_all),$(bench_loops) $(bench_load)) $(if $(filter rings,$(BENCH))$(bench_all),$(bench_rings)) \
       $(if $(filter cores,$(BENCH))$(bench_all),$(bench_cores))
	$(if $(filter gpio,$(BENCH)),+@$(MAKE) --no-print-directory MACHINE=virt $(SETUP:%=SETUP=%) image >/dev/null)
	$(if $(filter gpio,$(BENCH)),+@$(MAKE) --no-print-directory SETUP=no ARCH=arm64 BOARD=qemu-virt $(bench_edges))
	$(if $(bench_names)$(bench_all),@$(PYTHON) -B tests/bench/bench --programs $(out)/bench --output build/bench \
	  --compiler $(call quote,$(shell $(CXX) --version | head -n 1)) $(if $(QUICK),--quick) $(bench_names) $(ARGS))
	$(if $(filter cores,$(BENCH))$(bench_all),@$(bench_cores) $(if $(bench_all),$(if $(QUICK),1 2000),$(ARGS)))
	$(if $(filter rings,$(BENCH))$(bench_all),@$(bench_rings) $(if $(bench_all),$(if $(QUICK),1 32 16),$(ARGS)))

FUZZ_CXX      ?= clang++-19
SECONDS       ?= 60
fuzz_compile  := $(FUZZ_CXX) $(language) $(sanitize_address) -fsanitize=fuzzer-no-link -O1 -g $(CPPFLAGS)
fuzz_sources  := $(wildcard tests/fuzz/*.cpp)
fuzz_chosen   := $(if $(TEST),$(shell printf '%s\n' $(fuzz_sources) | grep -E -- $(call quote,$(TEST))),$(fuzz_sources))
fuzz_programs := $(fuzz_chosen:tests/%.cpp=build/%)
build/fuzz/flags: FORCE
	$(call record,$(fuzz_compile))
build/fuzz/obj/%.o: %.cpp build/fuzz/flags
	$(call step,CXX,$<)
	$(Q)$(fuzz_compile) -MMD -MP -c -o $@ $<
build/fuzz/libdrivers.a: $(patsubst %.cpp,build/fuzz/obj/%.o,$(filter drivers/%,$(lib_sources)))
$(fuzz_programs): build/fuzz/%: build/fuzz/obj/tests/fuzz/%.o build/fuzz/libdrivers.a
	$(call step,LINK,$@)
	$(Q)$(FUZZ_CXX) $(sanitize_address) -fsanitize=fuzzer -o $@ $^
# RUNS is for a check that is the same each time; SECONDS is for finding something new. Where tests/fuzz/ has a folder
# NAME.corpus, what is in there is tried first.
fuzz: $(fuzz_programs:%=%.run)
	@$(if $(fuzz_programs),,echo 'TEST matches no file of tests/fuzz' >&2; exit 1)
build/fuzz/%.run: build/fuzz/%
	@mkdir -p $<.corpus; echo 'FUZZ $<'
	@ASAN_SYMBOLIZER_PATH=$${ASAN_SYMBOLIZER_PATH-$$(command -v addr2line)} \
	  $< -print_funcs=0 $(if $(RUNS),-runs=$(RUNS) -seed=1,-max_total_time=$(SECONDS)) -max_len=512 -timeout=10 \
	  -artifact_prefix=$<. $<.corpus $(wildcard $(<:build/%=tests/%).corpus) >$<.log 2>&1 || { tail -n 60 $<.log; \
	  sed -n 's|.*Test unit written to \(.*\)|\n$<: FAILED. Again: $< \1|p' $<.log; exit 1; } >&2
	@sed -n 's|^#\([0-9]*\)\tDONE *cov: \([0-9]*\).*corp: \([0-9]*\).*|ok   $<: \1 runs, \2 edges, \3 inputs kept|p' $<.log
-include $(shell find $(out)/bench build/fuzz -name '*.d' 2>/dev/null)

# What gateways take that run on this machine: with the C library's shared file, and without any.
$(gateway)-static: $(board_out)/obj/firmware/gateway/main.o $(firmware_libs)
	$(call step,LINK,$@)
	$(Q)$(link) $(wrap_heap) -static -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(libs)
echo_servers := $(foreach library,libuv libev,build/footprint/echo_$(library) build/footprint/echo_$(library)-static)
build/footprint/%: static_libuv = $(shell $(PKG_CONFIG) --libs libuv-static)
$(filter-out %-static,$(echo_servers)): build/footprint/echo_lib%: tests/bench/echo_lib%.c
	$(call step,CC,$<)
	$(Q)$(CC) -O2 -ffunction-sections -fdata-sections -Wl,--gc-sections -o $@ $< -l$*
$(filter %-static,$(echo_servers)): build/footprint/echo_lib%-static: tests/bench/echo_lib%.c
	$(call step,CC,$<)
	$(Q)$(CC) -O2 -ffunction-sections -fdata-sections -Wl,--gc-sections -static -w -o $@ $< \
	  $(if $(filter uv,$*),$(static_libuv),-lev -lm) 2>$@.log || { cat $@.log >&2; exit 1; }
footprint: $(gateway) $(gateway)-static $(echo_servers)
	@$(PYTHON) tests/bench/footprint gateway=$(gateway) gateway=$(gateway)-static ser2net= $(echo_servers:%=echo=%) $(ARGS)

boards:
	@for board in $(BOARDS); do $(MAKE) --no-print-directory BOARD=$$board size || exit 1; done

# --- Debian package ---

# Static, on this machine's architecture as on others; without the build ID, which depends on the folder of the build.
deb_program   := $(gateway)$(if $(ARCH),,-static)
deb_libraries  = $(shell $(CXX) -print-file-name=libc.a) $(libgpiod)
$(deb_program).package: $(deb_program)
	$(Q)$(OBJCOPY) --strip-all --remove-section=.comment --remove-section=.note.gnu.build-id $< $@
deb: $(deb_program).package $(if $(ARCH),$(within_budget))
	@toolchain/deb $< $(or $(ARCH),$(shell dpkg --print-architecture)) build/deb $(deb_libraries) >$(board_out)/deb
	@lintian --fail-on error,warning $$(cat $(board_out)/deb)
	@cat $(board_out)/deb
what-scripts-need: $(if $(SANITIZE),,$(deb_program).package)

# --- Images and QEMU ---

# The program comes from a make of its own, as ARCH is settled while the Makefile is read.
card_boards    := rpi3 rpi4 rpi5 rpi-zero2w
image_boards   := qemu-virt qemu-imx8mp $(card_boards)
image_arch     := $(or $(ARCH),arm64)
image_folder   := build/images/$(BOARD)$(if $(filter-out arm64,$(ARCH)),-$(ARCH))
image_program  := build/release-$(image_arch)/$(BOARD)/gateway.package
image_helpers  := $(patsubst %,build/release-$(image_arch)/$(BOARD)/tests/qemu/%,gpio_scenario edge_latency)
for_image       = $(MAKE) --no-print-directory SETUP=no ARCH=$(image_arch) BOARD=$(BOARD)
image qemu test-qemu: $(image_folder)/manifest
$(image_folder)/manifest: FORCE
	@$(if $(filter $(BOARD),$(image_boards)),,$(error there are images for BOARD=$(image_boards), not for $(BOARD)))
	+@$(for_image) $(image_program) $(image_program:%.package=%.size)
	$(call step,IMAGE,$(image_folder))
	$(Q)$(PYTHON) toolchain/image $(BOARD) --arch $(image_arch) --gateway $(image_program) --output $(image_folder)
image:
	@grep -v '^package' $(image_folder)/manifest
qemu:
	@exec toolchain/qemu $(PORT:%=--port %) $(PIGPIO_PORT:%=--pigpio-port %) $(ARGS) $(image_folder)
test-qemu:
	$(if $(filter qemu-virt,$(BOARD)),+@$(for_image) $(image_helpers))
	$(if $(filter build/images/qemu-virt,$(image_folder)),$\
	  +@$(foreach board,$(card_boards),$(MAKE) --no-print-directory -s SETUP=no BOARD=$(board) image >/dev/null &&) :)
	@MILLRACE_QEMU=required MILLRACE_IMAGE=$(image_folder) $(PYTHON) -B -m pytest -q -p no:cacheprovider tests/qemu \
	  $(if $(TEST),--matching=$(call quote,$(TEST))) $(ARGS)

# --- Hardware in the loop ---

hil_results := build/hil/$(call hil_key,name)
hil_sim     := build/release/sim
hil_board   := build/release-$(hil_arch)/$(BOARD)
hil_of       = MILLRACE_BUILD=$(CURDIR)/$(if $(filter sim,$(hil_kind)),$(hil_sim),$(hil_board)) $(PYTHON) -B
hil_make     = $(MAKE) --no-print-directory -s SETUP=no BOARD=$(BOARD)

hil-target:
	+@$(if $(filter sim,$(hil_kind)),$(hil_make) $(hil_sim)/gateway)$\
	  $(if $(filter qemu,$(hil_kind)),$(hil_make) ARCH=$(hil_arch) image >/dev/null)$\
	  $(if $(filter board,$(hil_kind)),$(hil_make) ARCH=$(hil_arch) $(hil_board)/gateway.package)
hil-check: hil-target
	@$(hil_of) tests/hil/hil-check $(hil_rig)
hil: hil-target
	@mkdir -p $(hil_results)
	@$(hil_of) -m pytest -q -p no:cacheprovider tests/hil/suite --target=$(hil_rig) --results=$(hil_results) \
	  --junit-xml=$(hil_results)/junit.xml -rs $(SOAK:%=--soak=%) $(if $(TEST),-k $(call quote,$(TEST))) $(ARGS)

# --- Looking after the sources ---

# A stamp for each file that clang-tidy has passed; it ages with the file, the headers it includes and the rules.
lint_flags  = $(language) $(warnings) -Wno-unknown-warning-option $(board) $(gtest)
scripts    := $(shell grep -rlE '^#!/bin/(ba)?sh' toolchain tests .ci 2>/dev/null)

lint: $(all_cpp:%.cpp=build/lint/%.ok) $(scripts:%=build/lint/%.ok)
build/lint/%.ok: %.cpp .clang-tidy $(wildcard tests/.clang-tidy)
	$(call step,TIDY,$<)
	$(Q)$(CXX) $(lint_flags) -MM -MP -MT $@ -MF $(@:.ok=.d) $<
	$(Q)$(CLANG_TIDY) --quiet $< -- $(lint_flags) 2>$(@:.ok=.log) || { cat $(@:.ok=.log) >&2; exit 1; }
	@touch $@
$(scripts:%=build/lint/%.ok): build/lint/%.ok: %
	$(call step,SHELLCHECK,$<)
	$(Q)shellcheck $<
	@touch $@
-include $(shell find build/lint -name '*.d' 2>/dev/null)

format:
	$(Q)$(CLANG_FORMAT) -i $(all_cpp) $(all_hpp)
format-check:
	$(Q)$(CLANG_FORMAT) --dry-run -Werror $(all_cpp) $(all_hpp)

setup:
	@echo 'Everything needed to build and test is installed.'
clean:
	rm -rf build
help: ; $(info $(help_text)) @:
