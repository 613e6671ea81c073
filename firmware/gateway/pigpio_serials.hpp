// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "board/boards.hpp"
#include "drivers/pigpio/serials.hpp"
#include "firmware/gateway/uart_service.hpp"
#include "hal/ring_buffer.hpp"

namespace millrace {

/// The gateway's serial ports, by the handles that pigpiod's clients know. A client polls: what has
/// come in waits here, and when there is something, the port is not read until it has been taken,
/// so that the rest waits in the kernel. Unless somebody else is attached to the port, too: then
/// what finds no room is dropped, and counted.
class PigpioSerials final : public pigpio::Serials {
 public:
  explicit PigpioSerials(UartService& uarts) : uarts_(uarts) {}

  /// `device` is the port's name here (uart0), its path, or /dev/serial0 for the first one and so
  /// on: other files of this machine are nobody's business. 8N1, as pigpiod has it.
  [[nodiscard]] pigpio::Expected<std::uint8_t> open_serial(std::string_view device,
                                                           std::uint32_t baud) override;
  [[nodiscard]] bool has_serial(std::uint32_t handle) const override {
    return handle < serials_.size() && serials_[handle].open;
  }
  void close_serial(std::uint32_t handle) override;
  [[nodiscard]] std::size_t serial_available(std::uint32_t handle) const override {
    return serials_[handle].received.size();
  }
  [[nodiscard]] std::size_t take_serial(std::uint32_t handle, std::span<std::byte> into) override;
  [[nodiscard]] std::size_t put_serial(std::uint32_t handle,
                                       std::span<const std::byte> data) override;

  /// Bytes have come in. balance() is to be called when this is over.
  void on_data(UartIndex uart, std::span<const std::byte> data);
  /// Has those ports read whose bytes have been taken, and no others.
  void balance();
  void close();

  [[nodiscard]] std::size_t open_count() const;

 private:
  struct Serial {
    bool open = false;
    bool attached = false;
    UartIndex uart{};
    RingBuffer<UartService::chunk> received;
  };

  [[nodiscard]] std::optional<UartIndex> find(std::string_view device) const;
  void balance(Serial& serial);

  UartService& uarts_;
  std::array<Serial, board::capacities.pigpio_serials> serials_{};
};

}  // namespace millrace
