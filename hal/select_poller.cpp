// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/select_poller.hpp"

#include <algorithm>

#include "hal/watchable.hpp"

namespace millrace::hal {

bool SelectPoller::watched(int fd) const {
  return fd >= 0 && fd < FD_SETSIZE && entries_[static_cast<std::size_t>(fd)].watched;
}

void SelectPoller::store(int fd, Events interest, std::uint64_t token) {
  entries_[static_cast<std::size_t>(fd)] = {.token = token, .interest = interest, .watched = true};
  FD_CLR(fd, &read_);
  FD_CLR(fd, &write_);
  if (any(interest, Events::readable | Events::read_closed)) {
    FD_SET(fd, &read_);
  }
  if (any(interest, Events::writable)) {
    FD_SET(fd, &write_);
  }
  count_ = std::max(count_, fd + 1);
}

Result<void> SelectPoller::add(int fd, Events interest, std::uint64_t token) {
  if (fd >= FD_SETSIZE) {
    return fail(ENOSPC, "select can't watch descriptors past 1023", "use epoll or poll");
  }
  if (auto watchable = check_watchable(fd); !watchable) {
    return watchable;
  }
  if (watched(fd)) {
    return fail(EEXIST, "the descriptor is watched already", "modify its watch, or dup() it");
  }
  store(fd, interest, token);
  return {};
}

Result<void> SelectPoller::modify(int fd, Events interest, std::uint64_t token) {
  if (!watched(fd)) {
    return fail(ENOENT, "the descriptor is not watched");
  }
  if (auto watchable = check_watchable(fd); !watchable) {
    forget(fd);
    return watchable;
  }
  store(fd, interest, token);
  return {};
}

Result<void> SelectPoller::remove(int fd) {
  if (!watched(fd)) {
    return fail(ENOENT, "the descriptor is not watched");
  }
  forget(fd);
  return {};
}

void SelectPoller::forget(int fd) {
  entries_[static_cast<std::size_t>(fd)] = {};
  FD_CLR(fd, &read_);
  FD_CLR(fd, &write_);
  while (count_ > 0 && !entries_[static_cast<std::size_t>(count_ - 1)].watched) {
    --count_;
  }
}

Result<void> SelectPoller::reset() {
  entries_ = {};
  FD_ZERO(&read_);
  FD_ZERO(&write_);
  count_ = 0;
  return {};
}

Result<std::size_t> SelectPoller::wait(std::span<PollEvent> ready, Duration timeout) {
  fd_set readable = read_;
  fd_set writable = write_;
  const auto limit = to_timespec(timeout);
  const int result = ::pselect(count_, &readable, &writable, nullptr,
                               timeout == forever ? nullptr : &limit, nullptr);
  if (result < 0) {
    if (errno == EBADF) {
      return report_closed(ready);
    }
    return errno == EINTR ? Result<std::size_t>(0) : fail_errno("pselect failed");
  }
  std::size_t found = 0;
  int left = result;
  // Starts where the last full batch ended, so that low descriptors don't starve the high ones.
  for (int n = 0; n < count_ && left > 0 && found < ready.size(); ++n) {
    const int fd = (start_ + n) % count_;
    Events events = Events::none;
    if (FD_ISSET(fd, &readable)) {
      events |= Events::readable;
      --left;
    }
    if (FD_ISSET(fd, &writable)) {
      events |= Events::writable;
      --left;
    }
    if (events != Events::none) {
      ready[found++] = {.events = events, .token = entries_[static_cast<std::size_t>(fd)].token};
      if (found == ready.size()) {
        start_ = fd + 1;
      }
    }
  }
  return found;
}

std::size_t SelectPoller::report_closed(std::span<PollEvent> ready) {
  // select does not say which one it was.
  std::size_t found = 0;
  for (int fd = 0; fd < count_ && found < ready.size(); ++fd) {
    if (watched(fd) && !check_watchable(fd)) {
      ready[found++] = {.events = Events::error,
                        .token = entries_[static_cast<std::size_t>(fd)].token};
      forget(fd);
    }
  }
  return found;
}

}  // namespace millrace::hal
