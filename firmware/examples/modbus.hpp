// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace millrace::modbus {

// As much of Modbus RTU as is needed to read one register of device 1 (Modbus over Serial
// Line 1.02, and Application Protocol 1.1b3, 6.3).

using Request = std::array<std::byte, 8>;
using Response = std::array<std::byte, 7>;

/// CRC-16/MODBUS.
[[nodiscard]] constexpr std::uint16_t crc_of(std::span<const std::byte> bytes) {
  std::uint16_t crc = 0xFFFF;
  for (const std::byte byte : bytes) {
    crc = static_cast<std::uint16_t>(crc ^ std::to_integer<std::uint16_t>(byte));
    for (int bit = 0; bit < 8; ++bit) {
      crc = static_cast<std::uint16_t>((crc & 1U) != 0 ? (crc >> 1U) ^ 0xA001U : crc >> 1U);
    }
  }
  return crc;
}

/// Read one holding register.
[[nodiscard]] constexpr Request read_register(std::uint16_t number) {
  Request request{std::byte{1}, std::byte{3}, std::byte(number >> 8U), std::byte(number & 0xFFU),
                  std::byte{0}, std::byte{1}};
  const std::uint16_t crc = crc_of(std::span(request).first(6));
  request[6] = std::byte(crc & 0xFFU);
  request[7] = std::byte(crc >> 8U);
  return request;
}

/// The register's value; nothing if that is no answer, or a damaged one.
[[nodiscard]] constexpr std::optional<int> value_of(const Response& response) {
  const auto word = [&](std::size_t high, std::size_t low) {
    return std::to_integer<int>(response[high]) << 8U | std::to_integer<int>(response[low]);
  };
  const bool good = response[0] == std::byte{1} && response[1] == std::byte{3} &&
                    response[2] == std::byte{2} &&
                    word(6, 5) == crc_of(std::span(response).first(5));
  return good ? std::optional(word(3, 4)) : std::nullopt;
}

}  // namespace millrace::modbus
