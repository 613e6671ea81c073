// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <csignal>
#include <cstdint>
#include <optional>
#include <span>

#include "hal/error.hpp"
#include "hal/fd.hpp"

namespace millrace::hal {

/// What asks a program to stop: Ctrl-C, a supervisor, a terminal that goes away.
inline constexpr std::array stop_signals = {SIGINT, SIGTERM, SIGHUP};

/// Turns signals into readiness (signalfd(2)): they are blocked for the calling thread and wait in
/// the descriptor until the loop reads them. Open it before other threads are started: they inherit
/// the mask, and a signal goes to any thread that has not blocked it.
class SignalFd {
 public:
  struct Received {
    int signal;          ///< SIGTERM, …
    std::int32_t pid;    ///< of the sender, 0 when it is the kernel
    std::int32_t value;  ///< given to sigqueue(3)
  };

  SignalFd() = default;

  /// Blocks `signals` and opens a descriptor for them; those that are ignored, as nohup(1) has it,
  /// stay ignored.
  [[nodiscard]] static Result<SignalFd> open(std::span<const int> signals);

  /// To be watched for readable.
  [[nodiscard]] int fd() const { return fd_.get(); }

  /// The next signal that waits, if any. One system call.
  [[nodiscard]] std::optional<Received> read();

  /// Closes the descriptor. The signals stay blocked: one that is pending must not kill the process
  /// on its way out.
  void close() { fd_.reset(); }

 private:
  Fd fd_;
};

}  // namespace millrace::hal
