// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>

#include "hal/time.hpp"

namespace millrace {
namespace {

constexpr Duration tick(1);
constexpr Instant zero;
constexpr Instant first = Instant::min();

TEST(Time, sums_within_the_range_are_exact) {
  EXPECT_EQ(saturating_add(Instant(5 * tick), 7 * tick), Instant(12 * tick));
  EXPECT_EQ(saturating_add(Instant(5 * tick), -7 * tick), Instant(-2 * tick));
  EXPECT_EQ(saturating_add(never, -tick), never - tick);
  EXPECT_EQ(saturating_add(never - tick, tick), never);
  EXPECT_EQ(saturating_add(never, Duration::zero()), never);
}

TEST(Time, sums_past_the_end_of_time_are_its_end) {
  EXPECT_EQ(saturating_add(never, tick), never);
  EXPECT_EQ(saturating_add(Instant(tick), forever), never);
  EXPECT_EQ(saturating_add(first, -tick), first);
  EXPECT_EQ(saturating_add(Instant(-2 * tick), Duration::min()), first);
}

TEST(Time, differences_within_the_range_are_exact) {
  EXPECT_EQ(saturating_sub(Instant(12 * tick), Instant(5 * tick)), 7 * tick);
  EXPECT_EQ(saturating_sub(Instant(5 * tick), Instant(12 * tick)), -7 * tick);
  EXPECT_EQ(saturating_sub(never, zero), forever);
  EXPECT_EQ(saturating_sub(first, zero), Duration::min());
}

TEST(Time, differences_past_the_range_are_its_limits) {
  EXPECT_EQ(saturating_sub(never, Instant(-tick)), forever);
  EXPECT_EQ(saturating_sub(never, first), forever);
  EXPECT_EQ(saturating_sub(first, Instant(tick)), Duration::min());
  EXPECT_EQ(saturating_sub(first, never), Duration::min());
}

}  // namespace
}  // namespace millrace
