// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>

#include "hal/fd.hpp"

namespace millrace::test {

/// Two connected descriptors, non-blocking.
struct Pair {
  hal::Fd near;
  hal::Fd far;
};

/// What is written to `far` is read from `near`.
inline Pair make_pipe() {
  std::array<int, 2> fds{};
  EXPECT_EQ(::pipe2(fds.data(), O_NONBLOCK | O_CLOEXEC), 0);
  return {.near = hal::Fd(fds[0]), .far = hal::Fd(fds[1])};
}

/// Two Unix stream sockets.
inline Pair make_socket_pair() {
  std::array<int, 2> fds{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
  return {.near = hal::Fd(fds[0]), .far = hal::Fd(fds[1])};
}

/// A TCP socket that listens on loopback, at a port that the kernel chooses.
struct Listener {
  hal::Fd fd;
  sockaddr_in address{};
};

inline hal::Fd make_tcp_socket() {
  return hal::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

inline Listener listen_on_loopback() {
  Listener listener{.fd = make_tcp_socket()};
  listener.address.sin_family = AF_INET;
  listener.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const address = reinterpret_cast<sockaddr*>(&listener.address);
  socklen_t size = sizeof listener.address;
  EXPECT_EQ(::bind(listener.fd.get(), address, size), 0);
  EXPECT_EQ(::getsockname(listener.fd.get(), address, &size), 0);
  EXPECT_EQ(::listen(listener.fd.get(), 16), 0);
  return listener;
}

/// 0, or what connect(2) failed with; EINPROGRESS is to be expected.
inline int connect_to(const hal::Fd& socket, const sockaddr_in& address) {
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0
             ? 0
             : errno;
}

/// Two connected TCP sockets.
inline Pair make_tcp_pair() {
  const Listener listener = listen_on_loopback();
  Pair pair{.near = make_tcp_socket(), .far = {}};
  const int error = connect_to(pair.near, listener.address);
  EXPECT_TRUE(error == 0 || error == EINPROGRESS);
  while (!pair.far) {
    pair.far =
        hal::Fd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  }
  return pair;
}

inline void put(const hal::Fd& fd, std::string_view text) {
  EXPECT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

/// What can be read at once, `most` bytes of it.
inline std::string get(const hal::Fd& fd, std::size_t most = 4096) {
  std::string text(most, '\0');
  const ssize_t count = ::read(fd.get(), text.data(), most);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return text;
}

/// A regular file with nothing in it and no name.
inline hal::Fd make_file() { return hal::Fd(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)); }

}  // namespace millrace::test
