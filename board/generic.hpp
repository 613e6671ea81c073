// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "board/board.hpp"

/// Any other single-board computer with Linux: all lines that have a name, and the usual serial
/// ports.
namespace millrace::board::generic {

inline constexpr std::array uarts = {
    Uart{.name = "uart0", .paths = {"/dev/ttyUSB0", "/dev/ttyACM0"}},
    Uart{.name = "uart1", .paths = {"/dev/ttyS1", "/dev/ttyAMA1"}},
};

inline constexpr Board board = {
    .name = "generic",
    .description = "all named lines of this machine",
    .lines = {},
    .uarts = uarts,
};
inline constexpr Capacities capacities = {.fds = 272,
                                          .lines = 192,
                                          .libgpiod_memory = 68 * kib,
                                          .connections = 32,
                                          .pigpio_connections = 32};
inline constexpr Budget budget = {.memory = 896 * kib, .stack = 48 * kib};

}  // namespace millrace::board::generic
