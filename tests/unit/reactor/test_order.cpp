// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// In which order messages run, and how many others may pass one that waits.

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>
#include <functional>
#include <gtest/gtest.h>
#include <initializer_list>
#include <thread>
#include <vector>

#include "tests/support/descriptors.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

template <class PollerType>
class Order : public PollerTest<PollerType> {};
TYPED_TEST_SUITE(Order, AllPollers, PollerNames);

TYPED_TEST(Order, urgent_runs_before_normal_and_normal_before_background) {
  Loop<TypeParam> loop;
  Trace trace;
  Note u(trace, "u");
  Note n(trace, "n");
  Note b(trace, "b");
  ASSERT_TRUE(loop.post(b, at(background)));
  ASSERT_TRUE(loop.post(n, at(normal)));
  ASSERT_TRUE(loop.post(u, at(urgent)));
  ASSERT_TRUE(loop.post(b, at(background)));
  ASSERT_TRUE(loop.post(n, at(normal)));
  ASSERT_TRUE(loop.post(u, at(urgent)));
  loop.turn_now();
  EXPECT_EQ(trace, "u u n n b b");
}

TYPED_TEST(Order, within_one_priority_the_first_in_is_the_first_out) {
  Loop<TypeParam> loop;
  Trace trace;
  On note{[&](const Message& message) { trace.add(message.value); }};
  for (const Priority priority : {background, normal, urgent}) {
    for (std::uint32_t i = 0; i < 10; ++i) {
      ASSERT_TRUE(loop.post(note, at(priority, static_cast<std::uint32_t>(priority) * 10 + i)));
    }
  }
  loop.turn_now();
  EXPECT_EQ(trace,
            "0 1 2 3 4 5 6 7 10 8 9 11 12 13 14 15 16 17 18 19 "
            "20 21 22 23 24 25 26 27 28 29");
}

TYPED_TEST(Order, a_turn_queues_timers_then_descriptors_then_posts_of_other_threads) {
  FakeClock clock;
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note timer(trace, "timer");
  Note ready(trace, "ready");
  Note mail(trace, "mail");
  Note post(trace, "post");
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  ASSERT_TRUE(loop.post_from_any_thread(mail));
  ASSERT_TRUE(loop.watch(pipe.near.get(), Events::readable, ready));
  const auto id = loop.add_timer(timer);
  loop.arm_after(*id, 0ns);
  ASSERT_TRUE(loop.post(post));  // queued when it is posted
  loop.turn_now();
  EXPECT_EQ(trace, "post timer ready mail");
}

TYPED_TEST(Order, what_a_handler_posts_runs_in_the_same_turn_after_what_waits_already) {
  Loop<TypeParam> loop;
  Trace trace;
  Note late(trace, "late");
  Note other(trace, "other");
  On first{[&](const Message&) {
    trace.add("first");
    ASSERT_TRUE(loop.post(late));
  }};
  ASSERT_TRUE(loop.post(first));
  ASSERT_TRUE(loop.post(other));
  loop.turn_now();
  EXPECT_EQ(trace, "first other late");
}

TYPED_TEST(Order, what_a_handler_posts_does_not_run_inside_the_handler) {
  Loop<TypeParam> loop;
  Trace trace;
  Note inner(trace, "inner");
  On outer{[&](const Message&) {
    trace.add("begin");
    ASSERT_TRUE(loop.post(inner, at(urgent)));
    trace.add("end");
  }};
  ASSERT_TRUE(loop.post(outer, at(background)));
  loop.turn_now();
  EXPECT_EQ(trace, "begin end inner");
}

TYPED_TEST(Order, one_turn_runs_64_messages_and_no_more) {
  Loop<TypeParam> loop;
  int runs = 0;
  On again{[&](const Message&) { ++runs; }};
  On forever_again{[&](const Message& message) {
    again.call(message);
    ASSERT_TRUE(loop.post(message.handler));
  }};
  ASSERT_TRUE(loop.post(forever_again));
  loop.turn_now();
  EXPECT_EQ(runs, 64);
  loop.turn_now();
  EXPECT_EQ(runs, 128);
}

TYPED_TEST(Order, a_descriptor_is_served_while_a_handler_posts_to_itself_without_end) {
  Loop<TypeParam> loop;
  Trace trace;
  int runs = 0;
  On flood{[&](const Message& message) {
    ++runs;
    ASSERT_TRUE(loop.post(message.handler, at(urgent)));
  }};
  On ready{[&](const Message&) { trace.add("ready after ", runs); }};
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  ASSERT_TRUE(loop.post(flood, at(urgent)));
  ASSERT_TRUE(loop.watch(pipe.near.get(), Events::readable, ready));
  loop.turn_now();
  EXPECT_EQ(trace, "ready after 8");
}

// --- Ready descriptors, of which the rest may not have been queued yet
// ----------------------------

