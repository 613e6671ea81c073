// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <span>

#include "hal/error.hpp"
#include "hal/gpio.hpp"

namespace millrace::hal {

/// Whether `settings` make the line an input. Edges do, where the direction is left as it is.
[[nodiscard]] bool wants_input(const LineSettings& settings);

/// Whether `settings` leave direction, edges and all that depends on them as they are.
[[nodiscard]] bool wants_as_is(const LineSettings& settings);

/// The rules that all backends share, those of gpio_v2_line_config_validate() in the kernel's
/// gpiolib-cdev.c: EINVAL for edges or a debounce period on an output, a drive on an input, a bias
/// on a line whose direction is left as it is, and a debounce period that is not within 32 bits.
[[nodiscard]] Result<void> check_settings(std::span<const LineSettings> settings);

/// check_settings(), and what else a request must comply with: EINVAL unless it has 1 to
/// max_lines_per_request lines of one chip and settings for each; EBUSY when it names a line twice.
[[nodiscard]] Result<void> check_request(std::span<const LineAddress> lines,
                                         std::span<const LineSettings> settings);

/// The error of a RequestId that is not in use: EBADF.
[[nodiscard]] std::unexpected<Error> no_such_request();

}  // namespace millrace::hal
