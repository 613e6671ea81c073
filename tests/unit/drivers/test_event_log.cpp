// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cstdint>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

#include "drivers/event_log.hpp"

namespace millrace {
namespace {

/// Wants every event whose number can be divided by `divisor`; none if that is 0.
struct Multiples {
  std::uint32_t divisor = 0;
  [[nodiscard]] bool operator()(const std::uint32_t& event) const {
    return divisor != 0 && event % divisor == 0;
  }
};

template <std::size_t N>
using Log = EventLog<std::uint32_t, N, Multiples>;

/// Everything that the reader wants and has not seen, as text.
template <class Log>
std::string read_all(const Log& log, typename Log::Reader& reader) {
  std::string text;
  while (const std::uint32_t* const event = log.peek(reader)) {
    text += (text.empty() ? "" : " ") + std::to_string(*event);
    log.skip(reader);
  }
  return text;
}

TEST(EventLog, gives_every_event_to_every_reader_in_order) {
  std::array<Log<4>::Reader, 2> readers;
  Log<4> log(readers);
  for (auto& reader : readers) {
    log.attach(reader);
    reader.filter.divisor = 1;
  }
  for (const std::uint32_t event : {1U, 2U, 3U}) {
    log.append(event);
  }
  EXPECT_EQ(read_all(log, readers[0]), "1 2 3");
  EXPECT_EQ(read_all(log, readers[0]), "");
  EXPECT_EQ(read_all(log, readers[1]), "1 2 3");
  EXPECT_EQ(log.appended(), 3U);
}

TEST(EventLog, tells_how_far_a_reader_is_behind) {
  std::array<Log<4>::Reader, 1> readers;
  Log<4> log(readers);
  log.append(1);
  log.attach(readers[0]);
  readers[0].filter.divisor = 2;
  EXPECT_EQ(log.behind(readers[0]), 0U);
  for (const std::uint32_t event : {1U, 2U, 3U}) {
    log.append(event);
  }
  EXPECT_EQ(log.behind(readers[0]), 3U) << "wanted or not";
  EXPECT_EQ(read_all(log, readers[0]), "2");
  EXPECT_EQ(log.behind(readers[0]), 0U);
  for (std::uint32_t event = 0; event < 9; ++event) {
    log.append(event);
  }
  EXPECT_EQ(log.behind(readers[0]), 4U) << "it has lost the others";
}

TEST(EventLog, leaves_an_event_in_place_until_it_is_skipped) {
  std::array<Log<4>::Reader, 1> readers;
  Log<4> log(readers);
  log.attach(readers[0]);
  readers[0].filter.divisor = 1;
  log.append(1);
  ASSERT_NE(log.peek(readers[0]), nullptr);
  log.append(2);
  ASSERT_NE(log.peek(readers[0]), nullptr);
  EXPECT_EQ(*log.peek(readers[0]), 1U);
  log.skip(readers[0]);
  EXPECT_EQ(*log.peek(readers[0]), 2U);
}

TEST(EventLog, shows_a_reader_only_what_comes_after_it_was_attached) {
  std::array<Log<4>::Reader, 1> readers;
  Log<4> log(readers);
  for (std::uint32_t event = 1; event <= 10; ++event) {
    log.append(event);
  }
  log.attach(readers[0]);
  readers[0].filter.divisor = 1;
  EXPECT_EQ(read_all(log, readers[0]), "");
  log.append(11);
  EXPECT_EQ(read_all(log, readers[0]), "11");
  EXPECT_EQ(readers[0].lost(), 0U);
}

TEST(EventLog, drops_the_oldest_events_of_a_slow_reader_and_of_nobody_else) {
  std::array<Log<4>::Reader, 2> readers;
  Log<4> log(readers);
  for (auto& reader : readers) {
    log.attach(reader);
    reader.filter.divisor = 1;
  }
  std::string seen;
  for (std::uint32_t event = 1; event <= 7; ++event) {
    log.append(event);
    seen += read_all(log, readers[1]);
  }
  EXPECT_EQ(seen, "1234567");
  EXPECT_EQ(readers[1].take_lost(), 0U);
  EXPECT_EQ(readers[0].take_lost(), 3U);
  EXPECT_EQ(readers[0].take_lost(), 0U);
  EXPECT_EQ(readers[0].lost_in_total(), 3U);
  EXPECT_EQ(read_all(log, readers[0]), "4 5 6 7");
}

TEST(EventLog, counts_as_lost_only_what_the_reader_wanted) {
  std::array<Log<4>::Reader, 2> readers;
  Log<4> log(readers);
  for (auto& reader : readers) {
    log.attach(reader);
  }
  readers[0].filter.divisor = 3;
  for (std::uint32_t event = 1; event <= 13; ++event) {  // 1 to 9 are overwritten
    log.append(event);
  }
  EXPECT_EQ(readers[0].take_lost(), 3U);
  EXPECT_EQ(readers[1].take_lost(), 0U);
  EXPECT_EQ(read_all(log, readers[0]), "12");
  EXPECT_EQ(read_all(log, readers[1]), "");
}

TEST(EventLog, charges_a_detached_reader_with_nothing) {
  std::array<Log<2>::Reader, 1> readers;
  Log<2> log(readers);
  log.attach(readers[0]);
  readers[0].filter.divisor = 1;
  log.append(1);
  log.detach(readers[0]);
  for (std::uint32_t event = 2; event <= 9; ++event) {
    log.append(event);
  }
  EXPECT_EQ(readers[0].lost(), 0U);
  log.attach(readers[0]);
  EXPECT_EQ(readers[0].filter.divisor, 0U);
  readers[0].filter.divisor = 1;
  log.append(10);
  EXPECT_EQ(read_all(log, readers[0]), "10");
}

TEST(EventLog, judges_by_the_filter_of_the_moment) {
  std::array<Log<2>::Reader, 1> readers;
  Log<2> log(readers);
  log.attach(readers[0]);
  for (std::uint32_t event = 1; event <= 4; ++event) {
    log.append(event);  // nobody wanted 1 and 2
  }
  readers[0].filter.divisor = 1;
  EXPECT_EQ(readers[0].lost(), 0U);
  log.append(5);
  EXPECT_EQ(readers[0].lost(), 1U);
  EXPECT_EQ(read_all(log, readers[0]), "4 5");
}

/// All that ever happened, kept for good.
class Model {
 public:
  struct Reader {
    bool attached = false;
    std::uint32_t divisor = 0;
    std::size_t next = 0;
    std::size_t lost = 0;
    std::size_t lost_in_total = 0;
  };

