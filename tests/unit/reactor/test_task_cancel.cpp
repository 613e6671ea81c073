// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// How tasks end before their end: by whom, when, and wherever they wait; and that nothing of them
// is left then, nor goes on. TaskLoop looks at what is left after each test.

#include <array>
#include <csignal>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

#include "firmware/reactor/task.hpp"
#include "firmware/reactor/task_channel.hpp"
#include "firmware/reactor/task_edges.hpp"
#include "firmware/reactor/task_fd.hpp"
#include "firmware/reactor/task_group.hpp"
#include "firmware/reactor/task_inbox.hpp"
#include "firmware/reactor/task_scope.hpp"
#include "firmware/reactor/task_signal.hpp"
#include "firmware/reactor/task_sleep.hpp"
#include "firmware/reactor/task_socket.hpp"
#include "firmware/reactor/task_stream.hpp"
#include "hal/gpio_sim.hpp"
#include "tests/support/descriptors.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/tasks.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

/// Writes into the trace when it ends, whatever the reason.
class Guard {
 public:
  Guard(Trace& trace, std::string_view name) : trace_(trace), name_(name) {}
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() { trace_.add("~", name_); }

 private:
  Trace& trace_;
  std::string_view name_;
};

Task<> sleeps(Tasks& /*tasks*/, Trace& trace, std::string_view name, Duration time) {
  const Guard guard(trace, name);
  trace.add(name);
  (void)co_await sleep_for(time);
  trace.add(name, "!");
}

Task<> nests(Tasks& tasks, Trace& trace, std::string_view name, Duration time) {
  const Guard guard(trace, name);
  (void)co_await sleeps(tasks, trace, "inner", time);
  trace.add(name, "!");
}

// --- Every suspension point --------------------------------------------------------------------

/// All that can be waited for, none of it ready.
struct Sources {
  explicit Sources(Loop<Epoll>& loop) {
    EXPECT_TRUE(fd.open(loop, pipe.near.get()));
    EXPECT_TRUE(full.open(loop, pair.near.get(), TaskStream::Kind::socket));
    EXPECT_TRUE(stream.open(loop, second.near.get(), TaskStream::Kind::socket));
    EXPECT_TRUE(listener.open(loop, socket.get()));
    while (::write(pair.near.get(), filling.data(), filling.size()) > 0) {
    }
    for (hal::Fd& each : backlog) {
      each = *hal::connect(*hal::local_address(never_accepts.get()));
    }
    EXPECT_TRUE(signals.open(loop, std::array{SIGUSR2}));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    constexpr timespec now{};
    (void)::sigtimedwait(&set, nullptr, &now);  // what an earlier test has left
    EXPECT_TRUE(gpio.open());
    line = *gpio.find("gpio-sim:4");
    const hal::LineSettings input{.direction = hal::Direction::input, .edges = hal::Edges::both};
    EXPECT_TRUE(edges.open(loop, gpio, *gpio.request({&line, 1}, {&input, 1}, "test")));
    EXPECT_TRUE(filled.try_send(0));
    EXPECT_TRUE(filled.try_send(0));
  }

  Pair pipe = make_pipe();
  Pair pair = make_socket_pair();
  Pair second = make_socket_pair();
  std::string filling = std::string(65536, 'x');
  hal::Fd socket = *hal::listen(*hal::SocketAddress::parse("127.0.0.1:0"), 4);
  hal::Fd never_accepts = *hal::listen(*hal::SocketAddress::parse("127.0.0.1:0"), 0);
  std::array<hal::Fd, 4> backlog;
  hal::Fd client;
  TaskFd fd;
  StaticTaskStream<16> full;
  StaticTaskStream<16> stream;
  TaskFd listener;
  TaskSignals signals;
  hal::GpioSim gpio;
  hal::LineAddress line;
  TaskEdges edges;
  StaticTaskInbox<4> inbox;
  TaskChannel<int, 2> empty;
  TaskChannel<int, 2> filled;
};

enum class Wait : std::uint8_t {
  sleep,
  readable,
  writable,
  read_some,
  read_exactly,
  read_until,
  read_line,
  write,
  accept,
  connect,
  signal,
  edge,
  message,
  send,
  receive,
  join,
  task,
  all,
  any,
  within,
  yield,
  last
};

Task<> never_ends(Tasks& /*tasks*/, Trace& trace) {
  const Guard guard(trace, "child");
  (void)co_await sleep_for(forever);
}

