// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <malloc.h>
#include <string>
#include <thread>

#include "hal/heap_trap.hpp"
#include "tests/support/coverage.hpp"

namespace millrace::hal {
namespace {

using heap_trap::Action;

// NOLINTBEGIN(cppcoreguidelines-no-malloc): this is about malloc

/// Where the results go, so that the compiler can't leave the calls out.
void* volatile sink = nullptr;
/// A nullptr that the compiler does not know: it makes a malloc() of realloc(nullptr).
void* volatile nothing = nullptr;

void keep(void* memory) {
  sink = memory;
  std::free(memory);
}

class HeapTrap : public testing::Test {
 public:
  HeapTrap() = default;
  HeapTrap(const HeapTrap&) = delete;
  HeapTrap& operator=(const HeapTrap&) = delete;
  ~HeapTrap() override { heap_trap::disarm(); }

 protected:
  void SetUp() override {
    if (!heap_trap::available()) {
      GTEST_SKIP() << "a sanitizer has a malloc of its own";
    }
  }
};

using HeapTrapDeathTest = HeapTrap;

TEST_F(HeapTrap, nothing_is_counted_before_it_is_armed_or_after_it_is_disarmed) {
  heap_trap::arm(Action::count);
  heap_trap::disarm();
  keep(std::malloc(10));
  EXPECT_EQ(heap_trap::calls(), 0);
}

TEST_F(HeapTrap, every_function_of_the_family_is_counted) {
  void* memory = nullptr;
  heap_trap::arm(Action::count);
  keep(std::malloc(10));
  const auto after_malloc = heap_trap::calls();
  keep(std::calloc(10, 10));
  const auto after_calloc = heap_trap::calls();
  keep(std::realloc(nothing, 10));
  const auto after_realloc = heap_trap::calls();
  keep(std::aligned_alloc(64, 64));
  const auto after_aligned_alloc = heap_trap::calls();
  EXPECT_EQ(::posix_memalign(&memory, 64, 64), 0);
  keep(memory);
  const auto after_posix_memalign = heap_trap::calls();
  keep(::memalign(64, 64));
  const auto after_memalign = heap_trap::calls();
  heap_trap::disarm();
  EXPECT_EQ(after_malloc, 1);
  EXPECT_EQ(after_calloc, 2);
  EXPECT_EQ(after_realloc, 3);
  EXPECT_EQ(after_aligned_alloc, 4);
  EXPECT_EQ(after_posix_memalign, 5);
  EXPECT_EQ(after_memalign, 6);
}

TEST_F(HeapTrap, what_is_allocated_is_memory_all_the_same) {
  heap_trap::arm(Action::count);
  auto* const zeros = static_cast<unsigned char*>(std::calloc(1000, 1));
  void* const aligned = std::aligned_alloc(4096, 4096);
  heap_trap::disarm();
  ASSERT_NE(zeros, nullptr);
  for (std::size_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(zeros[i], 0) << i;
  }
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(aligned) % 4096, 0);
  std::free(aligned);
  std::free(zeros);
}

TEST_F(HeapTrap, what_is_more_than_there_can_be_is_refused_all_the_same) {
  static volatile std::size_t too_much = SIZE_MAX / 2 + 1;
  void* memory = nullptr;
  EXPECT_EQ(std::malloc(too_much), nullptr);
  EXPECT_EQ(std::calloc(too_much, 2), nullptr);
  EXPECT_EQ(std::realloc(nothing, too_much), nullptr);
  EXPECT_EQ(std::aligned_alloc(64, too_much), nullptr);
  EXPECT_EQ(::memalign(64, too_much), nullptr);
  EXPECT_EQ(::posix_memalign(&memory, 64, too_much), ENOMEM);
}

TEST_F(HeapTrap, posix_memalign_refuses_as_ever_and_leaves_the_pointer_alone) {
  int here = 0;
  void* memory = &here;
  const volatile std::size_t too_much = SIZE_MAX / 2;
  EXPECT_EQ(::posix_memalign(&memory, 24, 64), EINVAL);
  EXPECT_EQ(::posix_memalign(&memory, sizeof(void*) / 2, 64), EINVAL);
  EXPECT_EQ(::posix_memalign(&memory, 64, too_much), ENOMEM);
  EXPECT_EQ(memory, &here);
}

TEST_F(HeapTrap, a_library_that_allocates_is_seen) {
  heap_trap::arm(Action::count);
  keep(::strdup("copied by libc"));
  const auto calls = heap_trap::calls();
  heap_trap::disarm();
  EXPECT_EQ(calls, 1);
}

TEST_F(HeapTrap, operator_new_is_seen) {
  heap_trap::arm(Action::count);
  {
    const std::string text(1000, 'x');
    sink = static_cast<void*>(
        const_cast<char*>(text.data()));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  }
  const auto calls = heap_trap::calls();
  heap_trap::disarm();
  EXPECT_EQ(calls, 1);
}

TEST_F(HeapTrap, free_is_allowed) {
  void* const memory = std::malloc(10);
  sink = memory;
  heap_trap::arm(Action::count);
  std::free(memory);
  EXPECT_EQ(heap_trap::calls(), 0);
}

TEST_F(HeapTrap, arming_starts_to_count_afresh) {
  heap_trap::arm(Action::count);
  keep(std::malloc(10));
  heap_trap::arm(Action::count);
  EXPECT_EQ(heap_trap::calls(), 0);
}

TEST_F(HeapTrap, other_threads_are_seen_too) {
  // The thread is there before the trap is armed: starting one allocates.
  std::atomic<bool> armed = false;
  std::thread other([&armed] {
    armed.wait(false);
    for (int i = 0; i < 100; ++i) {
      keep(std::malloc(10));
    }
    armed.store(false);
    armed.notify_one();
  });
  heap_trap::arm(Action::count);
  armed.store(true);
  armed.notify_one();
  armed.wait(true);
  const auto calls = heap_trap::calls();
  heap_trap::disarm();
  other.join();
  EXPECT_GE(calls, 100);  // its arena is none of ours, but may be counted
}

TEST_F(HeapTrapDeathTest, the_first_call_ends_the_process_and_names_the_function_and_its_caller) {
  test::note_coverage_at_abort();
  const auto allocate = [](auto call) {
    heap_trap::arm(Action::abort);
    keep(call());
  };
  const std::string where = " was called after the start of the loop, at 0x.* of .*test_heap_trap";
  EXPECT_EXIT(allocate([] { return std::malloc(10); }), testing::KilledBySignal(SIGABRT),
              "^error: malloc\\(10\\)" + where);
  EXPECT_EXIT(allocate([] { return std::calloc(3, 5); }), testing::KilledBySignal(SIGABRT),
              "^error: calloc\\(15\\)" + where);
  EXPECT_EXIT(allocate([] { return std::realloc(nothing, 20); }), testing::KilledBySignal(SIGABRT),
              "^error: realloc\\(20\\)" + where);
  EXPECT_EXIT(allocate([] { return std::aligned_alloc(64, 128); }),
              testing::KilledBySignal(SIGABRT), "^error: aligned_alloc\\(128\\)" + where);
  EXPECT_EXIT(
      allocate([] { return ::strdup("four"); }), testing::KilledBySignal(SIGABRT),
      "^error: malloc\\(5\\) was called after the start of the loop, at 0x.* in .*strdup of ");
}

// NOLINTEND(cppcoreguidelines-no-malloc)

}  // namespace
}  // namespace millrace::hal
