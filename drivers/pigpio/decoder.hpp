// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "drivers/pigpio/frame.hpp"

namespace millrace::pigpio {

/// Cuts a stream of bytes into requests. Up to N bytes of an extension are kept; a longer one is
/// passed over and the request says so, so that the stream stays in step. The bytes of SERW are not
/// kept at all: they are taken from the stream as the serial port takes them.
template <std::size_t N>
class Decoder {
 public:
  enum class Status : std::uint8_t {
    incomplete,  ///< all input is taken, and no request is complete
    request,     ///< one is; its extension, but for SERW, is taken
    hopeless     ///< announces an extension as pigpiod would not take, either: hang up
  };

  /// pigpiod's CMD_MAX_EXTENSION: it closes the connection of who announces as much.
  static constexpr std::uint32_t most_extension = 1U << 16U;

  /// Takes bytes from the start of `input` up to the end of the first request in it, and removes
  /// them. Not to be called while streaming() is left.
  [[nodiscard]] Status decode(std::span<const std::byte>& input) {
    if (complete_) {
      taken_ = 0;
      complete_ = false;
    }
    if (taken_ < header_size) {
      take(input, std::span(header_).subspan(taken_));
      if (taken_ < header_size) {
        return Status::incomplete;
      }
      read_header();
      if (request_.extension_size >= most_extension) {
        return Status::hopeless;
      }
    }
    if (request_.command != Command::serw) {
      const std::size_t kept = std::min<std::size_t>(request_.extension_size, N);
      const std::size_t end = header_size + request_.extension_size;
      if (taken_ < header_size + kept) {
        take(
            input,
            std::span(extension_).subspan(taken_ - header_size).first(header_size + kept - taken_));
      }
      if (taken_ >= header_size + kept) {
        const std::size_t passed = std::min(input.size(), end - taken_);
        input = input.subspan(passed);
        taken_ += passed;
      }
      if (taken_ < end) {
        return Status::incomplete;
      }
      request_.extension = std::span(extension_).first(kept);
    } else {
      streaming_ = request_.extension_size;
    }
    complete_ = true;
    return Status::request;
  }

  /// Valid until the next call of decode().
  [[nodiscard]] const Request& request() const { return request_; }
  /// More was announced than is kept.
  [[nodiscard]] bool oversize() const {
    return request_.command != Command::serw && request_.extension_size > N;
  }

  /// Bytes of SERW's extension that are still to be taken from the stream.
  [[nodiscard]] std::size_t streaming() const { return streaming_; }
  /// So many of them have been taken.
  void streamed(std::size_t count) { streaming_ -= count; }

  void reset() { *this = {}; }

 private:
  void take(std::span<const std::byte>& input, std::span<std::byte> to) {
    const std::size_t count = std::min(input.size(), to.size());
    std::ranges::copy(input.first(count), to.begin());
    input = input.subspan(count);
    taken_ += count;
  }

  void read_header() {
    request_ = {.command = Command{load32(header_)},
                .p1 = load32(std::span(header_).subspan(4)),
                .p2 = load32(std::span(header_).subspan(8)),
                .extension_size = load32(std::span(header_).subspan(12)),
                .extension = {}};
  }

  std::size_t taken_ = 0;      ///< bytes of this request
  std::size_t streaming_ = 0;  ///< bytes left of SERW's
  bool complete_ = false;
  Request request_;
  Header header_{};
  std::array<std::byte, N> extension_{};
};

}  // namespace millrace::pigpio
