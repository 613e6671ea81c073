// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <span>
#include <thread>

#include "hal/spsc_queue.hpp"

namespace millrace {
namespace {

TEST(SpscQueue, takes_as_many_values_as_it_says_and_gives_them_back_in_order) {
  SpscQueue<int, 3> queue;
  EXPECT_EQ(queue.capacity(), 3U);
  int next = 0;
  int expected = 0;
  for (int lap = 0; lap < 10; ++lap) {
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.front(), nullptr);
    int value = -1;
    EXPECT_FALSE(queue.pop(value));
    EXPECT_TRUE(queue.push(next++));
    EXPECT_TRUE(queue.push(next++));
    EXPECT_TRUE(queue.push(next++));
    EXPECT_TRUE(queue.full());
    EXPECT_FALSE(queue.push(-1));
    EXPECT_TRUE(queue.pop(value));
    EXPECT_EQ(value, expected++);
    ASSERT_NE(queue.front(), nullptr);
    EXPECT_EQ(*queue.front(), expected++);
    queue.pop();
    EXPECT_EQ(queue.size(), 1U);
    EXPECT_TRUE(queue.pop(value));
    EXPECT_EQ(value, expected++);
    queue.pop();  // of nothing
  }
}

TEST(SpscQueue, takes_and_gives_many_at_once) {
  SpscQueue<std::uint16_t, 5> queue;
  constexpr std::array<std::uint16_t, 4> some = {1, 2, 3, 4};
  std::array<std::uint16_t, 8> out{};
  for (int lap = 0; lap < 5; ++lap) {
    EXPECT_EQ(queue.push(some), 4U);
    EXPECT_EQ(queue.push(some), 1U);
    EXPECT_EQ(queue.pop(std::span(out).first(2)), 2U);
    EXPECT_EQ(queue.pop(out), 3U);
    EXPECT_EQ(out[0], 3U);
    EXPECT_EQ(out[1], 4U);
    EXPECT_EQ(out[2], 1U);
  }
}

TEST(SpscQueue, passes_values_between_threads_untorn) {
  struct Sample {
    std::uint64_t number;
    std::array<std::uint64_t, 5> copies;
  };
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  constexpr std::uint64_t length = 50'000;
#else
  constexpr std::uint64_t length = 250'000;
#endif
  const auto queue = std::make_unique<SpscQueue<Sample, 7>>();
  std::thread writer([&] {
    for (std::uint64_t i = 0; i < length; ++i) {
      Sample sample{.number = i, .copies = {}};
      sample.copies.fill(~i);
      while (!queue->push(sample)) {
        std::this_thread::yield();
      }
    }
  });
  std::size_t wrong = 0;
  for (std::uint64_t i = 0; i < length; ++i) {
    Sample sample{};
    while (!queue->pop(sample)) {
      std::this_thread::yield();
    }
    wrong += sample.number == i &&
                     std::ranges::all_of(sample.copies, [&](std::uint64_t c) { return c == ~i; })
                 ? 0U
                 : 1U;
  }
  writer.join();
  EXPECT_EQ(wrong, 0U);
}

}  // namespace
}  // namespace millrace
