// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <gtest/gtest.h>
#include <sys/time.h>
#include <thread>
#include <vector>

#include "hal/mpsc_queue.hpp"

namespace millrace::hal::test {
namespace {

struct Item {
  std::uint32_t producer = 0;
  std::uint32_t number = 0;
  std::uint32_t check = 0;  ///< from the two above: a torn element is noticed
};
constexpr std::uint32_t check_of(std::uint32_t producer, std::uint32_t number) {
  return (producer << 24U) ^ number ^ 0xA5A5A5A5U;
}

template <std::size_t N>
struct Queue {
  std::array<MpscQueue<Item>::Cell, N> cells;
  MpscQueue<Item> queue{cells};

  bool push(std::uint32_t number, std::uint32_t producer = 0) {
    return queue.push(
        {.producer = producer, .number = number, .check = check_of(producer, number)});
  }
  std::uint32_t pop() {
    const std::uint32_t cell = queue.take();
    const std::uint32_t number = queue[cell].number;
    queue.release(cell);
    return number;
  }
};

TEST(MpscQueue, gives_back_what_was_pushed_in_order_lap_after_lap) {
  Queue<4> q;
  std::uint32_t pushed = 0;
  std::uint32_t popped = 0;
  EXPECT_TRUE(q.queue.empty());
  for (std::uint32_t lap = 0; lap < 1000; ++lap) {
    for (std::uint32_t i = 0; i <= lap % 4; ++i) {
      ASSERT_TRUE(q.push(pushed++));
    }
    while (!q.queue.empty()) {
      ASSERT_EQ(q.pop(), popped++);
    }
  }
  EXPECT_EQ(popped, pushed);
}

TEST(MpscQueue, refuses_when_every_cell_is_taken_and_accepts_again_after_one_release) {
  Queue<4> q;
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(q.push(i));
  }
  EXPECT_FALSE(q.push(4));
  EXPECT_FALSE(q.push(4));
  EXPECT_EQ(q.pop(), 0U);
  EXPECT_TRUE(q.push(5));
  EXPECT_FALSE(q.push(6));
  for (const std::uint32_t expected : {1U, 2U, 3U, 5U}) {
    EXPECT_EQ(q.pop(), expected);
  }
  EXPECT_TRUE(q.queue.empty());
}

TEST(MpscQueue, of_the_smallest_length_works) {
  Queue<2> q;
  for (std::uint32_t i = 0; i < 100; i += 2) {
    EXPECT_TRUE(q.push(i));
    EXPECT_TRUE(q.push(i + 1));
    EXPECT_FALSE(q.push(999));
    EXPECT_EQ(q.pop(), i);
    EXPECT_EQ(q.pop(), i + 1);
    EXPECT_TRUE(q.queue.empty());
  }
}

TEST(MpscQueue, keeps_elements_in_their_cells_until_they_are_released_in_any_order) {
  Queue<4> q;
  for (std::uint32_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(q.push(i));
  }
  std::array<std::uint32_t, 4> cells{};
  for (std::uint32_t& cell : cells) {
    cell = q.queue.take();
  }
  EXPECT_TRUE(q.queue.empty());
  q.queue.release(cells[2]);
  q.queue.release(cells[3]);
  EXPECT_FALSE(q.push(4)) << "the next cell in turn is still held";
  EXPECT_EQ(q.queue[cells[0]].number, 0U);
  EXPECT_EQ(q.queue[cells[1]].number, 1U);
  q.queue.release(cells[0]);
  EXPECT_TRUE(q.push(4));
  EXPECT_FALSE(q.push(5));
  EXPECT_EQ(q.queue[cells[1]].number, 1U);
  q.queue.release(cells[1]);
  EXPECT_TRUE(q.push(5));
  EXPECT_TRUE(q.push(6));
  for (const std::uint32_t expected : {4U, 5U, 6U}) {
    EXPECT_EQ(q.pop(), expected);
  }
}

TEST(MpscQueue, is_neither_idle_nor_has_anything_to_take_while_a_cell_is_being_filled) {
  Queue<4> q;
  EXPECT_TRUE(q.queue.idle());
  ASSERT_TRUE(q.queue.push_by([&](Item& item) {
    EXPECT_FALSE(q.queue.idle());
    EXPECT_TRUE(q.queue.empty());
    ASSERT_TRUE(q.push(2)) << "as by a signal handler";
    EXPECT_TRUE(q.queue.empty()) << "what was claimed first comes first";
    item = {.number = 1};
  }));
  EXPECT_FALSE(q.queue.idle());
  EXPECT_EQ(q.pop(), 1U);
  EXPECT_FALSE(q.queue.idle());
  EXPECT_EQ(q.pop(), 2U);
  EXPECT_TRUE(q.queue.idle());
}

// Takes all that `producers` threads push, holding some cells for a while as the loop does.
void exchange(std::uint32_t producers, std::uint32_t count) {
  static Queue<64> q;
  std::atomic<std::uint64_t> refused = 0;
  std::vector<std::thread> threads;
  for (std::uint32_t producer = 0; producer < producers; ++producer) {
    threads.emplace_back([&, producer] {
      for (std::uint32_t number = 0; number < count;) {
        if (q.push(number, producer)) {
          ++number;
        } else {
          refused.fetch_add(1, std::memory_order_relaxed);
          std::this_thread::yield();
        }
      }
    });
  }
  std::vector<std::uint32_t> next(producers);
  std::vector<std::uint32_t> held;
  for (std::uint64_t taken = 0; taken < std::uint64_t{producers} * count;) {
    if (q.queue.empty()) {
      std::this_thread::yield();
    } else {
      const std::uint32_t cell = q.queue.take();
      const Item item = q.queue[cell];
      EXPECT_EQ(item.check, check_of(item.producer, item.number));
      EXPECT_EQ(item.number, next.at(item.producer)++);
      held.push_back(cell);
      ++taken;
    }
    if (held.size() > taken % 7) {
      for (; !held.empty(); held.pop_back()) {
        q.queue.release(held.back());
      }
    }
  }
  for (const std::uint32_t cell : held) {
    q.queue.release(cell);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_TRUE(q.queue.empty());
}

TEST(MpscQueue, loses_tears_and_reorders_nothing_from_one_thread) { exchange(1, 200'000); }
TEST(MpscQueue, loses_tears_and_reorders_nothing_from_four_threads) { exchange(4, 50'000); }

Queue<8>* signalled_queue = nullptr;
std::uint32_t pushed_by_signal = 0;
void push_from_signal_handler(int /*signal*/) {
  if (signalled_queue->push(pushed_by_signal, 1)) {
    ++pushed_by_signal;
  }
}

TEST(MpscQueue, takes_a_push_from_a_signal_handler_that_interrupts_a_push) {
  Queue<8> q;
  signalled_queue = &q;
  pushed_by_signal = 0;
  struct sigaction action{};
  struct sigaction old{};
  action.sa_handler = push_from_signal_handler;
  ::sigaction(SIGALRM, &action, &old);
  const itimerval often{.it_interval = {.tv_sec = 0, .tv_usec = 50},
                        .it_value = {.tv_sec = 0, .tv_usec = 50}};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  std::array<std::uint32_t, 2> next{};
  std::uint32_t pushed = 0;
  while (next[1] < 200) {
    if (q.push(pushed, 0)) {
      ++pushed;
    }
    while (!q.queue.empty()) {
      const std::uint32_t cell = q.queue.take();
      const Item item = q.queue[cell];
      q.queue.release(cell);
      ASSERT_EQ(item.number, next.at(item.producer)++);
    }
  }
  const itimerval off{};
  ::setitimer(ITIMER_REAL, &off, nullptr);
  ::sigaction(SIGALRM, &old, nullptr);
  EXPECT_GT(next[0], 200U);
}

}  // namespace
}  // namespace millrace::hal::test
