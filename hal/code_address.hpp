// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "hal/fixed_string.hpp"

namespace millrace::hal {

/// What is at an address in the code: "0x7f31c0a2 in strdup of /lib/libc.so.6", as far as the
/// dynamic linker knows names. A static program has none: addr2line(1) does. For last words: may be
/// called by a signal handler, as the process ends anyway.
[[nodiscard]] FixedString<200> describe_code(const void* address);

}  // namespace millrace::hal
