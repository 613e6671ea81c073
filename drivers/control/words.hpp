// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "hal/slice.hpp"

namespace millrace::control {

/// The words of a line: what stands between blanks and tabs. At most N; more are counted only.
template <std::size_t N>
class Words {
 public:
  explicit Words(std::string_view line) {
    for (;;) {
      const auto start = line.find_first_not_of(blanks);
      if (start == std::string_view::npos) {
        return;
      }
      const auto end = std::min(line.find_first_of(blanks, start), line.size());
      if (count_ < N) {
        words_[count_] = slice(line, start, end);
      }
      ++count_;
      line.remove_prefix(end);
    }
  }

  [[nodiscard]] bool too_many() const { return count_ > N; }
  [[nodiscard]] std::span<const std::string_view> all() const {
    return std::span(words_).first(std::min(count_, N));
  }

 private:
  static constexpr std::string_view blanks = " \t";

  std::array<std::string_view, N> words_;
  std::size_t count_ = 0;
};

/// The two sides of the first `separator`; without one, `value` is empty and `found` false.
struct Pair {
  std::string_view key;
  std::string_view value;
  bool found = false;
};
[[nodiscard]] constexpr Pair split(std::string_view text, char separator) {
  const auto at = text.find(separator);
  if (at == std::string_view::npos) {
    return {.key = text, .value = {}, .found = false};
  }
  return {.key = slice(text, 0, at), .value = slice(text, at + 1), .found = true};
}

/// A decimal number, the whole text, within the type's range.
template <std::integral T>
[[nodiscard]] std::optional<T> parse_number(std::string_view text) {
  T number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

/// "0", "off" and "low" as false; "1", "on" and "high" as true.
[[nodiscard]] std::optional<bool> parse_level(std::string_view text);

/// A number with its unit, "500us", "5ms" or "2s"; "0" needs none.
[[nodiscard]] std::optional<std::chrono::microseconds> parse_duration(std::string_view text);

/// One of `names`, by its position.
[[nodiscard]] std::optional<std::size_t> parse_name(std::string_view text,
                                                    std::span<const std::string_view> names);

}  // namespace millrace::control
