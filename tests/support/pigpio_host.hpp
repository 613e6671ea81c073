// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/pigpio/audience.hpp"
#include "drivers/pigpio/command.hpp"
#include "drivers/pigpio/lines.hpp"
#include "drivers/pigpio/serials.hpp"

namespace millrace::test {

/// Lines, serial ports and clients of a pigpio daemon, all in arrays. Of the numbers 0 to 53 those
/// below `line_count` are lines.
class PigpioHost final : public pigpio::Lines, public pigpio::Serials, public pigpio::Audience {
 public:
  using Code = pigpio::Code;

  struct Line {
    bool output = false;
    bool level = false;
    pigpio::Pull pull = pigpio::Pull::off;
    std::chrono::microseconds debounce{0};
    Duration period{};  ///< of the kernel's PWM
    Duration width{};
    Code fails = Code::ok;  ///< what whoever wants to use it is told
  };

  explicit PigpioHost(unsigned count) : line_count(count) {}

  // --- Lines ---

  [[nodiscard]] std::uint64_t known() const override {
    return (std::uint64_t{1} << line_count) - 1;
  }
  [[nodiscard]] bool is_output(unsigned gpio) override { return lines.at(gpio).output; }
  [[nodiscard]] Code make_output(unsigned gpio, bool level) override {
    Line& line = lines.at(gpio);
    if (line.fails == Code::ok) {
      line.output = true;
      line.level = level;
    }
    return line.fails;
  }
  [[nodiscard]] Code make_input(unsigned gpio) override {
    Line& line = lines.at(gpio);
    if (line.fails == Code::ok) {
      line.output = false;
      line.level = line.pull == pigpio::Pull::up || (line.pull != pigpio::Pull::down && line.level);
    }
    return line.fails;
  }
  [[nodiscard]] Code bias_line(unsigned gpio, pigpio::Pull pull) override {
    Line& line = lines.at(gpio);
    line.pull = pull;
    return line.output ? Code::ok : make_input(gpio);
  }
  [[nodiscard]] Code debounce_line(unsigned gpio, std::chrono::microseconds steady) override {
    lines.at(gpio).debounce = steady;
    return Code::ok;
  }
  [[nodiscard]] pigpio::Expected<bool> level_of(unsigned gpio) override {
    const Line& line = lines.at(gpio);
    if (line.fails != Code::ok) {
      return std::unexpected(line.fails);
    }
    return line.level;
  }
  [[nodiscard]] std::uint64_t levels_of(std::uint64_t wanted) override {
    std::uint64_t levels = 0;
    for (unsigned gpio = 0; gpio < lines.size(); ++gpio) {
      levels |= std::uint64_t{lines.at(gpio).level} << gpio;
    }
    return levels & wanted;
  }
  [[nodiscard]] Code drive_lines(std::uint64_t which, std::uint64_t levels) override {
    for (unsigned gpio = 0; gpio < lines.size(); ++gpio) {
      if ((which >> gpio & 1U) != 0) {
        if (lines.at(gpio).fails != Code::ok) {
          return lines.at(gpio).fails;
        }
        (void)drive_line(gpio, (levels >> gpio & 1U) != 0);
      }
    }
    return Code::ok;
  }
  [[nodiscard]] bool drive_line(unsigned gpio, bool level) override {
    Line& line = lines.at(gpio);
    if (!line.output || line.fails != Code::ok) {
      return false;
    }
    line.level = level;
    driven += (driven.empty() ? "" : " ") + std::to_string(gpio) + (level ? "^" : "_");
    return true;
  }
  [[nodiscard]] std::uint64_t with_pwm() const override { return pwm; }
  [[nodiscard]] Code pulse_line(unsigned gpio, Duration period, Duration width) override {
    Line& line = lines.at(gpio);
    if (period < shortest_period) {
      return Code::bad_hpwm_freq;
    }
    if (line.fails == Code::ok) {
      line.output = true;
      line.period = period;
      line.width = width;
      line.level = width > Duration::zero();
    }
    return line.fails;
  }
  [[nodiscard]] std::uint32_t watch_lines(std::uint32_t bits) override {
    std::uint32_t failed = 0;
    for (unsigned gpio = 0; gpio < pigpio::user_gpios; ++gpio) {
      failed |= std::uint32_t{lines.at(gpio).fails != Code::ok ? 1U : 0U} << gpio;
    }
    watched = bits & ~failed;
    return bits & failed;
  }

  // --- Serials ---

  [[nodiscard]] pigpio::Expected<std::uint8_t> open_serial(std::string_view device,
                                                           std::uint32_t baud) override {
    if (device != "/dev/serial0") {
      return std::unexpected(Code::bad_ser_device);
    }
    bauds.push_back(baud);
    const auto handle = static_cast<std::uint8_t>(bauds.size() - 1);
    received[handle];
    return handle;
  }
  [[nodiscard]] bool has_serial(std::uint32_t handle) const override {
    return received.contains(handle);
  }
  void close_serial(std::uint32_t handle) override { received.erase(handle); }
  [[nodiscard]] std::size_t serial_available(std::uint32_t handle) const override {
    return received.at(handle).size();
  }
  [[nodiscard]] std::size_t take_serial(std::uint32_t handle, std::span<std::byte> into) override {
    std::string& text = received.at(handle);
    const std::size_t count = std::min(text.size(), into.size());
    std::ranges::copy(std::as_bytes(std::span(text).first(count)), into.begin());
    text.erase(0, count);
    return count;
  }
  [[nodiscard]] std::size_t put_serial(std::uint32_t /*handle*/,
                                       std::span<const std::byte> data) override {
    const std::size_t count = std::min(data.size(), serial_room);
    for (const std::byte byte : data.first(count)) {
      sent.push_back(static_cast<char>(byte));
    }
    serial_room -= count;
    return count;
  }

  // --- Audience ---

  void publish(const pigpio::Report& report) override { reports.push_back(report); }
  [[nodiscard]] Code open_channel(std::uint8_t handle, bool own_channel) override {
    if (own_channel && !fifos) {
      return Code::bad_pathname;
    }
    channels |= std::uint32_t{1} << handle;
    return Code::ok;
  }
  void close_channel(std::uint8_t handle) override { channels &= ~(std::uint32_t{1} << handle); }

  // NOLINTBEGIN(misc-non-private-member-variables-in-classes): a test's to look at
  unsigned line_count;
  std::array<Line, pigpio::gpios> lines{};
  std::uint64_t pwm = 0;  ///< lines with a channel of the kernel's
  Duration shortest_period{20};
  std::uint32_t watched = 0;
  std::string driven;  ///< by drive_line(): 17^ is up, 17_ is down

  std::vector<std::uint32_t> bauds;
  std::map<std::uint32_t, std::string> received;
  std::string sent;
  std::size_t serial_room = SIZE_MAX;

  std::vector<pigpio::Report> reports;
  std::uint32_t channels = 0;  ///< handles that are open
  bool fifos = true;
  // NOLINTEND(misc-non-private-member-variables-in-classes)
};

}  // namespace millrace::test