/// Waits for it, after `before` was called: to be cancelled there.
template <Wait What, class Before>
Task<> waits_for(Tasks& tasks, Trace& trace, Sources& sources, Deadline deadline, Before before) {
  const Guard guard(trace, "task");
  [[maybe_unused]] std::array<std::byte, 8> bytes{};
  [[maybe_unused]] std::array<char, 8> text{};
  before();
  if constexpr (What == Wait::sleep) {
    (void)co_await sleep_for(5ms);
  } else if constexpr (What == Wait::readable) {
    (void)co_await sources.fd.readable(deadline);
  } else if constexpr (What == Wait::writable) {
    (void)co_await sources.full.writable(deadline);
  } else if constexpr (What == Wait::read_some) {
    (void)co_await sources.stream.read_some(bytes, deadline);
  } else if constexpr (What == Wait::read_exactly) {
    (void)co_await sources.stream.read_exactly(bytes, deadline);
  } else if constexpr (What == Wait::read_until) {
    (void)co_await sources.stream.read_until(';', bytes, deadline);
  } else if constexpr (What == Wait::read_line) {
    (void)co_await sources.stream.read_line(text, deadline);
  } else if constexpr (What == Wait::write) {
    (void)co_await sources.full.write("x", deadline);
  } else if constexpr (What == Wait::accept) {
    (void)co_await accept(sources.listener, deadline);
  } else if constexpr (What == Wait::connect) {
    (void)co_await connect(*hal::local_address(sources.never_accepts.get()), deadline);
  } else if constexpr (What == Wait::signal) {
    (void)co_await sources.signals.next(deadline);
  } else if constexpr (What == Wait::edge) {
    (void)co_await sources.edges.next(deadline);
  } else if constexpr (What == Wait::message) {
    (void)co_await sources.inbox.receive(7, deadline);
  } else if constexpr (What == Wait::send) {
    (void)co_await sources.filled.send(1, deadline);
  } else if constexpr (What == Wait::receive) {
    (void)co_await sources.empty.receive(deadline);
  } else if constexpr (What == Wait::join) {
    TaskScope scope(tasks);
    (void)scope.spawn(never_ends(tasks, trace));
    (void)co_await scope.join(deadline);
  } else if constexpr (What == Wait::task) {
    (void)co_await never_ends(tasks, trace);
  } else if constexpr (What == Wait::all) {
    (void)co_await when_all(never_ends(tasks, trace), never_ends(tasks, trace));
  } else if constexpr (What == Wait::any) {
    (void)co_await when_any(never_ends(tasks, trace), never_ends(tasks, trace));
  } else if constexpr (What == Wait::within) {
    (void)co_await within(1h, never_ends(tasks, trace));
  } else {
    co_await yield();
  }
  trace.add("resumed");
}

template <class Before>
Task<> waits(Tasks& tasks, Trace& trace, Sources& sources, Wait what, Deadline deadline,
             Before before) {
  Task<> task;
  [&]<std::size_t... Is>(std::index_sequence<Is...> /*kinds*/) {
    (void)((what == static_cast<Wait>(Is) &&
            (task = waits_for<static_cast<Wait>(Is)>(tasks, trace, sources, deadline, before),
             true)) ||
           ...);
  }(std::make_index_sequence<static_cast<std::size_t>(Wait::last)>());
  return task;
}

/// What the task waits for is there: its message is in the queue, or will be in the next turn.
void make_ready(Sources& sources, SmallTaskLoop& t, Wait what) {
  switch (what) {
    case Wait::sleep:
      t.clock.advance(5ms);
      break;
    case Wait::readable:
      put(sources.pipe.far, "x");
      break;
    case Wait::writable:
    case Wait::write:
      while (!get(sources.pair.far, 65536).empty()) {
      }
      break;
    case Wait::read_some:
    case Wait::read_exactly:
    case Wait::read_until:
    case Wait::read_line:
      put(sources.second.far, "abcde;\n\n");
      break;
    case Wait::accept:
      sources.client = *hal::connect(*hal::local_address(sources.socket.get()));
      break;
    case Wait::signal:
      ::raise(SIGUSR2);
      break;
    case Wait::edge:
      ASSERT_TRUE(sources.gpio.pull(sources.line, true));
      break;
    case Wait::message: {
      Message message;
      message.code = 7;
      ASSERT_TRUE(t.loop.post(sources.inbox.handler(), message));
      break;
    }
    case Wait::send:
      (void)sources.filled.try_receive();
      break;
    case Wait::receive:
      (void)sources.empty.try_send(1);
      break;
    default:
      break;  // it can't be made ready from outside
  }
}

const auto nothing = [] {};

struct Cancel : ::testing::TestWithParam<int> {
  [[nodiscard]] static Wait what() { return static_cast<Wait>(GetParam()); }

  SmallTaskLoop t;
  Sources sources{t.loop};
};

