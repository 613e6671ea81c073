// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstdint>

namespace millrace::hal {

enum class Parity : std::uint8_t { none, odd, even, mark, space };
enum class FlowControl : std::uint8_t { none, rtscts, xonxoff };

/// How a serial port is set up. Any baud rate is possible that the hardware can do (termios2's
/// BOTHER): 9600 as well as 250,000 or 3,000,000.
struct UartSettings {
  std::uint32_t baud = 115'200;
  std::uint8_t data_bits = 8;  ///< 5 to 8
  Parity parity = Parity::none;
  std::uint8_t stop_bits = 1;  ///< 1 or 2
  FlowControl flow_control = FlowControl::none;
  bool rs485 = false;        ///< the kernel drives RTS as the transmit-enable (TIOCSRS485)
  bool low_latency = false;  ///< ASYNC_LOW_LATENCY: no batching timer in USB adapters

  friend bool operator==(const UartSettings&, const UartSettings&) = default;
};

}  // namespace millrace::hal
