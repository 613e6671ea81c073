# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
#
# `make help` tells the targets and variables. Everything built goes into build/:
#
#   build/VARIANT/libmillrace.a    hal, drivers and reactor: the same for every board
#   build/VARIANT/libgpiod.a       with its malloc() renamed to ours
#   build/VARIANT/BOARD/           what depends on the board: gateway, examples/, tests/
#   build/lint/                    which files clang-tidy has passed

define help_text
Targets
  make                 build the gateway and the examples
  make run             set up, build and start the gateway on this machine's board
  make test            set up, build and run all tests
  make lint            clang-tidy over the C++ code, shellcheck over the scripts
  make format          clang-format all C++ code in place (make format-check only looks)
  make boards          build for every board, as each has limits that only its own build checks
  make setup           only install what building and testing need
  make clean           remove build/

Variables
  BOARD=NAME           $(BOARDS); now: $(BOARD)
  APP=blink            run an example instead of the gateway
  ARGS='--help'        options for the program to run
  TEST=REGEX           only the tests whose file or name matches
  SANITIZE=address     find memory errors and undefined behaviour; SANITIZE=thread finds data races
  CXX=clang++-19       another compiler; CPPFLAGS, CXXFLAGS, LDFLAGS and LDLIBS are yours too
  SETUP=no             install nothing
  LWRB=/path           use the original LwRB, checked out there, in place of hal/compat/lwrb
  V=1                  show the commands
endef

# As parallel as the machine, unless -j says otherwise.
MAKEFLAGS := $(MAKEFLAGS) --no-builtin-rules $(if $(filter 0,$(MAKELEVEL)),$(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc)))
.DELETE_ON_ERROR:
.PHONY: build run test boards lint format format-check setup clean help FORCE
build:

# --- What to build, and for which board ---

find    = $(shell find $1 $2 2>/dev/null | sort)
quote   = '$(subst ','\'',$1)'
goals  := $(or $(MAKECMDGOALS),build)