// Sources are closed only after the test has seen that nothing but them is left.
#define MILLRACE_EXPECT_NOTHING_LEFT(before)                         \
  EXPECT_EQ(t.frames(), 0U);                                         \
  EXPECT_EQ(t.tasks.statistics().memory.used, 0U);                   \
  EXPECT_EQ(t.loop.statistics().timers, (before).timers);            \
  EXPECT_EQ(t.loop.statistics().watches, (before).watches);          \
  EXPECT_EQ(t.loop.statistics().notifiers, (before).notifiers);      \
  EXPECT_EQ(t.trace.text().find("resumed"), std::string_view::npos); \
  EXPECT_NE(t.trace.text().find("~task"), std::string_view::npos)

TEST_P(Cancel, from_outside) {
  const auto before = t.loop.statistics();
  TaskScope scope(t.tasks);
  const auto task = scope.spawn(waits(t.tasks, t.trace, sources, what(), {}, nothing));
  ASSERT_TRUE(task);
  if (what() != Wait::yield) {
    t.turn(2);
  }
  EXPECT_TRUE(scope.cancel(*task));
  EXPECT_FALSE(scope.cancel(*task));
  make_ready(sources, t, what());
  if (what() == Wait::yield) {
    EXPECT_EQ(t.frames(), 0U);
    EXPECT_EQ(t.trace, "");  // it never began
    return;
  }
  t.turn(2);
  MILLRACE_EXPECT_NOTHING_LEFT(before);
}

TEST_P(Cancel, by_the_end_of_its_scope_with_a_deadline) {
  const auto before = t.loop.statistics();
  {
    TaskScope scope(t.tasks);
    ASSERT_TRUE(scope.spawn(waits(t.tasks, t.trace, sources, what(), 50ms, nothing)));
    t.turn();
    if (what() == Wait::yield) {
      return;  // it is over
    }
  }
  make_ready(sources, t, what());
  t.turn_after(50ms, 2);
  MILLRACE_EXPECT_NOTHING_LEFT(before);
}

// The message that would have it go on is in the queue already, behind that of who cancels it.
TEST_P(Cancel, by_a_handler_of_the_same_batch_when_it_is_ready) {
  const auto before = t.loop.statistics();
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(waits(t.tasks, t.trace, sources, what(), 5ms, nothing)));
  On cancels{[&](const Message&) {
    t.trace.add("cancel");
    scope.cancel();
    EXPECT_EQ(t.frames(), 0U);
  }};
  if (what() != Wait::yield) {
    t.turn(2);
    ASSERT_TRUE(t.loop.post(cancels, at(urgent)));
    make_ready(sources, t, what());
    t.clock.advance(5ms);  // the deadline passes in this batch as well
  } else {
    ASSERT_TRUE(t.loop.post(cancels));
  }
  t.turn(2);
  MILLRACE_EXPECT_NOTHING_LEFT(before);
}

TEST_P(Cancel, by_a_task_of_the_same_batch_when_it_is_ready) {
  const auto before = t.loop.statistics();
  TaskScope scope(t.tasks);
  TaskScope others(t.tasks);
  ASSERT_TRUE(scope.spawn(waits(t.tasks, t.trace, sources, what(), 5ms, nothing)));
  if (what() != Wait::yield) {
    t.turn(2);
  }
  const auto cancels = [&](Tasks& /*tasks*/) -> Task<> {
    scope.cancel();
    t.trace.add("cancelled");
    EXPECT_TRUE(scope.empty());
    co_await yield();
    t.trace.add("later");
    EXPECT_EQ(t.frames(), 1U);
  };
  ASSERT_TRUE(others.spawn(cancels(t.tasks), urgent));
  make_ready(sources, t, what());
  t.clock.advance(5ms);
  t.turn(2);
  if (what() == Wait::yield) {
    EXPECT_EQ(t.trace, "cancelled later");
    return;
  }
  EXPECT_NE(t.trace.text().find("later"), std::string_view::npos);
  MILLRACE_EXPECT_NOTHING_LEFT(before);
}

TEST_P(Cancel, by_itself) {
  const auto before = t.loop.statistics();
  TaskScope scope(t.tasks);
  const auto cancels = [&] {
    scope.cancel();
    t.trace.add("cancel");
  };
  ASSERT_TRUE(scope.spawn(waits(t.tasks, t.trace, sources, what(), 5ms, cancels)));
  t.turn();
  make_ready(sources, t, what());
  t.turn_after(5ms, 2);
  MILLRACE_EXPECT_NOTHING_LEFT(before);
  EXPECT_TRUE(t.trace.text().starts_with("cancel"));
}

