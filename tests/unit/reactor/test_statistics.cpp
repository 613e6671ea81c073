// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// What the loop tells about itself: counts, high-water marks, handlers that ran too long, and the
// one that runs now.

#include <algorithm>
#include <atomic>
#include <gtest/gtest.h>
#include <string>
#include <thread>

#include "firmware/reactor/ledger.hpp"
#include "tests/support/descriptors.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

struct Worker {
  void slow(const Message& message) { clock->advance(Duration(message.value)); }
  void quick(const Message& /*message*/) {}
  void wait(const Message& /*message*/) {
    running = true;
    while (running) {
      std::this_thread::yield();
    }
  }

  FakeClock* clock = nullptr;
  std::atomic<bool> running = false;
};

void free_function(const Message& /*message*/) {}

class Statistics : public ::testing::Test {
 protected:
  FakeClock clock;
  Loop<Epoll> loop{clock};
  Worker worker{.clock = &clock};
  Handler slow = Handler::to<&Worker::slow>(worker);
  Handler quick = Handler::to<&Worker::quick>(worker);
};

TEST_F(Statistics, a_handler_knows_its_name) {
  EXPECT_TRUE(slow.name().ends_with("Worker::slow")) << slow.name();
  const auto function = Handler::to<&free_function>();
  EXPECT_TRUE(function.name().ends_with("free_function")) << function.name();
  EXPECT_EQ(Handler().name(), "");
  EXPECT_FALSE(Handler());
  EXPECT_EQ(slow, Handler::to<&Worker::slow>(worker));
  EXPECT_NE(slow, quick);
}

TEST_F(Statistics, an_overrun_is_noted_with_name_duration_and_backlog) {
  loop.set_budget(1us);
  ASSERT_TRUE(loop.post(slow, at(normal, 1000)));  // within the budget, just
  ASSERT_TRUE(loop.post(slow, at(normal, 1001)));
  ASSERT_TRUE(loop.post(slow, at(normal, 5000)));
  ASSERT_TRUE(loop.post(slow, at(normal, 3000)));
  ASSERT_TRUE(loop.post(quick));
  ASSERT_TRUE(loop.post(quick, at(background)));
  loop.turn_now();
  const auto entry = loop.ledger().entry(0);
  ASSERT_TRUE(entry);
  EXPECT_TRUE(entry->name.ends_with("Worker::slow"));
  EXPECT_EQ(entry->count, 3U);
  EXPECT_EQ(entry->worst, 5000ns);
  EXPECT_EQ(entry->backlog, 3U);  // when the worst one ended
  EXPECT_FALSE(loop.ledger().entry(1));
  EXPECT_EQ(loop.ledger().total(), 3U);
  EXPECT_EQ(loop.ledger().others(), 0U);
}

TEST_F(Statistics, the_budget_is_10_ms_unless_set_and_a_setting_before_open_is_kept) {
  ASSERT_TRUE(loop.post(slow, at(normal, 10'000'000)));
  loop.turn_now();
  EXPECT_EQ(loop.ledger().total(), 0U);
  ASSERT_TRUE(loop.post(slow, at(normal, 10'000'001)));
  loop.turn_now();
  EXPECT_EQ(loop.ledger().total(), 1U);

  StaticReactor<ReactorLimits{}> reactor{clock};
  reactor.set_budget(20ms);
  ASSERT_TRUE(reactor.open());
  ASSERT_TRUE(reactor.post(slow, at(normal, 20'000'000)));
  ASSERT_TRUE(reactor.turn(0ns));
  EXPECT_EQ(reactor.ledger().total(), 0U);
  ASSERT_TRUE(reactor.post(slow, at(normal, 20'000'001)));
  ASSERT_TRUE(reactor.turn(0ns));
  EXPECT_EQ(reactor.ledger().total(), 1U);
}