# A header for each board, besides what a board is and the list of all.
BOARDS := $(filter-out board boards,$(patsubst board/%.hpp,%,$(wildcard board/*.hpp)))

# Tests and lint mean the same on every machine; all else is for the board at hand.
BOARD ?= $(if $(filter test lint,$(goals)),sim,$(shell toolchain/board))
BOARD := $(BOARD)
APP   ?= gateway

lib_sources     := $(filter-out $(if $(LWRB),hal/compat/lwrb/%),$(call find,hal drivers firmware/reactor,-name '*.cpp'))
lwrb_sources    := $(if $(LWRB),$(or $(wildcard $(LWRB)/lwrb/src/lwrb/*.c),$(error LWRB=$(LWRB) has no lwrb/src/lwrb)))
gateway_sources := $(filter-out %/main.cpp,$(wildcard firmware/gateway/*.cpp board/*.cpp))
example_sources := $(wildcard firmware/examples/*.cpp)
support_sources := $(wildcard tests/support/*.cpp)
helper_sources  := $(wildcard tests/hil/*.cpp tests/qemu/*.cpp)
test_sources    := $(call find,tests/unit,-name 'test_*.cpp' -o -name 'test_*.py') $(wildcard tests/hil/test_*.py)
all_cpp         := $(call find,hal drivers firmware board tests,-name '*.cpp')
all_hpp         := $(call find,hal drivers firmware board tests,-name '*.hpp')

# --- Setting up ---

# This happens while the Makefile is read, as pkg-config is asked below; nothing missing costs about 20 ms.
setup_goal := $(or $(if $(filter lint format format-check,$(goals)),lint),$\
                   $(if $(filter test setup,$(goals)),test),$\
                   $(if $(filter-out clean help,$(goals)),build))
dry_run    := $(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS))))
ifneq ($(and $(setup_goal),$(if $(filter no,$(SETUP))$(dry_run),,yes)),)
  ifneq ($(shell toolchain/setup $(setup_goal) >&2 && echo done),done)
    $(error setting up failed, see above)
  endif
endif

# --- Compilers and flags ---

CXXFLAGS     ?= $(if $(SANITIZE),-O1,-O2) -g
PKG_CONFIG   ?= pkg-config
PYTHON       ?= /usr/bin/python3
CLANG_TIDY   ?= clang-tidy-19
CLANG_FORMAT ?= clang-format-19
GTEST        ?= /usr/src/googletest

sanitize_address := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
sanitize_thread  := -fsanitize=thread -fno-omit-frame-pointer
sanitize         := $(if $(SANITIZE),$(or $(sanitize_$(SANITIZE)),$(error SANITIZE is address or thread)))

language := -std=c++23 -fno-exceptions -fno-rtti -pthread -I. $(if $(LWRB),-isystem $(LWRB)/lwrb/src/include) -isystem hal/compat $(shell $(PKG_CONFIG) --cflags libgpiod 2>/dev/null)
# Sanitizers add code of their own, and GCC then warns of that; the plain build has warned of ours already.
warnings := $(if $(SANITIZE),-w,-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast \
            -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align -Wnull-dereference -Werror)
board     = $(if $(filter $(BOARD),$(BOARDS)),,$(error BOARD is one of: $(BOARDS)))$\
            -DMILLRACE_BOARD=$(subst -,_,$(BOARD))
gtest    := -isystem $(GTEST)/googletest/include -isystem $(GTEST)/googlemock/include

# hal/heap_trap.cpp says why.
comma            := ,
trapped          := malloc calloc realloc memalign aligned_alloc posix_memalign
static_heap_trap := $(if $(filter -static%,$(LDFLAGS)),$(addprefix -Wl$(comma)--wrap=,$(trapped)) \
                    -Wl$(comma)--undefined=__wrap_malloc)

compile := $(CXX) $(language) -ffunction-sections -fdata-sections $(sanitize) $(CPPFLAGS) $(CXXFLAGS)
link    := $(CXX) -pthread -Wl,--gc-sections $(sanitize) $(CXXFLAGS) $(static_heap_trap) $(LDFLAGS)
libs    := $(LDLIBS)

# libgpiod's static library, where pkg-config has it; hal/libgpiod_memory.hpp says why.
OBJCOPY      ?= $(AR:%ar=%objcopy)
libgpiod_dir := $(patsubst -L%,%,$(shell PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 $(PKG_CONFIG) --libs-only-L libgpiod 2>/dev/null))
libgpiod     := $(wildcard $(libgpiod_dir:%=%/libgpiod.a))
no_libgpiod   = $(error there is no libgpiod.a in $(libgpiod_dir): Debian's package libgpiod-dev has it, a build \
                from source with --enable-static)

# --- Building ---

out       := build/$(or $(SANITIZE),release)
board_out := $(out)/$(BOARD)

lib_objects     := $(lib_sources:%.cpp=$(out)/lib/%.o) $(lwrb_sources:$(LWRB)/%.c=$(out)/upstream/%.o)
gateway_objects := $(gateway_sources:%.cpp=$(board_out)/obj/%.o)
support_objects := $(support_sources:%.cpp=$(board_out)/obj/%.o)
gtest_objects   := $(out)/gtest/gtest-all.o $(out)/gtest/gmock-all.o $(out)/gtest/gtest_main.o
gateway         := $(board_out)/gateway
examples        := $(example_sources:firmware/%.cpp=$(board_out)/%)
helpers         := $(helper_sources:%.cpp=$(board_out)/%)

# TEST narrows down what is built when it matches a file's path; otherwise it is about the names of tests.
chosen_tests  := $(or $(if $(TEST),$(shell printf '%s\n' $(test_sources) | grep -E -- $(call quote,$(TEST)))),$\
                      $(test_sources))
test_programs := $(patsubst %.cpp,$(board_out)/%,$(filter %.cpp,$(chosen_tests)))
test_scripts  := $(filter %.py,$(chosen_tests))

# Show one short line a step, or with V=1 the command.
Q    := $(if $(V),,@)
step  = @mkdir -p $(@D)$(if $(V),,; echo '$1 $2')

# Rewrite $@ only if its text changes: whatever depends on it is then made again.
record = @mkdir -p $(@D); printf '%s\n' $(call quote,$1) >$@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@

build: $(gateway) $(examples)

$(out)/flags: FORCE
	$(call record,$(compile) $(warnings) $(link) $(libs) $(shell $(CXX) --version | head -n 1))
$(out)/members: FORCE
	$(call record,$(lib_objects))
$(board_out)/members: FORCE
	$(call record,$(gateway_objects) $(support_objects))

# The original LwRB instead of ours; its warnings are not ours.
$(out)/upstream/%.o: $(LWRB)/%.c $(out)/flags
	$(call step,CC,$<)
	$(Q)$(CC) -std=c11 -O2 -w $(sanitize) -DLWRB_DEV -I$(LWRB)/lwrb/src/include -c -o $@ $<

$(out)/lib/%.o: %.cpp $(out)/flags
	$(call step,CXX,$<)
	$(Q)$(compile) $(warnings) -MMD -MP -c -o $@ $<

$(board_out)/obj/%.o: %.cpp $(out)/flags
	$(call step,CXX,$<)
	$(Q)$(compile) $(warnings) $(board) $(if $(filter tests/%,$<),$(gtest)) -MMD -MP -c -o $@ $<

$(out)/libgpiod.a: hal/libgpiod_memory.symbols $(libgpiod) $(out)/flags
	$(call step,OBJCOPY,$@)
	$(Q)$(OBJCOPY) --redefine-syms=$< $(or $(libgpiod),$(no_libgpiod)) $@

# GoogleTest is built here because Debian's library has exceptions and RTTI; its warnings are not ours.
$(out)/gtest/%.o: $(out)/flags
	$(call step,CXX,$(*:%=googletest/%.cc))
	$(Q)$(compile) -w $(gtest) -I$(GTEST)/googletest -I$(GTEST)/googlemock \
	  -c -o $@ $(GTEST)/$(if $(filter gmock%,$*),googlemock,googletest)/src/$*.cc

%.a:
	$(call step,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(out)/libmillrace.a: $(lib_objects) $(out)/members
$(out)/libgtest.a: $(gtest_objects)
$(board_out)/libgateway.a: $(gateway_objects) $(board_out)/members
$(board_out)/libsupport.a: $(support_objects) $(board_out)/members

# libgpiod calls back into libmillrace: its malloc() is there.
firmware_libs := $(board_out)/libgateway.a $(out)/libgpiod.a $(out)/libmillrace.a
test_libs     := $(board_out)/libsupport.a $(firmware_libs) $(out)/libgtest.a

$(gateway): $(board_out)/obj/firmware/gateway/main.o $(firmware_libs)
$(examples): $(board_out)/%: $(board_out)/obj/firmware/%.o $(firmware_libs)
$(helpers): $(board_out)/%: $(board_out)/obj/%.o $(board_out)/libsupport.a $(firmware_libs)
$(test_programs): $(board_out)/%: $(board_out)/obj/%.o $(test_libs)
$(gateway) $(examples) $(helpers) $(test_programs):
	$(call step,LINK,$@)
	$(Q)$(link) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(libs)

-include $(shell find $(out)/lib $(board_out)/obj -name '*.d' 2>/dev/null)

# --- Running and testing ---

apps := gateway $(example_sources:firmware/examples/%.cpp=%)
ifeq ($(filter $(APP),$(apps)),)
  $(error APP is one of: $(apps))
endif
run: $(board_out)/$(if $(filter gateway,$(APP)),,examples/)$(APP)
	@exec $< $(ARGS)

# ThreadSanitizer cannot place its shadow memory under the address randomisation of some kernels.
same_addresses = $(shell setarch -R true 2>/dev/null && echo setarch -R)

test: $(test_programs) $(if $(test_scripts),$(gateway) $(examples) $(helpers))
	@MILLRACE_COMPILE=$(call quote,$(compile) $(warnings) $(board) $(gtest)) \
	  $(if $(filter thread,$(SANITIZE)),$(same_addresses)) $(PYTHON) toolchain/run-tests \
	  --build $(board_out) --board $(BOARD) $(if $(SANITIZE),--timeout 300) $(if $(V),--verbose) \
	  $(if $(TEST),--filter $(call quote,$(TEST))) $(test_programs) $(test_scripts)

boards:
	@for board in $(BOARDS); do $(MAKE) --no-print-directory BOARD=$$board || exit 1; done

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