  Model(std::size_t kept, std::size_t count) : readers(count), kept_(kept) {}

  void append(std::uint32_t event) {
    all_.push_back(event);
    for (Reader& reader : readers) {
      for (; reader.attached && reader.next + kept_ < all_.size(); ++reader.next) {
        const std::size_t lost = wants(reader) ? 1 : 0;
        reader.lost += lost;
        reader.lost_in_total += lost;
      }
    }
  }
  void attach(Reader& reader, std::uint32_t divisor) const {
    reader = {.attached = true, .divisor = divisor, .next = all_.size()};
  }
  [[nodiscard]] const std::uint32_t* peek(Reader& reader) const {
    while (reader.next < all_.size() && !wants(reader)) {
      ++reader.next;
    }
    return reader.next < all_.size() ? &all_[reader.next] : nullptr;
  }

  std::vector<Reader> readers;

 private:
  [[nodiscard]] bool wants(const Reader& reader) const {
    return reader.divisor != 0 && all_[reader.next] % reader.divisor == 0;
  }

  std::size_t kept_;
  std::vector<std::uint32_t> all_;
};

template <class Size>
class EventLogOf : public ::testing::Test {};
using Sizes =
    ::testing::Types<std::integral_constant<std::size_t, 1>, std::integral_constant<std::size_t, 2>,
                     std::integral_constant<std::size_t, 3>, std::integral_constant<std::size_t, 8>,
                     std::integral_constant<std::size_t, 17>>;
TYPED_TEST_SUITE(EventLogOf, Sizes);

TYPED_TEST(EventLogOf, any_size_agrees_with_the_model_whatever_the_pace_of_its_readers) {
  constexpr std::size_t n = TypeParam::value;
  constexpr std::size_t count = 5;
  std::array<typename Log<n>::Reader, count> readers;
  Log<n> log(readers);
  Model model(n, count);
  std::mt19937 random(n);  // the same each time
  const auto below = [&](std::size_t limit) { return random() % limit; };
  std::size_t lost_somewhere = 0;
  for (std::uint32_t step = 0; step < 20'000; ++step) {
    const std::size_t chosen = below(count);
    auto& reader = readers[chosen];
    Model::Reader& expected = model.readers[chosen];
    switch (below(16)) {
      case 0:
        log.attach(reader);
        reader.filter.divisor = static_cast<std::uint32_t>(below(4));
        model.attach(expected, reader.filter.divisor);
        break;
      case 1:
        log.detach(reader);
        expected.attached = false;
        break;
      case 2:
        ASSERT_EQ(reader.take_lost(), expected.lost);
        expected.lost = 0;
        break;
      case 3:
      case 4:
      case 5:
      case 6:
        for (std::size_t i = below(2 * n); expected.attached && i > 0; --i) {
          const std::uint32_t* const event = log.peek(reader);
          const std::uint32_t* const wanted = model.peek(expected);
          ASSERT_EQ(event == nullptr, wanted == nullptr) << "step " << step;
          if (event == nullptr) {
            break;
          }
          ASSERT_EQ(*event, *wanted) << "step " << step;
          log.skip(reader);
          ++expected.next;
        }
        break;
      default:
        log.append(step);
        model.append(step);
        break;
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (model.readers[i].attached) {
        ASSERT_EQ(readers[i].lost(), model.readers[i].lost) << "step " << step << ", reader " << i;
        ASSERT_EQ(readers[i].lost_in_total(), model.readers[i].lost_in_total);
        lost_somewhere += readers[i].lost();
      }
    }
  }
  EXPECT_GT(lost_somewhere, 0U);
}

}  // namespace
}  // namespace millrace