// The scope is a variable of a task that a child of it has cancelled.
TEST_P(Cancel, of_the_parent_by_its_child) {
  const auto before = t.loop.statistics();
  TaskScope scope(t.tasks);
  const auto child = [&](Tasks& tasks) -> Task<> {
    const auto cancels = [&] { scope.cancel(); };
    (void)co_await waits(tasks, t.trace, sources, what(), 5ms, cancels);
  };
  const auto parent = [&](Tasks& tasks) -> Task<> {
    const Guard guard(t.trace, "parent");
    TaskScope children(tasks);
    (void)children.spawn(child(tasks));
    (void)children.spawn(waits(tasks, t.trace, sources, what(), 5ms, nothing));
    (void)co_await children.join();
    t.trace.add("resumed");
  };
  ASSERT_TRUE(scope.spawn(parent(t.tasks)));
  t.turn(2);
  make_ready(sources, t, what());
  t.turn_after(5ms, 2);
  MILLRACE_EXPECT_NOTHING_LEFT(before);
  EXPECT_TRUE(t.trace.text().ends_with("~parent"));
}

TEST_P(Cancel, by_a_sibling_of_when_any) {
  const auto before = t.loop.statistics();
  TaskScope scope(t.tasks);
  const auto body = [&](Tasks& tasks) -> Task<> {
    (void)co_await when_any(waits(tasks, t.trace, sources, what(), 50ms, nothing),
                            sleeps(tasks, t.trace, "other", 0ns));
    t.trace.add("done");
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  if (what() == Wait::yield) {
    return;  // the yield is shorter
  }
  t.turn(2);
  make_ready(sources, t, what());
  t.turn_after(50ms, 2);
  EXPECT_TRUE(t.trace.text().ends_with("done"));
  MILLRACE_EXPECT_NOTHING_LEFT(before);
}

INSTANTIATE_TEST_SUITE_P(EverySuspensionPoint, Cancel,
                         ::testing::Range(0, static_cast<int>(Wait::last)));

// --- Order -------------------------------------------------------------------------------------

TEST(TaskScope, cancelling_ends_frames_from_the_inside_out_and_tasks_in_order) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(nests(t.tasks, t.trace, "a", 1ms)));
  ASSERT_TRUE(scope.spawn(nests(t.tasks, t.trace, "b", 1ms)));
  t.turn();
  scope.cancel();
  EXPECT_EQ(t.trace, "inner inner ~inner ~a ~inner ~b");
  scope.cancel();
}

TEST(TaskScope, cancels_one_and_leaves_the_others) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto a = scope.spawn(sleeps(t.tasks, t.trace, "a", 1ms));
  const auto b = scope.spawn(sleeps(t.tasks, t.trace, "b", 1ms));
  const auto c = scope.spawn(sleeps(t.tasks, t.trace, "c", 1ms));
  t.turn();
  EXPECT_TRUE(scope.cancel(*b));
  EXPECT_EQ(scope.size(), 2U);
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "a b c ~b a! ~a c! ~c");
  EXPECT_FALSE(scope.cancel(*a));
  EXPECT_FALSE(scope.cancel(*c));
  TaskScope other(t.tasks);
  EXPECT_FALSE(other.cancel(*a));
}

TEST(TaskScope, a_task_that_cancels_itself_runs_on_until_it_waits) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto body = [&](Tasks& tasks) -> Task<> {
    const Guard guard(t.trace, "a");
    scope.cancel();
    scope.cancel();
    t.trace.add("on");
    (void)co_await nests(tasks, t.trace, "b", 1ms);  // does not begin
    t.trace.add("never");
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn(2);
  EXPECT_EQ(t.trace, "on ~a");
}

TEST(TaskScope, a_task_that_cancels_itself_and_then_ends_ends_once) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto body = [&](Tasks& /*tasks*/) -> Task<> {
    const Guard guard(t.trace, "a");
    scope.cancel();
    co_return;
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn(2);
  EXPECT_EQ(t.trace, "~a");
}

TEST(TaskScope, ended_by_a_task_of_its_own_the_rest_is_cancelled_at_once_and_that_one_later) {
  SmallTaskLoop t;
  std::optional<TaskScope> scope;
  scope.emplace(t.tasks);
  const auto body = [&](Tasks& /*tasks*/) -> Task<> {
    const Guard guard(t.trace, "a");
    scope.reset();
    t.trace.add("on");
    co_await yield();
    t.trace.add("never");
  };
  ASSERT_TRUE(scope->spawn(sleeps(t.tasks, t.trace, "b", 1ms)));
  ASSERT_TRUE(scope->spawn(body(t.tasks)));
  t.turn();
  EXPECT_EQ(t.trace, "b ~b on ~a");
}

