// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "hal/error.hpp"
#include "hal/fd.hpp"
#include "hal/time.hpp"

namespace millrace::hal {

/// Wakes a loop that sleeps, from another thread or a signal handler (eventfd(2)). Any number of
/// notifications before the next clear() are one.
class Wakeup {
 public:
  /// An empty object: notify() and clear() do nothing.
  Wakeup() = default;

  [[nodiscard]] static Result<Wakeup> open();

  /// To be watched for readable. −1 when not open.
  [[nodiscard]] int fd() const { return fd_.get(); }

  /// Makes fd() readable. Any thread, async-signal-safe, leaves errno alone. One write(2).
  void notify() const noexcept;

  /// Makes fd() unreadable. Loop thread only. One read(2).
  void clear() const noexcept;

  /// Waits until fd() is readable; false once `timeout` has passed, or when a signal came. Any
  /// thread but one that must not block. One ppoll(2).
  [[nodiscard]] bool wait(Duration timeout) const noexcept;

 private:
  Fd fd_;
};

}  // namespace millrace::hal
