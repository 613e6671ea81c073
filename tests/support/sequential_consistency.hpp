// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <atomic>
#include <thread>

#include "hal/cache_line.hpp"

namespace millrace::test {

/// Whether two threads can rely on this: each stores and then reads what the other has stored, all
/// sequentially consistent; so one of them at least sees the other's. That is how a loop that goes
/// to sleep and a thread that posts do not miss one another. QEMU 7.2's emulation of arm64 programs
/// on x86 lets the load (ldar) overtake the store (stlr): in 0.8 % of the attempts. Asked once.
inline bool keeps_sequential_consistency() {
  static const bool kept = [] {
    constexpr int attempts = 50'000;
    alignas(hal::cache_line) std::atomic<int> here = 0;
    alignas(hal::cache_line) std::atomic<int> there = 0;
    alignas(hal::cache_line) std::atomic<int> begun = 0;
    alignas(hal::cache_line) std::atomic<int> ended = 0;
    int seen_there = 0;
    const auto wait_for = [](const std::atomic<int>& number, int value) {
      for (int spins = 0; number.load(std::memory_order_acquire) < value; ++spins) {
        if (spins > 1000) {  // perhaps there is one processor only
          std::this_thread::yield();
        }
      }
    };
    std::thread other([&] {
      for (int i = 1; i <= attempts; ++i) {
        wait_for(begun, i);
        there.store(i, std::memory_order_seq_cst);
        seen_there = here.load(std::memory_order_seq_cst);
        ended.store(i, std::memory_order_release);
      }
    });
    bool missed = false;
    for (int i = 1; i <= attempts; ++i) {
      begun.store(i, std::memory_order_release);
      here.store(i, std::memory_order_seq_cst);
      const int seen_here = there.load(std::memory_order_seq_cst);
      wait_for(ended, i);
      missed = missed || (seen_here < i && seen_there < i);
    }
    other.join();
    return !missed;
  }();
  return kept;
}

}  // namespace millrace::test
