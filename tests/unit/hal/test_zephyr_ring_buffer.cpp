// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <gtest/gtest.h>
#include <random>
#include <thread>
#include <vector>

#include "hal/compat/zephyr/sys/ring_buffer.h"

// NOLINTBEGIN(misc-use-internal-linkage,misc-use-anonymous-namespace): what the macros are like
RING_BUF_DECLARE(declared_bytes, 5);
RING_BUF_ITEM_DECLARE(declared_items, 6);
RING_BUF_ITEM_DECLARE_SIZE(declared_items_too, 7);
RING_BUF_ITEM_DECLARE_POW2(declared_power, 4);
// NOLINTEND(misc-use-internal-linkage,misc-use-anonymous-namespace)

namespace {

using Bytes = std::vector<std::uint8_t>;

/// `started` counts bytes from somewhere else than 0: around the wrap of the counters.
void behaves_like_a_queue(std::uint32_t size, ring_buf_idx_t started, int steps) {
  Bytes memory(size);
  ring_buf ring{};
  ring_buf_init(&ring, size, memory.data());
  ring_buf_internal_reset(&ring, started);
  std::deque<std::uint8_t> model;  // finished
  std::deque<std::uint8_t> put;    // claimed and filled, but not finished
  std::size_t got = 0;             // claimed for reading
  std::mt19937 random(size + started);
  const auto below = [&](std::uint32_t limit) {
    return static_cast<std::uint32_t>(random() % limit);
  };
  for (int step = 0; step < steps; ++step) {
    const std::uint32_t count = below(size + 4);
    Bytes data(count + 1);
    std::ranges::generate(data, [&] { return static_cast<std::uint8_t>(random()); });
    const auto space = static_cast<std::uint32_t>(size - model.size() - put.size());
    const auto there = static_cast<std::uint32_t>(model.size() - got);
    ASSERT_EQ(ring_buf_space_get(&ring), space);
    ASSERT_EQ(ring_buf_size_get(&ring), there);
    ASSERT_EQ(ring_buf_capacity_get(&ring), size);
    ASSERT_EQ(ring_buf_is_empty(&ring), there == 0);
    std::uint8_t* claimed = nullptr;
    switch (below(8)) {
      case 0:  // as a claim that is open is finished by it, only without one
        if (put.empty()) {
          const std::uint32_t fits = std::min(count, space);
          ASSERT_EQ(ring_buf_put(&ring, data.data(), count), fits);
          model.insert(model.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(fits));
        }
        break;
      case 1:
        if (got == 0) {
          const std::uint32_t most = std::min(count, there);
          const bool kept = below(2) == 0;
          ASSERT_EQ(ring_buf_get(&ring, kept ? data.data() : nullptr, count), most);
          if (kept) {
            ASSERT_TRUE(std::equal(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(most),
                                   model.begin()));
          }
          model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(most));
        }
        break;
      case 2: {
        const std::uint32_t length = ring_buf_put_claim(&ring, &claimed, count);
        ASSERT_LE(length, std::min(count, space));
        ASSERT_GE(claimed, memory.data());
        ASSERT_LE(claimed + length, memory.data() + size);
        if (length < std::min(count, space)) {
          ASSERT_EQ(claimed + length, memory.data() + size);
        }
        std::copy_n(data.begin(), length, claimed);
        put.insert(put.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(length));
        break;
      }
      case 3: {
        const bool possible = count <= put.size();
        ASSERT_EQ(ring_buf_put_finish(&ring, count), possible ? 0 : -EINVAL);
        if (possible) {
          model.insert(model.end(), put.begin(), put.begin() + static_cast<std::ptrdiff_t>(count));
          put.clear();
        }
        break;
      }
      case 4: {
        const std::uint32_t length = ring_buf_get_claim(&ring, &claimed, count);
        ASSERT_LE(length, std::min(count, there));
        if (length < std::min(count, there)) {
          ASSERT_EQ(claimed + length, memory.data() + size);
        }
        ASSERT_TRUE(std::equal(claimed, claimed + length,
                               model.begin() + static_cast<std::ptrdiff_t>(got)));
        got += length;
        break;
      }
      case 5: {
        const bool possible = count <= got;
        ASSERT_EQ(ring_buf_get_finish(&ring, count), possible ? 0 : -EINVAL);
        if (possible) {
          model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(count));
          got = 0;
        }
        break;
      }
      case 6: {
        const std::uint32_t most = std::min(count, there);
        ASSERT_EQ(ring_buf_peek(&ring, data.data(), count), most);
        ASSERT_TRUE(std::equal(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(most),
                               model.begin() + static_cast<std::ptrdiff_t>(got)));
        got = 0;
        break;
      }
      default:
        if (below(30) == 0) {
          ring_buf_reset(&ring);
          model.clear();
          put.clear();
          got = 0;
        }
        break;
    }
  }
}

