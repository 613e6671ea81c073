// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// How the loop ends.

#include <array>
#include <gtest/gtest.h>
#include <optional>
#include <thread>

#include "tests/support/descriptors.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

constexpr ReactorLimits few{
    .fds = 64, .timers = 4, .notifiers = 4, .messages = 12, .mailbox = 8, .margin = {0, 2, 4}};

template <class PollerType>
class Shutdown : public PollerTest<PollerType> {};
TYPED_TEST_SUITE(Shutdown, AllPollers, PollerNames);

TYPED_TEST(Shutdown, quit_before_run_ends_it_at_once_with_the_status) {
  Loop<TypeParam> loop;
  loop.quit(3);
  const auto exit = loop.run();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->status, 3);
  EXPECT_EQ(exit->undelivered, 0U);
}

TYPED_TEST(Shutdown, what_was_posted_before_quit_runs_before_it) {
  Loop<TypeParam> loop;
  Trace trace;
  Note a(trace, "a");
  Note closer(trace, "close");
  Note b(trace, "b");
  ASSERT_TRUE(loop.at_quit(closer));
  ASSERT_TRUE(loop.post(a));
  loop.quit();
  ASSERT_TRUE(loop.post(b));
  ASSERT_TRUE(loop.run());
  EXPECT_EQ(trace, "a close b");
}

TYPED_TEST(Shutdown, those_of_at_quit_run_newest_first_then_what_is_queued_by_priority) {
  Loop<TypeParam> loop;
  Trace trace;
  Note first(trace, "first");
  Note second(trace, "second");
  Note third(trace, "third");
  Note u(trace, "u");
  Note b(trace, "b");
  Note mail(trace, "mail");
  On quitting{[&](const Message&) {
    trace.add("quit");
    loop.quit(5);
    ASSERT_TRUE(loop.post(b, at(background)));
    ASSERT_TRUE(loop.post_from_any_thread(mail));
  }};
  On kind{[&](const Message& message) {
    EXPECT_EQ(message.kind, MessageKind::quit);
    trace.add("kind");
    ASSERT_TRUE(loop.post(u, at(urgent)));
  }};
  ASSERT_TRUE(loop.at_quit(first));
  ASSERT_TRUE(loop.at_quit(second));
  ASSERT_TRUE(loop.at_quit(third));
  ASSERT_TRUE(loop.at_quit(kind));
  ASSERT_TRUE(loop.post(quitting));
  const auto exit = loop.run();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->status, 5);
  EXPECT_EQ(exit->undelivered, 0U);
  EXPECT_EQ(trace, "quit kind third second first u mail b");
}

TYPED_TEST(Shutdown, only_the_first_quit_counts_even_from_what_runs_at_the_end) {
  Loop<TypeParam> loop;
  Trace trace;
  On again{[&](const Message&) {
    trace.add("again");
    loop.quit(9);
  }};
  Note post(trace, "post");
  ASSERT_TRUE(loop.at_quit(again));
  loop.quit(1);
  loop.quit(2);
  ASSERT_TRUE(loop.post(again));
  ASSERT_TRUE(loop.post(post));
  const auto exit = loop.run();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->status, 1);
  EXPECT_EQ(trace, "again again post");
}

TYPED_TEST(Shutdown, quit_is_never_refused) {
  Loop<TypeParam, few> loop;
  Trace trace;
  Note note(trace, "x");
  while (loop.post(note, at(urgent))) {
  }
  loop.quit(4);
  const auto exit = loop.run();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->status, 4);
  EXPECT_EQ(trace, "x x x x x x x x x x x x");
}

