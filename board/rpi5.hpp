// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "board/board.hpp"

/// Raspberry Pi 5, 500 and Compute Module 5. The 28 lines of the 40-pin header, by their BCM
/// numbers.
namespace millrace::board::rpi5 {

inline constexpr auto lines = numbered_lines<28>("pinctrl-rp1");
inline constexpr std::array uarts = {
    Uart{.name = "uart0", .paths = {"/dev/serial0", "/dev/ttyAMA0"}},
};
inline constexpr std::array pwms = {
    Pwm{.line = "GPIO12", .channel = "1f00098000.pwm:0"},
    Pwm{.line = "GPIO13", .channel = "1f00098000.pwm:1"},
    Pwm{.line = "GPIO18", .channel = "1f00098000.pwm:2"},
    Pwm{.line = "GPIO19", .channel = "1f00098000.pwm:3"},
};

inline constexpr Board board = {
    .name = "rpi5",
    .description = "Raspberry Pi 5, 500 and Compute Module 5",
    .lines = lines,
    .uarts = uarts,
    .pwms = pwms,
    .models = {"Raspberry Pi 5", "Raspberry Pi Compute Module 5"},
    .pigpio_revision = 0xc04170,
};
inline constexpr Capacities capacities = {.lines = 28, .connections = 32};
inline constexpr Budget budget = {.memory = 768 * kib};

}  // namespace millrace::board::rpi5
