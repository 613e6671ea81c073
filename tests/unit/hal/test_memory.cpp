// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cerrno>
#include <cstddef>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hal/heap_trap.hpp"
#include "hal/memory.hpp"
#include "tests/support/coverage.hpp"
#include "tests/support/kernel.hpp"
#include "tests/support/refusal.hpp"

namespace millrace::hal {
namespace {

constexpr std::size_t kib = 1024;

/// A line of /proc/self/status, in bytes.
std::size_t status(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;) {
    if (word == name + ":") {
      std::size_t kilobytes = 0;
      file >> kilobytes;
      return kilobytes * kib;
    }
  }
  ADD_FAILURE() << "no " << name << " in /proc/self/status";
  return 0;
}

TEST(Memory, usage_is_what_the_kernel_says_and_sees_a_mapping) {
  if (test::is_emulated() && sizeof(void*) == 4) {
    GTEST_SKIP() << "the emulator of a 32-bit program has mapped all of its memory beforehand";
  }
  constexpr std::size_t size = 32U << 20U;
  const auto before = memory_usage();
  ASSERT_TRUE(before) << before.error().what;
  void* const memory =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const auto after = memory_usage();
  ASSERT_TRUE(after);
  EXPECT_GE(after->mapped, before->mapped + size);
  EXPECT_EQ(after->mapped, status("VmSize"));
  const std::size_t resident = status("VmRSS");
  EXPECT_GT(after->resident, resident - resident / 4);
  EXPECT_LT(after->resident, resident + resident / 4);
  ::munmap(memory, size);
  EXPECT_LT(memory_usage()->mapped, after->mapped);
}

TEST(Memory, usage_that_the_kernel_does_not_tell_is_an_error) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto unopened = memory_usage();
  ::setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_FALSE(unopened);
  EXPECT_EQ(unopened.error().number, EMFILE);

  for (const int error : {EACCES, 0}) {  // 0: an empty file
    const bool refused = test::while_refused(SYS_read, error, [] {
      const auto unread = memory_usage();
      ASSERT_FALSE(unread);
      EXPECT_EQ(unread.error().number, EIO);
    });
    if (!refused) {
      GTEST_SKIP() << "no system call can be refused here";
    }
  }
}

[[gnu::noinline]] void touch(char* page) { *static_cast<volatile char*>(page) = 1; }

// A frame for each page.
[[gnu::noinline]] void use_stack(std::size_t pages) {  // NOLINT(misc-no-recursion)
  char page[4096];  // NOLINT(modernize-avoid-c-arrays): not to be initialised
  touch(page);
  if (pages > 1) {
    use_stack(pages - 1);
  }
  touch(page);
}

TEST(MemoryDeathTest, a_stack_that_was_not_prepared_tells_nothing) {
  if (test::is_emulated()) {
    GTEST_SKIP() << "the process is the emulator's";
  }
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process that no other test has run in
  const auto look = [] {
    const int status = stack_high_water() == 0 ? 0 : 1;
    test::note_coverage();
    ::_exit(status);
  };
  EXPECT_EXIT(look(), testing::ExitedWithCode(0), "");
}

TEST(Memory, the_stack_tells_how_deep_it_was) {
  prepare_stack(64 * kib);
  EXPECT_LT(stack_high_water(), 4096U);
  use_stack(4);
  const std::size_t four = stack_high_water();
  EXPECT_GE(four, 16 * kib);
  EXPECT_LT(four, 24 * kib);
  use_stack(2);
  EXPECT_EQ(stack_high_water(), four);
  use_stack(8);
  EXPECT_GE(stack_high_water(), 32 * kib);
  EXPECT_LT(stack_high_water(), 40 * kib);
  use_stack(40);
  EXPECT_LE(stack_high_water(), 65 * kib);
}

TEST(Memory, preparing_the_stack_brings_its_pages_in) {
  if (test::is_emulated()) {
    GTEST_SKIP() << "the process is the emulator's";
  }
  constexpr std::size_t size = 512 * kib;
  const std::size_t before = status("VmStk");
  prepare_stack(size);
  EXPECT_GE(status("VmStk"), size);
  EXPECT_GE(status("VmStk"), before);
  const auto faults = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
  };
  const auto faults_before = faults();
  use_stack(100);
  if (heap_trap::available()) {  // a sanitizer has shadow memory for it besides
    EXPECT_LE(faults() - faults_before, 1);
  }
}

TEST(Memory, locking_holds_every_page_or_says_what_is_missing) {
  if (!heap_trap::available()) {
    GTEST_SKIP() << "a sanitizer locks nothing";
  }
  const auto locked = lock_memory();
  if (locked) {
    // What can't be read has no pages: guards, and gaps of libraries.
    EXPECT_GT(status("VmLck"), status("VmRSS") / 2);
    ::munlockall();
  } else {
    EXPECT_TRUE(locked.error().number == EPERM || locked.error().number == ENOMEM);
    EXPECT_NE(std::string(locked.error().remedy).find("LimitMEMLOCK"), std::string::npos);
  }
}

TEST(Memory, locking_tells_what_the_kernel_says) {
  if (!heap_trap::available()) {
    GTEST_SKIP() << "a sanitizer locks nothing";
  }
  for (const int error : {0, EPERM, ENOMEM, ENOSYS}) {
    const bool refused = test::while_refused(SYS_mlockall, error, [error] {
      const auto locked = lock_memory();
      EXPECT_EQ(locked ? 0 : locked.error().number, error);
      const std::string remedy = locked ? "" : locked.error().remedy;
      EXPECT_EQ(remedy.find("LimitMEMLOCK") != std::string::npos,
                error == EPERM || error == ENOMEM);
    });
    if (!refused) {
      GTEST_SKIP() << "no system call can be refused here";
    }
  }
}

TEST(MemoryDeathTest, locking_more_than_is_allowed_fails_and_names_the_limit) {
  const auto as_nobody = [] {
    const rlimit limit{.rlim_cur = 65536, .rlim_max = 65536};
    if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || (::geteuid() == 0 && ::setuid(65534) != 0)) {
      ::_exit(3);
    }
    const auto locked = lock_memory();
    ::_exit(!locked && locked.error().number == ENOMEM &&
                    std::string(locked.error().remedy).find("ulimit -l") != std::string::npos
                ? 0
                : 1);
  };
  if (!heap_trap::available()) {
    GTEST_SKIP() << "a sanitizer locks nothing";
  }
  EXPECT_EXIT(as_nobody(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace millrace::hal
