// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Tasks as such: results, order, memory. What they can wait for is in test_task_wait.cpp, how they
// are cancelled in test_task_cancel.cpp.

#include <array>
#include <gtest/gtest.h>
#include <memory>
#include <span>
#include <string_view>

#include "firmware/reactor/task.hpp"
#include "firmware/reactor/task_group.hpp"
#include "firmware/reactor/task_scope.hpp"
#include "firmware/reactor/task_sleep.hpp"
#include "hal/heap_trap.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/tasks.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

Task<int> twice(Tasks& /*tasks*/, int value) { co_return 2 * value; }

Task<int> fails(Tasks& /*tasks*/) { co_return fail(EIO, "it is broken"); }

Task<> note(Tasks& /*tasks*/, Trace& trace, std::string_view name) {
  trace.add(name);
  co_return;
}

Task<> sleeps(Tasks& /*tasks*/, Trace& trace, std::string_view name, Duration time) {
  trace.add(name);
  EXPECT_TRUE(co_await sleep_for(time));
  trace.add(name, "!");
}

// --- Results -----------------------------------------------------------------------------------

TEST(Task, does_nothing_until_it_is_awaited_or_spawned) {
  SmallTaskLoop t;
  {
    const Task<> task = note(t.tasks, t.trace, "a");
    EXPECT_TRUE(task);
    EXPECT_EQ(t.frames(), 1U);
    t.turn();
  }
  EXPECT_EQ(t.trace, "");
  EXPECT_EQ(t.frames(), 0U);
}

Task<> takes_results(Tasks& tasks, Trace& trace) {
  const Result<int> four = co_await twice(tasks, 2);
  trace.add(four ? *four : -1);
  const Result<int> failed = co_await fails(tasks);
  trace.add(failed ? "ok" : failed.error().number == EIO ? "EIO" : "?");
  const Result<void> nothing = co_await note(tasks, trace, "a");
  trace.add(nothing ? "ok" : "?");
}

TEST(Task, passes_values_errors_and_nothing_to_who_awaits_it) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(takes_results(t.tasks, t.trace)));
  EXPECT_EQ(t.trace, "");  // it runs in a message only
  t.turn();
  EXPECT_EQ(t.trace, "4 EIO a ok");
  EXPECT_TRUE(scope.empty());
}

Task<Result<void>> checks(Tasks& /*tasks*/, bool good) {
  if (!good) {
    co_return fail(EINVAL, "it is bad");
  }
  co_return {};
}

Task<std::unique_ptr<int>> makes(Tasks& /*tasks*/) { co_return std::make_unique<int>(7); }

Task<> takes_more(Tasks& tasks, Trace& trace) {
  trace.add(static_cast<bool>(co_await checks(tasks, true)) ? "good" : "?");
  trace.add(static_cast<bool>(co_await checks(tasks, false)) ? "?" : "bad");
  Result<std::unique_ptr<int>> made = co_await makes(tasks);
  trace.add(**made);
}

TEST(Task, a_result_is_not_wrapped_in_another_and_values_may_be_moved_only) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(takes_more(t.tasks, t.trace)));
  t.turn();
  EXPECT_EQ(t.trace, "good bad 7");
}

struct Counter {
  Task<int> next(Tasks& /*tasks*/, int by) { co_return count += by; }
  Task<> twice(Tasks& tasks, Trace& trace) {
    (void)co_await next(tasks, 2);
    const auto result = co_await next(tasks, 3);
    trace.add(*result);
  }
  int count = 0;
};

TEST(Task, member_functions_and_lambdas_can_be_tasks) {
  SmallTaskLoop t;
  Counter counter;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(counter.twice(t.tasks, t.trace)));
  const auto lambda = [&t](Tasks& tasks) -> Task<> {
    (void)co_await twice(tasks, 1);
    t.trace.add("lambda");
  };
  ASSERT_TRUE(scope.spawn(lambda(t.tasks)));
  t.turn();
  EXPECT_EQ(t.trace, "5 lambda");
}

// NOLINTNEXTLINE(misc-no-recursion): its frames are in the pool
Task<int> sum_to(Tasks& tasks, int n) {
  if (n == 0) {
    co_return 0;
  }
  const auto rest = co_await sum_to(tasks, n - 1);
  co_return rest ? *rest + n : -1;
}

// As many tasks one after the other do not need more stack than one, with any compiler's options.
Task<> sums(Tasks& tasks, Trace& trace) {
  const auto sum = co_await sum_to(tasks, 50);
  trace.add(*sum);
  int total = 0;
  for (int i = 0; i < 200000; ++i) {
    total += *co_await twice(tasks, 1);
  }
  trace.add(total);
}

