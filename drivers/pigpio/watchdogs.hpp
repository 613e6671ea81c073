// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstdint>

#include "drivers/pigpio/command.hpp"
#include "hal/time.hpp"

namespace millrace::pigpio {

/// A watchdog a GPIO: it barks when the GPIO has not changed for a time, and again each time that
/// long. Those of GPIOs that nobody watches are not looked at.
class Watchdogs {
 public:
  /// 0 ends it.
  void set(unsigned gpio, Duration timeout, Instant now);
  /// The GPIO has changed.
  void rebase(unsigned gpio, Instant at) { dogs_[gpio].since = at; }
  [[nodiscard]] bool active(unsigned gpio) const { return dogs_[gpio].timeout > Duration::zero(); }

  /// When the next of those in `watched` barks; `never` if none will.
  [[nodiscard]] Instant next(std::uint32_t watched) const;
  /// Those that have barked by now, begun anew.
  [[nodiscard]] std::uint32_t take_expired(std::uint32_t watched, Instant now);

 private:
  struct Dog {
    Duration timeout{};  ///< 0: none
    Instant since;
  };

  [[nodiscard]] Instant due(unsigned gpio, std::uint32_t watched) const;

  std::array<Dog, user_gpios> dogs_{};
};

}  // namespace millrace::pigpio
