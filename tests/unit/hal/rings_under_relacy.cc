// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// The lock-free rings under Relacy, which runs every interleaving of small cases, with every value
// that an atomic load may return where the memory order allows older ones, and finds data races,
// deadlocks and livelocks. What is run is the code itself, with Relacy's atomics in it.
//
// test_rings_under_relacy.py compiles and runs this: Relacy needs exceptions and RTTI.

// All of the standard library that is used, before Relacy's macros.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <optional>
#include <relacy/relacy.hpp>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>

// Relacy takes some words for its own; they mean what they always do in what follows.
#undef assert
#undef delete
#undef memory_order
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

namespace millrace::test {

/// As std::atomic, but Relacy decides what a load returns and who runs next.
template <class T>
class CheckedAtomic {
 public:
  CheckedAtomic() = default;
  explicit CheckedAtomic(T value) : atomic_(value) {}

  T load(std::memory_order order = std::memory_order_seq_cst) const {
    return atomic_.load(relacy(order), RL_INFO);
  }
  void store(T value, std::memory_order order = std::memory_order_seq_cst) {
    atomic_.store(value, relacy(order), RL_INFO);
  }
  T exchange(T value, std::memory_order order = std::memory_order_seq_cst) {
    return atomic_.exchange(value, relacy(order), RL_INFO);
  }
  bool compare_exchange_weak(T& expected, T value, std::memory_order success,
                             std::memory_order failure) {
    return atomic_(RL_INFO).compare_exchange_weak(expected, value, relacy(success),
                                                  relacy(failure));
  }

 private:
  static rl::memory_order relacy(std::memory_order order) {
    switch (order) {
      case std::memory_order_relaxed:
        return rl::mo_relaxed;
      case std::memory_order_consume:
      case std::memory_order_acquire:
        return rl::mo_acquire;
      case std::memory_order_release:
        return rl::mo_release;
      case std::memory_order_acq_rel:
        return rl::mo_acq_rel;
      default:
        return rl::mo_seq_cst;
    }
  }

  rl::atomic<T> atomic_;
};

/// A plain value: that two threads use it at once is a data race, which Relacy finds.
struct CheckedValue {
  rl::var<unsigned> value;

  CheckedValue() = default;
  explicit CheckedValue(unsigned number) : value(number) {}
  CheckedValue(const CheckedValue& other) : value(other.get()) {}
  CheckedValue& operator=(const CheckedValue& other) {
    value(RL_INFO).store(other.get());
    return *this;
  }
  [[nodiscard]] unsigned get() const { return value(RL_INFO).load(); }
};

}  // namespace millrace::test

#include "hal/spsc_ring.hpp"

// hal/mpsc_queue.hpp names std::atomic itself; so here, and only for it, the word means another.
namespace std {
template <class T>
struct CheckedAtomicForMpscQueue : millrace::test::CheckedAtomic<T> {
  CheckedAtomicForMpscQueue() = default;
  // NOLINTNEXTLINE(google-explicit-constructor,hicpp-explicit-conversions): as std::atomic does
  CheckedAtomicForMpscQueue(T value) : millrace::test::CheckedAtomic<T>(value) {}
};
}  // namespace std
#define atomic CheckedAtomicForMpscQueue  // NOLINT(readability-identifier-naming)
#include "hal/mpsc_queue.hpp"
#undef atomic

namespace millrace::test {
namespace {

/// Writer and reader of an index pair, with the memory between them: `capacity` cells, and `total`
/// values in steps of up to `step`.
template <std::size_t capacity, unsigned total, std::size_t step>
struct SpscCase : rl::test_suite<SpscCase<capacity, total, step>, 2> {
  SpscRingIndices<CheckedAtomic, std::has_single_bit(capacity)> indices;
  std::array<CheckedValue, capacity> memory;

  void thread(unsigned number) {
    if (number == 0) {
      write();
    } else {
      read();
    }
  }
  void write() {
    for (unsigned next = 0; next < total;) {
      const RingExtent free = indices.writable(capacity, step);
      RL_ASSERT(free.count <= capacity);
      const auto count = std::min({free.count, step, std::size_t{total - next}});
      if (count == 0) {
        rl::yield(1, RL_INFO);
        continue;
      }
      for (std::size_t i = 0; i < count; ++i) {
        memory[(free.offset + i) % capacity] = CheckedValue(next++);
      }
      indices.produced(capacity, count);
    }
  }
  void read() {
    for (unsigned expected = 0; expected < total;) {
      const RingExtent filled = indices.readable(capacity, step);
      RL_ASSERT(filled.count <= capacity);
      const auto count = std::min(filled.count, step);
      if (count == 0) {
        rl::yield(1, RL_INFO);
        continue;
      }
      for (std::size_t i = 0; i < count; ++i) {
        RL_ASSERT(memory[(filled.offset + i) % capacity].get() == expected++);
      }
      indices.consumed(capacity, count);
    }
  }
};

/// Writers that each push some numbers until there is room, and a reader that takes all.
template <unsigned writers, unsigned each>
struct MpscCase : rl::test_suite<MpscCase<writers, each>, writers + 1> {
  using Queue = hal::MpscQueue<CheckedValue>;
  std::array<Queue::Cell, 2> cells;
  Queue queue{std::span(cells)};

