// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cerrno>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <utility>

#include "hal/fd.hpp"

namespace millrace::hal {
namespace {

int open_something() { return ::open("/dev/null", O_RDWR | O_CLOEXEC); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(Fd, is_empty_unless_it_is_given_one) {
  const Fd empty;
  EXPECT_FALSE(empty);
  EXPECT_EQ(empty.get(), -1);
  EXPECT_FALSE(Fd(-1));
  const Fd zero_is_one(::dup(0));
  EXPECT_TRUE(zero_is_one);
}

TEST(Fd, closes_its_descriptor_when_it_ends) {
  const int number = open_something();
  {
    const Fd fd(number);
    EXPECT_EQ(fd.get(), number);
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(Fd, that_is_moved_from_is_empty_and_closes_nothing) {
  const int number = open_something();
  Fd to;
  {
    Fd from(number);
    to = std::move(from);
    EXPECT_EQ(from.get(), -1);  // NOLINT(bugprone-use-after-move)
  }
  EXPECT_TRUE(is_open(number));
  const Fd last(std::move(to));
  EXPECT_FALSE(to);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(last.get(), number);
}

TEST(Fd, that_gets_another_descriptor_closes_its_own) {
  const int first = open_something();
  const int second = open_something();
  Fd fd(first);
  fd = Fd(second);
  EXPECT_FALSE(is_open(first));
  EXPECT_TRUE(is_open(second));
  EXPECT_EQ(fd.get(), second);
}

TEST(Fd, keeps_its_descriptor_when_moved_to_itself) {
  const int number = open_something();
  Fd fd(number);
  Fd& same = fd;
  fd = std::move(same);
  EXPECT_EQ(fd.get(), number);
  EXPECT_TRUE(is_open(number));
}

TEST(Fd, that_is_released_closes_nothing) {
  const int number = open_something();
  Fd fd(number);
  EXPECT_EQ(fd.release(), number);
  EXPECT_FALSE(fd);
  fd.reset();
  EXPECT_TRUE(is_open(number));
  EXPECT_EQ(::close(number), 0);
}

TEST(Fd, that_is_reset_twice_does_not_close_what_has_got_its_number) {
  const int number = open_something();
  Fd fd(number);
  fd.reset();
  EXPECT_FALSE(fd);
  const Fd next(open_something());
  ASSERT_EQ(next.get(), number);
  fd.reset();
  EXPECT_TRUE(is_open(number));
}

}  // namespace
}  // namespace millrace::hal
