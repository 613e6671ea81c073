// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/timer_heap.hpp"

#include <algorithm>

namespace millrace {

TimerHeap::TimerHeap(std::span<Entry> entries, std::span<std::uint32_t> positions)
    : entries_(entries), positions_(positions) {
  std::ranges::fill(positions_, absent);
}

void TimerHeap::insert(std::uint32_t timer, Instant deadline) {
  const Entry entry{.deadline = deadline, .order = next_order_++, .timer = timer};
  std::uint32_t position = positions_[timer];
  if (position == absent) {
    sift_up(size_++, entry);
  } else if (position > 0 && before(entry, entries_[(position - 1) / arity])) {
    sift_up(position, entry);
  } else {
    sift_down(position, entry);
  }
}

void TimerHeap::erase(std::uint32_t timer) {
  const std::uint32_t position = positions_[timer];
  if (position == absent) {
    return;
  }
  positions_[timer] = absent;
  const Entry last = entries_[--size_];
  if (position == size_) {
    return;
  }
  if (position > 0 && before(last, entries_[(position - 1) / arity])) {
    sift_up(position, last);
  } else {
    sift_down(position, last);
  }
}

void TimerHeap::sift_up(std::uint32_t position, const Entry& entry) {
  while (position > 0) {
    const std::uint32_t parent = (position - 1) / arity;
    if (!before(entry, entries_[parent])) {
      break;
    }
    place(position, entries_[parent]);
    position = parent;
  }
  place(position, entry);
}

void TimerHeap::sift_down(std::uint32_t position, const Entry& entry) {
  for (;;) {
    const std::uint32_t first = position * arity + 1;
    if (first >= size_) {
      break;
    }
    std::uint32_t least = first;
    for (std::uint32_t child = first + 1; child < std::min(first + arity, size_); ++child) {
      if (before(entries_[child], entries_[least])) {
        least = child;
      }
    }
    if (!before(entries_[least], entry)) {
      break;
    }
    place(position, entries_[least]);
    position = least;
  }
  place(position, entry);
}

}  // namespace millrace
