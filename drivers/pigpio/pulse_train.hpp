// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <cstdint>

#include "hal/time.hpp"

namespace millrace::pigpio {

/// How exactly pulses are made: from the time that an edge is due to the time when it is its turn.
struct PulseStatistics {
  std::uint64_t edges = 0;
  std::uint64_t missed = 0;  ///< periods that were skipped: the process was too late for them
  Duration late_in_total{};
  Duration late_at_worst{};

  void note(Duration late) {
    ++edges;
    late_in_total += late;
    late_at_worst = std::max(late_at_worst, late);
  }
  void add(const PulseStatistics& others) {
    edges += others.edges;
    missed += others.missed;
    late_in_total += others.late_in_total;
    late_at_worst = std::max(late_at_worst, others.late_at_worst);
  }
};

/// Pulses of a period and a width: the edges of a PWM or servo signal, one after the other. It
/// never drifts: each edge is due at a multiple of the period from the first.
class PulseTrain {
 public:
  /// From now on; while it runs with the same period, its phase stays. A width of 0 or of the
  /// whole period has no edges. Returns the level that the line is to have now.
  [[nodiscard]] bool set(Duration period, Duration width, Instant now) {
    const bool phase_stays = running() && period == period_;
    period_ = period;
    width_ = width;
    if (width == Duration::zero() || width == period) {
      next_ = never;
      high_ = width != Duration::zero();
      return high_;
    }
    if (!phase_stays) {
      start_ = now;
      high_ = true;
    }
    // A width that is over already is cut short now.
    next_ = std::max(now, start_ + (high_ ? width_ : period_));
    return high_;
  }
  void stop() { next_ = never; }

  [[nodiscard]] bool running() const { return next_ != never; }
  [[nodiscard]] Duration period() const { return period_; }
  [[nodiscard]] Duration width() const { return width_; }
  /// When the next edge is due; `never` if there is none.
  [[nodiscard]] Instant next() const { return next_; }

  /// Passes the edge that is due, and returns the level after it. Whole periods that have gone by
  /// are skipped, and counted.
  [[nodiscard]] bool advance(Instant now, PulseStatistics& statistics) {
    statistics.note(saturating_sub(now, next_));
    high_ = !high_;
    if (high_) {
      start_ += period_;
    }
    next_ = start_ + (high_ ? width_ : period_);
    if (const auto behind = saturating_sub(now, next_) / period_; behind > 0) {
      statistics.missed += static_cast<std::uint64_t>(behind);
      start_ += behind * period_;
      next_ += behind * period_;
    }
    return high_;
  }

 private:
  Duration period_{};
  Duration width_{};
  Instant start_;  ///< of this period
  Instant next_ = never;
  bool high_ = false;
};

}  // namespace millrace::pigpio
