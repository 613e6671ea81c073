// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "board/boards.hpp"
#include "hal/or_exit.hpp"
#include "hal/print.hpp"
#include "hal/uart.hpp"

namespace millrace {

/// Opens the first serial port of the board that this is built for, or a simulated one, and says
/// where its other end is.
[[nodiscard]] inline hal::Uart open_board_uart() {
  const char* const path = board::selected::uarts[0].paths[0];
  hal::Uart uart =
      or_exit(path ? hal::Uart::open(path, {}) : hal::Uart::open_simulated({}), "uart");
  hal::print("talking at ", uart.path());
  return uart;
}

}  // namespace millrace
