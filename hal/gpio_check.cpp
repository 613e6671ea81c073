// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/gpio_check.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace millrace::hal {

bool wants_input(const LineSettings& settings) {
  return settings.direction == Direction::input ||
         (settings.direction == Direction::as_is && settings.edges != Edges::none);
}

bool wants_as_is(const LineSettings& settings) {
  return settings.direction == Direction::as_is && settings.edges == Edges::none;
}

Result<void> check_settings(std::span<const LineSettings> settings) {
  for (const LineSettings& line : settings) {
    if (line.edges != Edges::none && !wants_input(line)) {
      return fail(EINVAL, "only a GPIO input can report edges", "make it an input");
    }
    if (line.debounce.count() != 0 && !wants_input(line)) {
      return fail(EINVAL, "only a GPIO input can be debounced", "make it an input");
    }
    if (line.drive != Drive::push_pull && line.direction != Direction::output) {
      return fail(EINVAL, "only a GPIO output can be open drain or open source",
                  "make it an output");
    }
    if (line.bias != Bias::as_is && wants_as_is(line)) {
      return fail(EINVAL, "a GPIO bias needs a direction", "make it an input or an output");
    }
    if (line.debounce.count() < 0 ||
        line.debounce.count() > std::numeric_limits<std::uint32_t>::max()) {
      return fail(EINVAL, "the debounce period is out of range", "use 0 to 4294967295 us");
    }
  }
  return {};
}

Result<void> check_request(std::span<const LineAddress> lines,
                           std::span<const LineSettings> settings) {
  if (lines.empty() || lines.size() > Gpio::max_lines_per_request) {
    return fail(EINVAL, "a GPIO request has 1 to 64 lines", "split it");
  }
  if (settings.size() != lines.size()) {
    return fail(EINVAL, "a GPIO request needs settings for each of its lines");
  }
  for (auto line = lines.begin(); line != lines.end(); ++line) {
    if (line->chip != lines.front().chip) {
      return fail(EINVAL, "the lines of a GPIO request are all of one chip", "split it");
    }
    if (std::find(lines.begin(), line, *line) != line) {
      return fail(EBUSY, "a GPIO request names a line twice", "name each line once");
    }
  }
  return check_settings(settings);
}

std::unexpected<Error> no_such_request() {
  return fail(EBADF, "the GPIO lines have been released already");
}

}  // namespace millrace::hal
