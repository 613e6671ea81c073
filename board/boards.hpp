// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <string_view>

#include "board/board.hpp"
#include "board/generic.hpp"
#include "board/qemu-imx8mp.hpp"
#include "board/qemu-virt.hpp"
#include "board/rpi-zero2w.hpp"
#include "board/rpi3.hpp"
#include "board/rpi4.hpp"
#include "board/rpi5.hpp"
#include "board/sim.hpp"

#ifndef MILLRACE_BOARD
#error "define MILLRACE_BOARD: the board that the firmware is built for, for example rpi_zero2w"
#endif

namespace millrace::board {

/// Every board that there is.
inline constexpr std::array all = {
    &sim::board,        &rpi3::board,      &rpi4::board,        &rpi5::board,
    &rpi_zero2w::board, &qemu_virt::board, &qemu_imx8mp::board, &generic::board,
};

/// The board that this firmware was built for: `make BOARD=rpi4`. It gives the capacities and the
/// budget, and what is wired unless another board is asked for at start.
namespace selected = MILLRACE_BOARD;

// toolchain/memory-map reads both in the finished program, so they stay there even if unused. It
// also has the program compiled with one capacity doubled, to see what grows.
[[gnu::used, gnu::retain]] inline constexpr Capacities capacities = [] {
  Capacities result = selected::capacities;
#ifdef MILLRACE_PROBE
  result.MILLRACE_PROBE *= 2;
#endif
  return result;
}();
[[gnu::used, gnu::retain]] inline constexpr Budget budget = selected::budget;

/// By its name; nullptr when there is none.
[[nodiscard]] constexpr const Board* find(std::string_view name) {
  for (const Board* const candidate : all) {
    if (candidate->name == name) {
      return candidate;
    }
  }
  return nullptr;
}

/// By the device tree's model; nullptr when it is that of no board here.
[[nodiscard]] constexpr const Board* find_by_model(std::string_view model) {
  for (const Board* const candidate : all) {
    for (const std::string_view beginning : candidate->models) {
      if (!beginning.empty() && model.starts_with(beginning)) {
        return candidate;
      }
    }
  }
  return nullptr;
}

}  // namespace millrace::board
