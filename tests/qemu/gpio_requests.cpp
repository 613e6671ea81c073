// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Requests, releases and reconfigures the kernel's lines at random, and tells what libgpiod's
// memory says to it. Fails if a call does, if anything is left over, or if the heap was touched.
//
//   gpio_requests LABEL COUNT      COUNT calls, on 32 lines of the chip that has this label

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "hal/error_text.hpp"
#include "hal/gpio_cdev.hpp"
#include "hal/growth_trap.hpp"
#include "hal/heap_trap.hpp"
#include "hal/libgpiod_memory.hpp"
#include "hal/print.hpp"
#include "tests/support/random_requests.hpp"

namespace {

using namespace millrace;

constexpr std::size_t most = 16;
constexpr std::size_t lines = 32;

hal::StaticGpioCdev<most, hal::GpioCdev::memory_for(most, lines)> gpio;

}  // namespace

int main(int argc, char** argv) {
  std::size_t calls = 0;
  if (argc != 3 ||
      std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), calls).ec != std::errc()) {
    hal::print("usage: gpio_requests LABEL COUNT");
    return 2;
  }
  if (const auto opened = gpio.open(); !opened) {
    hal::print(describe(opened.error()));
    return 1;
  }
  const auto first = gpio.find(FixedString<40>().append(argv[1], ":0"));
  if (!first) {
    hal::print(argv[1], ": ", describe(first.error()));
    return 1;
  }
  const std::size_t before = hal::libgpiod_memory::statistics().used;
  hal::heap_trap::arm(hal::heap_trap::Action::abort);
  if (const auto armed = hal::growth_trap::arm(); !armed) {
    hal::print(describe(armed.error()));
  }
  const auto result = test::random_requests(gpio, *first, lines, most, calls);
  const auto memory = hal::libgpiod_memory::statistics();
  hal::print("requests=", result.requests, " releases=", result.releases,
             " changes=", result.changes, " unexpected=", result.unexpected,
             " allocations=", memory.allocated, " refused=", memory.refused,
             " high-water=", memory.high_water, " capacity=", memory.capacity,
             " left-over=", memory.used - before);
  if (result.unexpected > 0) {
    hal::print(describe(result.error));
  }
  return result.unexpected == 0 && memory.used == before && memory.refused == 0 ? 0 : 1;
}
