// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace millrace::test {

inline constexpr char escape = '\x1d';

/// What becomes of a stream with escapes in it.
struct EscapeOutcome {
  std::string data;
  std::string rest;  ///< after the end of the stream
  bool ended = false;

  friend bool operator==(const EscapeOutcome&, const EscapeOutcome&) = default;
};

/// What the whole text is by definition, as EscapeDecoder has to find it in any pieces.
inline EscapeOutcome escapes_by_definition(std::string_view text) {
  EscapeOutcome outcome;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != escape) {
      outcome.data += text[i];
    } else if (++i < text.size()) {
      if (text[i] != escape) {
        return {.data = outcome.data, .rest = std::string(text.substr(i + 1)), .ended = true};
      }
      outcome.data += escape;
    }
  }
  return outcome;
}

}  // namespace millrace::test
