// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "board/board.hpp"

/// No hardware at all: simulated lines and serial ports, for a laptop, a CI machine, and for
/// learning.
namespace millrace::board::sim {

inline constexpr auto lines = numbered_lines<32>("gpio-sim");
inline constexpr std::array uarts = {Uart{.name = "uart0"}, Uart{.name = "uart1"}};

inline constexpr Board board = {
    .name = "sim",
    .description = "simulated lines and serial ports",
    .gpio = GpioBackend::simulation,
    .lines = lines,
    .uarts = uarts,
};
inline constexpr Capacities capacities = {
    .fds = 512, .connections = 64, .pigpio_connections = 112, .pigpio_serials = 4};
inline constexpr Budget budget = {.code = 512 * kib, .memory = 1152 * kib};

}  // namespace millrace::board::sim
