// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <span>

namespace millrace::control {

/// Finds the way out of a stream of raw bytes: Ctrl-] (0x1D), the escape of telnet(1). Twice in a
/// row it stands for one such byte; followed by anything else it ends the stream, and that byte is
/// dropped with it (so that a person types Ctrl-] and Enter).
class EscapeDecoder {
 public:
  static constexpr std::byte escape{0x1d};

  struct Decoded {
    std::span<const std::byte> data;  ///< the next bytes to pass on
    bool ended = false;               ///< the escape was seen after `data`
  };

  /// Takes bytes from the start of `input` and removes them; call until `input` is empty or ended.
  [[nodiscard]] Decoded decode(std::span<const std::byte>& input) {
    if (escaped_ && !input.empty()) {
      escaped_ = false;
      const auto byte = input.first(1);
      input = input.subspan(1);
      return byte[0] == escape ? Decoded{byte, false} : Decoded{{}, true};
    }
    std::size_t count = 0;
    while (count < input.size() && input[count] != escape) {
      ++count;
    }
    const auto data = input.first(count);
    if (count < input.size()) {
      escaped_ = true;
      ++count;
    }
    input = input.subspan(count);
    return {data, false};
  }

  void reset() { escaped_ = false; }

 private:
  bool escaped_ = false;
};

}  // namespace millrace::control
