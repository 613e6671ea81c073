// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <gtest/gtest.h>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hal/ring_buffer.hpp"
#include "hal/spsc_ring.hpp"

namespace millrace {
namespace {

std::string text_of(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text += static_cast<char>(byte);
  }
  return text;
}

template <std::size_t N>
std::string content(const RingBuffer<N>& ring) {
  const auto pieces = ring.claim_read();
  return text_of(pieces.first) + text_of(pieces.second);
}

/// An empty ring whose next byte goes to `offset`.
template <std::size_t N>
RingBuffer<N> starting_at(std::size_t offset) {
  RingBuffer<N> ring;
  ring.commit_write(offset);
  ring.commit_read(offset);
  return ring;
}

template <std::size_t N>
void wraps_anywhere() {
  std::string text;
  for (std::size_t i = 0; i < N + 2; ++i) {
    text += static_cast<char>('a' + i);
  }
  for (std::size_t offset = 0; offset < N; ++offset) {
    for (std::size_t size = 0; size <= text.size(); ++size) {
      auto ring = starting_at<N>(offset);
      const std::size_t fits = std::min(size, N);
      ASSERT_EQ(ring.write(std::string_view(text).substr(0, size)), fits);
      ASSERT_EQ(ring.size(), fits);
      ASSERT_EQ(ring.space(), N - fits);
      ASSERT_EQ(ring.full(), fits == N);
      ASSERT_EQ(content(ring), text.substr(0, fits));
      // Where it wraps, and only there, there are two pieces.
      const auto filled = ring.claim_read();
      ASSERT_EQ(filled.first.size(), std::min(fits, N - offset));
      ASSERT_EQ(filled.second.size(), fits - filled.first.size());
      const auto free = ring.claim_write();
      const std::size_t end = (offset + fits) % N;
      ASSERT_EQ(free.first.size(), std::min(N - fits, N - end));
      ASSERT_EQ(free.first.size() + free.second.size(), N - fits);
      std::vector<std::byte> out(size);
      ASSERT_EQ(ring.read(out), fits);
      ASSERT_EQ(text_of(out).substr(0, fits), text.substr(0, fits));
      ASSERT_TRUE(ring.empty());
    }
  }
}

template <std::size_t N>
void agrees_with_a_queue() {
  RingBuffer<N> ring;
  std::deque<std::byte> queue;
  std::mt19937 random(N);  // the same each time
  const auto below = [&](std::size_t limit) { return random() % limit; };
  std::uint8_t next = 0;
  for (int step = 0; step < 3000; ++step) {
    std::array<std::byte, N + 3> bytes{};
    const std::size_t count = below(bytes.size() + 1);
    switch (below(9)) {
      case 0:
      case 1:
      case 2: {
        for (std::byte& byte : bytes) {
          byte = std::byte{next++};
        }
        const std::size_t fits = std::min(count, N - queue.size());
        ASSERT_EQ(ring.write(std::span(bytes).first(count)), fits);
        queue.insert(queue.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(fits));
        break;
      }
      case 3:
      case 4: {
        const std::size_t fits = std::min(count, queue.size());
        ASSERT_EQ(ring.read(std::span(bytes).first(count)), fits);
        for (std::size_t i = 0; i < fits; ++i) {
          ASSERT_EQ(bytes[i], queue.front());
          queue.pop_front();
        }
        break;
      }
      case 5: {
        const auto free = ring.claim_write();
        const std::size_t fits = std::min(count, free.first.size() + free.second.size());
        for (std::size_t i = 0; i < fits; ++i) {
          const std::byte byte{next++};
          (i < free.first.size() ? free.first[i] : free.second[i - free.first.size()]) = byte;
          queue.push_back(byte);
        }
        ring.commit_write(fits);
        break;
      }
      case 6:
      case 7: {
        const std::size_t fits = std::min(count, queue.size());
        ring.commit_read(fits);
        queue.erase(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(fits));
        break;
      }
      default:
        if (below(20) == 0) {
          ring.clear();
          queue.clear();
        }
        break;
    }
    ASSERT_EQ(ring.size(), queue.size());
    ASSERT_EQ(ring.space(), N - queue.size());
    ASSERT_EQ(ring.empty(), queue.empty());
    ASSERT_EQ(ring.full(), queue.size() == N);
    const auto pieces = ring.claim_read();
    ASSERT_EQ(pieces.first.size() + pieces.second.size(), queue.size());
    ASSERT_EQ(pieces.first.empty(), queue.empty());
    ASSERT_TRUE(std::equal(pieces.first.begin(), pieces.first.end(), queue.begin()));
    ASSERT_TRUE(std::equal(pieces.second.begin(), pieces.second.end(),
                           queue.begin() + static_cast<std::ptrdiff_t>(pieces.first.size())));
  }
}

template <std::size_t... Sizes>
void for_sizes(std::index_sequence<Sizes...> /*from 0*/, auto check) {
  (check.template operator()<Sizes + 1>(), ...);
}
constexpr std::make_index_sequence<17> sizes;

TEST(RingBuffer, wraps_at_any_offset_with_any_size) {
  for_sizes(sizes, []<std::size_t N>() { wraps_anywhere<N>(); });
}

TEST(RingBuffer, of_any_size_agrees_with_a_queue) {
  for_sizes(sizes, []<std::size_t N>() { agrees_with_a_queue<N>(); });
}

TEST(RingBuffer, claims_all_of_its_memory) {
  RingBuffer<8> ring;
  EXPECT_EQ(RingBuffer<8>::capacity(), 8U);
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(ring.claim_write().first.size(), 8U);
  EXPECT_EQ(ring.write("12345678"), 8U);
  EXPECT_TRUE(ring.full());
  EXPECT_TRUE(ring.claim_write().first.empty());
  EXPECT_TRUE(ring.claim_write().second.empty());
  EXPECT_EQ(ring.write("9"), 0U);
  EXPECT_EQ(content(ring), "12345678");
}

TEST(RingBuffer, in_use_has_two_free_pieces_around_its_content) {
  auto ring = starting_at<8>(3);
  ring.write("abc");
  const auto free = ring.claim_write();
  EXPECT_EQ(free.first.size(), 2U);
  EXPECT_EQ(free.second.size(), 3U);
  free.first[0] = std::byte{'d'};
  free.first[1] = std::byte{'e'};
  free.second[0] = std::byte{'f'};
  ring.commit_write(3);
  EXPECT_EQ(content(ring), "abcdef");
}

/// All that a ring can do, in any order, beside a queue that does the same.
template <class Ring>
void does_everything_as_a_queue_does(Ring& ring, int steps) {
  const std::size_t capacity = ring.capacity();
  std::deque<std::byte> queue;
  std::mt19937 random(static_cast<unsigned>(capacity));
  const auto below = [&](std::size_t limit) { return random() % limit; };
  const auto at = [&](std::size_t index) {
    return queue.begin() + static_cast<std::ptrdiff_t>(index);
  };
  std::vector<std::byte> bytes;
  for (int step = 0; step < steps; ++step) {
    const std::size_t count = below(capacity + 4);
    bytes.resize(count);
    for (std::byte& byte : bytes) {
      byte = static_cast<std::byte>(below(3));  // so that sequences are found
    }
    const std::size_t there = std::min(count, queue.size());
    switch (below(10)) {
      case 0:
      case 1: {
        const std::size_t fits = std::min(count, capacity - queue.size());
        ASSERT_EQ(ring.write(bytes), fits);
        queue.insert(queue.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(fits));
        break;
      }
      case 2:
        ASSERT_EQ(ring.read(bytes), there);
        ASSERT_TRUE(std::equal(at(0), at(there), bytes.begin()));
        queue.erase(at(0), at(there));
        break;
      case 3:
        ASSERT_EQ(ring.skip(count), there);
        queue.erase(at(0), at(there));
        break;
      case 4: {
        const std::size_t skipped = below(capacity + 2);
        const std::size_t left = queue.size() - std::min(skipped, queue.size());
        ASSERT_EQ(ring.peek(bytes, skipped), std::min(count, left));
        if (left > 0) {
          ASSERT_TRUE(std::equal(at(skipped), at(skipped + std::min(count, left)), bytes.begin()));
        }
        break;
      }
      case 5: {
        const auto sequence = std::span(bytes).first(std::min(count, below(4)));
        const std::size_t from = below(capacity + 2);
        const auto found = ring.find(sequence, from);
        if (from + sequence.size() > queue.size()) {
          ASSERT_EQ(found, std::nullopt);
          break;
        }
        const auto expected = std::search(at(from), queue.end(), sequence.begin(), sequence.end());
        const bool there_is = expected != queue.end() || sequence.empty();
        ASSERT_EQ(found.has_value(), there_is);
        if (found) {
          ASSERT_EQ(*found, static_cast<std::size_t>(expected - queue.begin()));
        }
        break;
      }
      case 6: {
        const std::size_t lost = queue.size() + count - std::min(queue.size() + count, capacity);
        ASSERT_EQ(ring.overwrite(bytes), lost);
        queue.insert(queue.end(), bytes.begin(), bytes.end());
        queue.erase(at(0), at(lost));
        break;
      }
      case 7:
        ASSERT_EQ(ring.push(std::byte{3}), queue.size() < capacity);
        queue.resize(std::min(queue.size() + 1, capacity), std::byte{3});
        break;
      case 8: {
        std::byte oldest{};
        ASSERT_EQ(ring.pop(oldest), !queue.empty());
        if (!queue.empty()) {
          ASSERT_EQ(oldest, queue.front());
          queue.pop_front();
        }
        break;
      }
      default:
        if (below(40) == 0) {
          ring.clear();
          queue.clear();
          ASSERT_EQ(ring.claim_write().first.size(), capacity);
        }
        break;
    }
    ASSERT_EQ(ring.size(), queue.size());
    ASSERT_EQ(ring.space(), capacity - queue.size());
    ASSERT_EQ(ring.empty(), queue.empty());
    ASSERT_EQ(ring.full(), queue.size() == capacity);
    const auto content = ring.claim_read();
    ASSERT_EQ(content.size(), queue.size());
    ASSERT_TRUE(std::equal(content.first.begin(), content.first.end(), queue.begin()));
    ASSERT_TRUE(std::equal(content.second.begin(), content.second.end(), at(content.first.size())));
    ASSERT_EQ(ring.claim_write().size(), capacity - queue.size());
  }
}

TEST(RingBuffer, of_any_size_does_everything_as_a_queue_does) {
  for_sizes(sizes, []<std::size_t N>() {
    RingBuffer<N> ring;
    ASSERT_NO_FATAL_FAILURE(does_everything_as_a_queue_does(ring, 60'000)) << N;
  });
}

TEST(RingView, of_any_size_does_everything_as_a_queue_does) {
  for (std::size_t size = 1; size <= 17; ++size) {
    std::vector<std::byte> memory(size);
    RingView ring{std::span(memory)};
    ASSERT_NO_FATAL_FAILURE(does_everything_as_a_queue_does(ring, 40'000)) << size;
  }
}

TEST(SpscRing, of_any_size_does_in_one_thread_everything_as_a_queue_does) {
  for_sizes(sizes, []<std::size_t N>() {
    SpscRing<N> ring;
    ASSERT_NO_FATAL_FAILURE(does_everything_as_a_queue_does(ring, 40'000)) << N;
  });
  for (std::size_t size = 1; size <= 17; ++size) {
    std::vector<std::byte> memory(size);
    SpscRingView ring{std::span(memory)};
    ASSERT_NO_FATAL_FAILURE(does_everything_as_a_queue_does(ring, 20'000)) << size;
  }
}

TEST(RingBuffer, copies_messages_of_any_length) {
  RingBuffer<300> ring;
  std::vector<std::byte> bytes(150);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i + 1);
  }
  for (int lap = 0; lap < 20; ++lap) {
    for (std::size_t length = 0; length <= bytes.size(); ++length) {
      // A byte on each side tells what is copied too far.
      std::vector<std::byte> out(length + 2, std::byte{0xEE});
      ASSERT_EQ(ring.write(std::span(bytes).first(length)), length);
      ASSERT_EQ(ring.read(std::span(out).subspan(1, length)), length);
      ASSERT_TRUE(std::equal(out.begin() + 1, out.end() - 1, bytes.begin()));
      ASSERT_EQ(out.front(), std::byte{0xEE});
      ASSERT_EQ(out.back(), std::byte{0xEE});
    }
  }
}

TEST(RingBuffer, takes_nothing_from_and_gives_nothing_to_an_empty_span) {
  RingBuffer<4> ring;
  EXPECT_EQ(ring.write(std::span<const std::byte>()), 0U);
  EXPECT_EQ(ring.read({}), 0U);
  ring.write("ab");
  EXPECT_EQ(ring.read({}), 0U);
  EXPECT_EQ(content(ring), "ab");
}

}  // namespace
}  // namespace millrace
