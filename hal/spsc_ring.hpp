// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <span>

#include "hal/cache_line.hpp"
#include "hal/ring.hpp"

namespace millrace {

/// Where a ring between two threads is written and read, without locks: a single producer, a
/// single consumer. All of its memory can be filled.
///
/// Each thread publishes how much it has written or read since the start, as a number that just
/// goes on; the difference is what is in the ring. Where in the memory that is, each knows for
/// itself; or it follows from the number, if the capacity is a power of two, always the same. Each
/// also remembers what it last saw of the other's number, and looks again only if that is not
/// enough: as long as it is, no cache line has to travel.
///
///     writer                                          reader
///     fills the memory  →  written.store(release)  →  written.load(acquire)  →  reads the memory
///     fills it again    ←  read.load(acquire)      ←  read.store(release)    ←
///
/// Atomic is std::atomic, or what a model checker puts in its place.
template <template <class> class Atomic = std::atomic, bool PowerOfTwo = false>
class SpscRingIndices {
 public:
  /// Reader only.
  [[nodiscard]] RingExtent readable(std::size_t capacity, std::size_t wanted) const {
    const std::size_t read = reader_.read.load(std::memory_order_relaxed);
    std::size_t filled = reader_.written_seen - read;
    if (filled < wanted) {
      reader_.written_seen = writer_.written.load(std::memory_order_acquire);
      filled = reader_.written_seen - read;
    }
    return {PowerOfTwo ? read & (capacity - 1) : reader_.offset, filled};
  }
  /// Writer only.
  [[nodiscard]] RingExtent writable(std::size_t capacity, std::size_t wanted) const {
    const std::size_t written = writer_.written.load(std::memory_order_relaxed);
    std::size_t free = capacity - (written - writer_.read_seen);
    if (free < wanted) {
      writer_.read_seen = reader_.read.load(std::memory_order_acquire);
      free = capacity - (written - writer_.read_seen);
    }
    return {PowerOfTwo ? written & (capacity - 1) : writer_.offset, free};
  }
  /// Reader only.
  void consumed(std::size_t capacity, std::size_t count) {
    if (!PowerOfTwo) {
      reader_.offset = ring_offset(reader_.offset + count, capacity);
    }
    reader_.read.store(reader_.read.load(std::memory_order_relaxed) + count,
                       std::memory_order_release);
  }
  /// Writer only.
  void produced(std::size_t capacity, std::size_t count) {
    if (!PowerOfTwo) {
      writer_.offset = ring_offset(writer_.offset + count, capacity);
    }
    writer_.written.store(writer_.written.load(std::memory_order_relaxed) + count,
                          std::memory_order_release);
  }

  /// Any thread.
  [[nodiscard]] std::size_t size(std::size_t capacity) const {
    // In this order the difference is never negative, but the writer may have gone on in between.
    const std::size_t read = reader_.read.load(std::memory_order_acquire);
    return std::min(capacity, writer_.written.load(std::memory_order_acquire) - read);
  }
  /// Neither thread may be using the ring.
  void clear() {
    writer_.written.store(0, std::memory_order_relaxed);
    reader_.read.store(0, std::memory_order_relaxed);
    writer_.offset = writer_.read_seen = reader_.offset = reader_.written_seen = 0;
  }

 private:
  struct alignas(hal::cache_line) Writer {
    Atomic<std::size_t> written{0};
    std::size_t offset = 0;  // unused if PowerOfTwo, as in Reader
    mutable std::size_t read_seen = 0;
  };
  struct alignas(hal::cache_line) Reader {
    Atomic<std::size_t> read{0};
    std::size_t offset = 0;
    mutable std::size_t written_seen = 0;
  };
  Writer writer_;
  Reader reader_;
};

/// Bytes from one thread to another, in N bytes of their own. Ring documents its functions, and
/// says which are the writer's and which the reader's. It is quickest if N is a power of two.
template <std::size_t N>
using SpscRing =
    Ring<std::array<std::byte, N>, SpscRingIndices<std::atomic, std::has_single_bit(N)>>;

/// The same over memory that is given; best if it starts at a cache line.
using SpscRingView = Ring<std::span<std::byte>, SpscRingIndices<>>;

}  // namespace millrace
