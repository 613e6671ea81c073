// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <gtest/gtest.h>
#include <lwrb/lwrb.h>
#include <random>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

struct Event {
  lwrb_evt_type_t type;
  lwrb_sz_t count;
  friend bool operator==(const Event&, const Event&) = default;
};
std::vector<Event> events;
void note(lwrb_t* buff, lwrb_evt_type_t type, lwrb_sz_t count) {
  EXPECT_NE(buff, nullptr);
  events.push_back({type, count});
}

using Bytes = std::vector<std::uint8_t>;

/// A ring, and what should be in it.
struct Pair {
  explicit Pair(std::size_t size) : memory(size) {
    lwrb_init(&ring, memory.data(), size);
    lwrb_set_evt_fn(&ring, note);
  }
  [[nodiscard]] std::size_t space() const { return memory.size() - 1 - model.size(); }
  void append(const Bytes& data, std::size_t count) {
    model.insert(model.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(count));
  }
  void drop(std::size_t count) {
    model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(count));
  }
  [[nodiscard]] bool starts_with(const Bytes& data, std::size_t count, std::size_t skipped = 0) {
    return std::equal(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(count),
                      model.begin() + static_cast<std::ptrdiff_t>(skipped));
  }

  lwrb_t ring{};
  Bytes memory;
  std::deque<std::uint8_t> model;
};

void check(Pair& pair) {
  ASSERT_EQ(lwrb_get_full(&pair.ring), pair.model.size());
  ASSERT_EQ(lwrb_get_free(&pair.ring), pair.space());
  const auto read = pair.ring.r_ptr.load();
  const auto written = pair.ring.w_ptr.load();
  ASSERT_EQ(lwrb_get_linear_block_read_address(&pair.ring), pair.memory.data() + read);
  ASSERT_EQ(lwrb_get_linear_block_write_address(&pair.ring), pair.memory.data() + written);
  ASSERT_EQ(lwrb_get_linear_block_read_length(&pair.ring),
            std::min<std::size_t>(pair.model.size(), pair.memory.size() - read));
  ASSERT_EQ(lwrb_get_linear_block_write_length(&pair.ring),
            std::min<std::size_t>(pair.space(), pair.memory.size() - written));
  Bytes all(pair.model.size() + 1);
  ASSERT_EQ(lwrb_peek(&pair.ring, 0, all.data(), all.size()), pair.model.size());
  ASSERT_TRUE(pair.starts_with(all, pair.model.size()));
}