// Three descriptors are ready at once; the first that is served does `act`. What then?
template <class PollerType>
class ThreeReady {
 public:
  explicit ThreeReady(std::function<void(ThreeReady&, std::size_t)> act) : act_(std::move(act)) {
    for (std::size_t i = 0; i < pipes.size(); ++i) {
      put(pipes[i].far, "x");
      ids[i] = *loop.watch(pipes[i].near.get(), Events::readable, handlers_[i]);
    }
  }
  [[nodiscard]] std::string run() {
    loop.turn_now();
    return std::string(trace.text());
  }
  void add(const char* name) { trace.add(name); }

  FakeClock clock;
  Loop<PollerType> loop{clock};
  Trace trace;
  std::array<Pair, 3> pipes = {make_pipe(), make_pipe(), make_pipe()};
  std::array<WatchId, 3> ids;

 private:
  void ready(std::size_t index) {
    trace.add("ready");
    if (!acted_) {
      acted_ = true;
      act_(*this, index);
    }
  }

  std::function<void(ThreeReady&, std::size_t)> act_;
  bool acted_ = false;
  std::array<On<std::function<void(const Message&)>>, 3> handlers_{
      On<std::function<void(const Message&)>>{[this](const Message&) { ready(0); }},
      On<std::function<void(const Message&)>>{[this](const Message&) { ready(1); }},
      On<std::function<void(const Message&)>>{[this](const Message&) { ready(2); }}};
};

TYPED_TEST(Order, what_a_handler_posts_runs_after_the_descriptors_that_are_ready) {
  Trace* trace = nullptr;
  On posted{[&](const Message& message) { trace->add(message.value); }};
  ThreeReady<TypeParam> three([&](auto& all, std::size_t) {
    ASSERT_TRUE(all.loop.post(posted, at(background, 3)));
    ASSERT_TRUE(all.loop.post(posted, at(normal, 2)));
    ASSERT_TRUE(all.loop.post(posted, at(urgent, 1)));
  });
  trace = &three.trace;
  EXPECT_EQ(three.run(), "ready 1 ready ready 2 3");
}

TYPED_TEST(Order, a_timer_that_expires_meanwhile_runs_after_the_descriptors_that_are_ready) {
  Trace* trace = nullptr;
  On expired{[&](const Message&) { trace->add("timer"); }};
  ThreeReady<TypeParam> three([&](auto& all, std::size_t) { all.clock.advance(2ms); });
  trace = &three.trace;
  three.loop.arm_after(*three.loop.add_timer(expired), 1ms);
  EXPECT_EQ(three.run(), "ready ready ready timer");
}

TYPED_TEST(Order, an_urgent_timer_that_expires_meanwhile_runs_before_those_that_are_ready) {
  Trace* trace = nullptr;
  On expired{[&](const Message&) { trace->add("timer"); }};
  ThreeReady<TypeParam> three([&](auto& all, std::size_t) { all.clock.advance(2ms); });
  trace = &three.trace;
  three.loop.arm_after(*three.loop.add_timer(expired, urgent), 1ms);
  EXPECT_EQ(three.run(), "ready timer ready ready");
}

TYPED_TEST(Order, one_of_those_that_are_ready_that_takes_too_long_sees_how_many_wait) {
  ThreeReady<TypeParam> three([](auto& all, std::size_t) { all.clock.advance(2ms); });
  three.loop.set_budget(1ms);
  EXPECT_EQ(three.run(), "ready ready ready");
  ASSERT_EQ(three.loop.ledger().total(), 1U);
  EXPECT_EQ(three.loop.ledger().entry(0)->backlog, 2U);
}

// Three timers that are due, and nothing else: they run without being queued.
template <class PollerType>
class ThreeDue {
 public:
  explicit ThreeDue(std::function<void(ThreeDue&)> act) : act_(std::move(act)) {
    for (auto& id : ids) {
      id = *loop.add_timer(handler_);
      loop.arm_after(id, 1ms);
    }
    clock.advance(2ms);
  }
  [[nodiscard]] std::string run() {
    loop.turn_now();
    return std::string(trace.text());
  }

  FakeClock clock;
  Loop<PollerType> loop{clock};
  Trace trace;
  std::array<TimerId, 3> ids;

 private:
  std::function<void(ThreeDue&)> act_;
  bool acted_ = false;
  On<std::function<void(const Message&)>> handler_{[this](const Message& message) {
    const TimerId id = message.expiry().timer;
    trace.add(id == ids[0] ? "a" : id == ids[1] ? "b" : "c");
    if (!acted_) {
      acted_ = true;
      act_(*this);
    }
  }};
};

