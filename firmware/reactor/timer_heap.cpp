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
  const std::uint32_t position = positions_[timer];
  if (position == absent) {
    sift_up(end_++, entry);
  } else if (position > first && before(entry, entries_[parent(position)])) {
    sift_up(position, entry);
  } else {
    sift_down(position, entry);
  }
}

void TimerHeap::erase(std::uint32_t timer) {
  const std::uint32_t position = positions_[timer];
  if (position != absent) {
    positions_[timer] = absent;
    fill(position);
  }
}

void TimerHeap::pop() {
  positions_[front().timer] = absent;
  fill(first);
}

void TimerHeap::fill(std::uint32_t position) {
  const Entry last = entries_[--end_];
  if (position == end_) {
    return;
  }
  if (position > first && before(last, entries_[parent(position)])) {
    sift_up(position, last);
  } else {
    sift_down(position, last);
  }
}

void TimerHeap::sift_up(std::uint32_t position, const Entry& entry) {
  while (position > first && before(entry, entries_[parent(position)])) {
    place(position, entries_[parent(position)]);
    position = parent(position);
  }
  place(position, entry);
}

void TimerHeap::sift_down(std::uint32_t position, const Entry& entry) {
  for (;;) {
    const std::uint32_t child = children(position);
    std::uint32_t least = child;
    if (child + arity <= end_) [[likely]] {
      least = earlier(earlier(child, child + 1), earlier(child + 2, child + 3));
    } else if (child < end_) {
      for (std::uint32_t other = child + 1; other < end_; ++other) {
        least = earlier(least, other);
      }
    } else {
      break;
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
