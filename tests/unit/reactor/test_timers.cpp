// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// When timers expire, in which order, and what they say about it.

#include <array>
#include <gtest/gtest.h>
#include <limits>
#include <optional>
#include <thread>

#include "hal/clock.hpp"
#include "tests/support/descriptors.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

constexpr Instant start(1s);

template <class PollerType>
class Timers : public PollerTest<PollerType> {};
TYPED_TEST_SUITE(Timers, AllPollers, PollerNames);

TYPED_TEST(Timers, expire_in_the_order_of_their_deadlines) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note a(trace, "a");
  Note b(trace, "b");
  Note c(trace, "c");
  loop.arm_at(*loop.add_timer(c), start + 3ns);
  loop.arm_at(*loop.add_timer(a), start + 1ns);
  loop.arm_at(*loop.add_timer(b), start + 2ns);
  clock.set(start + 3ns);
  loop.turn_now();
  EXPECT_EQ(trace, "a b c");
}

TYPED_TEST(Timers, of_equal_deadline_expire_in_the_order_of_arming) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  std::array<TimerId, 10> ids;
  On note{[&](const Message& message) { trace.add(message.expiry().timer.index); }};
  for (TimerId& id : ids) {
    id = *loop.add_timer(note);
  }
  for (const std::size_t i : {7U, 3U, 9U, 0U, 1U, 8U, 2U, 6U, 4U, 5U}) {
    loop.arm_at(ids.at(i), start + 5ns);
  }
  loop.arm_at(ids[3], start + 5ns);  // armed anew: behind the others
  clock.set(start + 5ns);
  loop.turn_now();
  EXPECT_EQ(trace, "7 9 0 1 8 2 6 4 5 3");
}

TYPED_TEST(Timers, do_not_expire_a_nanosecond_early_by_a_fake_clock) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note note(trace, "x");
  loop.arm_at(*loop.add_timer(note), start + 100ns);
  clock.set(start + 99ns);
  loop.turn_now(3);
  EXPECT_EQ(trace, "");
  clock.set(start + 100ns);
  loop.turn_now();
  EXPECT_EQ(trace, "x");
}

TYPED_TEST(Timers, do_not_expire_early_by_the_real_clock) {
  Loop<TypeParam> loop;
  const hal::SystemClock clock;
  int runs = 0;
  On check{[&](const Message& message) {
    EXPECT_GE(clock.now(), message.expiry().deadline);
    if (++runs < 200) {
      // From 0 to 2 ms, so that no rounding of whole milli- or microseconds goes unnoticed.
      loop.arm_after(message.expiry().timer, Duration(runs * 9973));
    } else {
      loop.quit();
    }
  }};
  loop.arm_after(*loop.add_timer(check), 1us);
  ASSERT_TRUE(loop.run());
  EXPECT_EQ(runs, 200);
}

TYPED_TEST(Timers, a_wait_never_ends_before_its_limit) {
  Loop<TypeParam> loop;
  const hal::SystemClock clock;
  for (const Duration wait :
       {Duration(1), Duration(999), Duration(1'000'001), Duration(3'456'789)}) {
    const Instant before = clock.now();
    ASSERT_TRUE(loop.turn(wait));
    EXPECT_GE(clock.now() - before, wait);
  }
}

TYPED_TEST(Timers, the_loop_sleeps_exactly_until_the_next_deadline) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note note(trace, "x");
  loop.arm_at(*loop.add_timer(note), start + 12345ns);
  ASSERT_TRUE(loop.turn());
  EXPECT_EQ(loop.counting().last_timeout, 12345ns);
  EXPECT_EQ(trace, "x");
  EXPECT_EQ(loop.counting().waits, 1);
}

TYPED_TEST(Timers, a_time_past_is_due_at_once) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  On note{[&](const Message& message) {
    trace.add(message.expiry().deadline.time_since_epoch().count());
  }};
  loop.arm_at(*loop.add_timer(note), start - 1s);
  loop.arm_after(*loop.add_timer(note), -7ns);
  loop.arm_after(*loop.add_timer(note), 0ns);
  loop.arm_at(*loop.add_timer(note), Instant::min());
  loop.arm_after(*loop.add_timer(note), Duration::min());
  ASSERT_TRUE(loop.turn());
  EXPECT_LE(loop.counting().last_timeout, 0ns);
  EXPECT_EQ(trace, "-9223372036854775808 -9223372035854775808 0 999999993 1000000000");
}