TYPED_TEST(Order, what_a_handler_posts_runs_after_the_timers_that_are_due) {
  Trace* trace = nullptr;
  On posted{[&](const Message& message) { trace->add(message.value); }};
  ThreeDue<TypeParam> three([&](auto& all) {
    ASSERT_TRUE(all.loop.post(posted, at(background, 3)));
    ASSERT_TRUE(all.loop.post(posted, at(normal, 2)));
    ASSERT_TRUE(all.loop.post(posted, at(urgent, 1)));
  });
  trace = &three.trace;
  EXPECT_EQ(three.run(), "a 1 b c 2 3");
}

TYPED_TEST(Order, a_due_timer_that_another_cancels_moves_or_removes_does_not_run) {
  for (const auto& act : std::initializer_list<std::function<void(ThreeDue<TypeParam>&)>>{
           [](auto& all) { all.loop.cancel(all.ids[1]); },
           [](auto& all) { all.loop.arm_after(all.ids[1], 1ms); },
           [](auto& all) { all.loop.remove_timer(all.ids[1]); }}) {
    ThreeDue<TypeParam> three(act);
    EXPECT_EQ(three.run(), "a c");
  }
}

TYPED_TEST(Order, a_timer_armed_for_the_past_runs_behind_those_that_are_due) {
  for (const Duration delay : {-5ms, 0ms}) {
    ThreeDue<TypeParam> three([&](auto& all) { all.loop.arm_after(all.ids[0], delay); });
    EXPECT_EQ(three.run(), "a b c a");
  }
}

TYPED_TEST(Order, quitting_lets_those_run_that_are_due_already) {
  ThreeDue<TypeParam> three([](auto& all) { all.loop.quit(); });
  EXPECT_EQ(three.run(), "a b c");
  EXPECT_FALSE(*three.loop.turn(0ns));
}

TYPED_TEST(Order, due_timers_of_several_priorities_run_in_their_order) {
  FakeClock clock;
  Loop<TypeParam> loop(clock);
  Trace trace;
  On expired{[&](const Message& message) { trace.add(static_cast<unsigned>(message.priority)); }};
  for (const Priority priority : {background, normal, urgent}) {
    loop.arm_after(*loop.add_timer(expired, priority), 0ns);
  }
  loop.turn_now();
  EXPECT_EQ(trace, "0 1 2");
}

TYPED_TEST(Order, a_periodic_timer_among_those_that_are_due_runs_once_and_tells_what_it_missed) {
  Trace trace;
  ThreeDue<TypeParam> three([](auto&) {});
  On tick{[&](const Message& message) { trace.add(message.expiry().missed); }};
  three.loop.arm_every(*three.loop.add_timer(tick), 1ms, three.clock.now() - 2ms);
  EXPECT_EQ(three.run(), "a b c");
  EXPECT_EQ(trace, "2");
  three.clock.advance(1ms);
  EXPECT_EQ(three.run(), "a b c");
  EXPECT_EQ(trace, "2 0");
}

TYPED_TEST(Order, an_urgent_timer_made_among_those_that_are_due_runs_before_them_once_it_expires) {
  Trace* trace = nullptr;
  On expired{[&](const Message&) { trace->add("urgent"); }};
  ThreeDue<TypeParam> three([&](auto& all) {
    all.loop.arm_after(*all.loop.add_timer(expired, urgent), 1ms);
    all.clock.advance(1ms);
  });
  trace = &three.trace;
  EXPECT_EQ(three.run(), "a urgent b c");
}

TYPED_TEST(Order, periods_that_pass_while_other_due_timers_run_are_missed_and_not_made_up_for) {
  FakeClock clock;
  Loop<TypeParam> loop(clock);
  Trace trace;
  On slow{[&](const Message&) { clock.advance(5ms); }};
  On tick{[&](const Message& message) { trace.add(message.expiry().missed); }};
  loop.arm_after(*loop.add_timer(slow), 0ns);
  loop.arm_every(*loop.add_timer(tick), 1ms, clock.now());
  loop.turn_now(2);
  EXPECT_EQ(trace, "5");
}

TYPED_TEST(Order, a_timer_that_expires_among_due_ones_goes_before_what_they_post_later) {
  FakeClock clock;
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note meanwhile(trace, "meanwhile");
  Note posted(trace, "posted");
  On slow{[&](const Message&) { clock.advance(1ms); }};
  On posts{[&](const Message&) { ASSERT_TRUE(loop.post(posted)); }};
  loop.arm_after(*loop.add_timer(slow), 0ns);
  loop.arm_after(*loop.add_timer(posts), 0ns);
  loop.arm_after(*loop.add_timer(meanwhile), 1ms);
  loop.turn_now();
  EXPECT_EQ(trace, "meanwhile posted");
}

TYPED_TEST(Order, what_is_posted_between_turns_runs_after_the_timers_that_a_full_turn_left) {
  FakeClock clock;
  Loop<TypeParam, ReactorLimits{.timers = 100}> loop(clock);
  int expired = 0;
  On timer{[&](const Message&) { ++expired; }};
  On posted{[&](const Message&) { EXPECT_EQ(expired, 66); }};
  for (int i = 0; i < 66; ++i) {
    loop.arm_after(*loop.add_timer(timer), 0ns);
  }
  loop.turn_now();
  ASSERT_TRUE(loop.post(posted));
  loop.turn_now();
  EXPECT_EQ(loop.statistics().queues[static_cast<std::size_t>(normal)].dispatched, 67U);
}

