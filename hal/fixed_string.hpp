// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace millrace {

/// An integer to be written in hexadecimal with at least `width` digits (1 to 16): `hex(id, 8)`.
struct Hex {
  std::uint64_t value;
  int width;
};
[[nodiscard]] constexpr Hex hex(std::uint64_t value, int width = 1) { return {value, width}; }

/// Text of at most N bytes, built by appending and kept in the object itself. What does not fit is
/// cut off and remembered: `truncated()`. Always followed by a NUL, so `c_str()` costs nothing.
template <std::size_t N>
class FixedString {
 public:
  constexpr FixedString() = default;
  constexpr explicit FixedString(std::string_view text) { append(text); }

  [[nodiscard]] static constexpr std::size_t capacity() { return N; }
  [[nodiscard]] constexpr std::size_t size() const { return size_; }
  [[nodiscard]] constexpr bool empty() const { return size_ == 0; }
  [[nodiscard]] constexpr bool truncated() const { return truncated_; }
  [[nodiscard]] constexpr const char* c_str() const { return text_.data(); }
  [[nodiscard]] constexpr std::string_view view() const {
    if (size_ > N) {
      __builtin_unreachable();  // else g++ 12 warns of what can't happen
    }
    return {text_.data(), size_};
  }
  // NOLINTNEXTLINE(google-explicit-constructor,hicpp-explicit-conversions): as std::string does
  constexpr operator std::string_view() const { return view(); }

  constexpr void clear() {
    size_ = 0;
    truncated_ = false;
    text_[0] = '\0';
  }

  /// Appends each argument in turn: text, a character, an integer in decimal, or `hex(...)`.
  template <class... Parts>
  constexpr FixedString& append(const Parts&... parts) {
    (append_one(parts), ...);
    return *this;
  }

  friend constexpr bool operator==(const FixedString& a, std::string_view b) {
    return a.view() == b;
  }

 private:
  // Not inlined: a row of ten parts would take a kilobyte.
  [[gnu::noinline]] constexpr void append_one(std::string_view text) {
    const std::size_t count = std::min(text.size(), N - size_);
    std::copy_n(text.begin(), count, text_.begin() + static_cast<std::ptrdiff_t>(size_));
    size_ += count;
    text_[size_] = '\0';
    truncated_ = truncated_ || count < text.size();
  }
  constexpr void append_one(const char* text) { append_one(std::string_view(text)); }
  constexpr void append_one(char c) { append_one(std::string_view(&c, 1)); }
  template <std::integral I>
  constexpr void append_one(I value) {
    if constexpr (std::is_signed_v<I>) {
      append_signed(value);
    } else {
      append_digits(value, 10, 1);
    }
  }
  [[gnu::noinline]] constexpr void append_signed(std::int64_t value) {
    auto magnitude = static_cast<std::uint64_t>(value);
    if (value < 0) {
      append_one('-');
      magnitude = 0 - magnitude;
    }
    append_digits(magnitude, 10, 1);
  }
  constexpr void append_one(Hex number) { append_digits(number.value, 16, number.width); }

  // std::to_chars would do, but is constexpr from C++23's library on only.
  [[gnu::noinline]] constexpr void append_digits(std::uint64_t value, std::uint64_t base,
                                                 int width) {
    std::array<char, 20> digits{};
    std::size_t start = digits.size();
    const auto enough = digits.size() - static_cast<std::size_t>(std::clamp(width, 1, 16));
    while (value != 0 || start > enough) {
      digits[--start] = "0123456789abcdef"[value % base];
      value /= base;
    }
    append_one(std::string_view(digits.data() + start, digits.size() - start));
  }

  std::size_t size_ = 0;
  bool truncated_ = false;
  std::array<char, N + 1> text_{};
};

}  // namespace millrace
