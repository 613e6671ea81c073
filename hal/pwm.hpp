// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <string_view>

#include "hal/error.hpp"
#include "hal/fd.hpp"
#include "hal/fixed_string.hpp"
#include "hal/time.hpp"

namespace millrace::hal {

/// A channel of the kernel's PWM: pulses that hardware makes, or a driver of the kernel's, and no
/// process. By the kernel's files: Documentation/ABI/testing/sysfs-class-pwm. Three descriptors
/// that stay open. Loop thread only; nothing allocates.
///
/// What was set outlives the process: the channel is neither stopped nor given back at the end.
class Pwm {
 public:
  /// The longest name: that of a chip, or the path of one, and its channel.
  using Name = FixedString<127>;

  /// Opens a channel by `name`, CHIP:CHANNEL. CHIP is the name of its device, such as fe20c000.pwm,
  /// which stays the same; or pwmchip0, whose number may change; or the path of a chip's folder.
  /// The channel is asked for if nobody has done so, and goes on with what it does. One that is off
  /// is set to pulses that are high; one that runs inverted is left so. Whoever gives it to a group
  /// (udev) has up to 1 s for it. For start-up: blocks for up to that 1 s.
  ///
  /// Errors: EINVAL (no such name), ENODEV (no such chip, or it has no such channel), EBUSY
  /// (another driver has the channel), EACCES, and EROFS (a sandbox).
  [[nodiscard]] Result<void> open(std::string_view name);

  [[nodiscard]] bool is_open() const { return static_cast<bool>(enable_); }

  /// Pulses of `width` every `period` from now on: 0 is low all the time, the whole period high all
  /// the time. The channel takes both up at the end of its pulse at the earliest, and if both
  /// change, there may be pulses of the one with the other in between; never such that are longer
  /// than a period. One or two system calls, none if nothing changes; the first one, three.
  ///
  /// Errors: EINVAL, ERANGE, EOPNOTSUPP or others of the channel's driver, which can't make such
  /// pulses: then it goes on with what it had. ENODEV and others when it is gone.
  [[nodiscard]] Result<void> set(Duration period, Duration width);

  /// Switches the channel off: most drivers leave the line low then. One system call.
  [[nodiscard]] Result<void> stop();

  [[nodiscard]] const Name& name() const { return name_; }
  /// What the channel was set to, last by us.
  [[nodiscard]] Duration period() const { return period_; }
  [[nodiscard]] Duration width() const { return width_; }
  [[nodiscard]] bool enabled() const { return enabled_; }

 private:
  [[nodiscard]] Result<void> open_files(std::string_view channel);

  Name name_;
  Fd period_file_;
  Fd width_file_;
  Fd enable_;
  Duration period_{};
  Duration width_{};
  bool enabled_ = false;
};

}  // namespace millrace::hal
