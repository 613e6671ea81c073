// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "board/boards.hpp"
#include "firmware/gateway/event.hpp"
#include "firmware/gateway/gpio_service.hpp"
#include "hal/pwm.hpp"

namespace millrace {

/// Which lines are driven by channels of the kernel's PWM: those that the command line names, as
/// only the device tree knows what a pin is connected to. Such a line is never requested as a GPIO,
/// for that would take the pin from the channel, and nothing would give it back. Loop thread only.
class PwmService {
 public:
  struct Channel {
    LineIndex line{};
    hal::Pwm pwm;
    std::uint64_t refused = 0;  ///< pulses, or ends of them, that it could not make
  };

  explicit PwmService(GpioService& gpio) : gpio_(gpio) {}

  /// Gives a line to a channel: see hal::Pwm::open(). For start-up.
  /// Errors: those, EEXIST (the line or the channel is in use), ENOSPC (Capacities::pwms).
  [[nodiscard]] Result<void> add(LineIndex line, std::string_view channel);

  /// The line's channel; nullptr if it has none. No system call.
  [[nodiscard]] const Channel* find(LineIndex line) const;

  /// See hal::Pwm; of lines that have a channel. What fails is counted, and told the first time.
  [[nodiscard]] Result<void> set(LineIndex line, Duration period, Duration width);
  [[nodiscard]] Result<void> stop(LineIndex line);

  [[nodiscard]] std::span<const Channel> channels() const {
    return std::span(channels_).first(count_);
  }

 private:
  [[nodiscard]] Channel& at(LineIndex line);
  [[nodiscard]] Result<void> note(Channel& channel, const Result<void>& result);

  GpioService& gpio_;
  std::size_t count_ = 0;
  std::array<Channel, board::capacities.pwms> channels_{};
};

}  // namespace millrace
