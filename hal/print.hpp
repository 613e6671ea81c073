// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <string_view>

#include "hal/fixed_string.hpp"

namespace millrace::hal {

/// Writes `text` to standard output: waits if need be, so not for a loop that runs. What can't be
/// written (a closed pipe, or one that nobody reads for a second) is dropped.
void write_output(std::string_view text);

/// Writes one line to standard output, made of `parts` as FixedString::append() takes them, 4 KiB
/// at most.
template <class... Parts>
void print(const Parts&... parts) {
  FixedString<4096> text;
  text.append(parts..., '\n');
  write_output(text);
}

}  // namespace millrace::hal
