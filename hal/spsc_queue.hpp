// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <span>

#include "hal/ring.hpp"
#include "hal/spsc_ring.hpp"

namespace millrace {

/// Up to N values of one type from one thread to another, first in, first out, without locks. T is
/// trivially copyable. A ring of values (ring.hpp) with the words for one at a time. It is quickest
/// if N is a power of two.
///
///     writer   if (!queue.push(sample)) { ++lost; }
///     reader   while (const Sample* sample = queue.front()) { use(*sample); queue.pop(); }
///     reader   Sample sample; while (queue.pop(sample)) { use(sample); }
template <class T, std::size_t N>
class SpscQueue {
 public:
  [[nodiscard]] static constexpr std::size_t capacity() { return N; }
  /// How many there are: a snapshot. Any thread.
  [[nodiscard]] std::size_t size() const { return ring_.size(); }
  [[nodiscard]] bool empty() const { return ring_.empty(); }
  [[nodiscard]] bool full() const { return ring_.full(); }

  /// False when the queue is full. Writer only.
  [[nodiscard]] bool push(const T& value) { return ring_.push(value); }
  /// Appends what fits, from the start; returns how many. Writer only.
  std::size_t push(std::span<const T> values) { return ring_.write(values); }

  /// Takes the oldest value; false when there is none. Reader only.
  [[nodiscard]] bool pop(T& value) { return ring_.pop(value); }
  /// Takes the oldest values, as many as there are and fit; returns how many. Reader only.
  std::size_t pop(std::span<T> values) { return ring_.read(values); }

  /// The oldest value where it lies, until pop(); null when there is none. Reader only.
  [[nodiscard]] const T* front() const {
    const auto content = ring_.claim_read(1);
    return content.empty() ? nullptr : content.first.data();
  }
  /// Removes the oldest value, if there is one. Reader only.
  void pop() { ring_.skip(1); }

 private:
  Ring<std::array<T, N>, SpscRingIndices<std::atomic, std::has_single_bit(N)>> ring_;
};

}  // namespace millrace
