// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "drivers/control/words.hpp"

#include <algorithm>
#include <cstdint>

#include "hal/slice.hpp"

namespace millrace::control {

std::optional<bool> parse_level(std::string_view text) {
  if (text == "0" || text == "off" || text == "low") {
    return false;
  }
  if (text == "1" || text == "on" || text == "high") {
    return true;
  }
  return std::nullopt;
}

std::optional<std::chrono::microseconds> parse_duration(std::string_view text) {
  if (text == "0") {
    return std::chrono::microseconds(0);
  }
  struct Unit {
    std::string_view name;
    std::int64_t microseconds;
  };
  for (const Unit unit : {Unit{"us", 1}, Unit{"ms", 1000}, Unit{"s", 1'000'000}}) {
    if (!text.ends_with(unit.name)) {
      continue;
    }
    const auto number = parse_number<std::uint32_t>(slice(text, 0, text.size() - unit.name.size()));
    if (number) {
      return std::chrono::microseconds(*number * unit.microseconds);
    }
  }
  return std::nullopt;
}

std::optional<std::size_t> parse_name(std::string_view text,
                                      std::span<const std::string_view> names) {
  const auto found = std::ranges::find(names, text);
  if (found == names.end()) {
    return std::nullopt;
  }
  return static_cast<std::size_t>(found - names.begin());
}

}  // namespace millrace::control
