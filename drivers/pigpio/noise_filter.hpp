// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "hal/time.hpp"

namespace millrace::pigpio {

/// Passes changes on only for a while after the first that follows a quiet time: FN. Where pigpiod
/// reports a level that nothing has, when it falls silent amid a burst, this reports nothing.
class NoiseFilter {
 public:
  /// From here on.
  void start(Duration steady, Duration active, Instant now) {
    steady_ = steady;
    active_ = active;
    quiet_since_ = now;
    until_ = now;
  }
  void stop() { *this = {}; }
  [[nodiscard]] bool active() const { return steady_ > Duration::zero(); }

  /// The GPIO has changed: whether that passes.
  [[nodiscard]] bool passes(Instant at) {
    if (at < until_) {
      return true;
    }
    // While reporting, nobody has looked at how quiet it is: that begins when reporting ends.
    const Instant since = quiet_since_ < until_ ? until_ : quiet_since_;
    quiet_since_ = at;
    if (saturating_sub(at, since) < steady_) {
      return false;
    }
    until_ = saturating_add(at, active_);
    return true;
  }

 private:
  Duration steady_{};  ///< 0: off
  Duration active_{};
  Instant quiet_since_;  ///< the last change that did not pass
  Instant until_;        ///< changes pass before that
};

}  // namespace millrace::pigpio
