// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstdint>

#include "drivers/pigpio/code.hpp"
#include "drivers/pigpio/report.hpp"

namespace millrace::pigpio {

/// Those whom the daemon reports to.
class Audience {
 public:
  /// A report, to those handles that are its audience.
  virtual void publish(const Report& report) = 0;
  /// A handle was opened: from now on there may be reports for it. `own_channel`: they go into a
  /// channel of their own, not to the client that asked. Errors: bad_pathname.
  [[nodiscard]] virtual Code open_channel(std::uint8_t handle, bool own_channel) = 0;
  virtual void close_channel(std::uint8_t handle) = 0;

 protected:
  ~Audience() = default;
};

}  // namespace millrace::pigpio
