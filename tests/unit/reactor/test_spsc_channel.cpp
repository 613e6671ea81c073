// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <optional>
#include <thread>
#include <vector>

#include "firmware/reactor/spsc_channel.hpp"
#include "tests/support/kernel.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/sequential_consistency.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

class SpscChannelOf : public ::testing::Test {
 protected:
  Loop<Epoll> loop;
  Trace trace;
};

TEST_F(SpscChannelOf, what_is_pushed_before_the_handler_runs_comes_in_one_call_and_in_order) {
  SpscChannel<int, 4> channel;
  On popping{[&](const Message& message) {
    EXPECT_EQ(message.kind, MessageKind::notice);
    trace.add("[");
    while (const auto element = channel.pop()) {
      trace.add(*element);
    }
    trace.add("]");
  }};
  ASSERT_TRUE(channel.open(loop, popping));
  EXPECT_TRUE(channel.push(1));
  EXPECT_TRUE(channel.push(2));
  loop.turn_now();
  EXPECT_TRUE(channel.push(3));
  loop.turn_now(2);
  EXPECT_EQ(trace, "[ 1 2 ] [ 3 ]");
}

TEST_F(SpscChannelOf, a_full_one_refuses_and_counts) {
  SpscChannel<int, 2> channel;
  On nothing{[](const Message&) {}};
  ASSERT_TRUE(channel.open(loop, nothing));
  EXPECT_TRUE(channel.push(1));
  EXPECT_TRUE(channel.push(2));
  EXPECT_FALSE(channel.push(3));
  EXPECT_EQ(channel.refused(), 1U);
  EXPECT_EQ(channel.pop(), 1);
  EXPECT_TRUE(channel.push(4));
  EXPECT_EQ(channel.pop(), 2);
  EXPECT_EQ(channel.pop(), 4);
  EXPECT_EQ(channel.pop(), std::nullopt);
}

TEST_F(SpscChannelOf, a_handler_that_leaves_elements_is_called_again_if_it_announces) {
  SpscChannel<int, 4> channel;
  On one_each{[&](const Message&) {
    if (const auto element = channel.pop()) {
      trace.add(*element);
      channel.announce();
    } else {
      trace.add("none");
    }
  }};
  ASSERT_TRUE(channel.open(loop, one_each));
  EXPECT_TRUE(channel.push(1));
  EXPECT_TRUE(channel.push(2));
  loop.turn_now();
  EXPECT_EQ(trace, "1 2 none");
}

TEST_F(SpscChannelOf, a_closed_one_calls_nobody_and_can_be_opened_once_more) {
  SpscChannel<int, 4> channel;
  On note{[&](const Message&) { trace.add("called"); }};
  ASSERT_TRUE(channel.open(loop, note));
  EXPECT_EQ(channel.open(loop, note).error().number, EALREADY);
  EXPECT_TRUE(channel.push(1));
  channel.close();
  loop.turn_now();
  EXPECT_EQ(trace, "");
  EXPECT_EQ(loop.statistics().notifiers, 0U);
  EXPECT_TRUE(channel.open(loop, note));
}

TEST_F(SpscChannelOf, what_was_left_in_a_closed_one_is_announced_when_it_is_opened) {
  SpscChannel<int, 4> channel;
  On popping{[&](const Message&) {
    while (const auto element = channel.pop()) {
      trace.add(*element);
    }
  }};
  ASSERT_TRUE(channel.open(loop, popping));
  EXPECT_TRUE(channel.push(1));
  channel.close();
  loop.turn_now();
  ASSERT_TRUE(channel.open(loop, popping));
  loop.turn_now();
  EXPECT_TRUE(channel.push(2));
  loop.turn_now();
  EXPECT_EQ(trace, "1 2");
}

TEST_F(SpscChannelOf, a_reactor_without_a_free_notifier_cannot_be_opened) {
  On note{[&](const Message&) { trace.add("called"); }};
  std::vector<NotifierId> notifiers;
  while (const auto id = loop.add_notifier(note)) {
    notifiers.push_back(*id);
  }
  SpscChannel<int, 4> channel;
  const auto opened = channel.open(loop, note);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().number, ENOSPC);
  ASSERT_FALSE(notifiers.empty());
  loop.remove_notifier(notifiers.back());
  EXPECT_TRUE(channel.open(loop, note)) << "it was not half open";
}

