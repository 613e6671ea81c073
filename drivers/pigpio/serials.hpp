// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "drivers/pigpio/code.hpp"

namespace millrace::pigpio {

/// The machine's serial ports: what the daemon needs of whoever has them. Handles are all clients'
/// and live until they are closed, as with pigpiod: `pigs` has a connection for each command.
class Serials {
 public:
  /// Errors: bad_ser_device (no serial port's name), ser_open_failed, no_handle.
  [[nodiscard]] virtual Expected<std::uint8_t> open_serial(std::string_view device,
                                                           std::uint32_t baud) = 0;
  /// Whether the handle is open. The others are for handles that are.
  [[nodiscard]] virtual bool has_serial(std::uint32_t handle) const = 0;
  virtual void close_serial(std::uint32_t handle) = 0;
  /// Bytes that have come in.
  [[nodiscard]] virtual std::size_t serial_available(std::uint32_t handle) const = 0;
  /// Takes as many of them as fit; returns how many.
  [[nodiscard]] virtual std::size_t take_serial(std::uint32_t handle,
                                                std::span<std::byte> into) = 0;
  /// Queues as many bytes to be sent as there is room for; returns how many.
  [[nodiscard]] virtual std::size_t put_serial(std::uint32_t handle,
                                               std::span<const std::byte> data) = 0;

 protected:
  ~Serials() = default;
};

}  // namespace millrace::pigpio
