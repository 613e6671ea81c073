// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <optional>
#include <string_view>

#include "hal/fixed_string.hpp"
#include "hal/uart_settings.hpp"

namespace millrace {

/// Reads "115200", "115200,8N1" or "9600,7E2,rtscts": a baud rate; data bits, parity (N, O, E, M,
/// S) and stop bits; then any of rtscts, xonxoff, rs485, low-latency. What is not said is 8N1
/// without flow control. Empty when a part is not understood.
[[nodiscard]] std::optional<hal::UartSettings> parse_uart_settings(std::string_view text);

/// The form that parse_uart_settings() reads.
[[nodiscard]] FixedString<63> to_text(const hal::UartSettings& settings);

}  // namespace millrace
