// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include "hal/growth_trap.hpp"
#include "hal/heap_trap.hpp"
#include "tests/support/coverage.hpp"
#include "tests/support/kernel.hpp"
#include "tests/support/refusal.hpp"

namespace millrace::hal {
namespace {

constexpr std::size_t size = 1U << 20U;

void* map() {
  return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/// Arms the trap, which can't be undone, so in a child; 3 if it can't be had here.
template <class Function>
[[noreturn]] void armed(Function function) {
  if (!growth_trap::arm()) {
    ::_exit(3);
  }
  test::note_coverage_at_abort();
  function();
  test::note_coverage();
  ::_exit(0);
}

class GrowthTrap : public testing::Test {
 protected:
  void SetUp() override {
    if (!heap_trap::available()) {
      const auto refused = growth_trap::arm();
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().number, ENOTSUP);
      GTEST_SKIP() << "a sanitizer maps memory when it likes";
    }
    if (test::is_emulated()) {
      GTEST_SKIP() << "the emulator has no seccomp(2)";
    }
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }
};
using GrowthTrapDeathTest = GrowthTrap;

TEST_F(GrowthTrapDeathTest, growing_the_memory_ends_the_process_and_says_where) {
  const auto aborts = testing::KilledBySignal(SIGABRT);
  const std::string message =
      " was called after the start of the loop, at 0x.* of .*libc.*, called from 0x";
  EXPECT_EXIT(armed([] { (void)map(); }), aborts, "^error: mmap\\(\\)" + message);
  EXPECT_EXIT(armed([] { (void)::sbrk(4096); }), aborts, "^error: brk\\(\\)" + message);
  void* const memory = map();
  EXPECT_EXIT(armed([memory] { (void)::mremap(memory, size, 2 * size, MREMAP_MAYMOVE); }), aborts,
              "^error: mremap\\(\\)" + message);
  ::munmap(memory, size);
}

TEST_F(GrowthTrapDeathTest, names_the_caller_in_this_program) {
  EXPECT_EXIT(armed([] { (void)map(); }), testing::KilledBySignal(SIGABRT),
              "called from 0x.* of .*test_growth_trap");
}

TEST_F(GrowthTrapDeathTest, a_system_call_without_libc_is_seen_as_well) {
  EXPECT_EXIT(armed([] { ::syscall(SYS_brk, nullptr); }), testing::KilledBySignal(SIGABRT),
              "^error: brk");
}

TEST_F(GrowthTrapDeathTest, a_large_malloc_and_a_new_thread_are_growth) {
  EXPECT_EXIT(armed([] {
                // NOLINTNEXTLINE(cppcoreguidelines-no-malloc)
                void* volatile memory = std::malloc(64 * size);
                (void)memory;
              }),
              testing::KilledBySignal(SIGABRT), "^error: mmap");
  EXPECT_EXIT(armed([] { std::thread([] {}).join(); }), testing::KilledBySignal(SIGABRT),
              "^error: mmap");
}

TEST_F(GrowthTrapDeathTest, threads_that_were_there_before_are_held_to_it_too) {
  const auto on_another_thread = [] {
    std::atomic<bool> is_armed = false;
    std::thread other([&is_armed] {
      is_armed.wait(false);
      (void)map();
      is_armed.store(false);
      is_armed.notify_one();
    });
    if (!growth_trap::arm()) {
      ::_exit(3);
    }
    is_armed.store(true);
    is_armed.notify_one();
    is_armed.wait(true);
    ::_exit(0);
  };
  EXPECT_EXIT(on_another_thread(), testing::KilledBySignal(SIGABRT), "^error: mmap");
}

TEST_F(GrowthTrap, that_the_kernel_does_not_have_is_refused_with_what_it_takes) {
  for (const long call : {long{SYS_seccomp}, long{SYS_prctl}}) {
    const bool refused = test::while_refused(call, EINVAL, [call] {
      const auto armed = growth_trap::arm();
      ASSERT_FALSE(armed) << call;
      EXPECT_EQ(armed.error().number, EINVAL);
      EXPECT_NE(std::string(armed.error().remedy).find("CONFIG_SECCOMP_FILTER"), std::string::npos);
    });
    if (!refused) {
      GTEST_SKIP() << "no system call can be refused here";
    }
  }
  ::munmap(map(), size);  // and nothing is trapped
}

TEST_F(GrowthTrapDeathTest, all_else_goes_on) {
  void* const memory = map();
  EXPECT_EXIT(armed([memory] {
                if (::mprotect(memory, size, PROT_READ) != 0 || ::munmap(memory, size) != 0 ||
                    ::getppid() <= 0) {
                  ::_exit(1);
                }
              }),
              testing::ExitedWithCode(0), "");
  ::munmap(memory, size);
}

}  // namespace
}  // namespace millrace::hal
