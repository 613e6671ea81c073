// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <sys/select.h>

#include "hal/poller.hpp"

namespace millrace::hal {

/// select(2), for comparison: descriptors below FD_SETSIZE (1024) only. It has no word for error,
/// hangup and read_closed: they show as readable (if that or read_closed is asked for) and, as the
/// case may be, writable; recv(2) and SO_ERROR tell the rest.
class SelectPoller final : public Poller {
 public:
  /// Nothing to open; there so that the pollers can be exchanged.
  [[nodiscard]] Result<void> open() { return {}; }

  [[nodiscard]] Result<void> add(int fd, Events interest, std::uint64_t token) override;
  [[nodiscard]] Result<void> modify(int fd, Events interest, std::uint64_t token) override;
  [[nodiscard]] Result<void> remove(int fd) override;
  [[nodiscard]] Result<void> reset() override;
  [[nodiscard]] Result<std::size_t> wait(std::span<PollEvent> ready, Duration timeout) override;
  [[nodiscard]] const char* name() const override { return "select"; }

 private:
  struct Entry {
    std::uint64_t token = 0;
    Events interest = Events::none;
    bool watched = false;
  };

  [[nodiscard]] bool watched(int fd) const;
  void store(int fd, Events interest, std::uint64_t token);
  void forget(int fd);
  [[nodiscard]] std::size_t report_closed(std::span<PollEvent> ready);

  std::array<Entry, FD_SETSIZE> entries_{};
  fd_set read_{};
  fd_set write_{};
  int count_ = 0;  ///< one more than the highest watched descriptor
  int start_ = 0;
};

}  // namespace millrace::hal
