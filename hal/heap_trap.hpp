// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstdint>

/// Watches malloc and its family, so that "no heap after start" is a fact and not a promise: every
/// call of any code in this process is seen, libraries' included, not only ours. Linked into every
/// program that calls arm(). Under a sanitizer, which has a malloc of its own, nothing is seen.
namespace millrace::hal::heap_trap {

enum class Action : std::uint8_t {
  count,  ///< calls are counted: see calls()
  abort   ///< the first call ends the process by abort(), naming its caller on stderr
};

/// Whether anything is seen in this build: not under a sanitizer.
[[nodiscard]] bool available();

/// From now on, `action` for every allocation. When the loop is about to start.
void arm(Action action);
void disarm();

/// Allocations since arm(). Any thread.
[[nodiscard]] std::uint64_t calls();

}  // namespace millrace::hal::heap_trap
