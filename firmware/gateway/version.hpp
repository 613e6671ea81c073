// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <string_view>

namespace millrace {

inline constexpr std::string_view version = "0.1.0";

}  // namespace millrace
