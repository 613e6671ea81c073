// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/heap_trap.hpp"

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <unistd.h>

#include "hal/code_address.hpp"
#include "hal/fixed_string.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MILLRACE_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MILLRACE_SANITIZED
#endif

namespace millrace::hal::heap_trap {
namespace {

enum class State : std::uint8_t { off, count, abort };

constexpr auto relaxed = std::memory_order_relaxed;

std::atomic<State> state = State::off;
std::atomic<std::uint64_t> seen = 0;

#if !defined(MILLRACE_SANITIZED)
[[noreturn]] void report(const char* function, std::size_t size, void* caller) {
  state.store(State::off, relaxed);
  FixedString<400> text("error: ");
  text.append(function, "(", size, ") was called after the start of the loop, at ",
              describe_code(caller), "\n");
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.c_str(), text.size());
  std::abort();
}

void note(const char* function, std::size_t size, void* caller) {
  const State now = state.load(relaxed);
  if (now == State::off) {
    return;
  }
  seen.fetch_add(1, relaxed);
  if (now == State::abort) {
    report(function, size, caller);
  }
}
#endif

}  // namespace

bool available() {
#if defined(MILLRACE_SANITIZED)
  return false;
#else
  return true;
#endif
}

void arm(Action action) {
  seen.store(0, relaxed);
  state.store(action == Action::abort ? State::abort : State::count, relaxed);
}

void disarm() { state.store(State::off, relaxed); }

std::uint64_t calls() { return seen.load(relaxed); }

}  // namespace millrace::hal::heap_trap

#if !defined(MILLRACE_SANITIZED)
// In a dynamically linked program all look these names up like any other, and what the program
// defines comes first ("Replacing malloc" in glibc's manual), be it weak or not. In a static one
// glibc's own definitions beat weak ones, so the Makefile has the linker use ours: --wrap=malloc
// turns every use of malloc, glibc's included, into one of __wrap_malloc. The originals are there
// under their second names in both; free() needs no replacement.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* __wrap_malloc(std::size_t size) {
  millrace::hal::heap_trap::note("malloc", size, __builtin_return_address(0));
  return __libc_malloc(size);
}

void* __wrap_calloc(std::size_t count, std::size_t size) {
  millrace::hal::heap_trap::note("calloc", count * size, __builtin_return_address(0));
  return __libc_calloc(count, size);
}

void* __wrap_realloc(void* memory, std::size_t size) {
  millrace::hal::heap_trap::note("realloc", size, __builtin_return_address(0));
  return __libc_realloc(memory, size);
}

void* __wrap_memalign(std::size_t alignment, std::size_t size) {
  millrace::hal::heap_trap::note("memalign", size, __builtin_return_address(0));
  return __libc_memalign(alignment, size);
}

void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
  millrace::hal::heap_trap::note("aligned_alloc", size, __builtin_return_address(0));
  return __libc_memalign(alignment, size);
}

int __wrap_posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  millrace::hal::heap_trap::note("posix_memalign", size, __builtin_return_address(0));
  if (alignment % sizeof(void*) != 0 || !std::has_single_bit(alignment)) {
    return EINVAL;
  }
  void* const aligned = __libc_memalign(alignment, size);
  if (aligned == nullptr) {
    return ENOMEM;
  }
  *memory = aligned;
  return 0;
}

// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): glibc's names say less
[[gnu::weak, gnu::alias("__wrap_malloc")]] void* malloc(std::size_t size);
[[gnu::weak, gnu::alias("__wrap_calloc")]] void* calloc(std::size_t count, std::size_t size);
[[gnu::weak, gnu::alias("__wrap_realloc")]] void* realloc(void* memory, std::size_t size);
[[gnu::weak, gnu::alias("__wrap_memalign")]] void* memalign(std::size_t alignment,
                                                            std::size_t size);
[[gnu::weak, gnu::alias("__wrap_aligned_alloc")]] void* aligned_alloc(std::size_t alignment,
                                                                      std::size_t size);
[[gnu::weak, gnu::alias("__wrap_posix_memalign")]] int posix_memalign(void** memory,
                                                                      std::size_t alignment,
                                                                      std::size_t size);
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
}
#endif
