// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::pigpio {

/// A frequency that PWM can have, in hertz, and how many steps a period has: those of pigpiod's
/// default sample rate of 5 us, up to what a process that sleeps between two edges can do. A client
/// is given the one that is nearest to what it asks for, and told.
struct PwmFrequency {
  std::uint32_t hertz;
  std::uint32_t real_range;
};

inline constexpr std::array<PwmFrequency, 14> pwm_frequencies = {{{1000, 200},
                                                                  {800, 250},
                                                                  {500, 400},
                                                                  {400, 500},
                                                                  {320, 625},
                                                                  {250, 800},
                                                                  {200, 1000},
                                                                  {160, 1250},
                                                                  {100, 2000},
                                                                  {80, 2500},
                                                                  {50, 4000},
                                                                  {40, 5000},
                                                                  {20, 10000},
                                                                  {10, 20000}}};
inline constexpr std::uint32_t default_pwm_frequency = 800;

/// The nearest to `hertz`; of two that are equally near, the higher one.
[[nodiscard]] constexpr PwmFrequency nearest_pwm_frequency(std::uint32_t hertz) {
  const auto distance = [hertz](const PwmFrequency& frequency) {
    return hertz > frequency.hertz ? hertz - frequency.hertz : frequency.hertz - hertz;
  };
  return *std::ranges::min_element(pwm_frequencies, {}, distance);
}

}  // namespace millrace::pigpio
