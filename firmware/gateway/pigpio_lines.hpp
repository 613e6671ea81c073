// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

#include "board/boards.hpp"
#include "drivers/pigpio/command.hpp"
#include "drivers/pigpio/lines.hpp"
#include "firmware/gateway/event.hpp"
#include "firmware/gateway/gpio_service.hpp"
#include "firmware/gateway/pwm_service.hpp"

namespace millrace {

/// The board's lines, by the numbers that pigpiod's clients know. All of those clients together
/// share the lines with the clients of the control port, as these do with each other: the last one
/// who sets a line up has it his way, and those who watch are told.
class PigpioLines final : public pigpio::Lines {
 public:
  PigpioLines(GpioService& gpio, PwmService& pwms, GatewayLog::Reader& reader)
      : gpio_(gpio), pwms_(pwms), reader_(reader) {}

  /// Once the services know the board's lines and channels: numbers them. See
  /// board::pigpio_number().
  void open();

  [[nodiscard]] std::uint64_t known() const override { return known_; }
  [[nodiscard]] bool is_output(unsigned gpio) override;
  [[nodiscard]] pigpio::Code make_output(unsigned gpio, bool level) override;
  [[nodiscard]] pigpio::Code make_input(unsigned gpio) override;
  [[nodiscard]] pigpio::Code bias_line(unsigned gpio, pigpio::Pull pull) override;
  [[nodiscard]] pigpio::Code debounce_line(unsigned gpio,
                                           std::chrono::microseconds steady) override;
  [[nodiscard]] pigpio::Expected<bool> level_of(unsigned gpio) override;
  [[nodiscard]] std::uint64_t levels_of(std::uint64_t wanted) override;
  [[nodiscard]] pigpio::Code drive_lines(std::uint64_t which, std::uint64_t levels) override;
  [[nodiscard]] bool drive_line(unsigned gpio, bool level) override;
  [[nodiscard]] std::uint64_t with_pwm() const override { return with_pwm_; }
  [[nodiscard]] pigpio::Code pulse_line(unsigned gpio, Duration period, Duration width) override;
  [[nodiscard]] std::uint32_t watch_lines(std::uint32_t bits) override;

  /// The line of one of known().
  [[nodiscard]] LineIndex line(unsigned gpio) const { return *numbers_[gpio].line; }
  /// The number of a line; nothing if it has none.
  [[nodiscard]] std::optional<unsigned> number_of(LineIndex line) const;

 private:
  struct Number {
    std::optional<LineIndex> line;
    hal::Bias bias = hal::Bias::as_is;      ///< what clients have asked for
    std::chrono::microseconds debounce{0};  ///< the same
  };

  void assign(unsigned number, LineIndex line);
  [[nodiscard]] bool has_pwm(unsigned gpio) const { return (with_pwm_ >> gpio & 1U) != 0; }
  [[nodiscard]] const hal::Pwm& pwm(unsigned gpio) const { return pwms_.find(line(gpio))->pwm; }
  /// A channel as if it were a GPIO: never or always high.
  [[nodiscard]] pigpio::Code hold(unsigned gpio, bool level);
  [[nodiscard]] bool is_input_of_ours(unsigned gpio) const;
  [[nodiscard]] LineSet lines_of(std::uint32_t bits) const;

  GpioService& gpio_;
  PwmService& pwms_;
  GatewayLog::Reader& reader_;  ///< its filter is what is watched
  std::uint64_t known_ = 0;
  std::uint64_t with_pwm_ = 0;
  std::uint32_t watched_ = 0;
  std::array<Number, pigpio::gpios> numbers_{};
  std::array<std::uint8_t, board::capacities.lines> numbers_of_lines_{};
};

}  // namespace millrace
