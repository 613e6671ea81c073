// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "drivers/line_settings.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <utility>

#include "drivers/control/words.hpp"

namespace millrace {
namespace {

using control::parse_duration;
using control::parse_level;
using control::parse_name;
using control::split;
using hal::Bias;
using hal::Direction;
using hal::Drive;
using hal::LineSettings;

// In the order of the enumerators.
constexpr std::array<std::string_view, 3> direction_names = {"as-is", "input", "output"};
constexpr std::array<std::string_view, 4> bias_names = {"as-is", "disabled", "pull-up",
                                                        "pull-down"};
constexpr std::array<std::string_view, 3> drive_names = {"push-pull", "open-drain", "open-source"};
constexpr std::array<std::string_view, 2> active_names = {"high", "low"};

template <class To, class From>
bool assign(To& to, const std::optional<From>& from) {
  if (from) {
    to = static_cast<To>(*from);
  }
  return from.has_value();
}

}  // namespace

bool parse_line_setting(std::string_view text, LineSettings& settings) {
  const auto [key, value, found] = split(text, '=');
  if (!found) {
    return assign(settings.direction, parse_name(text, direction_names));
  }
  if (key == "bias") {
    return assign(settings.bias, parse_name(value, bias_names));
  }
  if (key == "drive") {
    return assign(settings.drive, parse_name(value, drive_names));
  }
  if (key == "active") {
    return assign(settings.active_low, parse_name(value, active_names));
  }
  if (key == "debounce") {
    return assign(settings.debounce, parse_duration(value));
  }
  if (key == "level") {
    return assign(settings.output_active, parse_level(value));
  }
  return false;
}

std::expected<LineSettings, std::string_view> change_line_settings(
    const LineSettings& before, std::span<const std::string_view> words) {
  LineSettings wanted = before;
  for (const std::string_view word : words) {
    if (!parse_line_setting(word, wanted)) {
      return std::unexpected(word);
    }
  }
  const bool turned = wanted.direction != before.direction;
  if (turned && wanted.direction == Direction::output && wanted.debounce == before.debounce) {
    wanted.debounce = std::chrono::microseconds(0);
  }
  if (turned && wanted.direction == Direction::input && wanted.drive == before.drive) {
    wanted.drive = Drive::push_pull;
  }
  return wanted;
}

std::string_view to_text(Direction direction) {
  return direction_names[std::to_underlying(direction)];
}
std::string_view to_text(Bias bias) { return bias_names[std::to_underlying(bias)]; }
std::string_view to_text(Drive drive) { return drive_names[std::to_underlying(drive)]; }

}  // namespace millrace
