// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <poll.h>

#include "hal/poller.hpp"
#include "hal/watchable.hpp"

namespace millrace::hal {

/// poll(2), for comparison and for kernels without epoll: each wait costs time in proportion to the
/// number of watched descriptors, N at most.
template <std::size_t N>
class PollPoller final : public Poller {
 public:
  /// Nothing to open; there so that the pollers can be exchanged.
  [[nodiscard]] Result<void> open() { return {}; }

  [[nodiscard]] Result<void> add(int fd, Events interest, std::uint64_t token) override {
    if (auto watchable = check_watchable(fd); !watchable) {
      return watchable;
    }
    if (find(fd) < count_) {
      return fail(EEXIST, "the descriptor is watched already", "modify its watch, or dup() it");
    }
    if (count_ == N) {
      return fail(ENOSPC, "the poller is full", "raise its capacity");
    }
    polled_[count_] = entry(fd, interest);
    tokens_[count_] = token;
    ++count_;
    return {};
  }

  [[nodiscard]] Result<void> modify(int fd, Events interest, std::uint64_t token) override {
    const std::size_t i = find(fd);
    if (i == count_) {
      return fail(ENOENT, "the descriptor is not watched");
    }
    if (auto watchable = check_watchable(fd); !watchable) {
      erase(i);
      return watchable;
    }
    polled_[i] = entry(fd, interest);
    tokens_[i] = token;
    return {};
  }

  [[nodiscard]] Result<void> remove(int fd) override {
    const std::size_t i = find(fd);
    if (i == count_) {
      return fail(ENOENT, "the descriptor is not watched");
    }
    erase(i);
    return {};
  }

  [[nodiscard]] Result<void> reset() override {
    count_ = 0;
    return {};
  }

  [[nodiscard]] Result<std::size_t> wait(std::span<PollEvent> ready, Duration timeout) override {
    const auto limit = to_timespec(timeout);
    const int result =
        ::ppoll(polled_.data(), count_, timeout == forever ? nullptr : &limit, nullptr);
    if (result < 0) {
      return errno == EINTR ? Result<std::size_t>(0) : fail_errno("ppoll failed");
    }
    std::size_t found = 0;
    auto left = static_cast<std::size_t>(result);
    bool some_closed = false;
    // Starts where the last full batch ended, so that the first descriptors don't starve the rest.
    for (std::size_t n = 0; n < count_ && left > 0 && found < ready.size(); ++n) {
      const std::size_t i = (start_ + n) % count_;
      auto events = Events(static_cast<std::uint16_t>(polled_[i].revents));
      if (events == Events::none) {
        continue;
      }
      --left;
      if ((polled_[i].revents & POLLNVAL) != 0) {
        events = Events::error;
        polled_[i].fd = closed;
        some_closed = true;
      }
      ready[found++] = {.events = events, .token = tokens_[i]};
      if (found == ready.size()) {
        start_ = i + 1;
      }
    }
    if (some_closed) {
      for (std::size_t i = count_; i-- > 0;) {
        if (polled_[i].fd == closed) {
          erase(i);
        }
      }
    }
    return found;
  }

  [[nodiscard]] const char* name() const override { return "poll"; }

 private:
  static constexpr int closed = -1;

  static pollfd entry(int fd, Events interest) {
    return {.fd = fd, .events = static_cast<short>(bits(interest)), .revents = 0};
  }

  [[nodiscard]] std::size_t find(int fd) const {
    std::size_t i = 0;
    while (i < count_ && polled_[i].fd != fd) {
      ++i;
    }
    return i;
  }

  void erase(std::size_t i) {
    --count_;
    polled_[i] = polled_[count_];
    tokens_[i] = tokens_[count_];
  }

  std::array<pollfd, N> polled_{};
  std::array<std::uint64_t, N> tokens_{};
  std::size_t count_ = 0;
  std::size_t start_ = 0;
};

}  // namespace millrace::hal