TEST(ZephyrRingBuffer, of_any_size_behaves_like_a_queue) {
  for (std::uint32_t size = 1; size <= 17; ++size) {
    for (const ring_buf_idx_t started : {0U, 0xFFFFFFFFU, 0x7FFFFFF0U, 0xFFFFFF00U}) {
      ASSERT_NO_FATAL_FAILURE(behaves_like_a_queue(size, started, 20'000)) << size;
    }
  }
}

TEST(ZephyrRingBuffer, can_be_declared) {
  EXPECT_EQ(ring_buf_capacity_get(&declared_bytes), 5U);
  EXPECT_EQ(ring_buf_space_get(&declared_bytes), 5U);
  EXPECT_TRUE(ring_buf_is_empty(&declared_bytes));
  EXPECT_EQ(ring_buf_item_space_get(&declared_items), 6U);
  EXPECT_EQ(ring_buf_item_space_get(&declared_items_too), 7U);
  EXPECT_EQ(ring_buf_item_space_get(&declared_power), 16U);
  std::array<std::uint8_t, 8> memory{};
  ring_buf ring = RING_BUF_INIT(memory.data(), 8);
  EXPECT_EQ(ring_buf_space_get(&ring), 8U);
  EXPECT_EQ(RING_BUF_ITEM_SIZEOF(std::uint8_t[5]), 2U);
  EXPECT_EQ(RING_BUF_ITEM_SIZEOF(std::uint64_t), 2U);
}

struct Item {
  std::uint16_t type;
  std::uint8_t value;
  std::vector<std::uint32_t> words;
};

TEST(ZephyrRingBuffer, keeps_items_apart_and_in_order) {
  for (std::uint32_t size = 1; size <= 17; ++size) {
    std::vector<std::uint32_t> memory(size);
    ring_buf ring{};
    ring_buf_item_init(&ring, size, memory.data());
    std::deque<Item> model;
    std::size_t used = 0;
    std::mt19937 random(size);
    for (int step = 0; step < 20'000; ++step) {
      ASSERT_EQ(ring_buf_item_space_get(&ring), size - used);
      if (random() % 2 == 0) {
        Item item{.type = static_cast<std::uint16_t>(random()),
                  .value = static_cast<std::uint8_t>(random()),
                  .words = std::vector<std::uint32_t>(random() % (size + 1))};
        std::ranges::generate(item.words, random);
        const bool fits = used + 1 + item.words.size() <= size;
        ASSERT_EQ(ring_buf_item_put(&ring, item.type, item.value, item.words.data(),
                                    static_cast<std::uint8_t>(item.words.size())),
                  fits ? 0 : -EMSGSIZE);
        if (fits) {
          used += 1 + item.words.size();
          model.push_back(item);
        }
        continue;
      }
      std::uint16_t type = 0;
      std::uint8_t value = 0;
      std::array<std::uint32_t, 20> words{};
      auto count = static_cast<std::uint8_t>(random() % 20);
      const bool drop = random() % 4 == 0;
      const std::size_t room = count;
      const int result =
          ring_buf_item_get(&ring, &type, &value, drop ? nullptr : words.data(), &count);
      if (model.empty()) {
        ASSERT_EQ(result, -EAGAIN);
        continue;
      }
      const Item& oldest = model.front();
      ASSERT_EQ(count, oldest.words.size());
      if (!drop && room < oldest.words.size()) {
        ASSERT_EQ(result, -EMSGSIZE);
        continue;
      }
      ASSERT_EQ(result, 0);
      ASSERT_EQ(type, oldest.type);
      ASSERT_EQ(value, oldest.value);
      if (!drop) {
        ASSERT_TRUE(std::equal(oldest.words.begin(), oldest.words.end(), words.begin()));
      }
      used -= 1 + oldest.words.size();
      model.pop_front();
    }
  }
}

TEST(ZephyrRingBuffer, passes_bytes_from_one_thread_to_another) {
  std::array<std::uint8_t, 61> memory{};
  ring_buf ring{};
  ring_buf_init(&ring, memory.size(), memory.data());
  constexpr std::uint32_t length = 300'000;
  const auto byte_at = [](std::uint32_t at) { return static_cast<std::uint8_t>(at * 31U >> 3U); };
  std::thread putter([&] {
    for (std::uint32_t sent = 0; sent < length;) {
      std::uint8_t* bytes = nullptr;
      const std::uint32_t count =
          ring_buf_put_claim(&ring, &bytes, std::min(1 + sent % 40, length - sent));
      for (std::uint32_t i = 0; i < count; ++i) {
        bytes[i] = byte_at(sent + i);
      }
      EXPECT_EQ(ring_buf_put_finish(&ring, count), 0);
      sent += count;
      if (count == 0) {
        std::this_thread::yield();
      }
    }
  });
  std::uint32_t wrong = 0;
  for (std::uint32_t got = 0; got < length;) {
    std::array<std::uint8_t, 50> bytes{};
    const std::uint32_t count = ring_buf_get(&ring, bytes.data(), 1 + got % 50);
    for (std::uint32_t i = 0; i < count; ++i) {
      wrong += bytes[i] == byte_at(got + i) ? 0U : 1U;
    }
    got += count;
    if (count == 0) {
      std::this_thread::yield();
    }
  }
  putter.join();
  EXPECT_EQ(wrong, 0U);
}

}  // namespace
