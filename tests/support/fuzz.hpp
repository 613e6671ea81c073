// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <source_location>
#include <span>
#include <string>
#include <string_view>

namespace millrace::test {

/// What must hold whatever the input is; libFuzzer keeps the input of which it does not.
inline void require(bool condition,
                    const std::source_location& where = std::source_location::current()) {
  if (!condition) {
    std::fprintf(stderr, "%s:%u: does not hold\n", where.file_name(), where.line());
    std::abort();
  }
}

/// The fuzzer's bytes, as choices; all are 0 when there are no more.
class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool empty() const { return bytes_.empty(); }

  std::uint8_t next() {
    if (bytes_.empty()) {
      return 0;
    }
    const std::uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }
  std::size_t below(std::size_t limit) { return next() % limit; }

  /// All that is left.
  [[nodiscard]] std::string rest() const { return {bytes_.begin(), bytes_.end()}; }

 private:
  std::span<const std::uint8_t> bytes_;
};

/// Gives `text` to `take` in pieces, as a stream may arrive: of the lengths given, over and over.
template <class Function>
void in_pieces(std::string_view text, std::span<const std::size_t> lengths, Function take) {
  for (std::size_t i = 0; !text.empty(); ++i) {
    const auto piece = text.substr(0, std::max<std::size_t>(lengths[i % lengths.size()], 1));
    // A copy that ends where the piece does, so that reading on is noticed.
    const std::string copy(piece);
    take(std::string_view(copy));
    text.remove_prefix(piece.size());
  }
}

/// Some ways to cut up a stream: not at all, into single bytes, and as the input says.
class Cuts {
 public:
  explicit Cuts(Input& input) {
    for (std::size_t& length : chosen_) {
      length = 1 + input.below(16);
    }
  }

  template <class Function>
  void for_each(Function function) const {
    function(std::span(whole_));
    function(std::span(single_));
    function(std::span(chosen_));
  }

 private:
  std::array<std::size_t, 1> whole_{std::string::npos};
  std::array<std::size_t, 1> single_{1};
  std::array<std::size_t, 3> chosen_{};
};

}  // namespace millrace::test
