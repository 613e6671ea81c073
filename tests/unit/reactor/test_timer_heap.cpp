// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cstdint>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "firmware/reactor/timer_heap.hpp"

namespace millrace::test {
namespace {

template <std::size_t N>
struct Heap {
  std::array<TimerHeap::Entry, N + TimerHeap::padding> entries;
  std::array<std::uint32_t, N> positions;
  TimerHeap heap{entries, positions};
};

// A list of (deadline, order of arming), kept sorted by the standard library.
class Model {
 public:
  void insert(std::uint32_t timer, Instant deadline) {
    erase(timer);
    keys_[timer] = {deadline, next_order_++};
    sorted_[keys_[timer]] = timer;
  }
  void erase(std::uint32_t timer) {
    if (const auto key = keys_.find(timer); key != keys_.end()) {
      sorted_.erase(key->second);
      keys_.erase(key);
    }
  }
  [[nodiscard]] bool contains(std::uint32_t timer) const { return keys_.contains(timer); }
  [[nodiscard]] std::size_t size() const { return keys_.size(); }
  [[nodiscard]] std::pair<Instant, std::uint32_t> front() const {
    return {sorted_.begin()->first.first, sorted_.begin()->second};
  }

 private:
  using Key = std::pair<Instant, std::uint64_t>;
  std::map<std::uint32_t, Key> keys_;
  std::map<Key, std::uint32_t> sorted_;
  std::uint64_t next_order_ = 0;
};

class TimerHeapOf : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(TimerHeapOf, any_size_agrees_with_the_model_after_each_of_100000_operations) {
  const std::uint32_t timers = GetParam();
  std::vector<TimerHeap::Entry> entries(timers + TimerHeap::padding);
  std::vector<std::uint32_t> positions(timers);
  TimerHeap heap(entries, positions);
  Model model;
  std::mt19937 random(timers);  // the same each time
  const auto below = [&](std::uint32_t limit) {
    return std::uniform_int_distribution<std::uint32_t>(0, limit - 1)(random);
  };
  for (int i = 0; i < 100'000; ++i) {
    const std::uint32_t timer = below(timers);
    switch (below(4)) {
      case 0:
      case 1: {
        // Few different deadlines, so that many are equal.
        const Instant deadline(Duration(below(20)));
        heap.insert(timer, deadline);
        model.insert(timer, deadline);
        break;
      }
      case 2:
        heap.erase(timer);
        model.erase(timer);
        break;
      default:
        if (!heap.empty()) {
          const std::uint32_t first = heap.front().timer;
          heap.erase(first);
          model.erase(first);
        }
    }
    ASSERT_EQ(heap.size(), model.size());
    ASSERT_EQ(heap.empty(), model.size() == 0);
    ASSERT_EQ(heap.contains(timer), model.contains(timer));
    if (!heap.empty()) {
      ASSERT_EQ(std::pair(heap.front().deadline, heap.front().timer), model.front());
    }
  }
  while (!heap.empty()) {
    ASSERT_EQ(std::pair(heap.front().deadline, heap.front().timer), model.front());
    const std::uint32_t first = heap.front().timer;
    heap.erase(first);
    model.erase(first);
  }
  EXPECT_EQ(model.size(), 0U);
}
INSTANTIATE_TEST_SUITE_P(Sizes, TimerHeapOf, ::testing::Values(1U, 2U, 5U, 6U, 21U, 64U, 1000U));

TEST(TimerHeap, takes_the_earliest_and_the_latest_instant) {
  Heap<4> timers;
  timers.heap.insert(0, Instant::max());
  timers.heap.insert(1, Instant::min());
  timers.heap.insert(2, Instant());
  for (const std::uint32_t expected : {1U, 2U, 0U}) {
    EXPECT_EQ(timers.heap.front().timer, expected);
    timers.heap.erase(expected);
  }
  EXPECT_TRUE(timers.heap.empty());
}

TEST(TimerHeap, erasing_what_is_not_there_does_nothing) {
  Heap<4> timers;
  timers.heap.erase(3);
  timers.heap.insert(1, Instant());
  timers.heap.erase(3);
  EXPECT_EQ(timers.heap.size(), 1U);
  EXPECT_FALSE(timers.heap.contains(3));
}

TEST(TimerHeap, moving_the_deadline_of_one_puts_it_behind_its_equals) {
  Heap<4> timers;
  timers.heap.insert(0, Instant(Duration(5)));
  timers.heap.insert(1, Instant(Duration(5)));
  timers.heap.insert(0, Instant(Duration(5)));
  EXPECT_EQ(timers.heap.front().timer, 1U);
  EXPECT_EQ(timers.heap.size(), 2U);
}

}  // namespace
}  // namespace millrace::test