TEST(Task, neither_depth_nor_repetition_takes_more_stack) {
  TaskLoop<65536> t;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(sums(t.tasks, t.trace)));
  t.turn();
  EXPECT_EQ(t.trace, "1275 400000");
}

// --- Order -------------------------------------------------------------------------------------

TEST(Task, spawned_tasks_begin_in_order_one_a_message_among_others) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  Note post(t.trace, "post");
  ASSERT_TRUE(scope.spawn(note(t.tasks, t.trace, "a")));
  ASSERT_TRUE(t.loop.post(post));
  ASSERT_TRUE(scope.spawn(note(t.tasks, t.trace, "b")));
  ASSERT_TRUE(scope.spawn(note(t.tasks, t.trace, "c")));
  ASSERT_TRUE(t.loop.post(post));
  t.turn();
  EXPECT_EQ(t.trace, "a post post b c");
  EXPECT_EQ(t.tasks.statistics().resumed, 3U);
}

TEST(Task, priorities_hold_for_the_beginning_and_for_timers) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(sleeps(t.tasks, t.trace, "b", 1ms), background));
  ASSERT_TRUE(scope.spawn(sleeps(t.tasks, t.trace, "n", 1ms), normal));
  ASSERT_TRUE(scope.spawn(sleeps(t.tasks, t.trace, "u", 1ms), urgent));
  Note post(t.trace, "post");
  t.turn();
  EXPECT_EQ(t.trace, "u n b");
  t.trace.clear();
  ASSERT_TRUE(t.loop.post(post));
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "u! post n! b!");
}

TEST(Task, wakes_in_the_order_of_deadlines_and_of_arming) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(sleeps(t.tasks, t.trace, "a", 2ms)));
  ASSERT_TRUE(scope.spawn(sleeps(t.tasks, t.trace, "b", 1ms)));
  ASSERT_TRUE(scope.spawn(sleeps(t.tasks, t.trace, "c", 2ms)));
  t.turn();
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "a b c b!");
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "a b c b! a! c!");
}

Task<> yields(Tasks& /*tasks*/, Trace& trace, std::string_view name) {
  for (int i = 0; i < 3; ++i) {
    trace.add(name);
    co_await yield();
  }
}

TEST(Task, yield_lets_others_run_first) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(yields(t.tasks, t.trace, "a")));
  ASSERT_TRUE(scope.spawn(yields(t.tasks, t.trace, "b")));
  t.turn();
  EXPECT_EQ(t.trace, "a b a b a b");
}

TEST(Task, a_task_over_its_budget_is_in_the_ledger) {
  SmallTaskLoop t;
  t.loop.set_budget(1ms);
  TaskScope scope(t.tasks);
  const auto slow = [&t](Tasks& /*tasks*/) -> Task<> {
    t.clock.advance(5ms);
    co_return;
  };
  ASSERT_TRUE(scope.spawn(slow(t.tasks)));
  t.turn();
  ASSERT_TRUE(t.loop.ledger().entry(0));
  EXPECT_EQ(t.loop.ledger().entry(0)->worst, 5ms);
}

TEST(Task, what_spawns_while_it_runs_begins_later) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto parent = [&](Tasks& tasks) -> Task<> {
    EXPECT_TRUE(scope.spawn(note(tasks, t.trace, "child")));
    t.trace.add("parent");
    co_return;
  };
  ASSERT_TRUE(scope.spawn(parent(t.tasks)));
  t.turn();
  EXPECT_EQ(t.trace, "parent child");
}

// --- Memory ------------------------------------------------------------------------------------

TEST(Task, exhaustion_is_an_error_of_spawn) {
  TaskLoop<1024> t;
  TaskScope scope(t.tasks);
  int spawned = 0;
  Result<TaskId> result;
  while ((result = scope.spawn(sleeps(t.tasks, t.trace, "a", 1ms)))) {
    ++spawned;
  }
  EXPECT_EQ(result.error().number, ENOBUFS);
  EXPECT_NE(std::string_view(result.error().remedy).find("task_memory"), std::string_view::npos);
  EXPECT_GT(spawned, 0);
  EXPECT_EQ(scope.size(), static_cast<std::size_t>(spawned));
  EXPECT_EQ(t.tasks.statistics().refused, 1U);
  t.turn();
  t.turn_after(1ms);
  EXPECT_TRUE(scope.empty());
  EXPECT_TRUE(scope.spawn(sleeps(t.tasks, t.trace, "b", 1ms)));
}

