// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <chrono>
#include <cstdint>
#include <gtest/gtest.h>
#include <thread>

#include "hal/clock.hpp"
#include "hal/cycle_counter.hpp"

namespace millrace::hal {
namespace {

class CycleCounter : public testing::Test {
 protected:
  void SetUp() override {
    if (rate == 0) {
      GTEST_SKIP() << "this processor's counter does not keep time";
    }
  }

  const std::uint64_t rate = cycles_per_microsecond();
};

TEST_F(CycleCounter, goes_as_fast_as_it_was_measured_to_also_while_the_thread_sleeps) {
  const SystemClock clock;
  const auto start = clock.now();
  const std::uint64_t first = cycle_count();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const std::uint64_t cycles = cycle_count() - first;
  const auto passed = static_cast<std::uint64_t>((clock.now() - start).count());
  EXPECT_GT(cycles, passed / 1000 * rate * 97 / 100);
  EXPECT_LT(cycles, passed / 1000 * rate * 103 / 100);
}

TEST_F(CycleCounter, is_measured_once) {
  const SystemClock clock;
  const auto start = clock.now();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(cycles_per_microsecond(), rate);
  }
  EXPECT_LT(clock.now() - start, std::chrono::milliseconds(200));  // once takes 0.3 ms on x86
}

TEST_F(CycleCounter, never_goes_back) {
  std::uint64_t last = cycle_count();
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t now = cycle_count();
    ASSERT_GE(now, last);
    last = now;
  }
}

}  // namespace
}  // namespace millrace::hal
