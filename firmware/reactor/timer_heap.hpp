// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hal/time.hpp"

namespace millrace {

/// The deadlines of all armed timers, earliest first, equal ones in the order in which they were
/// armed. A heap of four children a node: shallow, and the children share a cache line or two.
/// Insert, erase and pop cost O(log n) moves of 16 bytes; no system call, no allocation.
///
/// Timers are numbers below the length of the given arrays.
class TimerHeap {
 public:
  struct Entry {
    Instant deadline;
    std::uint32_t order;  ///< of arming; wraps, compared by difference
    std::uint32_t timer;
  };

  /// Both arrays have one element a timer.
  TimerHeap(std::span<Entry> entries, std::span<std::uint32_t> positions);

  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool contains(std::uint32_t timer) const { return positions_[timer] != absent; }

  /// The earliest entry. Not to be called when empty.
  [[nodiscard]] const Entry& front() const { return entries_[0]; }

  /// Inserts the timer, or moves it, to `deadline`, behind those of the same deadline.
  void insert(std::uint32_t timer, Instant deadline);
  /// Does nothing when the timer is not there.
  void erase(std::uint32_t timer);

 private:
  static constexpr std::uint32_t absent = UINT32_MAX;
  static constexpr std::uint32_t arity = 4;

  [[nodiscard]] static bool before(const Entry& a, const Entry& b) {
    return a.deadline != b.deadline ? a.deadline < b.deadline
                                    : static_cast<std::int32_t>(a.order - b.order) < 0;
  }
  void place(std::uint32_t position, const Entry& entry) {
    entries_[position] = entry;
    positions_[entry.timer] = position;
  }
  void sift_up(std::uint32_t position, const Entry& entry);
  void sift_down(std::uint32_t position, const Entry& entry);

  std::span<Entry> entries_;
  std::span<std::uint32_t> positions_;
  std::uint32_t size_ = 0;
  std::uint32_t next_order_ = 0;
};

}  // namespace millrace