void behaves_like_a_queue(std::size_t size, int steps) {
  Pair one(size);
  Pair other(1 + size * 2 / 3);
  std::mt19937 random(static_cast<unsigned>(size));
  const auto below = [&](std::size_t limit) { return random() % limit; };
  for (int step = 0; step < steps; ++step) {
    events.clear();
    std::vector<Event> expected;
    const std::size_t count = below(size + 4);
    Bytes data(count + 1);
    std::ranges::generate(data, [&] { return static_cast<std::uint8_t>(below(3)); });
    const std::size_t fits = std::min(count, one.space());
    const std::size_t there = std::min(count, one.model.size());
    lwrb_sz_t moved = 99;
    switch (below(11)) {
      case 0:
        ASSERT_EQ(lwrb_write(&one.ring, data.data(), count), fits);
        one.append(data, fits);
        if (fits > 0) {
          expected = {{LWRB_EVT_WRITE, fits}};
        }
        break;
      case 1: {
        const bool all = below(2) == 0;
        const bool done = all ? count > 0 && fits == count : fits > 0;
        ASSERT_EQ(lwrb_write_ex(&one.ring, data.data(), count, &moved,
                                all ? LWRB_FLAG_WRITE_ALL : std::uint16_t{0}),
                  done ? 1 : 0);
        ASSERT_EQ(moved, done ? fits : 99);
        if (done) {
          one.append(data, fits);
          expected = {{LWRB_EVT_WRITE, fits}};
        }
        break;
      }
      case 2:
        ASSERT_EQ(lwrb_read(&one.ring, data.data(), count), there);
        ASSERT_TRUE(one.starts_with(data, there));
        one.drop(there);
        if (there > 0) {
          expected = {{LWRB_EVT_READ, there}};
        }
        break;
      case 3: {
        const bool all = below(2) == 0;
        const bool done = all ? count > 0 && there == count : there > 0;
        ASSERT_EQ(lwrb_read_ex(&one.ring, data.data(), count, &moved,
                               all ? LWRB_FLAG_READ_ALL : std::uint16_t{0}),
                  done ? 1 : 0);
        ASSERT_EQ(moved, done ? there : 99);
        if (done) {
          ASSERT_TRUE(one.starts_with(data, there));
          one.drop(there);
          expected = {{LWRB_EVT_READ, there}};
        }
        break;
      }
      case 4: {
        const std::size_t first = below(size + 2);
        const std::size_t left = one.model.size() - std::min(first, one.model.size());
        // NOLINTNEXTLINE(readability-suspicious-call-argument): the order is LwRB's
        ASSERT_EQ(lwrb_peek(&one.ring, first, data.data(), count), std::min(count, left));
        if (left > 0) {
          ASSERT_TRUE(one.starts_with(data, std::min(count, left), first));
        }
        break;
      }
      case 5:
        ASSERT_EQ(lwrb_skip(&one.ring, count), there);
        one.drop(there);
        if (count > 0) {
          expected = {{LWRB_EVT_READ, there}};
        }
        break;
      case 6: {
        const std::size_t start = one.ring.w_ptr.load();
        for (std::size_t i = 0; i < fits; ++i) {
          one.memory[(start + i) % size] = data[i];
        }
        ASSERT_EQ(lwrb_advance(&one.ring, count), fits);
        one.append(data, fits);
        if (count > 0) {
          expected = {{LWRB_EVT_WRITE, fits}};
        }
        break;
      }
      case 7: {
        ASSERT_EQ(lwrb_overwrite(&one.ring, data.data(), count), count);
        const std::size_t kept = std::min(count, size - 1);
        if (count > kept) {
          one.model.clear();
          expected = {{LWRB_EVT_RESET, 0}};
          ASSERT_EQ(one.ring.r_ptr.load(), 0U);
        } else if (count > fits) {
          one.drop(count - fits);
          expected = {{LWRB_EVT_READ, count - fits}};
        }
        one.model.insert(one.model.end(), data.begin() + static_cast<std::ptrdiff_t>(count - kept),
                         data.begin() + static_cast<std::ptrdiff_t>(count));
        if (kept > 0) {
          expected.push_back({LWRB_EVT_WRITE, kept});
        }
        break;
      }
      case 8: {
        const std::size_t all = std::min(one.model.size(), other.space());
        ASSERT_EQ(lwrb_move(&other.ring, &one.ring), all);
        other.model.insert(other.model.end(), one.model.begin(),
                           one.model.begin() + static_cast<std::ptrdiff_t>(all));
        one.drop(all);
        lwrb_sz_t in = 0;
        lwrb_sz_t out = 0;
        for (const Event& event : events) {
          (event.type == LWRB_EVT_WRITE ? in : out) += event.count;
        }
        ASSERT_EQ(in, all);
        ASSERT_EQ(out, all);
        expected = events;
        check(other);
        lwrb_reset(&other.ring);
        other.model.clear();
        expected.push_back({LWRB_EVT_RESET, 0});
        break;
      }
      case 9: {
        const std::size_t length = below(4);
        const std::size_t from = below(size + 2);
        const auto start =
            one.model.begin() + static_cast<std::ptrdiff_t>(std::min(from, one.model.size()));
        const auto found =
            std::search(start, one.model.end(), data.begin(),
                        data.begin() + static_cast<std::ptrdiff_t>(std::min(length, data.size())));
        const bool valid = length > 0 && length <= data.size();
        if (!valid) {
          break;
        }
        const bool there_is = found != one.model.end();
        ASSERT_EQ(lwrb_find(&one.ring, data.data(), length, from, &moved), there_is ? 1 : 0);
        ASSERT_EQ(moved,
                  there_is ? static_cast<lwrb_sz_t>(found - one.model.begin()) : lwrb_sz_t{0});
        break;
      }
      default:
        if (below(8) == 0) {
          lwrb_reset(&one.ring);
          one.model.clear();
          expected = {{LWRB_EVT_RESET, 0}};
        }
        break;
    }
    ASSERT_EQ(events, expected);
    ASSERT_NO_FATAL_FAILURE(check(one));
  }
}