TYPED_TEST(Order, one_turn_runs_64_due_timers_and_no_more) {
  FakeClock clock;
  Loop<TypeParam, ReactorLimits{.timers = 100}> loop(clock);
  int runs = 0;
  On expired{[&](const Message&) { ++runs; }};
  for (int i = 0; i < 100; ++i) {
    loop.arm_after(*loop.add_timer(expired), 0ns);
  }
  loop.turn_now();
  EXPECT_EQ(runs, 64);
  loop.turn_now();
  EXPECT_EQ(runs, 100);
}

TYPED_TEST(Order, what_a_full_turn_left_of_due_timers_runs_before_an_error_that_is_found_then) {
  FakeClock clock;
  Loop<TypeParam, ReactorLimits{.fds = 256, .timers = 70}> loop(clock);
  Trace trace;
  Pair pipe = make_pipe();
  On expired{[&](const Message&) { trace.add("t"); }};
  On failed{[&](const Message& message) {
    trace.add(any(message.ready().events, Events::error) ? "error" : "ready");
  }};
  const auto id = loop.watch(pipe.near.get(), Events::readable, failed);
  for (int i = 0; i < 66; ++i) {
    loop.arm_after(*loop.add_timer(expired), 0ns);
  }
  loop.turn_now();
  trace.clear();
  pipe.near.reset();  // the owner's mistake: closed before it was removed
  ASSERT_TRUE(loop.modify(*id, Events::writable));
  loop.turn_now();
  EXPECT_EQ(trace, "t t error");
}

TYPED_TEST(Order, a_backlog_gets_shorter_beside_descriptors_that_are_always_ready) {
  Loop<TypeParam, ReactorLimits{.fds = 256, .poll_batch = Reactor::turn_limit}> loop;
  std::array<Pair, 100> pipes;
  On flood{[](const Message&) {}};
  for (Pair& pipe : pipes) {
    pipe = make_pipe();
    put(pipe.far, "x");
    ASSERT_TRUE(loop.watch(pipe.near.get(), Events::readable, flood));
  }
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(loop.post(flood));
  }
  for (int turn = 0; turn < 4; ++turn) {
    loop.turn_now();
  }
  EXPECT_EQ(loop.statistics().queues[static_cast<std::size_t>(normal)].depth, 0U);
}

// A hundred descriptors that are always ready, and 60 posts that post themselves again.
template <class PollerType>
class HundredReadyBesidePosts {
 public:
  explicit HundredReadyBesidePosts(Priority of_posts) {
    for (Pair& pipe : pipes_) {
      pipe = make_pipe();
      put(pipe.far, "x");
      EXPECT_TRUE(loop_.watch(pipe.near.get(), Events::readable, ready_));
    }
    for (int i = 0; i < 60; ++i) {
      EXPECT_TRUE(loop_.post(post_, at(of_posts)));
    }
  }
  void turn(int count) { loop_.turn_now(count); }

  [[nodiscard]] int posts() const { return posts_ran_; }
  /// How often that descriptor was served which was the least often.
  [[nodiscard]] int least_served() const {
    int least = INT_MAX;
    for (const Pair& pipe : pipes_) {
      least = std::min(least, served_.at(static_cast<std::size_t>(pipe.near.get())));
    }
    return least;
  }

 private:
  static constexpr ReactorLimits limits = {
      .fds = 256, .messages = 128, .poll_batch = Reactor::turn_limit};

  Loop<PollerType, limits> loop_;
  std::array<Pair, 100> pipes_;
  std::array<int, limits.fds> served_{};
  int posts_ran_ = 0;
  On<std::function<void(const Message&)>> ready_{[this](const Message& message) {
    ++served_.at(static_cast<std::size_t>(message.ready().watch.fd));
  }};
  On<std::function<void(const Message&)>> post_{[this](const Message& message) {
    ++posts_ran_;
    ASSERT_TRUE(loop_.post(message.handler, message));
  }};
};

TYPED_TEST(Order, a_flood_of_background_posts_takes_no_turns_from_descriptors_that_are_ready) {
  HundredReadyBesidePosts<TypeParam> all(background);
  all.turn(100);  // 6400 messages
  EXPECT_LE(all.posts(), 6400 / (static_cast<int>(Reactor::background_patience) + 1) + 1);
  EXPECT_GE(all.least_served(), 58);
}

TYPED_TEST(Order, every_ready_descriptor_is_served_beside_a_backlog_that_stays) {
  HundredReadyBesidePosts<TypeParam> all(normal);
  all.turn(70);
  constexpr int asked_for = 70 * static_cast<int>(Reactor::least_polled);
  EXPECT_GE(all.least_served(), asked_for / 100 - 2);
}

