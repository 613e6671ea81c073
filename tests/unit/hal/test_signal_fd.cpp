// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <csignal>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hal/signal_fd.hpp"

namespace millrace::hal {
namespace {

bool readable(int fd) {
  pollfd watched{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&watched, 1, 0) == 1;
}

/// Gives the signal mask back, having thrown away what is pending.
class SignalFdTest : public testing::Test {
 public:
  SignalFdTest() { ::pthread_sigmask(SIG_SETMASK, nullptr, &before); }
  ~SignalFdTest() override {
    for (const int signal : signals) {
      (void)std::signal(signal, SIG_IGN);
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    for (const int signal : signals) {
      (void)std::signal(signal, SIG_DFL);
    }
  }

 protected:
  static constexpr std::array signals{SIGUSR1, SIGUSR2, SIGTERM};
  sigset_t before{};
};

TEST_F(SignalFdTest, a_signal_waits_in_the_descriptor_instead_of_killing) {
  auto fd = SignalFd::open(signals);
  ASSERT_TRUE(fd);
  EXPECT_FALSE(readable(fd->fd()));
  EXPECT_FALSE(fd->read());
  ASSERT_EQ(::kill(::getpid(), SIGTERM), 0);
  EXPECT_TRUE(readable(fd->fd()));
  const auto got = fd->read();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->signal, SIGTERM);
  EXPECT_EQ(got->pid, ::getpid());
  EXPECT_FALSE(fd->read());
}

TEST_F(SignalFdTest, tells_the_sender_and_its_value) {
  auto fd = SignalFd::open(signals);
  ASSERT_TRUE(fd);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    sigval value{};
    value.sival_int = -42;
    ::_exit(::sigqueue(parent, SIGUSR1, value));
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  const auto got = fd->read();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->signal, SIGUSR1);
  EXPECT_EQ(got->pid, child);
  EXPECT_EQ(got->value, -42);
}

TEST_F(SignalFdTest, several_signals_are_read_one_by_one) {
  auto fd = SignalFd::open(signals);
  ASSERT_TRUE(fd);
  ::kill(::getpid(), SIGUSR1);
  ::kill(::getpid(), SIGUSR2);
  EXPECT_EQ(fd->read()->signal, SIGUSR1);
  EXPECT_EQ(fd->read()->signal, SIGUSR2);
  EXPECT_FALSE(fd->read());
}

TEST_F(SignalFdTest, signals_stay_blocked_after_closing) {
  auto fd = SignalFd::open(signals);
  ASSERT_TRUE(fd);
  fd->close();
  EXPECT_EQ(fd->fd(), -1);
  ::kill(::getpid(), SIGTERM);  // would end the test program
  sigset_t pending;
  ::sigpending(&pending);
  EXPECT_EQ(::sigismember(&pending, SIGTERM), 1);
}

TEST_F(SignalFdTest, no_such_signal_fails_and_blocks_nothing) {
  const std::array wrong{SIGUSR1, 1000};
  const auto fd = SignalFd::open(wrong);
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().number, EINVAL);
  sigset_t now;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
  EXPECT_EQ(::sigismember(&now, SIGUSR1), 0);
}

}  // namespace
}  // namespace millrace::hal
