// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "hal/spsc_ring.hpp"

namespace millrace {
namespace {

/// The bytes of a stream, one after the other: what comes out must be what went in.
class Stream {
 public:
  explicit Stream(std::uint32_t seed) : state_(seed) {}
  std::byte next() {
    state_ = state_ * 1664525U + 1013904223U;
    return static_cast<std::byte>(state_ >> 24U);
  }

 private:
  std::uint32_t state_;
};

/// One thread writes in all ways there are, in pieces of any size, and another one reads so.
template <class Ring>
void passes_a_stream(Ring& ring, std::size_t length) {
  std::thread writer([&] {
    Stream stream(7);
    std::mt19937 random(1);
    std::vector<std::byte> bytes;
    std::size_t left = length;
    while (left > 0) {
      if (bytes.empty()) {
        bytes.resize(std::min<std::size_t>(left, 1 + random() % (2 * ring.capacity() + 80)));
        std::ranges::generate(bytes, [&] { return stream.next(); });
      }
      std::size_t count = 0;
      if (random() % 2 == 0) {
        count = ring.write(bytes);
      } else {
        const auto free = ring.claim_write(1 + random() % bytes.size());
        count = std::min(bytes.size(), free.size());
        ring_copy(free, std::span(bytes).first(count));
        ring.commit_write(count);
      }
      left -= count;
      bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
      if (count == 0) {
        std::this_thread::yield();
      }
    }
  });
  Stream expected(7);
  std::mt19937 random(2);
  std::size_t left = length;
  std::size_t wrong = 0;
  std::size_t too_many = 0;
  std::vector<std::byte> bytes;
  const auto check = [&](std::span<const std::byte> got) {
    wrong += static_cast<std::size_t>(
        std::ranges::count_if(got, [&](std::byte byte) { return byte != expected.next(); }));
  };
  while (left > 0) {
    bytes.resize(1 + random() % (2 * ring.capacity() + 80));
    std::size_t count = 0;
    switch (random() % 3) {
      case 0:
        count = ring.read(bytes);
        check(std::span(bytes).first(count));
        break;
      case 1: {
        count = ring.peek(bytes);
        check(std::span(bytes).first(count));
        too_many += ring.skip(count) == count ? 0U : 1U;
        break;
      }
      default: {
        const auto filled = ring.claim_read(bytes.size());
        check(filled.first);
        check(filled.second);
        count = filled.size();
        ring.commit_read(count);
        break;
      }
    }
    too_many += ring.size() > ring.capacity() ? 1U : 0U;
    left -= count;
    if (count == 0) {
      std::this_thread::yield();
    }
  }
  writer.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ(too_many, 0U);
  EXPECT_TRUE(ring.empty());
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr std::size_t length = 200'000;
#else
constexpr std::size_t length = 1'000'000;
#endif

TEST(SpscRing, passes_a_stream_through_any_small_memory) {
  for (std::size_t size = 1; size <= 17; ++size) {
    std::vector<std::byte> memory(size);
    SpscRingView ring{std::span(memory)};
    passes_a_stream(ring, length / 20);
  }
}

TEST(SpscRing, passes_a_stream_through_memory_of_its_own) {
  const auto ring = std::make_unique<SpscRing<4096>>();
  passes_a_stream(*ring, 4 * length);
}

TEST(SpscRing, passes_a_stream_through_memory_of_an_odd_size) {
  const auto ring = std::make_unique<SpscRing<1000>>();
  passes_a_stream(*ring, 4 * length);
}

TEST(SpscRing, keeps_the_two_threads_on_cache_lines_of_their_own) {
  static_assert(alignof(SpscRing<1>) == 64);
  static_assert(sizeof(SpscRing<1>) == 3 * std::size_t{64});
  SUCCEED();
}

}  // namespace
}  // namespace millrace
