// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>

#include "hal/error.hpp"

namespace millrace::hal {

// The memory of this process as the kernel sees it: its pages.

/// Brings every page that the process has into memory and keeps it there (mlockall(2),
/// MCL_CURRENT), so that none is ever waited for. When all memory is there, the stack included: see
/// prepare_stack(). Pages that come later, as of new threads, are not held.
/// Errors: EPERM, ENOMEM (not allowed so much: RLIMIT_MEMLOCK), ENOSYS.
[[nodiscard]] Result<void> lock_memory();

/// Touches the next `bytes` of the calling thread's stack, below the caller's own frame, and marks
/// them for stack_high_water(). Fewer than RLIMIT_STACK leaves. Once, by the thread of the loop,
/// before it goes deeper. Costs a page fault for each 4 KiB that are new.
void prepare_stack(std::size_t bytes);

/// How deep the stack has ever been since prepare_stack(), from there, within half a KiB: as far as
/// it was prepared, that is; 0 if it was not. Any thread. Reads what was never used: about a
/// microsecond for 16 KiB.
[[nodiscard]] std::size_t stack_high_water();

struct MemoryUsage {
  std::size_t mapped = 0;    ///< bytes of address space: grows with any brk(2) or mmap(2)
  std::size_t resident = 0;  ///< bytes in memory
};
/// From /proc/self/statm (proc(5)); ENOENT where /proc is not mounted. Three system calls.
[[nodiscard]] Result<MemoryUsage> memory_usage();

}  // namespace millrace::hal
