// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/wakeup.hpp"

#include <cstdint>
#include <poll.h>
#include <span>
#include <sys/eventfd.h>

#include "hal/io.hpp"
#include "hal/watchable.hpp"

namespace millrace::hal {

Result<Wakeup> Wakeup::open() {
  Wakeup result;
  result.fd_ = Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!result.fd_) {
    return fail_errno("cannot open an event descriptor");
  }
  return result;
}

void Wakeup::notify() const noexcept {
  const int saved = errno;
  const std::uint64_t one = 1;
  // EAGAIN would mean 2^64 - 2 notifications that nobody has cleared: it is readable all the same.
  (void)write(fd_.get(), std::as_bytes(std::span(&one, 1)));
  errno = saved;
}

void Wakeup::clear() const noexcept {
  std::uint64_t count = 0;
  (void)read(fd_.get(), std::as_writable_bytes(std::span(&count, 1)));
}

bool Wakeup::wait(Duration timeout) const noexcept {
  pollfd waited{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  const timespec limit = to_timespec(timeout);
  return ::ppoll(&waited, 1, timeout == forever ? nullptr : &limit, nullptr) > 0;
}

}  // namespace millrace::hal
