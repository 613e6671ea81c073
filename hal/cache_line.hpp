// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>

namespace millrace::hal {

/// What processors exchange memory by: what two threads write is kept this far apart. x86-64 and
/// the Cortex-A of boards have lines of 64 bytes.
inline constexpr std::size_t cache_line = 64;

/// Has the processor fetch the line of `address`, to be written soon, from the cache of another.
/// A hint: never fails, whatever the address.
inline void prefetch_for_writing(const void* address) {
#if defined(__x86_64__)
  // Not __builtin_prefetch(): for the least of x86-64's processors that fetches for reading only.
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(address)));
#else
  __builtin_prefetch(address, 1);
#endif
}

}  // namespace millrace::hal
