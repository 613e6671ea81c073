// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "hal/ring.hpp"

namespace millrace {

/// Where a ring of one thread is written and read: all of its memory can be filled.
class PlainRingIndices {
 public:
  [[nodiscard]] RingExtent readable(std::size_t /*capacity*/, std::size_t /*wanted*/) const {
    return {start_, size_};
  }
  [[nodiscard]] RingExtent writable(std::size_t capacity, std::size_t /*wanted*/) const {
    return {ring_offset(start_ + size_, capacity), capacity - size_};
  }
  void consumed(std::size_t capacity, std::size_t count) {
    start_ = ring_offset(start_ + count, capacity);
    size_ -= count;
  }
  void produced(std::size_t /*capacity*/, std::size_t count) { size_ += count; }

  [[nodiscard]] std::size_t size(std::size_t /*capacity*/) const { return size_; }
  void clear() { start_ = size_ = 0; }

 private:
  // In this order, or the two are loaded as one vector, which waits for both to be stored.
  std::size_t size_ = 0;
  std::size_t start_ = 0;
};

/// Bytes, first in, first out, in N bytes of their own, all of them usable. For one thread: the
/// loop's. Ring documents its functions.
///
///     RingBuffer<1024> ring;
///     ring.write("hello");
template <std::size_t N>
using RingBuffer = Ring<std::array<std::byte, N>, PlainRingIndices>;

/// The same over memory that is given: `RingView ring(std::as_writable_bytes(std::span(array)))`.
/// A copy of a view has positions of its own: pass it on by reference.
using RingView = Ring<std::span<std::byte>, PlainRingIndices>;

}  // namespace millrace
