// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <chrono>
#include <gtest/gtest.h>

#include "drivers/pigpio/glitch_filter.hpp"
#include "drivers/pigpio/noise_filter.hpp"
#include "drivers/pigpio/watchdogs.hpp"

namespace millrace::pigpio {
namespace {

using namespace std::chrono_literals;
constexpr Instant start(1000s);

TEST(PigpioGlitchFilter, passes_a_level_once_it_is_steady) {
  GlitchFilter filter;
  EXPECT_FALSE(filter.active());
  filter.start(5ms, false);
  EXPECT_TRUE(filter.active());
  EXPECT_EQ(filter.due(), never);
  filter.on_level(true, start);
  EXPECT_EQ(filter.due(), start + 5ms);
  EXPECT_EQ(filter.take(start + 5ms - 1ns), std::nullopt);
  EXPECT_EQ(filter.take(start + 5ms), true);
  EXPECT_EQ(filter.due(), never);
  EXPECT_EQ(filter.take(start + 10ms), std::nullopt);
}

TEST(PigpioGlitchFilter, starts_anew_with_each_change_and_forgets_glitches) {
  GlitchFilter filter;
  filter.start(5ms, true);
  filter.on_level(false, start);
  filter.on_level(true, start + 4ms);
  EXPECT_EQ(filter.due(), never) << "it is as it was";
  filter.on_level(false, start + 6ms);
  EXPECT_EQ(filter.due(), start + 11ms);
  EXPECT_EQ(filter.take(start + 11ms), false);
  filter.stop();
  EXPECT_FALSE(filter.active());
}

TEST(PigpioNoiseFilter, passes_changes_for_a_while_after_a_quiet_time) {
  NoiseFilter filter;
  filter.start(10ms, 3ms, start);
  EXPECT_TRUE(filter.active());
  EXPECT_FALSE(filter.passes(start + 5ms)) << "not quiet for long enough";
  EXPECT_FALSE(filter.passes(start + 14ms)) << "quiet begins anew with each change";
  EXPECT_TRUE(filter.passes(start + 24ms));
  EXPECT_TRUE(filter.passes(start + 26ms));
  EXPECT_FALSE(filter.passes(start + 27ms)) << "3 ms are over";
  EXPECT_FALSE(filter.passes(start + 36ms));
  EXPECT_TRUE(filter.passes(start + 46ms));
  EXPECT_FALSE(filter.passes(start + 58ms)) << "quiet only since 49 ms, when reporting ended";
  filter.stop();
  EXPECT_FALSE(filter.active());
}

TEST(PigpioWatchdogs, bark_when_nothing_has_changed_and_again) {
  Watchdogs dogs;
  EXPECT_EQ(dogs.next(UINT32_MAX), never);
  dogs.set(4, 100ms, start);
  dogs.set(31, 50ms, start);
  EXPECT_EQ(dogs.next(UINT32_MAX), start + 50ms);
  EXPECT_EQ(dogs.next(1U << 4U), start + 100ms) << "of those that are watched";
  EXPECT_EQ(dogs.take_expired(1U << 4U, start + 100ms), 1U << 4U);
  EXPECT_EQ(dogs.next(1U << 4U), start + 200ms);
  dogs.rebase(4, start + 150ms);
  EXPECT_EQ(dogs.next(1U << 4U), start + 250ms);
  dogs.set(4, 0ms, start + 150ms);
  EXPECT_FALSE(dogs.active(4));
  EXPECT_EQ(dogs.take_expired(UINT32_MAX, start + 1s), 1U << 31U);
}

}  // namespace
}  // namespace millrace::pigpio