TEST(TaskScope, ended_by_a_task_of_its_own_that_ends_at_once) {
  SmallTaskLoop t;
  std::optional<TaskScope> scope;
  scope.emplace(t.tasks);
  const auto body = [&](Tasks& /*tasks*/) -> Task<> {
    scope.reset();
    co_return;
  };
  ASSERT_TRUE(scope->spawn(body(t.tasks)));
  t.turn();
  EXPECT_EQ(t.frames(), 0U);
}

TEST(TaskScope, within_a_task_that_is_cancelled_ends_with_it) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto parent = [&](Tasks& tasks) -> Task<> {
    const Guard guard(t.trace, "parent");
    TaskScope children(tasks);
    (void)children.spawn(sleeps(tasks, t.trace, "c", 1ms));
    (void)children.spawn(nests(tasks, t.trace, "d", 1ms));
    (void)co_await sleep_for(5ms);
  };
  ASSERT_TRUE(scope.spawn(parent(t.tasks)));
  t.turn(2);
  scope.cancel();
  EXPECT_EQ(t.trace, "c inner ~c ~inner ~d ~parent");
}

TEST(TaskScope, leaving_its_block_cancels_also_what_was_cancelled_before) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto parent = [&](Tasks& tasks) -> Task<> {
    {
      TaskScope children(tasks);
      (void)children.spawn(sleeps(tasks, t.trace, "c", 1ms));
      (void)children.spawn(sleeps(tasks, t.trace, "d", 1ms));
      co_await yield();
      children.cancel();
      t.trace.add("cancelled");
    }
    t.trace.add("left");
    co_return;
  };
  ASSERT_TRUE(scope.spawn(parent(t.tasks)));
  t.turn(2);
  EXPECT_EQ(t.trace, "c d cancelled ~c ~d left");
}

TEST(TaskScope, destructors_may_cancel_and_spawn) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  TaskScope others(t.tasks);
  struct Meddler {
    TaskScope& scope;
    TaskScope& others;
    Tasks& tasks;
    Trace& trace;
    ~Meddler() {
      scope.cancel();
      others.cancel();
      EXPECT_TRUE(others.spawn(sleeps(tasks, trace, "late", 1ms)));
    }
  };
  const auto body = [&](Tasks& tasks) -> Task<> {
    const Meddler meddler{scope, others, tasks, t.trace};
    (void)co_await sleep_for(forever);
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  ASSERT_TRUE(scope.spawn(sleeps(t.tasks, t.trace, "a", 1ms)));
  ASSERT_TRUE(others.spawn(sleeps(t.tasks, t.trace, "b", 1ms)));
  t.turn();
  scope.cancel();
  EXPECT_EQ(t.trace, "a b ~a ~b");
  EXPECT_TRUE(scope.empty());
  EXPECT_EQ(others.size(), 1U);
}

TEST(TaskScope, a_task_that_was_spawned_and_cancelled_never_begins) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  Note post(t.trace, "post");
  ASSERT_TRUE(scope.spawn(sleeps(t.tasks, t.trace, "a", 1ms)));
  ASSERT_TRUE(t.loop.post(post));
  scope.cancel();
  ASSERT_TRUE(scope.spawn(sleeps(t.tasks, t.trace, "b", 1ms)));
  t.turn();
  EXPECT_EQ(t.trace, "b post");  // in the place of a: the notice was in the queue already
}

// --- Waiting for children ----------------------------------------------------------------------

TEST(TaskScope, join_waits_for_all_and_tells_the_first_error) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto fails = [&](Tasks& /*tasks*/, int error, Duration time) -> Task<Result<void>> {
    (void)co_await sleep_for(time);
    co_return fail(error, "it is broken");
  };
  const auto parent = [&](Tasks& tasks) -> Task<> {
    TaskScope children(tasks);
    EXPECT_TRUE(co_await children.join());  // of nothing
    (void)children.spawn(fails(tasks, EIO, 2ms));
    (void)children.spawn(fails(tasks, EINVAL, 1ms));
    (void)children.spawn(sleeps(tasks, t.trace, "c", 3ms));
    const auto joined = co_await children.join();
    t.trace.add(joined ? 0 : joined.error().number);
    EXPECT_TRUE(co_await children.join());  // it was told
  };
  ASSERT_TRUE(scope.spawn(parent(t.tasks)));
  t.turn(2);
  t.turn_after(1ms);
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "c");
  t.turn_after(1ms, 2);
  EXPECT_EQ(t.trace, "c c! ~c " + std::to_string(EINVAL));
}