TEST(Lwrb, of_any_size_behaves_like_a_queue) {
  for (std::size_t size = 1; size <= 17; ++size) {
    ASSERT_NO_FATAL_FAILURE(behaves_like_a_queue(size, 30'000)) << size;
  }
  ASSERT_NO_FATAL_FAILURE(behaves_like_a_queue(300, 30'000));
}

TEST(Lwrb, answers_zero_to_what_makes_no_sense) {
  std::uint8_t memory[4];
  std::uint8_t out[4];
  lwrb_sz_t count = 7;
  lwrb_t ring{};
  EXPECT_EQ(lwrb_init(nullptr, memory, 4), 0);
  EXPECT_EQ(lwrb_init(&ring, nullptr, 4), 0);
  EXPECT_EQ(lwrb_init(&ring, memory, 0), 0);
  EXPECT_EQ(lwrb_is_ready(&ring), 0);
  EXPECT_EQ(lwrb_is_ready(nullptr), 0);
  for (lwrb_t* none : {static_cast<lwrb_t*>(nullptr), &ring}) {
    EXPECT_EQ(lwrb_write(none, "a", 1), 0U);
    EXPECT_EQ(lwrb_read(none, out, 1), 0U);
    EXPECT_EQ(lwrb_peek(none, 0, out, 1), 0U);
    EXPECT_EQ(lwrb_write_ex(none, "a", 1, &count, 0), 0);
    EXPECT_EQ(lwrb_read_ex(none, out, 1, &count, 0), 0);
    EXPECT_EQ(lwrb_get_free(none), 0U);
    EXPECT_EQ(lwrb_get_full(none), 0U);
    EXPECT_EQ(lwrb_get_linear_block_read_address(none), nullptr);
    EXPECT_EQ(lwrb_get_linear_block_read_length(none), 0U);
    EXPECT_EQ(lwrb_get_linear_block_write_address(none), nullptr);
    EXPECT_EQ(lwrb_get_linear_block_write_length(none), 0U);
    EXPECT_EQ(lwrb_skip(none, 1), 0U);
    EXPECT_EQ(lwrb_advance(none, 1), 0U);
    EXPECT_EQ(lwrb_overwrite(none, "a", 1), 0U);
    EXPECT_EQ(lwrb_move(none, &ring), 0U);
    EXPECT_EQ(lwrb_find(none, "a", 1, 0, &count), 0);
    EXPECT_EQ(count, 7U);
    lwrb_reset(none);
    lwrb_free(none);
    lwrb_set_evt_fn(none, note);
    lwrb_set_arg(none, out);
  }
  EXPECT_EQ(ring.evt_fn, nullptr);
  EXPECT_EQ(lwrb_get_arg(&ring), nullptr);
  EXPECT_EQ(lwrb_get_arg(nullptr), nullptr);

  ASSERT_EQ(lwrb_init(&ring, memory, 4), 1);
  EXPECT_EQ(lwrb_write(&ring, nullptr, 1), 0U);
  EXPECT_EQ(lwrb_read(&ring, nullptr, 1), 0U);
  EXPECT_EQ(lwrb_peek(&ring, 0, nullptr, 1), 0U);
  EXPECT_EQ(lwrb_overwrite(&ring, nullptr, 1), 0U);
  EXPECT_EQ(lwrb_find(&ring, nullptr, 1, 0, &count), 0);
  EXPECT_EQ(lwrb_find(&ring, "a", 0, 0, &count), 0);
  EXPECT_EQ(lwrb_find(&ring, "a", 1, 0, nullptr), 0);
  EXPECT_EQ(count, 7U);
  EXPECT_EQ(lwrb_is_ready(&ring), 1);
  EXPECT_EQ(lwrb_write_ex(&ring, "ab", 2, nullptr, 0), 1);
  EXPECT_EQ(lwrb_find(&ring, "a", 1, ~lwrb_sz_t{0}, &count), 0);
  EXPECT_EQ(count, 0U);
  EXPECT_EQ(lwrb_read_ex(&ring, out, 2, nullptr, 0), 1);
  EXPECT_EQ(lwrb_get_full(&ring), 0U);
  lwrb_set_arg(&ring, out);
  EXPECT_EQ(lwrb_get_arg(&ring), out);

  lwrb_t other{};
  EXPECT_EQ(lwrb_move(&ring, &other), 0U);
  other.buff = memory;
  EXPECT_EQ(lwrb_is_ready(&other), 0);  // it has no size
  lwrb_free(&ring);
  EXPECT_EQ(lwrb_is_ready(&ring), 0);
  EXPECT_EQ(lwrb_get_full(&ring), 0U);
}

// What is moved goes around the end of both memories, so that it takes several steps.
TEST(Lwrb, that_is_emptied_by_an_event_function_while_it_is_moved_ends_the_move) {
  std::uint8_t from_memory[6];
  std::uint8_t to_memory[8];
  static lwrb_t from;
  static lwrb_t to;
  std::uint8_t out[8];
  lwrb_init(&from, from_memory, sizeof from_memory);
  lwrb_init(&to, to_memory, sizeof to_memory);
  ASSERT_EQ(lwrb_write(&from, "....", 4), 4U);
  ASSERT_EQ(lwrb_read(&from, out, 4), 4U);
  ASSERT_EQ(lwrb_write(&from, "abcde", 5), 5U);
  lwrb_set_evt_fn(&to, [](lwrb_t*, lwrb_evt_type_t type, lwrb_sz_t) {
    if (type == LWRB_EVT_WRITE) {
      lwrb_set_evt_fn(&to, nullptr);
      lwrb_reset(&from);
    }
  });
  EXPECT_EQ(lwrb_move(&to, &from), 0U);
  EXPECT_EQ(lwrb_get_full(&from), 0U);
  ASSERT_EQ(lwrb_read(&to, out, sizeof out), 2U);  // the piece that was moved before that
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(out), 2), "ab");
}

TEST(Lwrb, passes_bytes_from_one_thread_to_another) {
  std::uint8_t memory[61];
  lwrb_t ring{};
  lwrb_init(&ring, memory, sizeof memory);
  constexpr std::uint32_t length = 300'000;
  std::thread writer([&] {
    for (std::uint32_t sent = 0; sent < length;) {
      std::uint8_t bytes[40];
      const std::uint32_t count = std::min<std::uint32_t>(1 + sent % 40, length - sent);
      for (std::uint32_t i = 0; i < count; ++i) {
        bytes[i] = static_cast<std::uint8_t>((sent + i) * 31U >> 3U);
      }
      const auto written = static_cast<std::uint32_t>(lwrb_write(&ring, bytes, count));
      sent += written;
      if (written == 0) {
        std::this_thread::yield();
      }
    }
  });
  std::uint32_t wrong = 0;
  for (std::uint32_t got = 0; got < length;) {
    std::uint8_t bytes[50];
    const auto count = static_cast<std::uint32_t>(lwrb_read(&ring, bytes, 1 + got % 50));
    for (std::uint32_t i = 0; i < count; ++i) {
      wrong += bytes[i] == static_cast<std::uint8_t>((got + i) * 31U >> 3U) ? 0U : 1U;
    }
    got += count;
    if (count == 0) {
      std::this_thread::yield();
    }
  }
  writer.join();
  EXPECT_EQ(wrong, 0U);
}

}  // namespace
