// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "board/board.hpp"

/// Raspberry Pi Zero 2 W. The 28 lines of the 40-pin header, by their BCM numbers.
namespace millrace::board::rpi_zero2w {

inline constexpr auto lines = numbered_lines<28>("pinctrl-bcm2835");
inline constexpr std::array uarts = {
    Uart{.name = "uart0", .paths = {"/dev/serial0", "/dev/ttyAMA0"}},
};
inline constexpr auto pwms = bcm_pwms("3f20c000.pwm:0", "3f20c000.pwm:1");

inline constexpr Board board = {
    .name = "rpi-zero2w",
    .description = "Raspberry Pi Zero 2 W",
    .lines = lines,
    .uarts = uarts,
    .pwms = pwms,
    .models = {"Raspberry Pi Zero 2"},
    .pigpio_revision = 0x902120,
};
inline constexpr Capacities capacities = {.fds = 96,
                                          .lines = 28,
                                          .connections = 8,
                                          .send_ring = 4096,
                                          .events = 512,
                                          .pigpio_connections = 12,
                                          .pigpio_send_ring = 512,
                                          .pigpio_reports = 128,
                                          .pigpio_serials = 1};
inline constexpr Budget budget = {.memory = 512 * kib};

}  // namespace millrace::board::rpi_zero2w
