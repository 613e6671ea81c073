// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <cstdint>
#include <gtest/gtest.h>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/control/words.hpp"

namespace millrace::control {
namespace {

using std::chrono::microseconds;

TEST(Words, are_what_stands_between_blanks_and_tabs) {
  constexpr std::string_view alphabet = "ab \t";
  constexpr std::size_t most = 2;
  bool too_many_seen = false;
  for (std::uint32_t number = 0; number < 1U << 14; ++number) {
    std::string line;
    for (std::uint32_t i = 0, rest = number; i < 7; ++i, rest /= 4) {
      line += alphabet[rest % 4];
    }
    std::istringstream stream(line);
    std::vector<std::string> wanted;
    for (std::string word; stream >> word;) {
      wanted.push_back(word);
    }
    const Words<most> words(line);
    ASSERT_EQ(words.too_many(), wanted.size() > most) << '"' << line << '"';
    too_many_seen = too_many_seen || words.too_many();
    wanted.resize(std::min(wanted.size(), most));
    ASSERT_EQ(std::vector<std::string>(words.all().begin(), words.all().end()), wanted)
        << '"' << line << '"';
  }
  EXPECT_TRUE(too_many_seen);
}

TEST(Words, of_an_empty_line_are_none) {
  EXPECT_TRUE(Words<4>("").all().empty());
  EXPECT_TRUE(Words<4>(" \t ").all().empty());
}

TEST(Words, split_at_the_first_separator) {
  const auto pair = split("level=1=2", '=');
  EXPECT_TRUE(pair.found);
  EXPECT_EQ(pair.key, "level");
  EXPECT_EQ(pair.value, "1=2");
  const auto none = split("level", '=');
  EXPECT_FALSE(none.found);
  EXPECT_EQ(none.key, "level");
  EXPECT_EQ(none.value, "");
  EXPECT_TRUE(split("=", '=').found);
  EXPECT_EQ(split("=x", '=').key, "");
  EXPECT_EQ(split("x=", '=').value, "");
}

TEST(Words, read_as_numbers_only_if_they_are_one_to_the_end) {
  EXPECT_EQ(parse_number<std::uint8_t>("0"), 0);
  EXPECT_EQ(parse_number<std::uint8_t>("255"), 255);
  EXPECT_EQ(parse_number<std::int8_t>("-128"), -128);
  for (const std::string_view text : {"", "256", "-1", "+1", " 1", "1 ", "1x", "0x1", "1.5"}) {
    EXPECT_FALSE(parse_number<std::uint8_t>(text)) << '"' << text << '"';
  }
}

TEST(Words, name_levels) {
  for (const std::string_view text : {"0", "off", "low"}) {
    EXPECT_EQ(parse_level(text), false) << text;
  }
  for (const std::string_view text : {"1", "on", "high"}) {
    EXPECT_EQ(parse_level(text), true) << text;
  }
  for (const std::string_view text : {"", "2", "ON", "true", "10", "o"}) {
    EXPECT_EQ(parse_level(text), std::nullopt) << text;
  }
}

TEST(Words, give_durations_with_their_unit) {
  EXPECT_EQ(parse_duration("0"), microseconds(0));
  EXPECT_EQ(parse_duration("0s"), microseconds(0));
  EXPECT_EQ(parse_duration("500us"), microseconds(500));
  EXPECT_EQ(parse_duration("5ms"), microseconds(5'000));
  EXPECT_EQ(parse_duration("2s"), microseconds(2'000'000));
  EXPECT_EQ(parse_duration("4294967295s"), microseconds(4'294'967'295'000'000));
  for (const std::string_view text :
       {"", "5", "s", "ms", "us", "-5ms", "5 ms", "5m", "5sec", "1.5s", "5mss", "4294967296us"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << '"' << text << '"';
  }
}

TEST(Words, are_found_among_names_as_a_whole) {
  constexpr std::array<std::string_view, 3> names = {"none", "rising", "falling"};
  EXPECT_EQ(parse_name("none", names), 0U);
  EXPECT_EQ(parse_name("falling", names), 2U);
  for (const std::string_view text : {"", "ris", "risings", "Rising"}) {
    EXPECT_EQ(parse_name(text, names), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace millrace::control
