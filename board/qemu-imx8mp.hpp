// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "board/board.hpp"

/// QEMU's `imx8mp-evk`, a model of NXP's i.MX 8M Plus EVK. Of the 143 lines of its five GPIO
/// controllers those whose pads the board's device tree puts to no use, named as in the chip's
/// reference manual. UART2 is the console, and UART4 is taken by toolchain/lines.
namespace millrace::board::qemu_imx8mp {

struct Pad {
  unsigned char controller;  // from 1, as the manual counts
  unsigned char offset;
};
inline constexpr std::array<Pad, 36> free_pads = {{
    {1, 0},  {1, 5},  {1, 6},  {1, 7},  {1, 8},  {1, 9},  {1, 10}, {1, 13}, {1, 15},
    {2, 0},  {2, 1},  {2, 2},  {2, 3},  {2, 4},  {2, 5},  {2, 8},  {2, 9},  {2, 10},
    {2, 11}, {2, 20}, {3, 14}, {4, 0},  {4, 1},  {4, 3},  {4, 18}, {4, 19}, {4, 20},
    {4, 21}, {4, 28}, {5, 10}, {5, 11}, {5, 12}, {5, 13}, {5, 21}, {5, 28}, {5, 29},
}};

/// The kernel's labels are the controllers' addresses: the manual's memory map has them.
inline constexpr auto lines = [] {
  std::array<Line, free_pads.size()> result{};
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto [controller, offset] = free_pads[i];
    result[i].name.append("GPIO", controller, "_IO", offset / 10, offset % 10);
    result[i].kernel = result[i].name;
    result[i].fallback.append("302", controller - 1, "0000.gpio:", offset);
  }
  return result;
}();
inline constexpr std::array uarts = {
    Uart{.name = "uart1", .paths = {"/dev/ttymxc0"}},
    Uart{.name = "uart3", .paths = {"/dev/ttymxc2"}},
};

inline constexpr Board board = {
    .name = "qemu-imx8mp",
    .description = "QEMU imx8mp-evk, i.MX 8M Plus",
    .lines = lines,
    .uarts = uarts,
    .models = {"QEMU imx8mp-evk"},
};
inline constexpr Capacities capacities = {
    .fds = 160, .lines = lines.size(), .libgpiod_memory = 17 * kib, .connections = 32};
inline constexpr Budget budget = {.memory = 768 * kib};

}  // namespace millrace::board::qemu_imx8mp
