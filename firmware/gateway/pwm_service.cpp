// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/pwm_service.hpp"

#include <algorithm>
#include <cerrno>

#include "hal/error_text.hpp"
#include "hal/log.hpp"

namespace millrace {

Result<void> PwmService::add(LineIndex line, std::string_view channel) {
  const auto same = [&](const Channel& other) {
    return other.line == line || other.pwm.name() == channel;
  };
  if (std::ranges::any_of(channels(), same)) {
    return fail(EEXIST, "the line or the PWM channel is in use",
                "a channel drives one line: name each of them once");
  }
  if (count_ == channels_.size()) {
    return fail(ENOSPC, "too many PWM channels", "raise pwms in the board's capacities");
  }
  Channel& added = channels_[count_];
  if (auto opened = added.pwm.open(channel); !opened) {
    return opened;
  }
  added.line = line;
  ++count_;
  gpio_.give_away(line);
  return {};
}

const PwmService::Channel* PwmService::find(LineIndex line) const {
  const auto found = std::ranges::find(channels(), line, &Channel::line);
  return found == channels().end() ? nullptr : &*found;
}

PwmService::Channel& PwmService::at(LineIndex line) {
  return *std::ranges::find(channels_, line, &Channel::line);
}

Result<void> PwmService::note(Channel& channel, const Result<void>& result) {
  if (!result && channel.refused++ == 0) {
    hal::log(hal::LogLevel::warning, "PWM of ", gpio_.line(channel.line).name, " by ",
             channel.pwm.name(), ": ", describe(result.error()));
  }
  return result;
}

Result<void> PwmService::set(LineIndex line, Duration period, Duration width) {
  Channel& channel = at(line);
  return note(channel, channel.pwm.set(period, width));
}

Result<void> PwmService::stop(LineIndex line) {
  Channel& channel = at(line);
  return note(channel, channel.pwm.stop());
}

}  // namespace millrace
