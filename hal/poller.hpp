// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hal/error.hpp"
#include "hal/events.hpp"
#include "hal/time.hpp"

namespace millrace::hal {

/// One ready descriptor. Laid out as the kernel's epoll_event, which is packed on x86-64 only, so
/// that epoll_wait(2) writes straight into an array of these.
#if defined(__x86_64__)
struct [[gnu::packed]] PollEvent {
#else
struct PollEvent {
#endif
  Events events;
  std::uint64_t token;  ///< what was given to add() or modify()
};

/// Waits for descriptors to become ready, level-triggered. One interface for epoll, poll and
/// select, so that the loop can run on any of them and a comparison of the three is fair.
///
/// Loop thread only. No call here allocates memory.
class Poller {
 public:
  Poller() = default;
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  /// A token that is not to be given: pollers use it for descriptors of their own.
  static constexpr std::uint64_t reserved_token = UINT64_MAX;

  /// Starts to report `interest` (and errors and hang-ups) of `fd` under `token`. Remove it before
  /// closing it: of a descriptor that was closed, poll and select report an error once and forget
  /// it; epoll forgets it too, unless a dup() of it, in this process or another, keeps the
  /// description open: then it goes on reporting, until reset().
  /// Errors: EBADF (closed, or negative), EPERM (a regular file or directory: always ready, nothing
  /// to wait for), EEXIST (already there), ENOSPC (this poller's capacity, or the kernel's).
  [[nodiscard]] virtual Result<void> add(int fd, Events interest, std::uint64_t token) = 0;

  /// Replaces interest and token. Errors: EBADF and EPERM (it is forgotten then), ENOENT (not
  /// there; with epoll also: there under another description, of which this was the number before).
  [[nodiscard]] virtual Result<void> modify(int fd, Events interest, std::uint64_t token) = 0;

  /// Stops reporting `fd`. Errors: EBADF, ENOENT.
  [[nodiscard]] virtual Result<void> remove(int fd) = 0;

  /// Forgets every descriptor, even those of descriptions that can no longer be named.
  [[nodiscard]] virtual Result<void> reset() = 0;

  /// Waits until something is ready or `timeout` has passed (`forever`: no limit; zero or less:
  /// looks without waiting) and fills `ready` from its beginning; returns how many. A signal ends
  /// the wait with 0. Never returns before the timeout unless something is ready or a signal came.
  /// Costs one system call (EpollPoller with a timerfd: two, if there is a time limit).
  [[nodiscard]] virtual Result<std::size_t> wait(std::span<PollEvent> ready, Duration timeout) = 0;

  /// "epoll", "poll", "select".
  [[nodiscard]] virtual const char* name() const = 0;

 protected:
  ~Poller() = default;  // nobody owns one through this interface
};

}  // namespace millrace::hal