TEST_F(Statistics, a_budget_of_forever_is_none_and_of_zero_or_less_is_the_smallest) {
  loop.set_budget(forever);
  ASSERT_TRUE(loop.post(slow, at(normal, UINT32_MAX)));
  loop.turn_now();
  EXPECT_EQ(loop.ledger().total(), 0U);
  loop.set_budget(Duration::min());
  ASSERT_TRUE(loop.post(slow, at(normal, 1)));
  loop.turn_now();
  EXPECT_EQ(loop.ledger().total(), 1U);
}

/// Counts how often it is asked.
class CountingClock final : public hal::Clock {
 public:
  [[nodiscard]] Instant now() const override {
    ++readings;
    return time;
  }
  mutable int readings = 0;
  Instant time{1s};
};

TEST(StatisticsWithoutABudget, need_no_clock_until_a_timer_is_armed) {
  CountingClock clock;
  StaticReactor<ReactorLimits{}> reactor(clock);
  ASSERT_TRUE(reactor.open());
  On handler{[](const Message&) {}};
  const auto readings_of_10_posts = [&] {
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(reactor.post(handler));
    }
    clock.readings = 0;
    EXPECT_TRUE(reactor.turn(0ns));
    return clock.readings;
  };
  EXPECT_GE(readings_of_10_posts(), 10);
  reactor.set_budget(forever);
  EXPECT_EQ(readings_of_10_posts(), 0);

  // One that a handler arms is looked at in the same turn.
  int expired = 0;
  On on_timer{[&](const Message&) { ++expired; }};
  const auto timer = reactor.add_timer(on_timer);
  On arms{[&](const Message&) {
    reactor.arm_after(*timer, 5ms);
    clock.time += 6ms;
  }};
  ASSERT_TRUE(reactor.post(arms));
  ASSERT_TRUE(reactor.post(handler));
  ASSERT_TRUE(reactor.turn(0ns));
  EXPECT_EQ(expired, 1);
  EXPECT_EQ(readings_of_10_posts(), 0);
}

TEST_F(Statistics, a_budget_that_a_handler_sets_is_for_the_handlers_after_it) {
  loop.set_budget(forever);
  On sets{[&](const Message&) {
    clock.advance(5ms);
    loop.set_budget(1ms);
  }};
  ASSERT_TRUE(loop.post(sets));
  ASSERT_TRUE(loop.post(slow, at(normal, 2'000'000)));
  loop.turn_now();
  EXPECT_EQ(loop.ledger().total(), 1U);
}

TEST(StatisticsOfTheCycleCounter, know_forever_and_what_a_busy_handler_took) {
  Loop<Epoll> loop;  // the real clock
  const hal::SystemClock clock;
  On busy{[&](const Message&) {
    const Instant until = clock.now() + 3ms;
    while (clock.now() < until) {
    }
  }};
  // The last one's count of ticks is just past what 64 bits hold.
  const auto rate = std::max<std::uint64_t>(hal::cycles_per_microsecond(), 3);
  const Duration just_too_long(static_cast<Duration::rep>(UINT64_MAX / rate + 1));
  for (const Duration budget : {forever, Duration(2h), just_too_long}) {
    loop.set_budget(budget);
    ASSERT_TRUE(loop.post(busy));
    loop.turn_now();
    EXPECT_EQ(loop.ledger().total(), 0U);
  }
  loop.set_budget(1ms);
  ASSERT_TRUE(loop.post(busy));
  loop.turn_now();
  ASSERT_EQ(loop.ledger().total(), 1U);
  EXPECT_GE(loop.ledger().entry(0)->worst, 2900us);  // the counter's rate is known to 1 %
}

TEST_F(Statistics, another_thread_sees_which_handler_runs) {
  EXPECT_EQ(loop.current_handler(), "");
  std::string seen;
  std::thread watchdog([&] {
    while (!worker.running) {
      std::this_thread::yield();
    }
    seen = loop.current_handler();
    (void)loop.ledger().entry(0);
    worker.running = false;
  });
  ASSERT_TRUE(loop.post(Handler::to<&Worker::wait>(worker)));
  loop.turn_now();
  watchdog.join();
  EXPECT_TRUE(seen.ends_with("Worker::wait")) << seen;
  EXPECT_EQ(loop.current_handler(), "");
}

