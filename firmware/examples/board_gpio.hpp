// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <string_view>
#include <type_traits>

#include "board/boards.hpp"
#include "hal/gpio_cdev.hpp"
#include "hal/gpio_sim.hpp"

namespace millrace {

/// The GPIO of the board that this is built for: the kernel's, or the simulation.
using BoardGpio = std::conditional_t<
    board::selected::board.gpio == board::GpioBackend::simulation, hal::GpioSim,
    hal::StaticGpioCdev<board::capacities.lines, board::capacities.libgpiod_memory>>;

/// Finds a line by the board's name for it.
[[nodiscard]] inline Result<hal::LineAddress> find_line(hal::Gpio& gpio, std::string_view name) {
  for (const board::Line& line : board::selected::board.lines) {
    if (line.name == name) {
      return gpio.find(line.kernel, line.fallback);
    }
  }
  return gpio.find(name);
}

}  // namespace millrace
