// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>

#include "firmware/reactor/channel.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

// A level of one line: newer levels of the same line replace it, as long as it is not final.
struct Level {
  int line = 0;
  int value = 0;

  bool merge(const Level& newer) {
    if (newer.line != line) {
      return false;
    }
    value = newer.value;
    return true;
  }
};

// Pops all of a channel into a trace, each time it is called.
template <class ChannelType>
class Popping {
 public:
  Popping(Loop<Epoll>& loop, ChannelType& channel, Trace& trace)
      : channel_(channel), trace_(trace) {
    EXPECT_TRUE(channel.open(loop, Handler::to<&Popping::call>(*this)));
  }
  void call(const Message& message) {
    EXPECT_EQ(message.kind, MessageKind::notice);
    trace_.add("[");
    while (const auto element = channel_.pop()) {
      if constexpr (requires { element->line; }) {
        trace_.add(element->line, "=", element->value);
      } else {
        trace_.add(*element);
      }
    }
    trace_.add("]");
  }

 private:
  ChannelType& channel_;
  Trace& trace_;
};

class ChannelOf : public ::testing::Test {
 protected:
  Loop<Epoll> loop;
  Trace trace;
};

TEST_F(ChannelOf, refuse_tells_the_pusher_when_it_is_full_and_keeps_what_waits) {
  Channel<int, 3, Overflow::refuse> channel;
  Popping popping(loop, channel, trace);
  EXPECT_EQ(channel.push(1), Pushed::queued);
  EXPECT_EQ(channel.push(2), Pushed::queued);
  EXPECT_EQ(channel.push(3), Pushed::queued);
  EXPECT_EQ(channel.push(4), Pushed::refused);
  EXPECT_EQ(channel.push(5), Pushed::refused);
  EXPECT_EQ(channel.size(), 3U);
  loop.turn_now(2);
  EXPECT_EQ(trace, "[ 1 2 3 ]");
  EXPECT_EQ(channel.push(6), Pushed::queued);
  loop.turn_now();
  EXPECT_EQ(trace, "[ 1 2 3 ] [ 6 ]");
  EXPECT_EQ(channel.statistics().pushed, 4U);
  EXPECT_EQ(channel.statistics().refused, 2U);
  EXPECT_EQ(channel.statistics().dropped, 0U);
  EXPECT_EQ(channel.statistics().merged, 0U);
  EXPECT_EQ(channel.statistics().high_water, 3U);
}

TEST_F(ChannelOf, drop_oldest_makes_room_for_the_new_and_says_so) {
  Channel<int, 3, Overflow::drop_oldest> channel;
  Popping popping(loop, channel, trace);
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(channel.push(i), Pushed::queued);
  }
  for (int i = 4; i <= 8; ++i) {
    EXPECT_EQ(channel.push(i), Pushed::displaced);
  }
  loop.turn_now(2);
  EXPECT_EQ(trace, "[ 6 7 8 ]");
  EXPECT_EQ(channel.statistics().pushed, 8U);
  EXPECT_EQ(channel.statistics().dropped, 5U);
  EXPECT_EQ(channel.statistics().refused, 0U);
  EXPECT_EQ(channel.statistics().high_water, 3U);
}

TEST_F(ChannelOf, keep_latest_keeps_the_newest_only) {
  Channel<int, 1, Overflow::keep_latest> channel;
  Popping popping(loop, channel, trace);
  EXPECT_EQ(channel.push(1), Pushed::queued);
  EXPECT_EQ(channel.push(2), Pushed::displaced);
  EXPECT_EQ(channel.push(3), Pushed::displaced);
  loop.turn_now(2);
  EXPECT_EQ(trace, "[ 3 ]");
  EXPECT_EQ(channel.push(4), Pushed::queued);
  loop.turn_now();
  EXPECT_EQ(trace, "[ 3 ] [ 4 ]");
  EXPECT_EQ(channel.statistics().pushed, 4U);
  EXPECT_EQ(channel.statistics().dropped, 2U);
  EXPECT_EQ(channel.statistics().high_water, 1U);
}

TEST_F(ChannelOf, coalesce_merges_what_belongs_together_and_refuses_the_rest_when_full) {
  Channel<Level, 2, Overflow::coalesce> channel;
  Popping popping(loop, channel, trace);
  EXPECT_EQ(channel.push({.line = 1, .value = 10}), Pushed::queued);
  EXPECT_EQ(channel.push({.line = 2, .value = 20}), Pushed::queued);
  EXPECT_EQ(channel.push({.line = 1, .value = 11}), Pushed::merged);
  EXPECT_EQ(channel.push({.line = 3, .value = 30}), Pushed::refused);
  EXPECT_EQ(channel.push({.line = 2, .value = 21}), Pushed::merged);
  EXPECT_EQ(channel.push({.line = 1, .value = 12}), Pushed::merged);
  loop.turn_now(2);
  EXPECT_EQ(trace, "[ 1=12 2=21 ]");
  EXPECT_EQ(channel.push({.line = 1, .value = 13}), Pushed::queued);
  loop.turn_now();
  EXPECT_EQ(trace, "[ 1=12 2=21 ] [ 1=13 ]");
  EXPECT_EQ(channel.statistics().pushed, 3U);
  EXPECT_EQ(channel.statistics().merged, 3U);
  EXPECT_EQ(channel.statistics().refused, 1U);
  EXPECT_EQ(channel.statistics().dropped, 0U);
  EXPECT_EQ(channel.statistics().high_water, 2U);
}

