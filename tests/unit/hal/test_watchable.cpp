// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string_view>
#include <utility>

#include "hal/watchable.hpp"
#include "tests/support/descriptors.hpp"

namespace millrace::hal {
namespace {

using namespace std::chrono_literals;

TEST(Watchable, are_pipes_sockets_and_character_devices) {
  const auto pipe = test::make_pipe();
  const auto sockets = test::make_socket_pair();
  const Fd device(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const Fd* fd : {&pipe.near, &pipe.far, &sockets.near, &device}) {
    EXPECT_TRUE(check_watchable(fd->get())) << fd->get();
  }
}

TEST(Watchable, are_neither_files_nor_directories_as_they_are_always_ready) {
  const Fd file = test::make_file();
  const Fd directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (const Fd* fd : {&file, &directory}) {
    ASSERT_TRUE(*fd);
    const auto checked = check_watchable(fd->get());
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().number, EPERM);
    EXPECT_NE(std::string_view(checked.error().remedy), "");
  }
}

TEST(Watchable, is_nothing_that_is_not_open) {
  auto pipe = test::make_pipe();
  const int closed = pipe.near.get();
  pipe.near.reset();
  for (const int fd : {-1, closed}) {
    const auto checked = check_watchable(fd);
    ASSERT_FALSE(checked) << fd;
    EXPECT_EQ(checked.error().number, EBADF);
  }
}

TEST(Watchable, a_time_limit_is_split_into_seconds_and_nanoseconds_and_clamped) {
  const auto is = [](Duration duration, std::int64_t seconds, long nanoseconds) {
    const timespec time = to_timespec(duration);
    return std::int64_t{time.tv_sec} == seconds && time.tv_nsec == nanoseconds;
  };
  EXPECT_TRUE(is(0ns, 0, 0));
  EXPECT_TRUE(is(-1ns, 0, 0));
  EXPECT_TRUE(is(Duration::min(), 0, 0));
  EXPECT_TRUE(is(999'999'999ns, 0, 999'999'999));
  EXPECT_TRUE(is(1s, 1, 0));
  EXPECT_TRUE(is(3s + 7ns, 3, 7));
  if constexpr (sizeof(time_t) == 8) {
    EXPECT_TRUE(is(Duration::max(), 9'223'372'036, 854'775'807));
  }
}

}  // namespace
}  // namespace millrace::hal