TYPED_TEST(Timers, that_expire_inside_a_long_batch_are_queued_between_two_messages) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note timer(trace, "timer");
  loop.arm_at(*loop.add_timer(timer, urgent), start + 35ms);
  On work{[&](const Message& message) {
    trace.add(message.value);
    clock.advance(10ms);
  }};
  for (std::uint32_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(loop.post(work, at(normal, i)));
  }
  loop.turn_now();
  EXPECT_EQ(trace, "0 1 2 3 timer 4 5 6 7");
}

TYPED_TEST(Timers, that_expire_inside_a_long_batch_are_noticed_by_the_cycle_counter_too) {
  Loop<TypeParam> loop;
  const hal::SystemClock clock;
  Trace trace;
  Note timer(trace, "timer");
  const Instant deadline = clock.now() + 3ms;
  loop.arm_at(*loop.add_timer(timer, urgent), deadline);
  // The batch is over only when the timer has run in it, or after 64 ms without it.
  On work{[&](const Message&) {
    const Instant until = clock.now() + 1ms;
    while (clock.now() < until) {
    }
  }};
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(loop.post(work));
  }
  Note last(trace, "last");
  ASSERT_TRUE(loop.post(last));
  loop.turn_now();
  EXPECT_EQ(trace, "timer last");
}

TYPED_TEST(Timers, armed_for_a_past_time_by_a_handler_run_in_the_same_batch) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note timer(trace, "timer");
  Note last(trace, "last");
  const auto id = loop.add_timer(timer, urgent);
  On arm{[&](const Message&) {
    trace.add("arm");
    loop.arm_after(*id, 0ns);
  }};
  ASSERT_TRUE(loop.post(arm));
  ASSERT_TRUE(loop.post(last));
  loop.turn_now();
  EXPECT_EQ(trace, "arm timer last");
}

TYPED_TEST(Timers, cancelled_by_another_that_is_due_at_the_same_instant_do_not_run) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  std::optional<TimerId> second;
  Note note(trace, "second");
  Note third(trace, "third");
  On cancelling{[&](const Message&) {
    trace.add("first");
    EXPECT_TRUE(loop.armed(*second));
    loop.cancel(*second);
    EXPECT_FALSE(loop.armed(*second));
  }};
  const auto first = loop.add_timer(cancelling);
  second = *loop.add_timer(note);
  loop.arm_at(*first, start + 1ns);
  loop.arm_at(*second, start + 1ns);
  loop.arm_at(*loop.add_timer(third), start + 1ns);
  clock.set(start + 1ns);
  loop.turn_now(2);
  EXPECT_EQ(trace, "first third");
}

TYPED_TEST(Timers, removed_while_they_wait_do_not_run_nor_does_the_next_in_their_place) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note old_note(trace, "old");
  Note new_note(trace, "new");
  Note post(trace, "post");
  std::optional<TimerId> old_id;
  std::optional<TimerId> new_id;
  On replace{[&](const Message&) {
    trace.add("replace");
    loop.remove_timer(*old_id);
    new_id = *loop.add_timer(new_note);
    EXPECT_EQ(new_id->index, old_id->index);
    loop.arm_after(*old_id, 0ns);  // names what is gone
    EXPECT_FALSE(loop.armed(*old_id));
    EXPECT_FALSE(loop.armed(*new_id));
    ASSERT_TRUE(loop.post(post));
  }};
  const auto replacing = loop.add_timer(replace);
  old_id = *loop.add_timer(old_note);
  loop.arm_at(*replacing, start);
  loop.arm_at(*old_id, start);
  loop.turn_now(2);
  EXPECT_EQ(trace, "replace post");
  loop.arm_after(*new_id, 0ns);
  loop.turn_now();
  EXPECT_EQ(trace, "replace post new");
}

TYPED_TEST(Timers, re_armed_while_their_expiry_waits_expire_only_at_the_new_deadline) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note note(trace, "timer");
  const auto id = loop.add_timer(note);
  On rearm{[&](const Message&) {
    trace.add("rearm");
    loop.arm_at(*id, start + 10ns);
  }};
  loop.arm_at(*id, start);
  ASSERT_TRUE(loop.post(rearm, at(urgent)));
  loop.turn_now();
  EXPECT_EQ(trace, "rearm");
  clock.set(start + 10ns);
  loop.turn_now();
  EXPECT_EQ(trace, "rearm timer");
}

TYPED_TEST(Timers, re_armed_to_now_while_their_expiry_waits_go_to_the_end_of_the_queue) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note a(trace, "a");
  Note b(trace, "b");
  const auto id = loop.add_timer(a);
  On rearm{[&](const Message&) { loop.arm_after(*id, 0ns); }};
  loop.arm_at(*id, start - 2ns);
  loop.arm_at(*loop.add_timer(b), start - 1ns);
  ASSERT_TRUE(loop.post(rearm, at(urgent)));
  loop.turn_now();
  EXPECT_EQ(trace, "b a");
}