Task<> awaits_until_full(Tasks& tasks, Trace& trace, int depth, std::span<Task<int>> held) {
  const Result<int> result = co_await sum_to(tasks, depth);
  trace.add(result ? *result : -2);
  const Result<int> again = co_await twice(tasks, 4);
  trace.add(again ? *again : -2);
  for (auto& each : held) {
    each = twice(tasks, 1);
  }
  const Result<int> none = co_await twice(tasks, 4);
  trace.add(none ? "ok" : none.error().number == ENOBUFS ? "ENOBUFS" : "?");
}

TEST(Task, exhaustion_is_an_error_of_awaiting) {
  TaskLoop<4096> t;
  TaskScope scope(t.tasks);
  std::array<Task<int>, 100> held;
  ASSERT_TRUE(scope.spawn(awaits_until_full(t.tasks, t.trace, 3, held)));
  t.turn();
  EXPECT_EQ(t.trace, "6 8 ENOBUFS");
  EXPECT_GT(t.tasks.statistics().refused, 0U);
}

TEST(Task, groups_of_which_some_have_no_frame_tell_so) {
  TaskLoop<2048> t;
  TaskScope scope(t.tasks);
  std::array<Task<int>, 40> held;
  const auto body = [&](Tasks& tasks) -> Task<> {
    for (std::size_t i = 0; i + 1 < held.size() && (held[i] = twice(tasks, 1)); ++i) {
    }
    auto without = twice(tasks, 1);
    EXPECT_FALSE(without);
    const auto both = co_await when_all(std::move(held[0]), std::move(without));
    EXPECT_EQ(std::get<0>(both), 2);
    EXPECT_EQ(std::get<1>(both).error().number, ENOBUFS);
    const auto none = co_await when_all(Task<int>());
    EXPECT_EQ(std::get<0>(none).error().number, ENOBUFS);
    const auto any = co_await when_any(std::move(held[1]), Task<int>());
    EXPECT_EQ(any.index(), 1U);
    EXPECT_EQ(std::get_if<1>(&any)->error().number, ENOBUFS);
    const auto timed = co_await within(1s, Task<int>());
    EXPECT_EQ(timed.error().number, ENOBUFS);
    t.trace.add("end");
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn();
  EXPECT_EQ(t.trace, "end");
}

TEST(Task, a_spawned_task_without_room_for_itself_gives_its_frame_back) {
  TaskLoop<512> t;
  TaskScope scope(t.tasks);
  std::array<Task<>, 8> held;
  std::size_t count = 0;
  while (count < held.size() && (held[count] = note(t.tasks, t.trace, "x"))) {
    ++count;
  }
  ASSERT_GT(count, 0U);
  ASSERT_LT(count, held.size());
  const auto spawned = scope.spawn(std::move(held[0]));
  ASSERT_FALSE(spawned);
  EXPECT_EQ(spawned.error().number, ENOBUFS);
  EXPECT_EQ(t.frames(), count - 1);
  EXPECT_EQ(t.tasks.statistics().refused, 2U);
  EXPECT_FALSE(scope.spawn(Task<>()));
}

TEST(Task, statistics_tell_the_largest_frame_of_each_type_and_the_most_at_once) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(scope.spawn(sleeps(t.tasks, t.trace, "s", 1ms)));
  }
  ASSERT_TRUE(scope.spawn(takes_results(t.tasks, t.trace)));
  t.turn();
  t.turn_after(1ms);
  const TaskType sleep = t.type("sleeps");
  EXPECT_EQ(sleep.high_water, 3U);
  EXPECT_EQ(sleep.live, 0U);
  EXPECT_GT(sleep.frame, 32U);
  EXPECT_EQ(t.type("twice").high_water, 1U);
  const TaskStatistics statistics = t.tasks.statistics();
  EXPECT_EQ(statistics.frames_high_water, 5U);
  EXPECT_EQ(statistics.largest_frame, std::max(sleep.frame, t.type("takes_results").frame));
  EXPECT_GT(statistics.memory.high_water, 3 * sleep.frame);
}

template <int N>
Task<int> numbered(Tasks& /*tasks*/) {
  co_return N;
}

template <int... Ns>
void call_each(Tasks& tasks, std::integer_sequence<int, Ns...> /*numbers*/) {
  Task<int> keep;
  for (int i = 0; i < 2; ++i) {
    ([&] { keep = numbered<Ns>(tasks); }(),
     ...);  // clang needs no frame for a task that goes nowhere
  }
}

