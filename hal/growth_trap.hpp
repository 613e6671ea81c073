// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "hal/error.hpp"

/// Holds the process to the memory that it has: what heap_trap is for malloc() and its family, this
/// is for the system calls below them, whoever makes them and however.
namespace millrace::hal::growth_trap {

/// From now on any brk(2), mmap(2) or mremap(2), by any thread, ends the process by abort(), naming
/// the place on stderr. For good: the kernel takes no such filter back (seccomp(2)), and programs
/// that this one starts inherit it. When the loop is about to start, with all threads started.
/// Errors: EINVAL, ENOSYS (a kernel without seccomp filters or older than 5.7, or qemu-user); ESRCH
/// (a thread has filters of its own); ENOTSUP under a sanitizer, which maps memory when it likes.
[[nodiscard]] Result<void> arm();

}  // namespace millrace::hal::growth_trap