TYPED_TEST(Timers, can_re_arm_cancel_and_remove_themselves) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  int runs = 0;
  On self{[&](const Message& message) {
    const TimerId id = message.expiry().timer;
    trace.add(++runs);
    EXPECT_EQ(loop.armed(id), runs == 3);  // only a periodic one is armed for its next time
    switch (runs) {
      case 1:
        loop.arm_after(id, 5ns);
        break;
      case 2:
        loop.arm_every(id, 5ns);
        break;
      default:
        loop.remove_timer(id);
    }
  }};
  loop.arm_after(*loop.add_timer(self), 5ns);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(loop.turn());
  }
  EXPECT_EQ(loop.statistics().timers, 0U);
  clock.advance(1s);
  loop.turn_now();
  EXPECT_EQ(trace, "1 2 3");
}

TYPED_TEST(Timers, of_a_higher_priority_run_first_although_their_deadline_is_later) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note u(trace, "u");
  Note n(trace, "n");
  Note b(trace, "b");
  loop.arm_at(*loop.add_timer(b, background), start - 3ns);
  loop.arm_at(*loop.add_timer(n, normal), start - 2ns);
  loop.arm_at(*loop.add_timer(u, urgent), start - 1ns);
  loop.turn_now();
  EXPECT_EQ(trace, "u n b");
}

TYPED_TEST(Timers, and_readiness_that_are_due_together_run_timer_first) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note ready(trace, "ready");
  Note timer(trace, "timer");
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  ASSERT_TRUE(loop.watch(pipe.near.get(), Events::readable, ready));
  loop.arm_at(*loop.add_timer(timer), start);
  loop.turn_now();
  EXPECT_EQ(trace, "timer ready");
}

TYPED_TEST(Timers, of_zero_that_re_arm_themselves_do_not_starve_descriptors) {
  Loop<TypeParam> loop;
  int expiries = 0;
  std::optional<int> when_ready;
  On zero{[&](const Message& message) {
    ++expiries;
    loop.arm_after(message.expiry().timer, 0ns);
  }};
  On ready{[&](const Message&) {
    when_ready = expiries;
    loop.quit();
  }};
  for (const Priority priority : {urgent, normal}) {
    loop.arm_after(*loop.add_timer(zero, priority), 0ns);
  }
  const Pair pipe = make_pipe();
  ASSERT_TRUE(loop.watch(pipe.near.get(), Events::readable, ready));
  On feed{[&](const Message&) { put(pipe.far, "x"); }};
  ASSERT_TRUE(loop.post(feed));
  ASSERT_TRUE(loop.run());
  ASSERT_TRUE(when_ready);
  EXPECT_LE(*when_ready, 64 + 9 + 9);  // the rest of this turn, then its place in the next
}

// --- Periodic ----------------------------------------------------------------------------------

TYPED_TEST(Timers, that_are_periodic_do_not_drift) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  int runs = 0;
  On tick{[&](const Message& message) {
    ++runs;
    EXPECT_EQ(message.expiry().deadline, start + runs * 1000ns);
    EXPECT_EQ(message.expiry().missed, 0U);
    clock.advance(Duration(runs % 7 * 100));  // each is served late by another amount
  }};
  loop.arm_every(*loop.add_timer(tick), 1000ns);
  while (runs < 10'000) {
    ASSERT_TRUE(loop.turn());
  }
  EXPECT_EQ(loop.statistics().timers_expired, 10'000U);
  EXPECT_EQ(loop.statistics().periods_missed, 0U);
}

TYPED_TEST(Timers, that_are_periodic_and_overdue_run_once_and_say_how_many_they_missed) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  On tick{[&](const Message& message) {
    const Expiry expiry = message.expiry();
    trace.add((expiry.deadline - start).count(), "+", expiry.missed);
  }};
  const auto id = loop.add_timer(tick);
  loop.arm_every(*id, 10ns, start + 5ns);
  clock.set(start + 48ns);  // due at 5, 15, 25, 35, 45
  loop.turn_now(2);
  EXPECT_EQ(trace, "5+4");
  clock.set(start + 55ns);
  loop.turn_now(2);
  EXPECT_EQ(trace, "5+4 55+0");
  EXPECT_EQ(loop.statistics().timers_expired, 2U);
  EXPECT_EQ(loop.statistics().periods_missed, 4U);
}

