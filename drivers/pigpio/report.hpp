// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "hal/time.hpp"

namespace millrace::pigpio {

/// pigpiod's clock: microseconds of CLOCK_MONOTONIC, which wrap around after 71.6 minutes.
[[nodiscard]] constexpr std::uint32_t tick(Instant at) {
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count());
}

/// What clients are told on their notification channels.
struct Report {
  enum class Kind : std::uint8_t {
    levels,      ///< a GPIO has changed
    watchdog,    ///< GPIO `number` has not changed for the time set
    event,       ///< a client has triggered event `number`
    keep_alive,  ///< nothing was reported for a minute
  };

  static constexpr std::size_t size = 12;  ///< bytes, encoded

  Kind kind = Kind::levels;
  std::uint8_t number = 0;
  std::uint32_t tick = 0;
  std::uint32_t levels = 0;    ///< of GPIO 0 to 31, all of them
  std::uint32_t audience = 0;  ///< handles that are told, a bit each

  /// As it is sent: u16 sequence, u16 flags, u32 tick, u32 levels.
  [[nodiscard]] std::array<std::byte, size> encode(std::uint16_t sequence) const;
};

}  // namespace millrace::pigpio
