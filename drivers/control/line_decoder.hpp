// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace millrace::control {

/// Cuts a stream of bytes into lines that end in LF or CR LF, at most N bytes long without it. A
/// longer one is skipped to its end and reported as one oversize line. Half a line waits for the
/// rest. No byte is special but LF, and one CR before it.
template <std::size_t N>
class LineDecoder {
 public:
  enum class Status { incomplete, line, oversize };

  /// Takes bytes from the start of `input` up to the end of the first line in it, and removes them.
  /// After Status::line, line() is valid until the next call.
  [[nodiscard]] Status decode(std::span<const std::byte>& input) {
    if (complete_) {
      size_ = 0;
      complete_ = false;
    }
    const auto end = std::ranges::find(input, std::byte{'\n'});
    const auto part = input.first(static_cast<std::size_t>(end - input.begin()));
    const std::size_t room = text_.size() - size_;
    std::ranges::transform(part.first(std::min(part.size(), room)), text_.begin() + offset(),
                           [](std::byte byte) { return static_cast<char>(byte); });
    size_ += std::min(part.size(), room);
    oversize_ = oversize_ || part.size() > room;
    if (end == input.end()) {
      input = {};
      return Status::incomplete;
    }
    input = input.subspan(part.size() + 1);
    complete_ = true;
    if (size_ > 0 && text_[size_ - 1] == '\r') {
      --size_;
    }
    const bool oversize = oversize_ || size_ > N;
    oversize_ = false;
    return oversize ? Status::oversize : Status::line;
  }

  [[nodiscard]] std::string_view line() const { return {text_.data(), size_}; }
  /// Bytes of a line that has not ended yet wait here.
  [[nodiscard]] bool pending() const { return !complete_ && (size_ > 0 || oversize_); }
  void reset() { *this = {}; }

 private:
  [[nodiscard]] std::ptrdiff_t offset() const { return static_cast<std::ptrdiff_t>(size_); }

  std::size_t size_ = 0;
  bool complete_ = false;
  bool oversize_ = false;
  std::array<char, N + 1> text_{};  // one more for the CR
};

}  // namespace millrace::control
