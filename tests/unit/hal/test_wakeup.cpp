// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cerrno>
#include <csignal>
#include <gtest/gtest.h>
#include <poll.h>
#include <thread>

#include "hal/wakeup.hpp"

namespace millrace::hal {
namespace {

bool readable(int fd, int timeout_ms = 0) {
  pollfd watched{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&watched, 1, timeout_ms) == 1;
}

TEST(Wakeup, is_not_readable_until_notified) {
  const auto wakeup = Wakeup::open();
  ASSERT_TRUE(wakeup);
  EXPECT_FALSE(readable(wakeup->fd()));
  wakeup->notify();
  EXPECT_TRUE(readable(wakeup->fd()));
}

TEST(Wakeup, many_notifications_are_cleared_at_once) {
  const auto wakeup = Wakeup::open();
  ASSERT_TRUE(wakeup);
  for (int i = 0; i < 1000; ++i) {
    wakeup->notify();
  }
  wakeup->clear();
  EXPECT_FALSE(readable(wakeup->fd()));
  wakeup->clear();  // must not wait
}

TEST(Wakeup, wakes_from_another_thread) {
  const auto wakeup = Wakeup::open();
  ASSERT_TRUE(wakeup);
  std::thread other([&] { wakeup->notify(); });
  EXPECT_TRUE(readable(wakeup->fd(), 10'000));
  other.join();
}

const Wakeup* notified_by_signal = nullptr;

TEST(Wakeup, wakes_from_a_signal_handler) {
  const auto wakeup = Wakeup::open();
  ASSERT_TRUE(wakeup);
  notified_by_signal = &*wakeup;
  const auto before = std::signal(SIGUSR1, [](int) { notified_by_signal->notify(); });
  ASSERT_EQ(std::raise(SIGUSR1), 0);
  EXPECT_TRUE(readable(wakeup->fd()));
  (void)std::signal(SIGUSR1, before);
}

TEST(Wakeup, can_be_waited_for_without_a_loop) {
  const auto wakeup = Wakeup::open();
  ASSERT_TRUE(wakeup);
  EXPECT_FALSE(wakeup->wait(std::chrono::milliseconds(1)));
  std::thread other([&] { wakeup->notify(); });
  EXPECT_TRUE(wakeup->wait(forever));
  other.join();
  EXPECT_TRUE(wakeup->wait(Duration::zero()));
}

TEST(Wakeup, leaves_errno_alone) {
  const Wakeup closed;
  EXPECT_EQ(closed.fd(), -1);
  errno = ERANGE;
  closed.notify();  // its write fails
  EXPECT_EQ(errno, ERANGE);
}

}  // namespace
}  // namespace millrace::hal