// The writer pushes as soon as there is nothing left, and the reader takes a while, another one
// each time, to look for more: so some come between its finding none and its asking to be called.
TEST(SpscChannelOfThreads, what_comes_while_the_reader_gives_up_is_popped_or_announced) {
  static constexpr std::uint32_t count = 100'000;
  Loop<Epoll> loop;
  SpscChannel<std::uint32_t, 8> channel;
  std::atomic<std::uint32_t> pushed = 0;
  std::atomic<bool> given_up = false;
  std::uint32_t received = 0;
  On on_elements{[&](const Message&) {
    while (const auto element = channel.pop()) {
      EXPECT_EQ(*element, received);
      ++received;
      for (std::uint32_t wait = received % 64; wait > 0; --wait) {
        (void)pushed.load();
      }
    }
  }};
  ASSERT_TRUE(channel.open(loop, on_elements));
  std::thread writer([&] {
    for (std::uint32_t n = 0; n < count && !given_up; ++n) {
      for (int looks = 1; channel.size() > 0 && !given_up; ++looks) {
        if (looks % 1024 == 0) {
          std::this_thread::yield();  // to a reader on the same processor
        }
      }
      EXPECT_TRUE(channel.push(n));
      pushed = n + 1;
    }
  });
  while (received < count && !given_up) {
    const std::uint32_t to_come = pushed;
    loop.turn_now();
    if (received < to_come) {
      ADD_FAILURE() << "nobody is called for " << received;
      given_up = true;
    }
    if (received == pushed) {
      std::this_thread::yield();
    }
  }
  writer.join();
  EXPECT_EQ(received, count);
  EXPECT_EQ(channel.pop(), std::nullopt);
  EXPECT_EQ(channel.refused(), 0U);
}

// Two loops on two threads hand numbers to and fro: whatever is lost, or not woken for, hangs it.
TEST(SpscChannelOfThreads, two_reactors_pass_every_element_in_order_and_sleep_in_between) {
  if (!keeps_sequential_consistency()) {
    GTEST_SKIP()
        << "this emulator lets a sequentially consistent load overtake the store before it";
  }
  static constexpr std::uint32_t count = 200'000;
  Loop<Epoll> here;
  Loop<Epoll> there;
  SpscChannel<std::uint32_t, 8> requests;
  SpscChannel<std::uint32_t, 8> answers;
  std::uint32_t sent = 0;
  std::uint32_t received = 0;
  const auto fill = [&] {
    // A single one each second time, so that the other loop is about to fall asleep.
    const std::uint32_t ahead = received % 2 == 0 ? 1 : 8;
    while (sent < count && sent - received < ahead && requests.push(sent)) {
      ++sent;
    }
  };
  On on_answers{[&](const Message&) {
    while (const auto answer = answers.pop()) {
      ASSERT_EQ(*answer, received);
      ++received;
    }
    if (received == count) {
      here.quit();
    }
    fill();
  }};
  On on_requests{[&](const Message&) {
    while (const auto request = requests.pop()) {
      ASSERT_TRUE(answers.push(*request));
      if (*request == count - 1) {
        there.quit();
      }
    }
  }};
  ASSERT_TRUE(answers.open(here, on_answers));
  ASSERT_TRUE(requests.open(there, on_requests));
  fill();
  std::thread other([&] { EXPECT_TRUE(there.run()); });
  EXPECT_TRUE(here.run());
  other.join();
  EXPECT_EQ(received, count);
  EXPECT_EQ(requests.refused() + answers.refused(), 0U);
}

TEST(SpscChannelOfThreads, a_notifier_raised_by_two_threads_is_never_slept_through) {
  if (!keeps_sequential_consistency()) {
    GTEST_SKIP()
        << "this emulator lets a sequentially consistent load overtake the store before it";
  }
  static constexpr std::uint32_t count = 50'000;
  Loop<Epoll> loop;
  std::array<std::atomic<std::uint32_t>, 2> asked{};
  std::array<std::atomic<std::uint32_t>, 2> seen{};
  std::array<NotifierId, 2> ids;
  On on_notice{[&](const Message&) {
    for (std::size_t i = 0; i < 2; ++i) {
      seen[i] = asked[i].load();
    }
    if (seen[0] == count && seen[1] == count) {
      loop.quit();
    }
  }};
  for (NotifierId& id : ids) {
    id = *loop.add_notifier(on_notice);
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      for (std::uint32_t n = 1; n <= count; ++n) {
        asked[i] = n;
        loop.raise_from_any_thread(ids[i]);
        while (n % 4 != 0 && seen[i] != n) {
          std::this_thread::yield();
        }
      }
    });
  }
  EXPECT_TRUE(loop.run());
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST_F(SpscChannelOf, raising_a_notifier_that_is_gone_or_never_was_does_nothing) {
  On note{[&](const Message&) { trace.add("called"); }};
  const auto id = loop.add_notifier(note);
  loop.raise_from_any_thread(NotifierId{});
  loop.raise_from_any_thread({.index = 4711, .generation = 1});
  loop.raise_from_any_thread(*id);
  loop.remove_notifier(*id);
  ASSERT_TRUE(loop.add_notifier(note));
  loop.turn_now(2);
  EXPECT_EQ(trace, "");
}

}  // namespace
}  // namespace millrace::test