TEST(TaskScope, join_goes_on_when_the_rest_is_cancelled_or_the_time_is_up) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  TaskScope joiners(t.tasks);
  const auto joins = [&](Tasks& /*tasks*/, std::string_view name, Deadline deadline) -> Task<> {
    const auto joined = co_await scope.join(deadline);
    t.trace.add(name, joined ? 0 : joined.error().number == ETIMEDOUT ? 1 : 2);
  };
  ASSERT_TRUE(scope.spawn(sleeps(t.tasks, t.trace, "a", 1h)));
  ASSERT_TRUE(joiners.spawn(joins(t.tasks, "j", {})));
  ASSERT_TRUE(joiners.spawn(joins(t.tasks, "k", 1ms)));
  ASSERT_TRUE(joiners.spawn(joins(t.tasks, "l", {})));
  t.turn();
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "a k1");
  scope.cancel();
  t.turn();
  EXPECT_EQ(t.trace, "a k1 ~a j0 l0");
}

TEST(TaskScope, cancel_and_join_in_a_task_waits_until_they_are_gone) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto parent = [&](Tasks& tasks) -> Task<> {
    TaskScope children(tasks);
    (void)children.spawn(sleeps(tasks, t.trace, "a", 1h));
    co_await yield();
    children.cancel();
    (void)co_await children.join();
    t.trace.add("joined");
  };
  ASSERT_TRUE(scope.spawn(parent(t.tasks)));
  t.turn();
  EXPECT_EQ(t.trace, "a ~a joined");
}

// --- Groups ------------------------------------------------------------------------------------

Task<int> returns(Tasks& /*tasks*/, Trace& trace, int value, Duration time) {
  const Guard guard(trace, "r");
  trace.add("+", value);
  if (time > 0ns) {
    (void)co_await sleep_for(time);
  }
  trace.add("-", value);
  co_return value;
}

TEST(WhenAll, begins_in_order_and_waits_for_the_last) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto body = [&](Tasks& tasks) -> Task<> {
    const auto all =
        co_await when_all(returns(tasks, t.trace, 1, 2ms), returns(tasks, t.trace, 2, 0ns),
                          returns(tasks, t.trace, 3, 1ms));
    t.trace.add(*std::get<0>(all), *std::get<1>(all), *std::get<2>(all));
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn();
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "+1 +2 -2 ~r +3 -3 ~r");
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "+1 +2 -2 ~r +3 -3 ~r -1 ~r 123");
}

TEST(WhenAll, of_tasks_that_need_not_wait_does_not_wait) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto body = [&](Tasks& tasks) -> Task<> {
    const auto all =
        co_await when_all(returns(tasks, t.trace, 1, 0ns), returns(tasks, t.trace, 2, 0ns));
    t.trace.add(*std::get<0>(all) + *std::get<1>(all));
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn();
  EXPECT_EQ(t.trace, "+1 -1 ~r +2 -2 ~r 3");
  EXPECT_EQ(t.tasks.statistics().resumed, 1U);
}

TEST(WhenAll, groups_nest) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto pair = [&](Tasks& tasks, int value) -> Task<int> {
    const auto all = co_await when_all(returns(tasks, t.trace, value, 1ms),
                                       returns(tasks, t.trace, value + 1, 0ns));
    co_return *std::get<0>(all) + *std::get<1>(all);
  };
  const auto body = [&](Tasks& tasks) -> Task<> {
    const auto all =
        co_await when_all(pair(tasks, 1), returns(tasks, t.trace, 5, 0ns), pair(tasks, 7));
    t.trace.add(*std::get<0>(all) + *std::get<2>(all));
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn();
  EXPECT_EQ(t.trace, "+1 +2 -2 ~r +5 -5 ~r +7 +8 -8 ~r");
  t.trace.clear();
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "-1 ~r -7 ~r 18");
}

TEST(WhenAny, takes_the_first_and_cancels_the_others) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto body = [&](Tasks& tasks) -> Task<> {
    const auto any =
        co_await when_any(returns(tasks, t.trace, 1, 2ms), returns(tasks, t.trace, 2, 1ms),
                          nests(tasks, t.trace, "n", 1ms));
    t.trace.add("index", any.index(), "=", **std::get_if<1>(&any));
    EXPECT_EQ(t.frames(), 1U);
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn();
  t.turn_after(1ms, 2);
  EXPECT_EQ(t.trace, "+1 +2 inner -2 ~r ~r ~inner ~n index1=2");
}

TEST(WhenAny, those_behind_one_that_ends_at_once_do_not_begin) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto body = [&](Tasks& tasks) -> Task<> {
    const auto any =
        co_await when_any(returns(tasks, t.trace, 1, 1ms), returns(tasks, t.trace, 2, 0ns),
                          returns(tasks, t.trace, 3, 0ns));
    t.trace.add("index", any.index());
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn();
  EXPECT_EQ(t.trace, "+1 +2 -2 ~r ~r index1");
  EXPECT_EQ(t.frames(), 0U);
}