  void thread(unsigned number) {
    if (number < writers) {
      for (unsigned i = 0; i < each; ++i) {
        const CheckedValue value(number * each + i);
        while (!queue.push(value)) {
          rl::yield(1, RL_INFO);
        }
      }
      return;
    }
    std::array<unsigned, writers> next{};
    for (unsigned taken = 0; taken < writers * each; ++taken) {
      while (queue.empty()) {
        rl::yield(1, RL_INFO);
      }
      const std::uint32_t cell = queue.take();
      const unsigned value = queue[cell].get();
      RL_ASSERT(value / each < writers);
      RL_ASSERT(value % each == next[value / each]++);
      queue.release(cell);
    }
    RL_ASSERT(queue.empty());
  }
};

/// A reader that sleeps when there is nothing, as the loop does, and is woken by who finds it
/// asleep after a push: one that is slept through leaves it waiting for ever.
template <unsigned writers, unsigned each>
struct SleepCase : rl::test_suite<SleepCase<writers, each>, writers + 1> {
  using Queue = hal::MpscQueue<CheckedValue>;
  std::array<Queue::Cell, 2> cells;
  Queue queue{std::span(cells)};
  CheckedAtomic<bool> asleep{false};
  CheckedAtomic<bool> woken{false};

  void thread(unsigned number) {
    if (number < writers) {
      for (unsigned i = 0; i < each; ++i) {
        while (!queue.push(CheckedValue(i))) {
          rl::yield(1, RL_INFO);
        }
        if (asleep.load() && asleep.exchange(false)) {
          woken.store(true);
        }
      }
      return;
    }
    for (unsigned taken = 0; taken < writers * each;) {
      asleep.store(true);
      if (queue.idle()) {
        while (!woken.load()) {
          rl::yield(1, RL_INFO);
        }
        woken.store(false);
      }
      asleep.store(false, std::memory_order_relaxed);
      for (; !queue.empty(); ++taken) {
        queue.release(queue.take());
      }
      rl::yield(1, RL_INFO);
    }
  }
};

/// Whether nothing was found; otherwise tells what.
template <class Case>
bool holds(const char* name, rl::scheduler_type_e scheduler, rl::iteration_t limit = 0) {
  rl::test_params params;
  params.search_type = scheduler;
  params.iteration_count = limit;
  params.execution_depth_limit = 4000;
  params.context_bound = 3;
  const bool held = rl::simulate<Case>(params);
  std::printf("%s: %s after %llu interleavings\n", name, held ? "holds" : "FAILS",
              static_cast<unsigned long long>(params.stop_iteration));
  std::fflush(stdout);
  return held;
}

}  // namespace
}  // namespace millrace::test

int main() {
  using namespace millrace::test;
  bool all = true;
  all &= holds<SpscCase<1, 1, 1>>("spsc: 1 value through 1 cell, all", rl::sched_full);
  all &= holds<SpscCase<2, 2, 1>>("spsc: 2 values through 2 cells, all", rl::sched_full);
  all &= holds<SpscCase<2, 2, 2>>("spsc: 2 values at once, all", rl::sched_full);
  all &= holds<SpscCase<1, 3, 1>>("spsc: 3 values through 1 cell, 3 switches", rl::sched_bound);
  all &= holds<SpscCase<2, 4, 2>>("spsc: 4 values through 2 cells, 3 switches", rl::sched_bound);
  all &= holds<SpscCase<3, 5, 2>>("spsc: 5 values through 3 cells, 3 switches", rl::sched_bound);
  all &= holds<SpscCase<4, 16, 3>>("spsc: 16 values, random", rl::sched_random, 50'000);
  all &= holds<MpscCase<1, 1>>("mpsc: 1 writer, 1 value, all", rl::sched_full);
  all &= holds<MpscCase<1, 3>>("mpsc: 1 writer, 3 values, 3 switches", rl::sched_bound);
  all &= holds<MpscCase<2, 1>>("mpsc: 2 writers, 1 value each, 3 switches", rl::sched_bound);
  all &= holds<MpscCase<2, 2>>("mpsc: 2 writers, 2 values each, random", rl::sched_random, 100'000);
  all &= holds<MpscCase<3, 2>>("mpsc: 3 writers, 2 values each, random", rl::sched_random, 50'000);
  all &= holds<SleepCase<1, 1>>("mpsc: 1 writer, 1 value, the reader sleeps, 3 switches", rl::sched_bound);
  all &= holds<SleepCase<1, 2>>("mpsc: 1 writer, 2 values, the reader sleeps, random", rl::sched_random, 100'000);
  all &= holds<SleepCase<2, 2>>("mpsc: 2 writers, 2 values each, the reader sleeps, random", rl::sched_random, 50'000);
  return all ? 0 : 1;
}
