// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "hal/fd.hpp"
#include "hal/poller.hpp"

namespace millrace::hal {

/// The poller of choice: epoll(7), with waits in nanoseconds by epoll_pwait2(2) (Linux 5.11), or by
/// a timerfd where the kernel or qemu-user has none: chosen at open().
class EpollPoller final : public Poller {
 public:
  /// How a wait with a time limit is made.
  enum class Wait : std::uint8_t { best, pwait2, timerfd };

  /// Must succeed before anything else is called. `wait` other than best is for tests.
  [[nodiscard]] Result<void> open(Wait wait = Wait::best);

  [[nodiscard]] Result<void> add(int fd, Events interest, std::uint64_t token) override;
  [[nodiscard]] Result<void> modify(int fd, Events interest, std::uint64_t token) override;
  [[nodiscard]] Result<void> remove(int fd) override;
  [[nodiscard]] Result<void> reset() override;
  [[nodiscard]] Result<std::size_t> wait(std::span<PollEvent> ready, Duration timeout) override;
  [[nodiscard]] const char* name() const override { return "epoll"; }

  /// What open() has chosen.
  [[nodiscard]] Wait wait_method() const { return wait_; }

 private:
  [[nodiscard]] Result<void> create();
  [[nodiscard]] Result<std::size_t> wait_plainly(std::span<PollEvent> ready, Duration timeout);
  [[nodiscard]] Result<std::size_t> wait_timed(std::span<PollEvent> ready, Duration timeout);
  [[nodiscard]] Result<std::size_t> wait_with_timerfd(std::span<PollEvent> ready, Duration timeout);

  Fd epoll_;
  Fd timer_;
  bool timer_armed_ = false;
  Wait wait_ = Wait::best;
};

}  // namespace millrace::hal
