// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "board/board.hpp"

/// QEMU's arm64 machine `virt`: 32 lines of the kernel's gpio-sim, and two serial ports.
namespace millrace::board::qemu_virt {

inline constexpr auto lines = numbered_lines<32>("millrace");
inline constexpr std::array uarts = {
    Uart{.name = "uart0", .paths = {"/dev/ttyAMA1", "/dev/ttyS0"}},
    Uart{.name = "uart1", .paths = {"/dev/hvc0"}},
};

inline constexpr Board board = {
    .name = "qemu-virt",
    .description = "QEMU virt with the kernel's gpio-sim",
    .lines = lines,
    .uarts = uarts,
    .models = {"linux,dummy-virt"},
};
inline constexpr Capacities capacities = {.connections = 32};
inline constexpr Budget budget = {.memory = 768 * kib};

}  // namespace millrace::board::qemu_virt