TYPED_TEST(Timers, that_are_periodic_count_the_periods_that_pass_while_their_message_waits) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  On tick{[&](const Message& message) { trace.add("missed ", message.expiry().missed); }};
  loop.arm_every(*loop.add_timer(tick, background), 10ns, start + 10ns);
  On slow{[&](const Message&) { clock.advance(10ns); }};
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(loop.post(slow));
  }
  loop.turn_now();
  EXPECT_EQ(trace, "missed 4");
}

TYPED_TEST(Timers, of_equal_period_keep_their_order) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note a(trace, "a");
  Note b(trace, "b");
  loop.arm_every(*loop.add_timer(a), 10ns);
  loop.arm_every(*loop.add_timer(b), 10ns);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(loop.turn());
  }
  EXPECT_EQ(trace, "a b a b a b");
}

TYPED_TEST(Timers, cancelled_in_their_own_handler_stop_being_periodic) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  On tick{[&](const Message& message) {
    trace.add("x");
    EXPECT_TRUE(loop.armed(message.expiry().timer));
    loop.cancel(message.expiry().timer);
  }};
  loop.arm_every(*loop.add_timer(tick), 10ns);
  ASSERT_TRUE(loop.turn());
  clock.advance(1s);
  loop.turn_now();
  EXPECT_EQ(trace, "x");
}

TYPED_TEST(Timers, with_a_period_of_zero_or_less_get_one_of_a_nanosecond) {
  for (const Duration period : {Duration::zero(), Duration::min()}) {
    FakeClock clock(start);
    Loop<TypeParam> loop(clock);
    Trace trace;
    On tick{[&](const Message& message) { trace.add(message.expiry().missed); }};
    loop.arm_every(*loop.add_timer(tick), period, start);
    clock.set(start + 1000ns);
    loop.turn_now();
    EXPECT_EQ(trace, "1000");
  }
}

// --- Extremes ----------------------------------------------------------------------------------

TYPED_TEST(Timers, of_2_to_the_48_nanoseconds_and_of_the_largest_value_stay_armed_and_silent) {
  Loop<TypeParam> loop;  // the real clock, and the kernel's idea of such a wait
  Trace trace;
  Note far_note(trace, "far");
  Note near_note(trace, "near");
  const auto far_id = loop.add_timer(far_note);
  for (const Instant deadline : {loop.now() + Duration(std::int64_t{1} << 48), never - 1ns}) {
    loop.arm_at(*far_id, deadline);
    EXPECT_TRUE(loop.armed(*far_id));
    std::thread waker([&] { ASSERT_TRUE(loop.post_from_any_thread(near_note)); });
    ASSERT_TRUE(loop.turn());  // a wait that only the other thread can end
    waker.join();
    loop.turn_now();
  }
  EXPECT_EQ(trace, "near near");
}

TYPED_TEST(Timers, of_the_largest_value_mean_never) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note note(trace, "x");
  const auto id = loop.add_timer(note);
  loop.arm_at(*id, never);
  EXPECT_FALSE(loop.armed(*id));
  loop.arm_after(*id, Duration::max());
  EXPECT_FALSE(loop.armed(*id));
  loop.arm_at(*id, start);
  loop.arm_at(*id, never);  // disarms
  loop.turn_now();
  EXPECT_EQ(trace, "");
}

TYPED_TEST(Timers, work_at_both_ends_of_the_clock_and_across_zero) {
  const std::array clocks = {Instant::min(), Instant::min() + 1ns, Instant(-100ns),
                             Instant(0ns),   Instant::max() - 1ms, Instant::max() - 1000ns};
  for (const Instant now : clocks) {
    FakeClock clock(now);
    Loop<TypeParam> loop(clock);
    Trace trace;
    Note early(trace, "early");
    Note late(trace, "late");
    Note before(trace, "before");
    loop.arm_after(*loop.add_timer(late), 300ns);
    loop.arm_after(*loop.add_timer(early), 90ns);
    loop.arm_after(*loop.add_timer(before), -50ns);
    // Also between two messages, when the clock passes 0 in between.
    On step{[&](const Message& message) {
      trace.add(message.value);
      clock.advance(80ns);
    }};
    for (std::uint32_t i = 0; i < 3; ++i) {
      ASSERT_TRUE(loop.post(step, at(background, i)));
    }
    loop.turn_now();
    EXPECT_EQ(trace, "before 0 1 early 2") << now.time_since_epoch().count();
    ASSERT_TRUE(loop.turn());
    EXPECT_EQ(trace, "before 0 1 early 2 late") << now.time_since_epoch().count();
    EXPECT_EQ(clock.now(), now + 300ns);
  }
}

