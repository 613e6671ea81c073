// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/fd.hpp"

#include <unistd.h>

namespace millrace::hal {

void Fd::reset() noexcept {
  // Linux frees the number even when close() reports EINTR: repeating the call could close a
  // descriptor that somebody else has opened meanwhile.
  if (fd_ >= 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

}  // namespace millrace::hal
