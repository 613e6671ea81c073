// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <expected>
#include <span>
#include <string_view>

#include "hal/gpio.hpp"

namespace millrace {

/// Reads one setting into `settings`: input, output, as-is, bias=as-is|disabled|pull-up|pull-down,
/// drive=push-pull|open-drain|open-source, active=high|low, debounce=5ms, level=0|1. False when it
/// is not understood; nothing has changed then.
[[nodiscard]] bool parse_line_setting(std::string_view text, hal::LineSettings& settings);

/// What a line is set up as when it was set up as `before` and `words` are asked for, or the word
/// that is not understood. What belongs to the other direction does not outlive the change to this
/// one; what the words themselves ask for stays, for whoever requests the line to refuse it.
[[nodiscard]] std::expected<hal::LineSettings, std::string_view> change_line_settings(
    const hal::LineSettings& before, std::span<const std::string_view> words);

/// The words of settings, as parse_line_setting() reads them.
[[nodiscard]] std::string_view to_text(hal::Direction direction);
[[nodiscard]] std::string_view to_text(hal::Bias bias);
[[nodiscard]] std::string_view to_text(hal::Drive drive);

}  // namespace millrace