TYPED_TEST(Shutdown, posts_made_while_it_drains_are_delivered_up_to_a_bound_and_then_counted) {
  Loop<TypeParam, few> loop;
  std::uint32_t runs = 0;
  On endless{[&](const Message& message) {
    ++runs;
    ASSERT_TRUE(loop.post(message.handler));
    (void)loop.post(message.handler, at(background));
  }};
  On quitting{[&](const Message&) { loop.quit(); }};
  ASSERT_TRUE(loop.post(quitting));
  ASSERT_TRUE(loop.post(endless));
  const auto exit = loop.run();
  ASSERT_TRUE(exit);
  // Once before quit; then 64 + 4 + 4 + 1 + 12 + 8 items and 3 for the queues.
  EXPECT_EQ(runs, 1U + 96U);
  EXPECT_EQ(exit->undelivered, 8U);  // all but the margin of background
  EXPECT_EQ(loop.statistics().messages_free, 12U);
  for (const QueueStatistics& queue : loop.statistics().queues) {
    EXPECT_EQ(queue.depth, 0U);
  }
}

TYPED_TEST(Shutdown, a_notice_that_the_end_has_no_time_for_is_heard_in_the_next_run) {
  Loop<TypeParam, few> loop;
  NotifierId again;
  std::uint32_t runs = 0;
  On endless{[&](const Message&) {
    ++runs;
    loop.raise(again);
  }};
  again = *loop.add_notifier(endless);
  loop.raise(again);
  loop.quit();
  ASSERT_TRUE(loop.run());
  const std::uint32_t before = runs;
  loop.turn_now();
  EXPECT_GT(runs, before);
}

TYPED_TEST(Shutdown, posts_of_other_threads_that_come_too_late_are_counted) {
  Loop<TypeParam, few> loop;
  Trace trace;
  Note late(trace, "late");
  On posting{[&](const Message&) {
    trace.add("drained");
    std::thread thread([&] {
      for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(loop.post_from_any_thread(late));
      }
    });
    thread.join();
  }};
  loop.quit();
  ASSERT_TRUE(loop.post(posting));
  const auto exit = loop.run();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->undelivered, 3U);
  EXPECT_EQ(trace, "drained");
  // Their cells are free again, all of them.
  for (std::size_t i = 0; i < few.mailbox; ++i) {
    EXPECT_TRUE(loop.post_from_any_thread(late));
  }
}

TYPED_TEST(Shutdown, readiness_timers_and_notices_left_over_are_not_posts) {
  FakeClock clock;
  Loop<TypeParam, few> loop(clock);
  Trace trace;
  On endless{[&](const Message& message) { ASSERT_TRUE(loop.post(message.handler, at(urgent))); }};
  Note note(trace, "x");
  std::array<Pair, 8> pipes;
  // More than the drain can get to behind a flood: of its 96 messages 3 are background.
  for (Pair& pipe : pipes) {
    pipe = make_pipe();
    put(pipe.far, "x");
    ASSERT_TRUE(loop.watch(pipe.near.get(), Events::readable, note, background));
  }
  std::array<TimerId, 4> timers;
  std::array<NotifierId, 4> notifiers;
  for (std::size_t i = 0; i < 4; ++i) {
    timers.at(i) = *loop.add_timer(note, background);
    notifiers.at(i) = *loop.add_notifier(note, background);
  }
  const auto cause_all = [&] {
    for (std::size_t i = 0; i < 4; ++i) {
      loop.arm_after(timers.at(i), 0ns);
      loop.raise(notifiers.at(i));
    }
  };
  cause_all();
  ASSERT_TRUE(loop.post(endless, at(urgent)));
  loop.quit();
  const auto exit = loop.run();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->undelivered, 1U);
  EXPECT_EQ(trace, "x x x");
  trace.clear();
  // Taken back whole: each can come to wait again.
  EXPECT_FALSE(loop.armed(timers[0]));
  cause_all();
  loop.turn_now();
  EXPECT_EQ(trace, "x x x x x x x x x x x x x x x x");
}