TYPED_TEST(Order, a_ready_descriptor_that_another_removes_or_hushes_is_not_served) {
  for (const bool after_a_post : {false, true}) {
    On nothing{[](const Message&) {}};
    ThreeReady<TypeParam> three([&](auto& all, std::size_t index) {
      if (after_a_post) {
        ASSERT_TRUE(all.loop.post(nothing));
      }
      ASSERT_TRUE(all.loop.remove(all.ids[(index + 1) % 3]));
      ASSERT_TRUE(all.loop.modify(all.ids[(index + 2) % 3], Events::writable));
    });
    EXPECT_EQ(three.run(), "ready") << after_a_post;
    EXPECT_EQ(three.loop.statistics().stale_events, 0U);
  }
}

TYPED_TEST(Order, quitting_lets_those_run_that_are_ready_already) {
  ThreeReady<TypeParam> three([&](auto& all, std::size_t) { all.loop.quit(7); });
  const auto exit = three.loop.run();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->status, 7);
  EXPECT_EQ(three.trace, "ready ready ready");
}

TYPED_TEST(Order, ready_descriptors_of_several_priorities_run_in_their_order) {
  Loop<TypeParam> loop;
  Trace trace;
  std::vector<Pair> pipes;
  On note{[&](const Message& message) { trace.add(static_cast<std::uint32_t>(message.priority)); }};
  for (const Priority priority : {background, normal, urgent, background, normal, urgent}) {
    pipes.push_back(make_pipe());
    put(pipes.back().far, "x");
    ASSERT_TRUE(loop.watch(pipes.back().near.get(), Events::readable, note, priority));
  }
  loop.turn_now();
  EXPECT_EQ(trace, "0 0 1 1 2 2");
}

// --- Starvation --------------------------------------------------------------------------------

// Ways of making messages without end: each keeps `width` of them waiting at one priority.
enum class Flood { posts, timers, notifiers, descriptors };

constexpr std::array floods = {Flood::posts, Flood::timers, Flood::notifiers, Flood::descriptors};
constexpr ReactorLimits many{
    .fds = 512, .timers = 128, .notifiers = 128, .messages = 256, .poll_batch = 64};

template <class PollerType>
class FloodOf {
 public:
  FloodOf(Loop<PollerType, many>& loop, Flood kind, Priority priority, std::size_t width)
      : loop_(loop), kind_(kind), priority_(priority) {
    for (std::size_t i = 0; i < width; ++i) {
      switch (kind) {
        case Flood::posts:
          EXPECT_TRUE(loop.post(handler_, at(priority)));
          break;
        case Flood::timers:
          loop.arm_after(*loop.add_timer(handler_, priority), 0ns);
          break;
        case Flood::notifiers:
          notifiers_.push_back(*loop.add_notifier(handler_, priority));
          loop.raise(notifiers_.back());
          break;
        case Flood::descriptors:
          pipes_.push_back(make_pipe());
          put(pipes_.back().far, "x");
          EXPECT_TRUE(loop.watch(pipes_.back().near.get(), Events::readable, handler_, priority));
          break;
      }
    }
  }

  std::uint64_t runs = 0;
  std::uint64_t runs_since = 0;  ///< since somebody has set it to 0

 private:
  void run(const Message& message) {
    ++runs;
    ++runs_since;
    switch (kind_) {
      case Flood::posts:
        EXPECT_TRUE(loop_.post(handler_, at(priority_)));
        break;
      case Flood::timers:
        loop_.arm_after(message.expiry().timer, 0ns);
        break;
      case Flood::notifiers:
        for (const NotifierId id : notifiers_) {
          loop_.raise(id);
        }
        break;
      case Flood::descriptors:
        break;  // it stays ready
    }
  }

  Loop<PollerType, many>& loop_;
  Flood kind_;
  Priority priority_;
  On<std::function<void(const Message&)>> handler_{[this](const Message& m) { run(m); }};
  std::vector<NotifierId> notifiers_;
  std::vector<Pair> pipes_;
};

// The most messages of `a` and `b` that run while one message of `priority` waits, at the head of
// its queue from the start.
template <class PollerType>
std::uint64_t most_that_pass(Loop<PollerType, many>& loop, Priority priority,
                             FloodOf<PollerType>& a, FloodOf<PollerType>& b) {
  std::uint64_t most = 0;
  On probe{[&](const Message& message) {
    most = std::max(most, a.runs_since + b.runs_since);
    a.runs_since = b.runs_since = 0;
    ASSERT_TRUE(loop.post(message.handler, at(priority)));
  }};
  EXPECT_TRUE(loop.post(probe, at(priority)));
  loop.turn_now(200);
  return most;
}

