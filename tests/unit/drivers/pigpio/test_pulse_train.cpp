// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <chrono>
#include <gtest/gtest.h>

#include "drivers/pigpio/pulse_train.hpp"
#include "drivers/pigpio/pwm_frequency.hpp"

namespace millrace::pigpio {
namespace {

using namespace std::chrono_literals;
constexpr Instant start(1000s);

TEST(PigpioPulseTrain, has_its_edges_at_multiples_of_the_period) {
  PulseTrain train;
  PulseStatistics statistics;
  EXPECT_FALSE(train.running());
  EXPECT_TRUE(train.set(20ms, 1500us, start));
  for (int period = 0; period < 1000; ++period) {
    const Instant begin = start + period * 20ms;
    ASSERT_EQ(train.next(), begin + 1500us);
    EXPECT_FALSE(train.advance(train.next() + 70us, statistics));
    ASSERT_EQ(train.next(), begin + 20ms);
    EXPECT_TRUE(train.advance(train.next() + 90us, statistics)) << "late, but it does not add up";
  }
  EXPECT_EQ(statistics.edges, 2000U);
  EXPECT_EQ(statistics.late_in_total, 1000 * 160us);
  EXPECT_EQ(statistics.late_at_worst, 90us);
  EXPECT_EQ(statistics.missed, 0U);
}

TEST(PigpioPulseTrain, skips_periods_that_have_gone_by) {
  PulseTrain train;
  PulseStatistics statistics;
  (void)train.set(10ms, 4ms, start);
  EXPECT_FALSE(train.advance(start + 35ms, statistics)) << "the fall of the first period";
  EXPECT_EQ(statistics.missed, 2U);
  EXPECT_EQ(train.next(), start + 30ms) << "at once: the next rise is due already";
  EXPECT_TRUE(train.advance(start + 35ms, statistics));
  EXPECT_EQ(train.next(), start + 34ms);
}

TEST(PigpioPulseTrain, keeps_its_phase_when_only_the_width_changes) {
  PulseTrain train;
  PulseStatistics statistics;
  (void)train.set(10ms, 4ms, start);
  EXPECT_TRUE(train.set(10ms, 8ms, start + 2ms));
  EXPECT_EQ(train.next(), start + 8ms);
  EXPECT_TRUE(train.set(10ms, 1ms, start + 3ms));
  EXPECT_EQ(train.next(), start + 3ms) << "longer than that already: it ends now";
  EXPECT_FALSE(train.advance(start + 3ms, statistics));
  EXPECT_FALSE(train.set(10ms, 5ms, start + 4ms)) << "one pulse a period";
  EXPECT_EQ(train.next(), start + 10ms);
  EXPECT_TRUE(train.set(20ms, 5ms, start + 6ms)) << "another period begins at once";
  EXPECT_EQ(train.next(), start + 11ms);
}

TEST(PigpioPulseTrain, has_the_period_and_the_width_that_were_set_last) {
  PulseTrain train;
  (void)train.set(20ms, 1500us, start);
  EXPECT_EQ(train.period(), 20ms);
  EXPECT_EQ(train.width(), 1500us);
  (void)train.set(10ms, 0ms, start + 3ms);
  EXPECT_EQ(train.period(), 10ms) << "without an edge, too";
  EXPECT_EQ(train.width(), 0ms);
}

TEST(PigpioPulseTrain, has_no_edges_at_nothing_and_at_all) {
  PulseTrain train;
  EXPECT_FALSE(train.set(10ms, 0ms, start));
  EXPECT_FALSE(train.running());
  EXPECT_TRUE(train.set(10ms, 10ms, start));
  EXPECT_FALSE(train.running());
  EXPECT_EQ(train.next(), never);
  (void)train.set(10ms, 5ms, start);
  train.stop();
  EXPECT_FALSE(train.running());
}

TEST(PigpioPwmFrequency, is_the_nearest_that_there_is) {
  const auto nearest = [](std::uint32_t hertz) { return nearest_pwm_frequency(hertz).hertz; };
  EXPECT_EQ(nearest(0), 10U);
  EXPECT_EQ(nearest(10), 10U);
  EXPECT_EQ(nearest(16), 20U);
  EXPECT_EQ(nearest(15), 20U) << "the higher of two";
  EXPECT_EQ(nearest(100), 100U);
  EXPECT_EQ(nearest(8000), 1000U);
  EXPECT_EQ(nearest(UINT32_MAX), 1000U);
  EXPECT_EQ(nearest_pwm_frequency(default_pwm_frequency).hertz, 800U);
  for (const PwmFrequency& frequency : pwm_frequencies) {
    EXPECT_EQ(frequency.hertz * frequency.real_range, 200'000U) << "steps of 5 us";
  }
}

}  // namespace
}  // namespace millrace::pigpio