TYPED_TEST(Shutdown, the_loop_can_run_again_without_what_was_registered_for_the_first_end) {
  Loop<TypeParam> loop;
  Trace trace;
  Note closer(trace, "close");
  Note post(trace, "post");
  ASSERT_TRUE(loop.at_quit(closer));
  loop.quit(1);
  ASSERT_EQ(loop.run()->status, 1);
  EXPECT_EQ(trace, "close");
  ASSERT_TRUE(loop.post(post));
  loop.quit(2);
  ASSERT_EQ(loop.run()->status, 2);
  EXPECT_EQ(trace, "close post");
}

TYPED_TEST(Shutdown, at_quit_registered_at_the_end_still_runs) {
  Loop<TypeParam> loop;
  Trace trace;
  Note inner(trace, "inner");
  Note oldest(trace, "oldest");
  On outer{[&](const Message&) {
    trace.add("outer");
    ASSERT_TRUE(loop.at_quit(inner));
  }};
  ASSERT_TRUE(loop.at_quit(oldest));
  ASSERT_TRUE(loop.at_quit(outer));
  loop.quit();
  ASSERT_TRUE(loop.run());
  EXPECT_EQ(trace, "outer inner oldest");
}

TYPED_TEST(Shutdown, the_seventeenth_at_quit_is_refused) {
  Loop<TypeParam> loop;
  Trace trace;
  Note note(trace, "x");
  for (int i = 0; i < 16; ++i) {
    EXPECT_TRUE(loop.at_quit(note));
  }
  const auto refused = loop.at_quit(note);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().number, ENOSPC);
}

TYPED_TEST(Shutdown, turn_says_when_quit_is_reached_and_makes_no_more_turns) {
  Loop<TypeParam> loop;
  Trace trace;
  Note closer(trace, "close");
  Note post(trace, "post");
  ASSERT_TRUE(loop.at_quit(closer));
  EXPECT_EQ(*loop.turn(Duration::zero()), true);
  loop.quit(6);
  ASSERT_TRUE(loop.post(post));
  EXPECT_EQ(*loop.turn(), false);
  const int waits = loop.counting().waits;
  EXPECT_EQ(*loop.turn(), false);  // would sleep for ever otherwise
  EXPECT_EQ(loop.counting().waits, waits);
  EXPECT_EQ(trace, "");
  const auto exit = loop.run();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->status, 6);
  EXPECT_EQ(trace, "close post");
}

TYPED_TEST(Shutdown, running_the_loop_from_what_runs_at_the_end_is_refused) {
  Loop<TypeParam> loop;
  int checks = 0;
  On nested{[&](const Message&) {
    ++checks;
    EXPECT_EQ(loop.run().error().number, EBUSY);
    EXPECT_EQ(loop.turn().error().number, EBUSY);
  }};
  ASSERT_TRUE(loop.at_quit(nested));
  loop.quit();
  ASSERT_TRUE(loop.post(nested));
  ASSERT_TRUE(loop.run());
  EXPECT_EQ(checks, 2);
}

TYPED_TEST(Shutdown, sources_closed_at_quit_take_back_what_they_have_queued) {
  Loop<TypeParam> loop;
  Trace trace;
  Note ready(trace, "ready");
  Pair pipe = make_pipe();
  put(pipe.far, "x");
  std::optional<WatchId> id;
  On quitting{[&](const Message&) { loop.quit(); }};
  On closing{[&](const Message&) {
    trace.add("close");
    ASSERT_TRUE(loop.remove(*id));
    pipe.near.reset();
  }};
  ASSERT_TRUE(loop.at_quit(closing));
  id = *loop.watch(pipe.near.get(), Events::readable, ready, background);
  loop.quit();
  ASSERT_TRUE(loop.run());
  EXPECT_EQ(trace, "close");
}

TYPED_TEST(Shutdown, a_poller_that_fails_ends_the_run_with_its_error) {
  FakeClock clock;
  Loop<TypeParam> loop(clock);
  const auto run = loop.run();  // nothing to wait for: see CountingPoller
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().number, EDEADLK);
  loop.quit(1);
  EXPECT_EQ(loop.run()->status, 1);
}

}  // namespace
}  // namespace millrace::test