TYPED_TEST(Order, a_normal_message_sees_at_most_9_others_pass_under_floods_of_each_kind) {
  for (const Flood kind : floods) {
    Loop<TypeParam, many> loop;
    const std::size_t width = kind == Flood::descriptors ? 59 : 70;  // all of them in one batch
    FloodOf<TypeParam> above(loop, kind, urgent, width);
    FloodOf<TypeParam> below(loop, kind, background, 5);
    EXPECT_EQ(most_that_pass(loop, normal, above, below), 9U) << static_cast<int>(kind);
  }
}

TYPED_TEST(Order, a_background_message_sees_at_most_32_others_pass_under_floods_of_each_kind) {
  for (const Flood kind : floods) {
    Loop<TypeParam, many> loop;
    FloodOf<TypeParam> above(loop, kind, urgent, 60);
    FloodOf<TypeParam> between(loop, kind, normal, 20);
    EXPECT_EQ(most_that_pass(loop, background, above, between), 32U) << static_cast<int>(kind);
  }
}

TYPED_TEST(Order, without_normal_messages_urgent_ones_let_background_run_once_in_33) {
  Loop<TypeParam, many> loop;
  FloodOf<TypeParam> above(loop, Flood::posts, urgent, 1);
  FloodOf<TypeParam> none(loop, Flood::posts, normal, 0);
  EXPECT_EQ(most_that_pass(loop, background, above, none), 32U);
}

TYPED_TEST(Order, urgent_messages_keep_their_share_under_floods_from_below) {
  Loop<TypeParam, many> loop;
  FloodOf<TypeParam> below(loop, Flood::notifiers, normal, 3);
  FloodOf<TypeParam> bottom(loop, Flood::notifiers, background, 3);
  EXPECT_EQ(most_that_pass(loop, urgent, below, bottom), 2U);
}

TYPED_TEST(Order, under_floods_of_all_three_each_priority_gets_its_share) {
  Loop<TypeParam, many> loop;
  FloodOf<TypeParam> u(loop, Flood::notifiers, urgent, 3);
  FloodOf<TypeParam> n(loop, Flood::notifiers, normal, 3);
  FloodOf<TypeParam> b(loop, Flood::notifiers, background, 3);
  loop.turn_now(297);  // 64 messages each
  EXPECT_EQ(u.runs + n.runs + b.runs, 19008U);
  EXPECT_EQ(b.runs, 19008U / 33);
  EXPECT_GT(n.runs, 19008U / 10);
}

TYPED_TEST(Order, a_fresh_message_does_not_inherit_the_patience_of_one_that_was_taken_back) {
  Loop<TypeParam> loop;
  Trace trace;
  Note u(trace, "u");
  Note n(trace, "n");
  const auto notifier = loop.add_notifier(n);
  On take_back{[&](const Message&) {
    trace.add("back");
    loop.remove_notifier(*notifier);
    ASSERT_TRUE(loop.post(n));
    ASSERT_TRUE(loop.post(u, at(urgent)));
    ASSERT_TRUE(loop.post(u, at(urgent)));
  }};
  loop.raise(*notifier);
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(loop.post(u, at(urgent)));
  }
  ASSERT_TRUE(loop.post(take_back, at(urgent)));
  loop.turn_now();
  EXPECT_EQ(trace, "u u u u u u back u u n");
}

// --- Notifiers ---------------------------------------------------------------------------------

TYPED_TEST(Order, a_notifier_raised_many_times_runs_once) {
  Loop<TypeParam> loop;
  Trace trace;
  Note note(trace, "notice");
  const auto notifier = loop.add_notifier(note);
  for (int i = 0; i < 1000; ++i) {
    loop.raise(*notifier);
  }
  loop.turn_now(3);
  EXPECT_EQ(trace, "notice");
}

TYPED_TEST(Order, a_notifier_raised_in_its_own_handler_runs_again_behind_the_others) {
  Loop<TypeParam> loop;
  Trace trace;
  Note other(trace, "other");
  NotifierId id;
  int left = 2;
  On again{[&](const Message& message) {
    EXPECT_EQ(message.kind, MessageKind::notice);
    trace.add("notice");
    if (left-- > 0) {
      loop.raise(id);
      loop.raise(id);
    }
  }};
  id = *loop.add_notifier(again);
  loop.raise(id);
  ASSERT_TRUE(loop.post(other));
  loop.turn_now();
  EXPECT_EQ(trace, "notice other notice notice");
}

TYPED_TEST(Order, a_notifier_removed_while_it_waits_does_not_run_nor_does_the_next_in_its_place) {
  Loop<TypeParam> loop;
  Trace trace;
  Note first(trace, "first");
  Note second(trace, "second");
  Note post(trace, "post");
  const auto old_id = loop.add_notifier(first);
  loop.raise(*old_id);
  ASSERT_TRUE(loop.post(post));
  loop.remove_notifier(*old_id);
  const auto new_id = loop.add_notifier(second);
  EXPECT_EQ(new_id->index, old_id->index);
  EXPECT_NE(new_id->generation, old_id->generation);
  loop.raise(*old_id);  // names what is gone
  loop.turn_now();
  EXPECT_EQ(trace, "post");
  ASSERT_TRUE(loop.post(post));
  loop.raise(*new_id);  // gets no place but its own: behind
  loop.turn_now();
  EXPECT_EQ(trace, "post post second");
}

