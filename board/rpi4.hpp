// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "board/board.hpp"

/// Raspberry Pi 4 Model B, 400 and Compute Module 4. The 28 lines of the 40-pin header, by their
/// BCM numbers.
namespace millrace::board::rpi4 {

inline constexpr auto lines = numbered_lines<28>("pinctrl-bcm2711");
inline constexpr std::array uarts = {
    Uart{.name = "uart0", .paths = {"/dev/serial0", "/dev/ttyAMA0"}},
};
inline constexpr auto pwms = bcm_pwms("fe20c000.pwm:0", "fe20c000.pwm:1");

inline constexpr Board board = {
    .name = "rpi4",
    .description = "Raspberry Pi 4 Model B, 400 and Compute Module 4",
    .lines = lines,
    .uarts = uarts,
    .pwms = pwms,
    .models = {"Raspberry Pi 4", "Raspberry Pi Compute Module 4"},
    .pigpio_revision = 0xc03111,
};
inline constexpr Capacities capacities = {.lines = 28, .connections = 32};
inline constexpr Budget budget = {.memory = 768 * kib};

}  // namespace millrace::board::rpi4