TEST_F(Statistics, queues_count_what_waits_ran_and_was_the_most) {
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(loop.post(quick, at(urgent)));
  }
  ASSERT_TRUE(loop.post(quick, at(background)));
  ReactorStatistics statistics = loop.statistics();
  EXPECT_EQ(statistics.queues[0].depth, 5U);
  EXPECT_EQ(statistics.queues[1].depth, 0U);
  EXPECT_EQ(statistics.queues[2].depth, 1U);
  EXPECT_EQ(statistics.messages_free, test_limits.messages - 6);
  loop.turn_now();
  ASSERT_TRUE(loop.post(quick, at(urgent)));
  loop.turn_now();
  statistics = loop.statistics();
  EXPECT_EQ(statistics.queues[0].depth, 0U);
  EXPECT_EQ(statistics.queues[0].high_water, 5U);
  EXPECT_EQ(statistics.queues[0].dispatched, 6U);
  EXPECT_EQ(statistics.queues[1].high_water, 0U);
  EXPECT_EQ(statistics.queues[2].high_water, 1U);
  EXPECT_EQ(statistics.queues[2].dispatched, 1U);
  EXPECT_EQ(statistics.messages_free, test_limits.messages);
  EXPECT_EQ(statistics.messages_least_free, test_limits.messages - 6);
}

TEST_F(Statistics, what_is_taken_back_is_no_longer_counted_as_waiting) {
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  const auto watch = loop.watch(pipe.near.get(), Events::readable, quick);
  const auto timer = loop.add_timer(quick);
  const auto notifier = loop.add_notifier(quick);
  loop.arm_after(*timer, 0ns);
  On take_back{[&](const Message&) {
    loop.raise(*notifier);
    EXPECT_EQ(loop.statistics().queues[1].depth, 3U);
    ASSERT_TRUE(loop.remove(*watch));
    EXPECT_EQ(loop.statistics().queues[1].depth, 2U);
    loop.cancel(*timer);
    EXPECT_EQ(loop.statistics().queues[1].depth, 1U);
    loop.remove_notifier(*notifier);
    EXPECT_EQ(loop.statistics().queues[1].depth, 0U);
  }};
  ASSERT_TRUE(loop.post(take_back, at(urgent)));
  loop.turn_now();
  EXPECT_EQ(loop.statistics().queues[1].dispatched, 0U);
  EXPECT_EQ(loop.statistics().queues[0].dispatched, 1U);
}

TEST_F(Statistics, sources_turns_sleeps_and_expiries_are_counted) {
  const Pair pipe = make_pipe();
  const auto watch = loop.watch(pipe.near.get(), Events::readable, quick);
  const auto timer = loop.add_timer(quick);
  const auto notifier = loop.add_notifier(quick);
  ReactorStatistics statistics = loop.statistics();
  EXPECT_EQ(statistics.watches, 1U);
  EXPECT_EQ(statistics.timers, 1U);
  EXPECT_EQ(statistics.notifiers, 1U);
  loop.arm_after(*timer, 1ms);
  ASSERT_TRUE(loop.turn());  // sleeps
  loop.turn_now();           // does not
  loop.arm_every(*timer, 1ms, clock.now() - 3ms);
  loop.turn_now();
  statistics = loop.statistics();
  EXPECT_EQ(statistics.turns, 3U);
  EXPECT_EQ(statistics.sleeps, 1U);
  EXPECT_EQ(statistics.timers_expired, 2U);
  EXPECT_EQ(statistics.periods_missed, 3U);
  ASSERT_TRUE(loop.remove(*watch));
  loop.remove_timer(*timer);
  loop.remove_notifier(*notifier);
  loop.remove_timer(*timer);  // gone already
  loop.remove_notifier(*notifier);
  statistics = loop.statistics();
  EXPECT_EQ(statistics.watches, 0U);
  EXPECT_EQ(statistics.timers, 0U);
  EXPECT_EQ(statistics.notifiers, 0U);
}

}  // namespace
}  // namespace millrace::test
