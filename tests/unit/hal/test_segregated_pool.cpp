// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <span>
#include <vector>

#include "hal/segregated_pool.hpp"
#include "tests/support/coverage.hpp"

namespace millrace {
namespace {

/// What a block of `size` bytes takes from the memory.
constexpr std::size_t cost(std::size_t size) {
  return (size + SegregatedPool::overhead + SegregatedPool::alignment - 1) /
         SegregatedPool::alignment * SegregatedPool::alignment;
}

template <std::size_t Size>
struct Memory {
  alignas(SegregatedPool::alignment) std::array<std::byte, Size> bytes{};
};

TEST(SegregatedPool, refuses_everything_without_memory) {
  SegregatedPool pool;
  EXPECT_EQ(pool.allocate(1), nullptr);
  EXPECT_EQ(pool.allocate(0), nullptr);
  pool.release(nullptr);
  EXPECT_EQ(pool.statistics().refused, 2U);
  EXPECT_EQ(pool.statistics().capacity, 0U);

  std::array<std::byte, SegregatedPool::alignment - 1> too_little{};
  SegregatedPool tiny{too_little};
  EXPECT_EQ(tiny.allocate(1), nullptr);
}

TEST(SegregatedPool, blocks_are_aligned_apart_and_in_its_memory_wherever_that_begins) {
  Memory<1024> memory;
  for (std::size_t skip = 0; skip < SegregatedPool::alignment; ++skip) {
    const std::span given = std::span(memory.bytes).subspan(skip, 512);
    std::ranges::fill(memory.bytes, std::byte{0x77});
    SegregatedPool pool(given);
    for (std::size_t size = 0;; ++size) {
      auto* const block = static_cast<std::byte*>(pool.allocate(size));
      if (block == nullptr) {
        break;
      }
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % SegregatedPool::alignment, 0U);
      ASSERT_GE(block, given.data());
      ASSERT_LE(block + size, given.data() + given.size());
      EXPECT_EQ(std::count(block, block + size, std::byte{0x77}), static_cast<long>(size));
      std::memset(block, 0, size);
    }
    EXPECT_GT(pool.statistics().used, 400U);
  }
}

TEST(SegregatedPool, every_byte_of_its_capacity_can_be_handed_out) {
  Memory<cost(24) * 10 + SegregatedPool::overhead> memory;
  SegregatedPool pool(memory.bytes);
  for (int i = 0; i < 10; ++i) {
    EXPECT_NE(pool.allocate(24), nullptr);
  }
  EXPECT_EQ(pool.allocate(0), nullptr);
  EXPECT_EQ(pool.statistics().used, pool.statistics().capacity);
  EXPECT_EQ(pool.statistics().high_water, pool.statistics().capacity);
}

TEST(SegregatedPool, a_block_that_was_given_back_serves_the_next_of_its_size_and_no_other) {
  Memory<cost(100) + cost(10) + SegregatedPool::overhead> memory;
  SegregatedPool pool(memory.bytes);
  void* const first = pool.allocate(100);
  ASSERT_NE(first, nullptr);
  pool.release(first);
  EXPECT_NE(pool.allocate(10), first);
  EXPECT_EQ(pool.allocate(10), nullptr);
  EXPECT_EQ(pool.allocate(100), first);
}

TEST(SegregatedPool, what_is_too_large_for_any_is_refused_however_much_room_there_is) {
  Memory<4 * SegregatedPool::largest> memory;
  SegregatedPool pool(memory.bytes);
  EXPECT_NE(pool.allocate(SegregatedPool::largest), nullptr);
  EXPECT_EQ(pool.allocate(SegregatedPool::largest + 1), nullptr);
  EXPECT_EQ(pool.allocate(SIZE_MAX), nullptr);
  EXPECT_EQ(pool.allocate(SIZE_MAX - SegregatedPool::overhead), nullptr);
  EXPECT_EQ(pool.statistics().refused, 3U);
}

TEST(SegregatedPool, tells_what_is_used_and_how_often_it_was_asked) {
  Memory<1024> memory;
  SegregatedPool pool(memory.bytes);
  void* const a = pool.allocate(100);
  void* const b = pool.allocate(30);
  EXPECT_EQ(pool.statistics().used, cost(100) + cost(30));
  pool.release(a);
  EXPECT_EQ(pool.statistics().used, cost(30));
  EXPECT_EQ(pool.statistics().high_water, cost(100) + cost(30));
  EXPECT_EQ(pool.allocate(99), a);
  pool.release(b);
  EXPECT_EQ(pool.statistics().allocated, 3U);
  EXPECT_EQ(pool.statistics().refused, 0U);
}

TEST(SegregatedPoolDeathTest, giving_back_what_is_not_held_ends_the_process) {
  Memory<1024> memory;
  SegregatedPool pool(memory.bytes);
  auto* const block = static_cast<std::byte*>(pool.allocate(100));
  (void)pool.allocate(100);
  int other = 0;
  const auto aborts = testing::KilledBySignal(SIGABRT);
  test::note_coverage_at_abort();
  EXPECT_EXIT(pool.release(&other), aborts, "");
  EXPECT_EXIT(pool.release(block + 1), aborts, "");
  EXPECT_EXIT(pool.release(memory.bytes.data()), aborts, "");
  EXPECT_EXIT(pool.release(memory.bytes.data() + 768), aborts, "");
  pool.release(block);
  EXPECT_EXIT(pool.release(block), aborts, "");
}

// Against a model: what any history needs is, size by size, the most that was held at once, and as
// long as that fits, nothing is refused; no two blocks ever overlap.
TEST(SegregatedPool, a_million_random_calls_neither_fragment_nor_leak_nor_overlap) {
  static constexpr std::array<std::size_t, 9> sizes = {0, 1, 8, 9, 24, 40, 280, 1304, 4000};
  static constexpr std::size_t most_of_each = 12;
  static constexpr std::size_t needed = [] {
    std::size_t bytes = 0;
    for (const std::size_t size : sizes) {
      bytes += cost(size) * most_of_each;
    }
    return bytes;
  }();
  static Memory<needed + SegregatedPool::overhead> memory;
  SegregatedPool pool(memory.bytes);
  struct Block {
    std::byte* memory;
    std::size_t size;
    std::byte content;
  };
  std::array<std::vector<Block>, sizes.size()> held;
  std::size_t used = 0;
  std::mt19937 random(20261120);
  for (int i = 0; i < 1'000'000; ++i) {
    const std::size_t kind = random() % sizes.size();
    auto& blocks = held[kind];
    // Long runs of taking and of giving back, so that it is full and empty in turn.
    const bool take = (i / 5000 % 2 == 0) == (random() % 8 != 0);
    if (take && blocks.size() < most_of_each) {
      auto* const block = static_cast<std::byte*>(pool.allocate(sizes[kind]));
      ASSERT_NE(block, nullptr) << i;
      const auto content = static_cast<std::byte>(random());
      std::memset(block, static_cast<int>(content), sizes[kind]);
      blocks.push_back({.memory = block, .size = sizes[kind], .content = content});
      used += cost(sizes[kind]);
    } else if (!take && !blocks.empty()) {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      const Block block = blocks.back();
      blocks.pop_back();
      ASSERT_EQ(std::count(block.memory, block.memory + block.size, block.content),
                static_cast<long>(block.size))
          << i;
      pool.release(block.memory);
      used -= cost(block.size);
    }
    ASSERT_EQ(pool.statistics().used, used) << i;
  }
  EXPECT_EQ(pool.statistics().high_water, needed);  // it was full at some time
  EXPECT_EQ(pool.statistics().refused, 0U);
}

}  // namespace
}  // namespace millrace