TEST(Task, more_types_than_there_is_room_for_share_a_row) {
  SmallTaskLoop t;
  call_each(t.tasks, std::make_integer_sequence<int, 40>());
  EXPECT_EQ(t.frames(), 0U);
  std::size_t count = 0;
  while (const auto type = t.tasks.type(count)) {
    EXPECT_EQ(type->live, 0U) << type->name;
    EXPECT_LE(type->high_water, 2U) << type->name;
    ++count;
  }
  EXPECT_EQ(count, Tasks::max_types + 1);
  EXPECT_STREQ(t.type("others").name, "others");
}

TEST(Task, nothing_is_taken_from_the_heap) {
  SmallTaskLoop t;
  {
    TaskScope scope(t.tasks);
    hal::heap_trap::arm(hal::heap_trap::Action::count);
    const bool spawned = scope.spawn(takes_results(t.tasks, t.trace)) &&
                         scope.spawn(sleeps(t.tasks, t.trace, "s", 1ms)) &&
                         scope.spawn(yields(t.tasks, t.trace, "y"));
    (void)t.loop.turn(0ns);
    t.clock.advance(1ms);
    (void)t.loop.turn(0ns);
    const auto calls = hal::heap_trap::calls();
    hal::heap_trap::disarm();
    EXPECT_TRUE(spawned);
    EXPECT_EQ(calls, 0U);
    EXPECT_TRUE(scope.empty());
  }
}

TEST(Task, needs_three_notifiers) {
  FakeClock clock;
  Loop<Epoll, ReactorLimits{.fds = 64, .notifiers = 2}> loop(clock);
  {
    StaticTasks<1024> tasks(loop);
    const auto opened = tasks.open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().number, ENOSPC);
  }
  EXPECT_EQ(loop.statistics().notifiers, 0U);
}

TEST(Task, two_reactors_of_a_process_have_tasks_of_their_own) {
  SmallTaskLoop a;
  SmallTaskLoop b;
  TaskScope in_a(a.tasks);
  TaskScope in_b(b.tasks);
  ASSERT_TRUE(in_a.spawn(note(a.tasks, a.trace, "a")));
  ASSERT_TRUE(in_b.spawn(note(b.tasks, b.trace, "b")));
  a.turn();
  EXPECT_EQ(a.trace, "a");
  EXPECT_EQ(b.trace, "");
  b.turn();
  EXPECT_EQ(b.trace, "b");
}

Task<> is_large(Tasks& /*tasks*/, Trace& trace) {
  std::array<char, Tasks::max_frame> bytes{};
  asm volatile("" : : "g"(bytes.data()) : "memory");  // or else clang does without
  co_await yield();
  asm volatile("" : : "g"(bytes.data()) : "memory");
  trace.add(bytes[0]);
}

TEST(Task, a_frame_that_is_too_large_is_refused) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto spawned = scope.spawn(is_large(t.tasks, t.trace));
  ASSERT_FALSE(spawned);
  EXPECT_EQ(spawned.error().number, ENOBUFS);
  EXPECT_EQ(t.tasks.statistics().refused, 1U);
}

// --- Timers ------------------------------------------------------------------------------------

Task<> sleeps_without_timer(Tasks& /*tasks*/, Trace& trace) {
  const auto slept = co_await sleep_for(1ms);
  trace.add(slept ? "slept" : slept.error().number == ENOSPC ? "ENOSPC" : "?");
}

TEST(Task, no_timer_left_is_an_ordinary_error) {
  TaskLoop<8192, ReactorLimits{.fds = 64, .timers = 1}> t;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(sleeps_without_timer(t.tasks, t.trace)));
  ASSERT_TRUE(scope.spawn(sleeps_without_timer(t.tasks, t.trace)));
  t.turn();
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "ENOSPC slept");
}

Task<> sleeps_until(Tasks& /*tasks*/, Trace& trace, Instant at) {
  (void)co_await sleep_until(at);
  trace.add("awake");
  (void)co_await sleep_for(0ns);
  trace.add("again");
  (void)co_await sleep_for(forever);
  trace.add("never");
}

TEST(Task, sleeps_until_an_instant_not_at_all_or_for_ever) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(sleeps_until(t.tasks, t.trace, Instant(1s + 5ms))));
  t.turn_after(4ms);
  EXPECT_EQ(t.trace, "");
  t.turn_after(1ms, 3);
  EXPECT_EQ(t.trace, "awake again");
  EXPECT_EQ(t.loop.statistics().timers, 1U);  // it is kept for the next time
  t.turn_after(std::chrono::hours(1000), 3);
  EXPECT_EQ(t.trace, "awake again");
  scope.cancel();
}

}  // namespace
}  // namespace millrace::test
