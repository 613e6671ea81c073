// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <ctime>

#include "hal/error.hpp"
#include "hal/time.hpp"

namespace millrace::hal {

/// Whether waiting for `fd` means anything, in the words in which epoll_ctl(2) says so: EBADF when
/// it is not open, EPERM when it is a regular file, directory or block device. For where the system
/// call finds out too late or never. (epoll also refuses character devices that can't be polled,
/// /dev/null for one; here they pass, and are always ready.) One fstat(2).
[[nodiscard]] Result<void> check_watchable(int fd);

/// A time limit for ppoll(2) and pselect(2); zero for what is over already.
[[nodiscard]] timespec to_timespec(Duration duration);

}  // namespace millrace::hal
