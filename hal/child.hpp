// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstdint>

#include "hal/error.hpp"
#include "hal/fd.hpp"

namespace millrace::hal {

/// How a child process has ended.
struct ChildExit {
  int status = 0;       ///< its exit status, or the signal that killed it
  bool killed = false;  ///< by a signal
};

/// A descriptor of a child of this process, to be watched for readable: it has ended then
/// (pidfd_open(2), Linux 5.3). One system call. Errors: ESRCH (no such process), ENOSYS (the kernel
/// is older).
[[nodiscard]] Result<Fd> open_child(std::int32_t pid);

/// How it has ended; asking ends the zombie. One system call. Errors: EAGAIN (it still runs),
/// ECHILD (it is no child of ours, or somebody else has asked).
[[nodiscard]] Result<ChildExit> reap_child(int child);

}  // namespace millrace::hal