TEST(WhenAny, within_groups_leaves_the_outer_ones_in_order) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto first = [&](Tasks& tasks) -> Task<int> {
    const auto any =
        co_await when_any(returns(tasks, t.trace, 1, 0ns), returns(tasks, t.trace, 2, 0ns));
    co_return static_cast<int>(any.index());
  };
  const auto body = [&](Tasks& tasks) -> Task<> {
    const auto all = co_await when_all(first(tasks), returns(tasks, t.trace, 3, 0ns));
    t.trace.add("all", *std::get<0>(all), *std::get<1>(all));
    const auto any = co_await when_any(first(tasks), returns(tasks, t.trace, 4, 0ns));
    t.trace.add("any", any.index());
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn();
  EXPECT_EQ(t.trace, "+1 -1 ~r +3 -3 ~r all03 +1 -1 ~r any0");
}

TEST(WhenAny, a_loser_that_is_ready_in_the_same_batch_does_not_go_on) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const Pair pipe = make_pipe();
  TaskFd fd;
  ASSERT_TRUE(fd.open(t.loop, pipe.near.get()));
  const auto reads = [&](Tasks& /*tasks*/) -> Task<> {
    (void)co_await fd.readable();
    t.trace.add("read");
  };
  const auto body = [&](Tasks& tasks) -> Task<> {
    (void)co_await when_any(sleeps(tasks, t.trace, "s", 1ms), reads(tasks));
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn();
  put(pipe.far, "x");
  t.turn_after(1ms, 2);
  EXPECT_EQ(t.trace, "s s! ~s");
}

TEST(Within, gives_the_result_or_cancels_and_says_so) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  const auto body = [&](Tasks& tasks) -> Task<> {
    const auto soon = co_await within(2ms, returns(tasks, t.trace, 1, 1ms));
    t.trace.add(*soon);
    const auto late = co_await within(2ms, returns(tasks, t.trace, 2, 3ms));
    t.trace.add(late.error().number == ETIMEDOUT ? "late" : "?");
    const auto at_once = co_await within(1ms, returns(tasks, t.trace, 3, 0ns));
    t.trace.add(*at_once);
    // The limit and the end are due at the same time, and the limit was set first.
    const auto same = co_await within(2ms, returns(tasks, t.trace, 4, 2ms));
    t.trace.add(same ? "?" : "late");
    EXPECT_EQ(t.frames(), 1U);
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn();
  for (int i = 0; i < 10; ++i) {
    t.turn_after(1ms);
  }
  EXPECT_EQ(t.trace, "+1 -1 ~r 1 +2 ~r late +3 -3 ~r 3 +4 ~r late");
}

TEST(Within, an_expired_limit_of_a_task_that_is_ready_in_the_same_batch) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  TaskChannel<int, 2> channel;
  const auto receives = [&](Tasks& /*tasks*/) -> Task<int> {
    const auto got = co_await channel.receive();
    t.trace.add("got", *got);
    co_return *got;
  };
  const auto body = [&](Tasks& tasks) -> Task<> {
    const auto got = co_await within(1ms, receives(tasks));
    t.trace.add(got ? "?" : "late");
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn();
  // Its timer is in the queue when the element is sent, from an urgent handler.
  On sends{[&](const Message&) { EXPECT_TRUE(channel.try_send(5)); }};
  ASSERT_TRUE(t.loop.post(sends, at(urgent)));
  t.turn_after(1ms, 2);
  EXPECT_EQ(t.trace, "late");
  EXPECT_EQ(channel.try_receive(), 5);  // not lost with who was promised it
}

// --- The end of the loop -----------------------------------------------------------------------

TEST(TaskScope, tasks_are_ended_by_at_quit_or_with_their_scope) {
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  TaskScope left(t.tasks);
  On closes{[&](const Message&) { scope.cancel(); }};
  ASSERT_TRUE(t.loop.at_quit(closes));
  const auto quits = [&](Tasks& /*tasks*/) -> Task<> {
    (void)co_await sleep_for(1ms);
    t.loop.quit(3);
    (void)co_await sleep_for(1ms);
    t.trace.add("never");
  };
  ASSERT_TRUE(scope.spawn(quits(t.tasks)));
  ASSERT_TRUE(left.spawn(sleeps(t.tasks, t.trace, "a", 1h)));
  const auto exit = t.loop.run();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->status, 3);
  EXPECT_TRUE(scope.empty());
  EXPECT_EQ(t.trace, "a");
}

// --- At random ---------------------------------------------------------------------------------

