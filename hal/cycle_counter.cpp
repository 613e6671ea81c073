// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/cycle_counter.hpp"

#include <atomic>
#if defined(__x86_64__)
#include <algorithm>
#include <array>
#include <cpuid.h>

#include "hal/clock.hpp"
#endif

namespace millrace::hal {
namespace {

#if defined(__x86_64__)
std::uint64_t measure() {
  // CPUID 80000007H EDX bit 8, "Invariant TSC" (Intel SDM volume 3, 18.17.1).
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid(0x80000007U, &eax, &ebx, &ecx, &edx) == 0 || (edx & (1U << 8U)) == 0) {
    return 0;
  }
  // Preempted in the middle, one measurement may be off, but hardly two.
  std::array<std::uint64_t, 3> rates{};
  for (std::uint64_t& rate : rates) {
    const SystemClock clock;
    const Instant start = clock.now();
    const std::uint64_t first = cycle_count();
    Instant now = start;
    while (now - start < std::chrono::microseconds(100)) {
      now = clock.now();
    }
    rate = (cycle_count() - first) * 1000 / static_cast<std::uint64_t>((now - start).count());
  }
  const auto [a, b, c] = rates;
  return std::max(std::min(a, b), std::min(std::max(a, b), c));  // the median
}
#elif defined(__aarch64__)
std::uint64_t measure() {
  std::uint64_t frequency = 0;
  asm("mrs %0, cntfrq_el0" : "=r"(frequency));
  return frequency / 1'000'000;
}
#else
std::uint64_t measure() { return 0; }
#endif

}  // namespace

std::uint64_t cycles_per_microsecond() {
  // Threads that come at the same time measure the same; a static local would need a lock.
  constexpr std::uint64_t unknown = UINT64_MAX;
  static constinit std::atomic<std::uint64_t> rate = unknown;
  std::uint64_t known = rate.load(std::memory_order_relaxed);
  if (known == unknown) {
    known = measure();
    rate.store(known, std::memory_order_relaxed);
  }
  return known;
}

}  // namespace millrace::hal
