// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/epoll_poller.hpp"

#include <algorithm>
#include <cstddef>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "hal/watchable.hpp"

namespace millrace::hal {
namespace {

static_assert(sizeof(PollEvent) == sizeof(epoll_event));
static_assert(offsetof(PollEvent, token) == offsetof(epoll_event, data));
static_assert(bits(Events::readable) == EPOLLIN);
static_assert(bits(Events::writable) == EPOLLOUT);
static_assert(bits(Events::error) == EPOLLERR);
static_assert(bits(Events::hangup) == EPOLLHUP);
static_assert(bits(Events::read_closed) == EPOLLRDHUP);

Result<void> control(int epoll, int operation, int fd, Events interest, std::uint64_t token) {
  epoll_event event{.events = bits(interest), .data = {.u64 = token}};
  if (::epoll_ctl(epoll, operation, fd, &event) == 0) {
    return {};
  }
  switch (errno) {
    case EBADF:
      return fail_errno("the descriptor is not open", "watch it before closing it");
    case EPERM:
      return fail_errno("a regular file or directory is always ready",
                        "read it directly: there is nothing to wait for");
    case EEXIST:
      return fail_errno("the descriptor is watched already", "modify its watch, or dup() it");
    case ENOSPC:
      return fail_errno("the kernel allows no more watches",
                        "raise /proc/sys/fs/epoll/max_user_watches");
    default:
      return fail_errno("the descriptor cannot be watched");
  }
}

}  // namespace

Result<void> EpollPoller::open(Wait wait) {
  if (auto created = create(); !created) {
    return created;
  }
  if (wait != Wait::timerfd) {
    const timespec zero{};
    epoll_event event{};
    if (::epoll_pwait2(epoll_.get(), &event, 1, &zero, nullptr) >= 0) {
      wait_ = Wait::pwait2;
      return {};
    }
    if (wait == Wait::pwait2) {
      return fail_errno("this kernel has no epoll_pwait2", "use the timerfd instead");
    }
  }
  wait_ = Wait::timerfd;
  return reset();
}

Result<void> EpollPoller::create() {
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) {
    return fail_errno("cannot create an epoll instance", "raise the limit of open files");
  }
  return {};
}

Result<void> EpollPoller::add(int fd, Events interest, std::uint64_t token) {
  return control(epoll_.get(), EPOLL_CTL_ADD, fd, interest, token);
}

Result<void> EpollPoller::modify(int fd, Events interest, std::uint64_t token) {
  return control(epoll_.get(), EPOLL_CTL_MOD, fd, interest, token);
}

Result<void> EpollPoller::remove(int fd) {
  return control(epoll_.get(), EPOLL_CTL_DEL, fd, Events::none, 0);
}

Result<void> EpollPoller::reset() {
  epoll_.reset();  // first, so that the number is free for the next one when descriptors are short
  if (auto created = create(); !created) {
    return created;
  }
  if (wait_ != Wait::timerfd) {
    return {};
  }
  if (!timer_) {
    timer_ = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!timer_) {
      return fail_errno("cannot create a timerfd", "raise the limit of open files");
    }
  }
  return add(timer_.get(), Events::readable, reserved_token);
}

Result<std::size_t> EpollPoller::wait(std::span<PollEvent> ready, Duration timeout) {
  const bool timed = timeout != forever && timeout > Duration::zero();
  if (timed || timer_armed_) {
    return wait_ == Wait::timerfd ? wait_with_timerfd(ready, timeout) : wait_timed(ready, timeout);
  }
  return wait_plainly(ready, timeout);
}

inline Result<std::size_t> EpollPoller::wait_plainly(std::span<PollEvent> ready, Duration timeout) {
  const int count =
      // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): same layout, asserted above
      ::epoll_wait(epoll_.get(), reinterpret_cast<epoll_event*>(ready.data()),
                   static_cast<int>(ready.size()), timeout <= Duration::zero() ? 0 : -1);
  if (count < 0) [[unlikely]] {
    return errno == EINTR ? Result<std::size_t>(0) : fail_errno("epoll_wait failed");
  }
  return static_cast<std::size_t>(count);
}

Result<std::size_t> EpollPoller::wait_timed(std::span<PollEvent> ready, Duration timeout) {
  const timespec limit = to_timespec(timeout);
  const int count =
      // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): same layout, asserted above
      ::epoll_pwait2(epoll_.get(), reinterpret_cast<epoll_event*>(ready.data()),
                     static_cast<int>(ready.size()), &limit, nullptr);
  if (count < 0) {
    return errno == EINTR ? Result<std::size_t>(0) : fail_errno("epoll_pwait2 failed");
  }
  return static_cast<std::size_t>(count);
}

Result<std::size_t> EpollPoller::wait_with_timerfd(std::span<PollEvent> ready, Duration timeout) {
  const bool timed = timeout > Duration::zero() && timeout != forever;
  const itimerspec limit{.it_interval = {}, .it_value = timed ? to_timespec(timeout) : timespec{}};
  if (::timerfd_settime(timer_.get(), 0, &limit, nullptr) != 0) {
    return fail_errno("timerfd_settime failed");
  }
  timer_armed_ = timed;
  const auto count = wait_plainly(ready, timed ? forever : timeout);
  if (!count) {
    return count;
  }
  const auto found = ready.first(*count);
  const auto rest = std::ranges::remove_if(
      found, [](const PollEvent& event) { return event.token == reserved_token; });
  return found.size() - rest.size();
}

}  // namespace millrace::hal
