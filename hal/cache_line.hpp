// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>

namespace millrace::hal {

/// What processors exchange memory by: what two threads write is kept this far apart. x86-64 and
/// the Cortex-A of boards have lines of 64 bytes.
inline constexpr std::size_t cache_line = 64;

}  // namespace millrace::hal
