// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/signal_fd.hpp"

#include <csignal>
#include <sys/signalfd.h>
#include <unistd.h>

#include "hal/io.hpp"

namespace millrace::hal {

Result<SignalFd> SignalFd::open(std::span<const int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) {
    struct sigaction action{};
    if (::sigaction(signal, nullptr, &action) != 0) {
      return fail_errno("cannot catch signals");
    }
    // A blocked signal waits in the descriptor even if it is ignored.
    if (action.sa_handler != SIG_IGN) {
      sigaddset(&set, signal);
    }
  }
  SignalFd result;
  result.fd_ = Fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!result.fd_) {
    return fail_errno("cannot open a descriptor for signals");
  }
  // Only now: a signal that were blocked without a descriptor to read it from would be lost.
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return fail(error, "cannot block signals");
  }
  return result;
}

std::optional<SignalFd::Received> SignalFd::read() {
  signalfd_siginfo info{};
  if (!hal::read(fd_.get(), std::as_writable_bytes(std::span(&info, 1))).done()) {
    return std::nullopt;
  }
  return Received{.signal = static_cast<int>(info.ssi_signo),
                  .pid = static_cast<std::int32_t>(info.ssi_pid),
                  .value = info.ssi_int};
}

}  // namespace millrace::hal
