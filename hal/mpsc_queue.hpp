// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hal/cache_line.hpp"

namespace millrace::hal {

/// A bounded queue from many threads and signal handlers to one reader, without locks: D. Vyukov's
/// array queue with a sequence number in each cell. A writer that is interrupted between claiming
/// and filling its cell delays what was posted after it, but never blocks another writer; so a
/// signal handler may push while its own thread is in the middle of a push.
///
/// The reader takes elements in order but may keep each in its cell for as long as it likes, and
/// release them in any order: nothing has to be copied to be put aside. A cell that is kept is not
/// free: once the writers come round to it, the queue is full.
///
/// push() and idle() are sequentially consistent with each other: a reader that announces (by a
/// sequentially consistent store) that it goes to sleep and then finds the queue idle is seen
/// asleep by whoever pushes next and then looks (by a sequentially consistent load). One that finds
/// it neither idle nor with anything to take has to look again by itself, as the writer that is
/// filling a cell may have claimed it before the announcement. So claiming is all that a push pays
/// to be seen: one locked instruction.
///
/// The cells are given: an array whose length is a power of two, 2 at least. T is trivially
/// copyable.
///
///     cell.turn == position            free: a writer may claim it        (1)
///     cell.turn == position + 1        filled: the reader may take it     (2)
///     cell.turn == position + length   released, free a lap later         (1)
template <class T>
class MpscQueue {
 public:
  /// A cache line, or several: a message takes one on its way from processor to processor.
  struct alignas(cache_line) Cell {
    std::atomic<std::uint32_t> turn;
    T value;
  };

  explicit MpscQueue(std::span<Cell> cells)
      : cells_(cells),
        mask_(static_cast<std::uint32_t>(cells.size()) - 1),
        head_cell_(cells.data()) {
    for (std::uint32_t i = 0; i <= mask_; ++i) {
      cells_[i].turn.store(i, std::memory_order_relaxed);
    }
  }

  /// False when the queue is full. Any thread, any signal handler.
  [[nodiscard]] bool push(const T& value) {
    return push_by([&](T& slot) { slot = value; });
  }

  /// The same, and `fill(T&)` writes the element where it is to be.
  template <class Fill>
  [[nodiscard]] bool push_by(Fill fill) {
    std::uint32_t position = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[position & mask_];
      const auto lead =
          static_cast<std::int32_t>(cell.turn.load(std::memory_order_acquire) - position);
      if (lead < 0) {
        return false;
      }
      if (lead > 0) {
        position = tail_.load(std::memory_order_relaxed);
      } else if (tail_.compare_exchange_weak(position, position + 1, std::memory_order_seq_cst,
                                             std::memory_order_relaxed)) {
        fill(cell.value);
        cell.turn.store(position + 1, std::memory_order_release);
        return true;
      }
    }
  }

  /// Whether there is nothing to take (or its writer has not finished yet). Reader only.
  [[nodiscard]] bool empty() const {
    return head_cell_->turn.load(std::memory_order_acquire) != head_ + 1;
  }

  /// Whether there is nothing to take and no writer is filling a cell. Reader only.
  [[nodiscard]] bool idle() const { return tail_.load(std::memory_order_seq_cst) == head_; }

  /// Takes the oldest element: the number of its cell, which is the reader's until release().
  /// Not to be called when empty. Reader only.
  [[nodiscard]] std::uint32_t take() {
    const std::uint32_t cell = head_++ & mask_;
    head_cell_ = &cells_[head_ & mask_];
    return cell;
  }

  /// What is in a cell that was taken. Reader only.
  [[nodiscard]] const T& operator[](std::uint32_t cell) const { return cells_[cell].value; }

  /// Gives a cell that was taken back to the writers. Reader only.
  void release(std::uint32_t cell) {
    std::atomic<std::uint32_t>& turn = cells_[cell].turn;
    turn.store(turn.load(std::memory_order_relaxed) + mask_, std::memory_order_release);
  }

  [[nodiscard]] std::size_t capacity() const { return cells_.size(); }

 private:
  std::span<Cell> cells_;
  std::uint32_t mask_;
  alignas(cache_line) std::atomic<std::uint32_t> tail_ = 0;
  alignas(cache_line) std::uint32_t head_ = 0;
  const Cell* head_cell_;  ///< the cell of head_
};

}  // namespace millrace::hal