// Merges only with the element right before it, as a run of bytes would.
struct Stretch {
  int last = 0;
  int length = 1;

  bool merge(const Stretch& newer) {
    if (newer.last != last + 1) {
      return false;
    }
    last = newer.last;
    ++length;
    return true;
  }
};

TEST_F(ChannelOf, coalesce_asks_the_newest_first_also_when_the_ring_has_wrapped) {
  Channel<Stretch, 3, Overflow::coalesce> channel;
  for (int lap = 0; lap < 5; ++lap) {
    EXPECT_EQ(channel.push({.last = 7}), Pushed::queued);
    EXPECT_EQ(channel.push({.last = 1}), Pushed::queued);
    EXPECT_EQ(channel.push({.last = 2}), Pushed::merged);
    EXPECT_EQ(channel.push({.last = 7}), Pushed::queued);
    EXPECT_EQ(channel.push({.last = 8}), Pushed::merged);  // with the newer of the two
    EXPECT_EQ(channel.pop()->length, 1);
    EXPECT_EQ(channel.pop()->length, 2);
    EXPECT_EQ(channel.pop()->length, 2);
    EXPECT_EQ(channel.push({.last = 50}), Pushed::queued);  // shifts the ring by one
    EXPECT_TRUE(channel.pop());
    EXPECT_FALSE(channel.pop());
  }
}

TEST_F(ChannelOf, any_policy_wakes_its_handler_once_however_much_is_pushed) {
  Channel<int, 100> channel;
  Popping popping(loop, channel, trace);
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(channel.push(i), Pushed::queued);
  }
  loop.turn_now(3);
  EXPECT_EQ(trace, "[ 0 1 2 3 4 ]");
  EXPECT_EQ(loop.statistics().queues[1].dispatched, 1U);
}

TEST_F(ChannelOf, elements_left_behind_wait_until_announced) {
  Channel<int, 8> channel;
  bool announce = true;
  On one{[&](const Message&) {
    trace.add(channel.pop().value_or(-1));
    if (announce && !channel.empty()) {
      channel.announce();
    }
  }};
  Note other(trace, "other");
  ASSERT_TRUE(channel.open(loop, one));
  for (int i = 1; i <= 3; ++i) {
    ASSERT_EQ(channel.push(i), Pushed::queued);
  }
  ASSERT_TRUE(loop.post(other));
  loop.turn_now();
  EXPECT_EQ(trace, "1 other 2 3");
  announce = false;
  ASSERT_EQ(channel.push(4), Pushed::queued);
  ASSERT_EQ(channel.push(5), Pushed::queued);
  loop.turn_now(2);
  EXPECT_EQ(trace, "1 other 2 3 4");
  EXPECT_EQ(channel.size(), 1U);
}

TEST_F(ChannelOf, a_merge_into_an_element_left_behind_announces_it) {
  Channel<Level, 2, Overflow::coalesce> channel;
  int calls = 0;
  On ignore{[&](const Message&) { ++calls; }};
  ASSERT_TRUE(channel.open(loop, ignore));
  EXPECT_EQ(channel.push({.line = 1}), Pushed::queued);
  loop.turn_now(2);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(channel.push({.line = 1}), Pushed::merged);
  loop.turn_now(2);
  EXPECT_EQ(calls, 2);
}

TEST_F(ChannelOf, a_priority_takes_its_place_in_that_queue) {
  Channel<int, 2> low;
  Channel<int, 2> high;
  Note low_note(trace, "low");
  Note high_note(trace, "high");
  ASSERT_TRUE(low.open(loop, low_note, background));
  ASSERT_TRUE(high.open(loop, high_note, urgent));
  ASSERT_EQ(low.push(1), Pushed::queued);
  ASSERT_EQ(high.push(1), Pushed::queued);
  loop.turn_now();
  EXPECT_EQ(trace, "high low");
}

TEST_F(ChannelOf, a_closed_channel_keeps_its_elements_and_tells_them_when_opened) {
  Channel<int, 4> channel;
  Note note(trace, "called");
  EXPECT_EQ(channel.push(1), Pushed::queued);
  ASSERT_TRUE(channel.open(loop, note));
  const auto again = channel.open(loop, note);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().number, EALREADY);
  loop.turn_now();
  EXPECT_EQ(trace, "called");
  EXPECT_EQ(channel.push(2), Pushed::queued);
  channel.close();
  channel.close();
  EXPECT_EQ(channel.push(3), Pushed::queued);
  loop.turn_now();
  EXPECT_EQ(trace, "called");
  EXPECT_EQ(loop.statistics().notifiers, 0U);
  ASSERT_TRUE(channel.open(loop, note));
  loop.turn_now();
  EXPECT_EQ(trace, "called called");
  EXPECT_EQ(channel.pop(), 1);
  EXPECT_EQ(channel.pop(), 2);
  EXPECT_EQ(channel.pop(), 3);
  EXPECT_EQ(channel.pop(), std::nullopt);
}

TEST_F(ChannelOf, a_reactor_without_a_free_notifier_cannot_be_opened) {
  Note note(trace, "x");
  while (loop.add_notifier(note)) {
  }
  Channel<int, 4> channel;
  const auto opened = channel.open(loop, note);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().number, ENOSPC);
}

}  // namespace
}  // namespace millrace::test
