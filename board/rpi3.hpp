// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "board/board.hpp"

/// Raspberry Pi 3 Model A+, B and B+. The 28 lines of the 40-pin header, by their BCM numbers.
namespace millrace::board::rpi3 {

inline constexpr auto lines = numbered_lines<28>("pinctrl-bcm2835");
inline constexpr std::array uarts = {
    Uart{.name = "uart0", .paths = {"/dev/serial0", "/dev/ttyAMA0"}},
};
inline constexpr auto pwms = bcm_pwms("3f20c000.pwm:0", "3f20c000.pwm:1");

inline constexpr Board board = {
    .name = "rpi3",
    .description = "Raspberry Pi 3 Model A+, B and B+",
    .lines = lines,
    .uarts = uarts,
    .pwms = pwms,
    .models = {"Raspberry Pi 3", "Raspberry Pi Compute Module 3"},
    .pigpio_revision = 0xa02082,
};
inline constexpr Capacities capacities = {.lines = 28, .connections = 16, .pigpio_connections = 16};
inline constexpr Budget budget = {.memory = 640 * kib};

}  // namespace millrace::board::rpi3
