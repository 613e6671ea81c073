// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <chrono>
#include <cstdint>
#include <limits>

namespace millrace {

/// A span of time in nanoseconds; negative is allowed and means "already over".
using Duration = std::chrono::duration<std::int64_t, std::nano>;

/// Tag of CLOCK_MONOTONIC, the only clock of the loop and of GPIO time stamps (clock_gettime(2)).
struct MonotonicTag {
  using rep = Duration::rep;
  using period = Duration::period;
  using duration = Duration;
};

/// A point on CLOCK_MONOTONIC.
using Instant = std::chrono::time_point<MonotonicTag, Duration>;

/// Later than every other instant: a timer armed for it never fires.
inline constexpr Instant never = Instant::max();

/// Longer than every other duration: a wait with it has no limit.
inline constexpr Duration forever = Duration::max();

/// `at + by`, clamped to the range of Instant instead of overflowing.
[[nodiscard]] constexpr Instant saturating_add(Instant at, Duration by) {
  Duration::rep sum = 0;
  if (__builtin_add_overflow(at.time_since_epoch().count(), by.count(), &sum)) {
    return by < Duration::zero() ? Instant::min() : Instant::max();
  }
  return Instant(Duration(sum));
}

/// `later - earlier`, clamped to the range of Duration instead of overflowing.
[[nodiscard]] constexpr Duration saturating_sub(Instant later, Instant earlier) {
  Duration::rep difference = 0;
  if (__builtin_sub_overflow(later.time_since_epoch().count(), earlier.time_since_epoch().count(),
                             &difference)) {
    return later < earlier ? Duration::min() : Duration::max();
  }
  return Duration(difference);
}

}  // namespace millrace
