// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/pigpio_serials.hpp"

#include <algorithm>

#include "hal/fixed_string.hpp"
#include "hal/slice.hpp"

namespace millrace {

using pigpio::Code;

std::optional<UartIndex> PigpioSerials::find(std::string_view device) const {
  for (std::size_t i = 0; i < uarts_.size(); ++i) {
    const UartIndex uart{static_cast<std::uint8_t>(i)};
    const UartService::Port& port = uarts_.port(uart);
    FixedString<31> alias("/dev/serial");
    alias.append(i);
    const bool path =
        !device.empty() && (device == port.config.paths[0] || device == port.config.paths[1] ||
                            (port.uart.is_open() && device == port.uart.path()));
    if (path || port.config.name == device || alias == device) {
      return uart;
    }
  }
  return std::nullopt;
}

pigpio::Expected<std::uint8_t> PigpioSerials::open_serial(std::string_view device,
                                                          std::uint32_t baud) {
  device = slice(device, 0, device.find('\0'));  // C's clients may send its end as well
  const auto uart = find(device);
  if (!uart) {
    const bool plausible = device.starts_with("/dev/tty") || device.starts_with("/dev/serial");
    return std::unexpected(plausible ? Code::ser_open_failed : Code::bad_ser_device);
  }
  const auto free = std::ranges::find(serials_, false, &Serial::open);
  if (free == serials_.end()) {
    return std::unexpected(Code::no_handle);
  }
  hal::UartSettings settings = uarts_.port(*uart).config.settings;
  settings.baud = baud;
  settings.data_bits = 8;
  settings.parity = hal::Parity::none;
  settings.stop_bits = 1;
  if (!uarts_.configure(*uart, settings) || !uarts_.attach(*uart)) {
    return std::unexpected(Code::ser_open_failed);
  }
  free->open = true;
  free->attached = true;
  free->uart = *uart;
  free->received.clear();
  return static_cast<std::uint8_t>(free - serials_.begin());
}

void PigpioSerials::close_serial(std::uint32_t handle) {
  Serial& serial = serials_[handle];
  serial.open = false;
  balance(serial);
}

std::size_t PigpioSerials::take_serial(std::uint32_t handle, std::span<std::byte> into) {
  Serial& serial = serials_[handle];
  const std::size_t count = serial.received.read(into);
  balance(serial);
  return count;
}

std::size_t PigpioSerials::put_serial(std::uint32_t handle, std::span<const std::byte> data) {
  return uarts_.send(serials_[handle].uart, data);
}

void PigpioSerials::on_data(UartIndex uart, std::span<const std::byte> data) {
  for (Serial& serial : serials_) {
    if (serial.open && serial.uart == uart) {
      const std::size_t written = serial.received.write(data);
      uarts_.count_dropped(uart, data.size() - written);
    }
  }
}

void PigpioSerials::balance() {
  for (Serial& serial : serials_) {
    balance(serial);
  }
}

void PigpioSerials::balance(Serial& serial) {
  const bool wants = serial.open && serial.received.empty();
  if (serial.attached && !wants) {
    uarts_.detach(serial.uart);
    serial.attached = false;
  } else if (!serial.attached && wants) {
    serial.attached = uarts_.attach(serial.uart).has_value();
  }
}

void PigpioSerials::close() {
  for (Serial& serial : serials_) {
    serial.open = false;
    balance(serial);
  }
}

std::size_t PigpioSerials::open_count() const {
  return static_cast<std::size_t>(std::ranges::count(serials_, true, &Serial::open));
}

}  // namespace millrace
