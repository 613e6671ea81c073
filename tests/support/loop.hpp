// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <span>
#include <thread>

#include "firmware/reactor/reactor.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/clock.hpp"
#include "hal/epoll_poller.hpp"
#include "hal/poll_poller.hpp"
#include "hal/select_poller.hpp"

namespace millrace::test {

using namespace std::chrono_literals;

/// A clock that stands still until it is told otherwise.
class FakeClock final : public hal::Clock {
 public:
  explicit FakeClock(Instant start = Instant(1s)) : time_(start.time_since_epoch().count()) {}

  [[nodiscard]] Instant now() const override { return Instant(Duration(time_.load())); }
  void set(Instant time) { time_.store(time.time_since_epoch().count()); }
  void advance(Duration by) { set(saturating_add(now(), by)); }

 private:
  std::atomic<std::int64_t> time_;
};

/// Passes everything on to another poller, and counts. With a fake clock it does not sleep: when
/// nothing is ready, the clock moves to the end of the wait.
template <class Inner>
class CountingPoller : public hal::Poller {
 public:
  template <class... Options>
  [[nodiscard]] Result<void> open(Options... options) {
    return inner.open(options...);
  }
  [[nodiscard]] Result<void> add(int fd, Events interest, std::uint64_t token) override {
    ++adds;
    return fail_adds ? Result<void>(fail(ENOMEM, "no memory left"))
                     : inner.add(fd, interest, token);
  }
  [[nodiscard]] Result<void> modify(int fd, Events interest, std::uint64_t token) override {
    ++modifies;
    return inner.modify(fd, interest, token);
  }
  [[nodiscard]] Result<void> remove(int fd) override {
    ++removes;
    return inner.remove(fd);
  }
  [[nodiscard]] Result<void> reset() override {
    ++resets;
    return fail_resets ? Result<void>(fail(EMFILE, "no descriptors left")) : inner.reset();
  }
  [[nodiscard]] Result<std::size_t> wait(std::span<hal::PollEvent> ready,
                                         Duration timeout) override {
    ++waits;
    last_timeout = timeout;
    if (clock == nullptr || timeout <= Duration::zero()) {
      waiting = timeout > Duration::zero();
      const auto found = inner.wait(ready, timeout);
      while (held) {
        std::this_thread::yield();
      }
      waiting = false;
      return found;
    }
    const auto found = inner.wait(ready, Duration::zero());
    if (found && *found == 0) {
      if (timeout == forever) {
        return fail(EDEADLK, "the loop would sleep forever");
      }
      clock->advance(timeout);
    }
    return found;
  }
  [[nodiscard]] const char* name() const override { return inner.name(); }

  /// Changes told to the kernel since the last call.
  [[nodiscard]] int take_changes() {
    const int changes = adds + modifies + removes;
    adds = modifies = removes = 0;
    return changes;
  }

  Inner inner;
  FakeClock* clock = nullptr;
  Duration last_timeout{};
  bool fail_adds = false;
  bool fail_resets = false;
  std::atomic<bool> waiting = false;  ///< the loop has announced that it sleeps, and does or will
  std::atomic<bool> held = false;     ///< it does not return from there
  int adds = 0;
  int modifies = 0;
  int removes = 0;
  int resets = 0;
  int waits = 0;

 protected:
  ~CountingPoller() = default;
};

/// The pollers, each as tests want it. Where select differs: `says_why` is false, as it reports
/// errors, hang-ups and read_closed as readable or writable.
struct EpollPwait2 final : CountingPoller<hal::EpollPoller> {
  static constexpr bool says_why = true;
  [[nodiscard]] Result<void> open() { return inner.open(hal::EpollPoller::Wait::pwait2); }
};
struct EpollTimerfd final : CountingPoller<hal::EpollPoller> {
  static constexpr bool says_why = true;
  [[nodiscard]] Result<void> open() { return inner.open(hal::EpollPoller::Wait::timerfd); }
};
struct Poll final : CountingPoller<hal::PollPoller<256>> {
  static constexpr bool says_why = true;
};
struct Select final : CountingPoller<hal::SelectPoller> {
  static constexpr bool says_why = false;
};
/// Epoll in the best way that this kernel has, for tests of what has nothing to do with it.
struct Epoll final : CountingPoller<hal::EpollPoller> {
  static constexpr bool says_why = true;
};
using AllPollers = ::testing::Types<EpollPwait2, EpollTimerfd, Poll, Select>;

/// For TYPED_TEST_SUITE: the names of the pollers instead of 0, 1, 2, 3.
struct PollerNames {
  template <class T>
  static const char* GetName(int /*index*/) {
    if constexpr (std::is_same_v<T, EpollPwait2>) {
      return "EpollPwait2";
    } else if constexpr (std::is_same_v<T, EpollTimerfd>) {
      return "EpollTimerfd";
    } else if constexpr (std::is_same_v<T, Poll>) {
      return "Poll";
    } else {
      return "Select";
    }
  }
};

/// For suites of all pollers: those that this kernel has not are skipped.
template <class PollerType>
class PollerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    PollerType poller;
    const auto opened = poller.open();
    if (!opened && opened.error().number == ENOSYS) {
      GTEST_SKIP() << opened.error().what;
    }
  }
};

inline constexpr ReactorLimits test_limits{.fds = 256, .poll_batch = 32};

/// A reactor whose parts a test can get at. `Loop<Poll> loop;` runs on the system's clock,
/// `Loop<Poll> loop(clock);` on a fake one, which moves when the loop would sleep.
template <class PollerType, ReactorLimits Limits = test_limits>
class Loop : public ReactorPartsHolder<Limits, PollerType>, public Reactor {
  using Holder = ReactorPartsHolder<Limits, PollerType>;

 public:
  Loop() : Reactor(Holder::parts.memory(), Limits, Holder::parts.poller, Holder::parts.clock) {
    open_all();
  }
  explicit Loop(FakeClock& clock)
      : Reactor(Holder::parts.memory(), Limits, Holder::parts.poller, clock) {
    Holder::parts.poller.clock = &clock;
    open_all();
  }

  [[nodiscard]] PollerType& counting() { return Holder::parts.poller; }

  /// Turns that do not wait.
  void turn_now(int count = 1) {
    for (int i = 0; i < count; ++i) {
      const auto more = turn(Duration::zero());
      ASSERT_TRUE(more) << more.error().what;
    }
  }

 private:
  void open_all() {
    const auto opened = Holder::parts.poller.open();
    ASSERT_TRUE(opened) << opened.error().what;
    ASSERT_TRUE(Reactor::open());
    (void)counting().take_changes();
  }
};

/// A posted message of this priority.
[[nodiscard]] inline Message at(Priority priority, std::uint32_t value = 0) {
  Message message;
  message.priority = priority;
  message.value = value;
  return message;
}

inline constexpr Priority urgent = Priority::urgent;
inline constexpr Priority normal = Priority::normal;
inline constexpr Priority background = Priority::background;

}  // namespace millrace::test
