// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>

#include "hal/events.hpp"

namespace millrace {
namespace {

using enum Events;

TEST(Events, are_what_epoll_and_poll_call_them) {
  EXPECT_EQ(bits(readable), EPOLLIN);
  EXPECT_EQ(bits(writable), EPOLLOUT);
  EXPECT_EQ(bits(error), EPOLLERR);
  EXPECT_EQ(bits(hangup), EPOLLHUP);
  EXPECT_EQ(bits(read_closed), EPOLLRDHUP);
  EXPECT_EQ(bits(readable | writable | error | hangup | read_closed),
            static_cast<std::uint32_t>(POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP));
}

TEST(Events, are_sets) {
  Events events = readable | hangup;
  EXPECT_EQ(events & readable, readable);
  EXPECT_EQ(events & writable, none);
  EXPECT_EQ(events & ~readable, hangup);
  events |= writable;
  EXPECT_EQ(events, readable | writable | hangup);
}

TEST(Events, any_of_several_is_enough) {
  EXPECT_TRUE(any(readable | error, error | hangup));
  EXPECT_FALSE(any(readable | writable, error | hangup));
  EXPECT_FALSE(any(readable, none));
}

TEST(Events, errors_and_hang_ups_are_always_reported) {
  EXPECT_EQ(always_reported, error | hangup);
}

}  // namespace
}  // namespace millrace
