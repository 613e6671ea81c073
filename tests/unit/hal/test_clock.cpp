// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cstdint>
#include <ctime>
#include <gtest/gtest.h>

#include "hal/clock.hpp"

namespace millrace::hal {
namespace {

std::int64_t monotonic() {
  timespec time{};
  EXPECT_EQ(::clock_gettime(CLOCK_MONOTONIC, &time), 0);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

TEST(SystemClock, is_the_monotonic_clock_of_the_kernel) {
  const SystemClock clock;
  for (int i = 0; i < 100'000; ++i) {
    const auto before = monotonic();
    const auto now = clock.now().time_since_epoch().count();
    const auto after = monotonic();
    ASSERT_LE(before, now);
    ASSERT_LE(now, after);
  }
}

TEST(SystemClock, is_followed_by_the_cycle_counter) {
  EXPECT_EQ(SystemClock().cycle_rate(), cycles_per_microsecond());
}

TEST(Clock, that_says_nothing_of_it_is_not_followed_by_the_cycle_counter) {
  class Stopped final : public Clock {
   public:
    [[nodiscard]] Instant now() const override { return {}; }
  };
  EXPECT_EQ(Stopped().cycle_rate(), 0U);
}

}  // namespace
}  // namespace millrace::hal