TYPED_TEST(Timers, that_are_periodic_end_with_the_end_of_time) {
  FakeClock clock(Instant::min());
  Loop<TypeParam> loop(clock);
  Trace trace;
  On tick{[&](const Message& message) { trace.add(message.expiry().missed); }};
  const auto id = loop.add_timer(tick);
  // From the first instant to the last, which is 2^64 - 1 ns later.
  loop.arm_every(*id, 1ns, Instant::min());
  loop.turn_now();
  clock.set(Instant::max() - 1ns);
  loop.turn_now();
  EXPECT_EQ(trace, "0 4294967294");  // as many as can be counted
  EXPECT_FALSE(loop.armed(*id));     // the next would be at `never`
  loop.arm_every(*id, 3ns, Instant::max() - 10ns);
  clock.set(Instant::max());
  loop.turn_now();
  EXPECT_EQ(trace, "0 4294967294 3");
  EXPECT_FALSE(loop.armed(*id));
  clock.set(Instant::min());
  loop.arm_every(*id, Duration::max(), Instant::max() - 10ns);
  clock.set(Instant::max() - 10ns);
  loop.turn_now();
  EXPECT_FALSE(loop.armed(*id));
}

TYPED_TEST(Timers, ids_never_have_generation_0_even_after_4_billion_uses) {
  Loop<TypeParam> loop;
  Trace trace;
  Note note(trace, "x");
  loop.parts.timers[0].generation = UINT32_MAX;
  loop.parts.notifiers[0].generation = UINT32_MAX;
  const auto timer = loop.add_timer(note);
  const auto notifier = loop.add_notifier(note);
  EXPECT_EQ(*timer, (TimerId{.index = 0, .generation = 1}));
  EXPECT_EQ(*notifier, (NotifierId{.index = 0, .generation = 1}));
  loop.arm_after(TimerId{}, 0ns);  // "no timer"
  loop.raise(NotifierId{});
  loop.turn_now();
  EXPECT_EQ(trace, "");
}

TYPED_TEST(Timers, past_the_capacity_are_refused_by_the_name_of_the_limit) {
  Loop<TypeParam, ReactorLimits{.fds = 64, .timers = 2, .notifiers = 1}> loop;
  Trace trace;
  Note note(trace, "x");
  const auto a = loop.add_timer(note);
  const auto b = loop.add_timer(note);
  const auto c = loop.add_timer(note);
  ASSERT_TRUE(a && b);
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().number, ENOSPC);
  EXPECT_NE(std::string_view(c.error().remedy).find("timers"), std::string_view::npos);
  loop.remove_timer(*a);
  EXPECT_TRUE(loop.add_timer(note));
  ASSERT_TRUE(loop.add_notifier(note));
  const auto notifier = loop.add_notifier(note);
  ASSERT_FALSE(notifier);
  EXPECT_NE(std::string_view(notifier.error().remedy).find("notifiers"), std::string_view::npos);
}

TYPED_TEST(Timers, are_armed_and_cancelled_without_telling_the_poller) {
  Loop<TypeParam> loop;
  Trace trace;
  Note note(trace, "x");
  const auto id = loop.add_timer(note);
  const int waits = loop.counting().waits;
  for (int i = 0; i < 1000; ++i) {
    loop.arm_after(*id, 1h);
    loop.arm_every(*id, 1h);
    loop.cancel(*id);
  }
  EXPECT_EQ(loop.counting().waits, waits);
  EXPECT_EQ(loop.counting().take_changes(), 0);
}

TYPED_TEST(Timers, the_time_is_read_once_a_turn_and_afresh_outside_of_it) {
  FakeClock clock(start);
  Loop<TypeParam> loop(clock);
  EXPECT_EQ(loop.now(), start);
  clock.advance(5ns);
  EXPECT_EQ(loop.now(), start + 5ns);
  On first{[&](const Message&) {
    EXPECT_EQ(loop.now(), start + 5ns);
    clock.advance(5ns);
    EXPECT_EQ(loop.now(), start + 5ns);
  }};
  int checks = 0;
  On second{[&](const Message&) {
    ++checks;
    EXPECT_EQ(loop.now(), start + 5ns);
  }};
  ASSERT_TRUE(loop.post(first));
  ASSERT_TRUE(loop.post(second));
  loop.turn_now();
  EXPECT_EQ(checks, 1);
  EXPECT_EQ(loop.now(), start + 10ns);
}

}  // namespace
}  // namespace millrace::test
