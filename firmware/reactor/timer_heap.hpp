// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hal/time.hpp"

namespace millrace {

/// The deadlines of all armed timers, earliest first, equal ones in the order in which they were
/// armed. A heap of four children a node: shallow, and the four share a cache line.
/// Insert, erase and pop cost O(log n) moves of 16 bytes; no system call, no allocation.
///
/// Timers are numbers below the length of the array of positions.
class TimerHeap {
 public:
  struct Entry {
    Instant deadline;
    std::uint32_t order;  ///< of arming; wraps, compared by difference
    std::uint32_t timer;
  };
  /// One element a timer, and `padding` more. Aligned to `alignment`, or it is slower.
  static constexpr std::size_t alignment = 64;
  static constexpr std::size_t padding = 3;

  TimerHeap(std::span<Entry> entries, std::span<std::uint32_t> positions);

  [[nodiscard]] bool empty() const { return end_ == first; }
  [[nodiscard]] std::size_t size() const { return end_ - first; }
  [[nodiscard]] bool contains(std::uint32_t timer) const { return positions_[timer] != absent; }

  /// The earliest entry. Not to be called when empty.
  [[nodiscard]] const Entry& front() const { return entries_[first]; }

  /// Inserts the timer, or moves it, to `deadline`, behind those of the same deadline.
  void insert(std::uint32_t timer, Instant deadline);
  /// Does nothing when the timer is not there.
  void erase(std::uint32_t timer);
  /// Takes the earliest away. Not to be called when empty.
  void pop();

 private:
  // The root stands behind the padding: so the children of the node at n, at 4 (n - 2) to
  // 4 (n - 2) + 3, begin where a cache line does.
  static constexpr std::uint32_t first = padding;
  static constexpr std::uint32_t absent = UINT32_MAX;
  static constexpr std::uint32_t arity = 4;
  [[nodiscard]] static constexpr std::uint32_t parent(std::uint32_t position) {
    return position / arity + 2;
  }
  [[nodiscard]] static constexpr std::uint32_t children(std::uint32_t position) {
    return (position - 2) * arity;
  }

  [[nodiscard]] static bool before(const Entry& a, const Entry& b) {
    return a.deadline != b.deadline ? a.deadline < b.deadline
                                    : static_cast<std::int32_t>(a.order - b.order) < 0;
  }
  [[nodiscard]] std::uint32_t earlier(std::uint32_t a, std::uint32_t b) const {
    return before(entries_[b], entries_[a]) ? b : a;
  }
  void place(std::uint32_t position, const Entry& entry) {
    entries_[position] = entry;
    positions_[entry.timer] = position;
  }
  void fill(std::uint32_t position);
  void sift_up(std::uint32_t position, const Entry& entry);
  void sift_down(std::uint32_t position, const Entry& entry);

  std::span<Entry> entries_;
  std::span<std::uint32_t> positions_;
  std::uint32_t end_ = first;  ///< behind the last entry
  std::uint32_t next_order_ = 0;
};

}  // namespace millrace