/// Tasks that spawn, wait, time out, cancel each other and themselves, as a seed says: what is left
/// in the end is nothing, whatever happened.
struct Chaos {
  explicit Chaos(std::uint32_t seed) : random(seed) {}
  std::uint32_t next(std::uint32_t below) {
    random = random * 1664525U + 1013904223U;
    return (random >> 8U) % below;
  }
  SmallTaskLoop t;
  std::uint32_t random;
  TaskChannel<int, 2> channel;
  std::array<std::optional<TaskScope>, 3> scopes;
  std::vector<TaskId> ids;
  int living = 0;
};

class Living {
 public:
  explicit Living(int& count) : count_(count) { ++count_; }
  Living(const Living&) = delete;
  Living& operator=(const Living&) = delete;
  ~Living() { --count_; }

 private:
  int& count_;
};

// NOLINTNEXTLINE(misc-no-recursion): its frames are in the pool
Task<int> meddles(Tasks& tasks, Chaos& chaos, int depth) {
  const Living living(chaos.living);
  TaskScope own(tasks);
  for (int i = 0; i < 6; ++i) {
    const auto time = Duration(chaos.next(4) * 1000000);
    const auto what = chaos.next(12);
    TaskScope& scope = what % 2 == 0 ? own : *chaos.scopes[chaos.next(3)];
    if (what < 2) {
      (void)co_await sleep_for(time);
    } else if (what < 4 && depth > 0) {
      if (const auto id = scope.spawn(meddles(tasks, chaos, depth - 1))) {
        chaos.ids.push_back(*id);
      }
    } else if (what == 4 && depth > 0) {
      (void)co_await when_any(meddles(tasks, chaos, depth - 1), meddles(tasks, chaos, depth - 1));
    } else if (what == 5 && depth > 0) {
      (void)co_await when_all(meddles(tasks, chaos, depth - 1), meddles(tasks, chaos, depth - 1));
    } else if (what == 6 && depth > 0) {
      (void)co_await within(time, meddles(tasks, chaos, depth - 1));
    } else if (what == 7) {
      (void)co_await chaos.channel.send(i, time);
    } else if (what == 8) {
      (void)co_await chaos.channel.receive(time);
    } else if (what == 9 && !chaos.ids.empty()) {
      (void)scope.cancel(chaos.ids[chaos.next(static_cast<std::uint32_t>(chaos.ids.size()))]);
    } else if (what == 10 && chaos.next(4) == 0) {
      chaos.scopes[chaos.next(3)]->cancel();
    } else {
      (void)co_await own.join(time);
    }
  }
  co_return depth;
}

TEST(TaskScope, whatever_happens_nothing_is_left) {
  std::uint64_t resumed = 0;
  std::uint64_t refused = 0;
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    Chaos chaos(seed);
    for (auto& scope : chaos.scopes) {
      scope.emplace(chaos.t.tasks);
      EXPECT_TRUE(scope->spawn(meddles(chaos.t.tasks, chaos, 3)));
    }
    for (int i = 0; i < 60; ++i) {
      chaos.t.turn_after(Duration(chaos.next(2) * 1000000));
      if (i == 30) {
        chaos.scopes[chaos.next(3)]->cancel();
      }
    }
    for (auto& scope : chaos.scopes) {
      scope.reset();
    }
    EXPECT_EQ(chaos.living, 0) << seed;
    EXPECT_EQ(chaos.t.frames(), 0U) << seed;
    resumed += chaos.t.tasks.statistics().resumed;
    refused += chaos.t.tasks.statistics().refused;
  }
  EXPECT_GT(resumed, 5000U);
  EXPECT_GT(refused, 0U);  // the pool was full at times, too
}

// --- From destructors --------------------------------------------------------------------------

struct Cancels {
  TaskScope& scope;
  ~Cancels() { scope.cancel(); }
};

Task<> cancels_when_it_ends(Tasks& /*tasks*/, TaskScope& scope) {
  const Cancels cancels{scope};
  (void)co_await sleep_for(forever);
}

Task<> owns_a_child(Tasks& tasks, TaskScope& above, TaskScope*& own) {
  TaskScope scope(tasks);
  own = &scope;
  (void)scope.spawn(cancels_when_it_ends(tasks, above));
  (void)co_await scope.join();
}

TEST(TaskScope, a_destructor_may_cancel_the_scope_above_the_one_that_is_cancelled) {
  SmallTaskLoop t;
  TaskScope above(t.tasks);
  TaskScope* own = nullptr;
  ASSERT_TRUE(above.spawn(owns_a_child(t.tasks, above, own)));
  t.turn(3);
  ASSERT_NE(own, nullptr);
  EXPECT_EQ(t.frames(), 2U);
  On cancelling{[&](const Message&) { own->cancel(); }};
  ASSERT_TRUE(t.loop.post(cancelling));
  t.turn();
  EXPECT_EQ(t.frames(), 0U);
}

}  // namespace
}  // namespace millrace::test
