// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "hal/pool.hpp"

namespace millrace {
namespace {

/// Counts how many there are, and tells if one is ended that was not made.
class Thing {
 public:
  explicit Thing(int value, int& alive) : value_(value), alive_(&alive) { ++*alive_; }
  Thing(const Thing&) = delete;
  Thing& operator=(const Thing&) = delete;
  ~Thing() {
    --*alive_;
    value_ = -1;
  }
  [[nodiscard]] int value() const { return value_; }

 private:
  int value_;
  int* alive_;
};

int value_of(const Thing* thing) { return thing ? thing->value() : -1; }

TEST(Pool, makes_as_many_as_it_says_and_then_tells_what_to_raise) {
  int alive = 0;
  Pool<Thing, 2> pool({.number = EMFILE, .what = "too many things", .remedy = "raise things"});
  EXPECT_EQ(pool.capacity(), 2U);
  const auto first = pool.make(1, alive);
  const auto second = pool.make(2, alive);
  ASSERT_TRUE(first && second);
  EXPECT_TRUE(pool.full());
  const auto third = pool.make(3, alive);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().number, EMFILE);
  EXPECT_EQ(std::string_view(third.error().remedy), "raise things");
  EXPECT_EQ(pool.refused(), 1U);
  EXPECT_EQ(alive, 2);
  EXPECT_TRUE(pool.drop(*first));
  EXPECT_EQ(alive, 1);
  EXPECT_TRUE(pool.make(4, alive));
  EXPECT_EQ(pool.high_water(), 2U);
}

TEST(Pool, finds_nothing_by_a_stale_handle) {
  int alive = 0;
  Pool<Thing, 1> pool;
  EXPECT_EQ(pool.find({}), nullptr);
  EXPECT_FALSE(pool.drop({}));
  const auto old = *pool.make(1, alive);
  EXPECT_EQ(value_of(pool.find(old)), 1);
  EXPECT_TRUE(pool.drop(old));
  EXPECT_EQ(pool.find(old), nullptr);
  EXPECT_FALSE(pool.drop(old));
  const auto current = *pool.make(2, alive);
  EXPECT_EQ(current.index, old.index);
  EXPECT_EQ(pool.find(old), nullptr);
  EXPECT_FALSE(pool.drop(old));
  EXPECT_EQ(value_of(std::as_const(pool).find(current)), 2);
  EXPECT_EQ(pool.find({.index = 7, .generation = 1}), nullptr);
  EXPECT_EQ(std::as_const(pool).find(old), nullptr);
  EXPECT_EQ(std::as_const(pool).find({.index = 7, .generation = 1}), nullptr);
}

TEST(Pool, ends_what_is_left_with_itself) {
  int alive = 0;
  {
    Pool<Thing, 4> pool;
    (void)pool.make(1, alive);
    (void)pool.make(2, alive);
    EXPECT_EQ(alive, 2);
  }
  EXPECT_EQ(alive, 0);
}

TEST(Pool, may_lose_any_object_while_it_calls_for_each) {
  int alive = 0;
  Pool<Thing, 4> pool;
  std::vector<Pool<Thing, 4>::Handle> handles;
  for (int i = 0; i < 4; ++i) {
    handles.push_back(*pool.make(i, alive));
  }
  std::vector<int> met;
  pool.for_each([&](Pool<Thing, 4>::Handle handle, const Thing& thing) {
    met.push_back(thing.value());
    pool.drop(handle);
    pool.drop(handles[2]);
  });
  EXPECT_EQ(met, (std::vector{0, 1, 3}));
  EXPECT_TRUE(pool.empty());
}

TEST(Pool, agrees_with_a_list_in_whatever_order) {
  constexpr std::size_t size = 13;
  int alive = 0;
  Pool<Thing, size> pool;
  std::vector<std::pair<Pool<Thing, size>::Handle, int>> list;
  std::vector<Pool<Thing, size>::Handle> gone;
  std::size_t high_water = 0;
  std::mt19937 random(1);
  for (int step = 0; step < 200'000; ++step) {
    if (random() % 2 == 0) {
      const auto made = pool.make(step, alive);
      ASSERT_EQ(made.has_value(), list.size() < size);
      if (made) {
        list.emplace_back(*made, step);
      }
    } else if (!list.empty()) {
      const std::size_t which = random() % list.size();
      ASSERT_TRUE(pool.drop(list[which].first));
      gone.push_back(list[which].first);
      list[which] = list.back();
      list.pop_back();
    }
    high_water = std::max(high_water, list.size());
    ASSERT_EQ(pool.size(), list.size());
    ASSERT_EQ(static_cast<std::size_t>(alive), list.size());
    for (const auto& [handle, value] : list) {
      ASSERT_EQ(value_of(pool.find(handle)), value);
    }
    if (!gone.empty()) {
      ASSERT_EQ(pool.find(gone[random() % gone.size()]), nullptr);
    }
  }
  EXPECT_EQ(pool.high_water(), high_water);
}

}  // namespace
}  // namespace millrace
