// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

namespace millrace {

/// Bytes, first in, first out, in N bytes of fixed memory, all of them usable. For one thread: the
/// loop's. Linear pieces can be claimed at both ends, so that readv(2) and writev(2) work in place:
///
///     claim_write() → up to two free pieces, fill them from the start, commit_write(count)
///     claim_read()  → up to two filled pieces, take from the start, commit_read(count)
template <std::size_t N>
class RingBuffer {
 public:
  template <class Byte>
  struct Pieces {
    std::span<Byte> first;
    std::span<Byte> second;  ///< empty unless the claim wraps around the end
  };

  [[nodiscard]] static constexpr std::size_t capacity() { return N; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t space() const { return N - size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool full() const { return size_ == N; }
  void clear() { head_ = size_ = 0; }

  /// All free space, in order.
  [[nodiscard]] Pieces<std::byte> claim_write() {
    return pieces<std::byte>(bytes_, (head_ + size_) % N, space());
  }
  /// Appends the first `count` claimed bytes; at most space().
  void commit_write(std::size_t count) { size_ += count; }

  /// All content, oldest first.
  [[nodiscard]] Pieces<const std::byte> claim_read() const {
    return pieces<const std::byte>(bytes_, head_, size_);
  }
  /// Removes the `count` oldest bytes; at most size().
  void commit_read(std::size_t count) {
    head_ = (head_ + count) % N;
    size_ -= count;
  }

  /// Appends what fits, from the start of `data`; returns how much.
  std::size_t write(std::span<const std::byte> data) {
    const auto claimed = claim_write();
    const auto first = copy(data, claimed.first);
    const auto count = first + copy(data.subspan(first), claimed.second);
    commit_write(count);
    return count;
  }
  std::size_t write(std::string_view text) { return write(std::as_bytes(std::span(text))); }

  /// Removes the oldest bytes into `out`, as many as there are and fit; returns how many.
  std::size_t read(std::span<std::byte> out) {
    const auto claimed = claim_read();
    const auto first = copy(claimed.first, out);
    const auto count = first + copy(claimed.second, out.subspan(first));
    commit_read(count);
    return count;
  }

 private:
  template <class Byte, class Array>
  static Pieces<Byte> pieces(Array& bytes, std::size_t start, std::size_t count) {
    const std::size_t first = std::min(count, N - start);
    return {std::span<Byte>(bytes).subspan(start, first),
            std::span<Byte>(bytes).first(count - first)};
  }
  static std::size_t copy(std::span<const std::byte> from, std::span<std::byte> to) {
    const std::size_t count = std::min(from.size(), to.size());
    if (count > 0) {
      std::memcpy(to.data(), from.data(), count);
    }
    return count;
  }

  std::size_t head_ = 0;
  std::size_t size_ = 0;
  std::array<std::byte, N> bytes_{};
};

}  // namespace millrace
