// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <chrono>
#include <cstdint>

#include "drivers/pigpio/code.hpp"
#include "hal/time.hpp"

namespace millrace::pigpio {

enum class Pull : std::uint8_t { off, down, up };  ///< as PUD numbers them

/// The machine's lines, by pigpiod's numbers: what the daemon needs of whoever has them. A number
/// is below 54 and in known(), unless said otherwise. Bits above 31 are those of bank 2.
class Lines {
 public:
  /// The numbers that mean a line.
  [[nodiscard]] virtual std::uint64_t known() const = 0;

  /// Whether the line is an output: ours, or as whoever used it before has left it.
  [[nodiscard]] virtual bool is_output(unsigned gpio) = 0;
  /// Makes the line an output that has `level` at once. Errors: gpio_in_use, not_permitted,
  /// bad_gpio (it has vanished), here and below.
  [[nodiscard]] virtual Code make_output(unsigned gpio, bool level) = 0;
  /// Makes the line an input, with what bias_line() and debounce_line() have asked for.
  [[nodiscard]] virtual Code make_input(unsigned gpio) = 0;
  /// At once if it is an input or nobody's; else kept for when it is one.
  [[nodiscard]] virtual Code bias_line(unsigned gpio, Pull pull) = 0;
  /// The same for the kernel's debouncing: 0 is off. Takes no line.
  [[nodiscard]] virtual Code debounce_line(unsigned gpio, std::chrono::microseconds steady) = 0;

  /// The line's level, taking the line if nobody has.
  [[nodiscard]] virtual Expected<bool> level_of(unsigned gpio) = 0;
  /// Those levels of `wanted`, of any numbers, that can be known without taking a line; 0 for the
  /// rest.
  [[nodiscard]] virtual std::uint64_t levels_of(std::uint64_t wanted) = 0;
  /// Drives `which`, all of them outputs, to their bits of `levels`, together.
  [[nodiscard]] virtual Code drive_lines(std::uint64_t which, std::uint64_t levels) = 0;
  /// Drives one that is an output, and quickly; false if it can't be.
  [[nodiscard]] virtual bool drive_line(unsigned gpio, bool level) = 0;

  /// Those that a channel of the kernel's PWM drives instead of a GPIO controller. They are outputs
  /// while the channel is on, and their levels are that it is never or always high. They can't be
  /// inputs: make_input() switches the channel off, level_of() then is not_permitted, and what is
  /// said of inputs is not kept. They can't be watched.
  [[nodiscard]] virtual std::uint64_t with_pwm() const = 0;
  /// Has one of these make pulses of `width` every `period` from now on, by itself. When it can't,
  /// it goes on with what it had. Errors: bad_hpwm_freq (its hardware can't make such pulses).
  [[nodiscard]] virtual Code pulse_line(unsigned gpio, Duration period, Duration width) = 0;

  /// Has changes of these GPIOs reported, of any numbers, and of no others; returns those of them
  /// that are lines but can't be watched.
  [[nodiscard]] virtual std::uint32_t watch_lines(std::uint32_t bits) = 0;

 protected:
  ~Lines() = default;
};

}  // namespace millrace::pigpio