TYPED_TEST(Order, a_notifier_reused_at_another_priority_takes_its_own_place) {
  Loop<TypeParam> loop;
  Trace trace;
  Note note(trace, "notice");
  Note post(trace, "post");
  const auto old_id = loop.add_notifier(note, background);
  loop.raise(*old_id);
  loop.remove_notifier(*old_id);
  const auto new_id = loop.add_notifier(note, urgent);
  ASSERT_TRUE(loop.post(post));
  loop.raise(*new_id);
  loop.turn_now();
  EXPECT_EQ(trace, "notice post");
}

// --- Posts -------------------------------------------------------------------------------------

TYPED_TEST(Order, a_post_carries_code_value_and_payload) {
  Loop<TypeParam> loop;
  struct Reading {
    double value;
    int channel;
  };
  Message message = at(urgent, 7);
  message.code = 42;
  message.store(Reading{.value = 2.5, .channel = 3});
  int runs = 0;
  On check{[&](const Message& got) {
    ++runs;
    EXPECT_EQ(got.kind, MessageKind::posted);
    EXPECT_EQ(got.priority, urgent);
    EXPECT_EQ(got.code, 42);
    EXPECT_EQ(got.value, 7U);
    EXPECT_EQ(got.template load<Reading>().value, 2.5);
    EXPECT_EQ(got.template load<Reading>().channel, 3);
  }};
  ASSERT_TRUE(loop.post(check, message));
  ASSERT_TRUE(loop.post_from_any_thread(check, message));
  loop.turn_now();
  EXPECT_EQ(runs, 2);
}

constexpr ReactorLimits few{.fds = 64, .messages = 12, .mailbox = 8, .margin = {0, 4, 8}};

TYPED_TEST(Order, each_priority_leaves_its_margin_free) {
  Loop<TypeParam, few> loop;
  Trace trace;
  Note note(trace, "x");
  const auto fill = [&](Priority priority) {
    int count = 0;
    while (loop.post(note, at(priority))) {
      ++count;
    }
    return count;
  };
  EXPECT_EQ(fill(background), 4);
  EXPECT_EQ(fill(normal), 4);
  EXPECT_EQ(fill(urgent), 4);
  const auto full = loop.post(note, at(urgent));
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().number, ENOSPC);
  const ReactorStatistics statistics = loop.statistics();
  EXPECT_EQ(statistics.queues[0].refused, 2U);
  EXPECT_EQ(statistics.queues[1].refused, 1U);
  EXPECT_EQ(statistics.queues[2].refused, 1U);
  EXPECT_EQ(statistics.messages_free, 0U);
  EXPECT_EQ(statistics.messages_least_free, 0U);
  loop.turn_now();
  EXPECT_EQ(trace, "x x x x x x x x x x x x");
  EXPECT_EQ(loop.statistics().messages_free, 12U);
  EXPECT_EQ(loop.statistics().messages_least_free, 0U);
}

TYPED_TEST(Order, a_full_message_queue_refuses_neither_readiness_nor_timers_nor_notifiers) {
  Loop<TypeParam, few> loop;
  Trace trace;
  Note post(trace, "post");
  Note ready(trace, "ready");
  Note timer(trace, "timer");
  Note notice(trace, "notice");
  while (loop.post(post, at(background))) {
  }
  while (loop.post(post, at(urgent))) {
  }
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  ASSERT_TRUE(loop.watch(pipe.near.get(), Events::readable, ready));
  loop.arm_after(*loop.add_timer(timer), 0ns);
  loop.raise(*loop.add_notifier(notice));
  loop.turn_now();
  EXPECT_EQ(trace,
            "post post post post post post post post notice timer ready post post post post");
}

// --- Posts from elsewhere ----------------------------------------------------------------------

