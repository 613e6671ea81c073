// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <optional>

#include "hal/time.hpp"

namespace millrace::pigpio {

/// Passes a level on once it has been steady for a time: FG, where the kernel does not do it.
class GlitchFilter {
 public:
  /// From here on; `level` is the GPIO's now, and passes as known.
  void start(Duration steady, bool level) {
    steady_ = steady;
    passed_ = level;
    due_ = never;
  }
  void stop() { start(Duration::zero(), false); }
  [[nodiscard]] bool active() const { return steady_ > Duration::zero(); }

  /// The GPIO has changed.
  void on_level(bool level, Instant at) {
    due_ = level == passed_ ? never : saturating_add(at, steady_);
  }

  /// When the level will have been steady for long enough; `never` if it passes as it is.
  [[nodiscard]] Instant due() const { return due_; }
  /// The level that passes by now, if it does.
  [[nodiscard]] std::optional<bool> take(Instant now) {
    if (due_ > now) {
      return std::nullopt;
    }
    due_ = never;
    passed_ = !passed_;
    return passed_;
  }

 private:
  Duration steady_{};  ///< 0: off
  Instant due_ = never;
  bool passed_ = false;
};

}  // namespace millrace::pigpio
