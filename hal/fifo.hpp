// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "hal/error.hpp"
#include "hal/fd.hpp"

namespace millrace::hal {

/// Makes a FIFO that others read, and opens it for writing: non-blocking, close-on-exec. It is held
/// open for reading as well, so that what is written before a reader comes waits for it, and
/// writing never fails for want of one. A FIFO left there by a process that has died is replaced;
/// any other file is left alone. Loop thread only; a few system calls, none waits.
/// Errors: EEXIST (something else is there), EACCES, EROFS, ENOENT (no such directory).
[[nodiscard]] Result<Fd> make_fifo(const char* path);

/// Removes a FIFO, for the clean end; nothing if there is none.
void remove_fifo(const char* path);

}  // namespace millrace::hal