TYPED_TEST(Order, posts_from_a_thread_run_in_the_order_of_posting) {
  Loop<TypeParam> loop;
  std::vector<std::uint32_t> seen;
  On note{[&](const Message& message) {
    seen.push_back(message.value);
    if (message.value == 999) {
      loop.quit();
    }
  }};
  std::thread thread([&] {
    for (std::uint32_t i = 0; i < 1000;) {
      if (loop.post_from_any_thread(note, at(normal, i))) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  ASSERT_TRUE(loop.run());
  thread.join();
  ASSERT_EQ(seen.size(), 1000U);
  EXPECT_TRUE(std::ranges::is_sorted(seen));
}

TYPED_TEST(Order, a_full_mailbox_refuses_and_counts_and_loses_nothing) {
  Loop<TypeParam, few> loop;
  Trace trace;
  On note{[&](const Message& message) { trace.add(message.value); }};
  for (std::uint32_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(loop.post_from_any_thread(note, at(normal, i)));
  }
  const auto full = loop.post_from_any_thread(note, at(urgent, 8));
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().number, ENOSPC);
  EXPECT_EQ(loop.statistics().mailbox_refused, 1U);
  loop.turn_now();
  EXPECT_EQ(trace, "0 1 2 3 4 5 6 7");
  EXPECT_TRUE(loop.post_from_any_thread(note, at(normal, 9)));
}

TYPED_TEST(Order, handlers_that_fill_every_message_slot_do_not_keep_other_threads_posts_out) {
  Loop<TypeParam, few> loop;
  Trace trace;
  On flood{[&](const Message& message) { ASSERT_TRUE(loop.post(message.handler, at(urgent))); }};
  while (loop.post(flood, at(urgent))) {
  }
  Note mail(trace, "mail");
  ASSERT_TRUE(loop.post_from_any_thread(mail, at(background)));
  ASSERT_TRUE(loop.post_from_any_thread(mail, at(urgent)));
  loop.turn_now();
  EXPECT_EQ(loop.statistics().messages_least_free, 0U);
  EXPECT_EQ(trace, "mail mail");
}

TYPED_TEST(Order, a_background_post_at_the_head_of_the_mailbox_does_not_hold_up_an_urgent_one) {
  Loop<TypeParam, few> loop;
  Trace trace;
  Note mail(trace, "mail");
  Note low(trace, "low");
  Note post(trace, "post");
  while (loop.post(post, at(normal))) {
  }
  ASSERT_TRUE(loop.post_from_any_thread(low, at(background)));
  ASSERT_TRUE(loop.post_from_any_thread(mail, at(urgent)));
  loop.turn_now();
  EXPECT_EQ(trace, "mail post post post post post post post post low");
}

TYPED_TEST(Order, a_message_that_still_waits_in_its_mailbox_cell_is_not_overwritten) {
  Loop<TypeParam, few> loop;
  Trace trace;
  On note{[&](const Message& message) { trace.add(message.value); }};
  On flood{[&](const Message& message) { ASSERT_TRUE(loop.post(message.handler, at(urgent))); }};
  ASSERT_TRUE(loop.post(flood, at(urgent)));
  for (const std::uint32_t value : {100U, 101U, 102U}) {
    ASSERT_TRUE(loop.post_from_any_thread(note, at(background, value)));
  }
  loop.turn_now();
  EXPECT_EQ(trace, "100");  // the flood leaves no more than one of 33
  // Of the 8 cells two are still held.
  std::uint32_t accepted = 0;
  while (loop.post_from_any_thread(note, at(urgent, accepted))) {
    ++accepted;
  }
  EXPECT_EQ(accepted, 6U);
  loop.turn_now(2);
  EXPECT_EQ(trace, "100 101 0 1 2 3 4 5 102");
}

Reactor* signalled_loop = nullptr;
Handler signalled_handler;

void post_from_signal_handler(int /*signal*/) {
  (void)signalled_loop->post_from_any_thread(signalled_handler);
}

TYPED_TEST(Order, a_post_from_a_signal_handler_during_a_handler_runs_after_it) {
  Loop<TypeParam> loop;
  Trace trace;
  Note signalled(trace, "signalled");
  Note other(trace, "other");
  signalled_loop = &loop;
  signalled_handler = signalled;
  std::signal(SIGUSR1, post_from_signal_handler);
  On raising{[&](const Message&) {
    trace.add("begin");
    std::raise(SIGUSR1);
    std::raise(SIGUSR1);
    trace.add("end");
  }};
  ASSERT_TRUE(loop.post(raising));
  ASSERT_TRUE(loop.post(other));
  loop.turn_now(2);
  std::signal(SIGUSR1, SIG_DFL);
  EXPECT_EQ(trace, "begin end other signalled signalled");
}

// --- Not reentrant -----------------------------------------------------------------------------

TYPED_TEST(Order, running_the_loop_from_a_handler_is_refused) {
  Loop<TypeParam> loop;
  Trace trace;
  Note other(trace, "other");
  On nested{[&](const Message&) {
    const auto run = loop.run();
    const auto turn = loop.turn();
    ASSERT_FALSE(run);
    ASSERT_FALSE(turn);
    EXPECT_EQ(run.error().number, EBUSY);
    EXPECT_EQ(turn.error().number, EBUSY);
    trace.add("nested");
  }};
  ASSERT_TRUE(loop.post(nested));
  ASSERT_TRUE(loop.post(other));
  loop.turn_now();
  EXPECT_EQ(trace, "nested other");
}

}  // namespace
}  // namespace millrace::test
