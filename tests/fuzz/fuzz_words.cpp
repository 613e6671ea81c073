// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// A line's words, pairs, numbers and durations are what they are by definition.

#include <algorithm>
#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/control/words.hpp"
#include "tests/support/fuzz.hpp"

namespace {

using millrace::test::Input;
using millrace::test::require;
using namespace millrace::control;

template <std::size_t N>
void check_words(std::string_view line) {
  std::vector<std::string_view> expected;
  for (std::size_t start = 0, i = 0; i <= line.size(); ++i) {
    if (i == line.size() || line[i] == ' ' || line[i] == '\t') {
      if (i > start) {
        expected.push_back(line.substr(start, i - start));
      }
      start = i + 1;
    }
  }
  const Words<N> words(line);
  require(words.too_many() == (expected.size() > N));
  expected.resize(std::min(expected.size(), N));
  require(std::ranges::equal(words.all(), expected));
}

void check_split(std::string_view text, char separator) {
  const Pair pair = split(text, separator);
  require(pair.key.find(separator) == std::string_view::npos);
  require(pair.found == (text.find(separator) != std::string_view::npos));
  const std::string joined = std::string(pair.key) + separator + std::string(pair.value);
  require(pair.found ? joined == text : pair.key == text && pair.value.empty());
}

/// Digits, and a minus before them if there may be one, of a value that fits.
template <std::integral T>
std::optional<T> number_by_definition(std::string_view text) {
  const bool negative = std::signed_integral<T> && text.starts_with('-');
  text.remove_prefix(negative ? 1 : 0);
  if (text.empty()) {
    return std::nullopt;
  }
  __int128 value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') {
      return std::nullopt;
    }
    value = std::min(value * 10 + (c - '0'), __int128{1} << 100U);
  }
  value = negative ? -value : value;
  if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max()) {
    return std::nullopt;
  }
  return static_cast<T>(value);
}
template <std::integral T>
void check_number(std::string_view text) {
  require(parse_number<T>(text) == number_by_definition<T>(text));
}

void check_duration(std::string_view text) {
  std::optional<std::chrono::microseconds> expected;
  if (text == "0") {
    expected = std::chrono::microseconds(0);
  }
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view unit = text.substr(digits);
  const auto number = number_by_definition<std::uint32_t>(text.substr(0, digits));
  if (number) {
    if (unit == "us") {
      expected = std::chrono::microseconds(*number);
    } else if (unit == "ms") {
      expected = std::chrono::milliseconds(*number);
    } else if (unit == "s") {
      expected = std::chrono::seconds(*number);
    }
  }
  require(parse_duration(text) == expected);
}

void check_names(std::string_view text) {
  constexpr std::array<std::string_view, 6> names = {"0", "off", "low", "1", "on", "high"};
  const auto place = parse_name(text, names);
  const auto level = parse_level(text);
  require(level.has_value() == place.has_value());
  require(!place || (*place < names.size() && names.at(*place) == text));
  require(!place || *level == (*place >= 3));
  require(place || std::ranges::find(names, text) == names.end());
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(std::span(data, size));
  const char separator = "=,:"[input.below(3)];
  const std::string text = input.rest();
  check_words<1>(text);
  check_words<8>(text);
  check_split(text, separator);
  check_number<std::uint8_t>(text);
  check_number<std::int8_t>(text);
  check_number<std::uint32_t>(text);
  check_number<std::int64_t>(text);
  check_duration(text);
  check_names(text);
  return 0;
}
