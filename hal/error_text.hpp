// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "hal/error.hpp"
#include "hal/fixed_string.hpp"

namespace millrace {

/// The kernel's words for an errno in English, without locale or allocation: "Permission denied".
/// "Unknown error" for a number that is none. Any thread.
[[nodiscard]] const char* errno_text(int number);

/// An error in one line for people: "cannot open the serial port: Permission denied; add yourself
/// to the group dialout". Parts that are empty are left out. Any thread.
[[nodiscard]] FixedString<255> describe(const Error& error);

}  // namespace millrace
