// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/error_text.hpp"

#include <cstring>
#include <string_view>

namespace millrace {

const char* errno_text(int number) {
  const char* text = ::strerrordesc_np(number);
  return text != nullptr ? text : "Unknown error";
}

FixedString<255> describe(const Error& error) {
  FixedString<255> text;
  const auto append = [&text](std::string_view separator, std::string_view part) {
    if (!part.empty()) {
      text.append(text.empty() ? std::string_view() : separator, part);
    }
  };
  append("", error.what);
  append(": ", error.number != 0 ? errno_text(error.number) : "");
  append("; ", error.remedy);
  return text;
}

}  // namespace millrace
