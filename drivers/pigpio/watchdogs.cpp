// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "drivers/pigpio/watchdogs.hpp"

#include <algorithm>

namespace millrace::pigpio {

void Watchdogs::set(unsigned gpio, Duration timeout, Instant now) {
  dogs_[gpio] = {.timeout = timeout, .since = now};
}

Instant Watchdogs::due(unsigned gpio, std::uint32_t watched) const {
  return active(gpio) && (watched >> gpio & 1U) != 0
             ? saturating_add(dogs_[gpio].since, dogs_[gpio].timeout)
             : never;
}

Instant Watchdogs::next(std::uint32_t watched) const {
  Instant next = never;
  for (unsigned gpio = 0; gpio < user_gpios; ++gpio) {
    next = std::min(next, due(gpio, watched));
  }
  return next;
}

std::uint32_t Watchdogs::take_expired(std::uint32_t watched, Instant now) {
  std::uint32_t expired = 0;
  for (unsigned gpio = 0; gpio < user_gpios; ++gpio) {
    if (due(gpio, watched) <= now) {
      expired |= std::uint32_t{1} << gpio;
      dogs_[gpio].since = now;
    }
  }
  return expired;
}

}  // namespace millrace::pigpio
