// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <chrono>
#include <ctime>

#include "hal/cycle_counter.hpp"
#include "hal/time.hpp"

namespace millrace::hal {

/// Tells the time. The loop takes one as a parameter, so that a test can drive it.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;

  /// Any thread. For SystemClock no system call where the vDSO serves it, some 20–50 ns.
  [[nodiscard]] virtual Instant now() const = 0;

  /// How many counts of cycle_count() a microsecond of this clock has; 0 when the counter does not
  /// follow this clock, and now() has to be asked each time.
  [[nodiscard]] virtual std::uint64_t cycle_rate() const { return 0; }

 protected:
  ~Clock() = default;  // nobody owns one through this interface
};

/// The time of day, UTC: CLOCK_REALTIME, for people only, as it is set now and then. Any thread.
[[nodiscard]] inline std::chrono::sys_time<Duration> time_of_day() {
  timespec time{};
  (void)::clock_gettime(CLOCK_REALTIME, &time);
  return std::chrono::sys_time<Duration>(std::chrono::seconds(time.tv_sec) +
                                         Duration(time.tv_nsec));
}

/// CLOCK_MONOTONIC.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override {
    timespec time{};
    (void)::clock_gettime(CLOCK_MONOTONIC, &time);
    return Instant(std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec));
  }
  [[nodiscard]] std::uint64_t cycle_rate() const override { return cycles_per_microsecond(); }
};

}  // namespace millrace::hal
