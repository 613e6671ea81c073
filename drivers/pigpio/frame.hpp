// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "drivers/pigpio/command.hpp"

namespace millrace::pigpio {

/// Every request and every answer begins with four little-endian words of 32 bits.
inline constexpr std::size_t header_size = 16;
using Header = std::array<std::byte, header_size>;

[[nodiscard]] constexpr std::uint32_t load32(std::span<const std::byte> from) {
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    word |= std::to_integer<std::uint32_t>(from[i]) << (8 * i);
  }
  return word;
}

constexpr void store32(std::uint32_t word, std::span<std::byte> to) {
  for (std::size_t i = 0; i < 4; ++i) {
    to[i] = static_cast<std::byte>(word >> (8 * i) & 0xff);
  }
}

/// What a client asks for. The extension is the bytes after the header: `extension_size` is how
/// many the client has announced (p3), `extension` those that are kept of it.
struct Request {
  Command command{};
  std::uint32_t p1 = 0;
  std::uint32_t p2 = 0;
  std::uint32_t extension_size = 0;
  std::span<const std::byte> extension;
};

/// The header of the answer: the command and its two parameters again, and what came of it.
[[nodiscard]] constexpr Header encode_answer(const Request& request, std::int32_t result) {
  Header header{};
  store32(static_cast<std::uint32_t>(request.command), header);
  store32(request.p1, std::span(header).subspan(4));
  store32(request.p2, std::span(header).subspan(8));
  store32(static_cast<std::uint32_t>(result), std::span(header).subspan(12));
  return header;
}

}  // namespace millrace::pigpio
