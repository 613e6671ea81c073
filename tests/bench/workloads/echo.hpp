// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "tests/bench/support.hpp"

namespace millrace::bench {

/// A connection whose bytes go back: recv() and send(), in loops that leave that to their users.
template <class Loop>
class PlainEcho {
 public:
  template <auto Closed, class Object>
  void open(Loop& loop, int fd, Object& owner) {
    fd_ = fd;
    owner_ = &owner;
    closed_ = [](PlainEcho& self) {
      self.watch_.close();
      const int closing = self.fd_;
      ::close(closing);
      (static_cast<Object*>(self.owner_)->*Closed)(closing);
    };
    watch_.template open<&PlainEcho::on_ready>(loop, fd, *this);
  }

 private:
  void on_ready(typename Loop::Event /*event*/) {
    const bool waited = begin_ < end_;
    if (!waited) {
      const ssize_t count = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
      if (count <= 0) {
        if (count == 0 || errno != EAGAIN) {
          closed_(*this);
        }
        return;
      }
      begin_ = 0;
      end_ = static_cast<std::size_t>(count);
    }
    const ssize_t count = ::send(fd_, buffer_.data() + begin_, end_ - begin_, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) {
      closed_(*this);
      return;
    }
    begin_ += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
    if (waited != (begin_ < end_)) {
      watch_.want(begin_ == end_, begin_ < end_);
    }
  }

  int fd_ = -1;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  typename Loop::Watch watch_;
  void* owner_ = nullptr;
  void (*closed_)(PlainEcho& self) = nullptr;
  std::array<char, 4096> buffer_{};
};

template <class Loop>
struct EchoOf {
  using Type = PlainEcho<Loop>;
};
template <class Loop>
  requires requires { typename Loop::Echo; }
struct EchoOf<Loop> {
  using Type = typename Loop::Echo;
};

inline int listen_on_loopback() {
  const int listener =
      checked(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  checked(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
  checked(::listen(listener, 1024), "listen");
  return listener;
}

/// A server on 127.0.0.1 that prints its port and ends when its last connection has: the load and
/// the time are those of tests/bench/echo_load.cpp.
template <class Loop>
class EchoServer {
 public:
  explicit EchoServer(Loop& loop) : loop_(loop) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    checked(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length),
            "getsockname");
    std::printf("%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    watch_.template open<&EchoServer::on_connection>(loop, listener_, *this);
  }

 private:
  using Connection = typename EchoOf<Loop>::Type;

  void on_connection(typename Loop::Event /*event*/) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno != EAGAIN) {
        give_up("accept4");
      }
      return;
    }
    const int on = 1;
    checked(::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
    ++open_;
    make_lasting<Connection>().template open<&EchoServer::on_closed>(loop_, fd, *this);
  }
  void on_closed(int /*fd*/) {
    if (--open_ == 0) {
      loop_.stop();
    }
  }

  Loop& loop_;
  int listener_ = listen_on_loopback();
  typename Loop::Watch watch_;
  std::size_t open_ = 0;
};

template <class Loop>
void echo(const Arguments& /*arguments*/, Report& report) {
  raise_descriptor_limit();
  Loop loop;
  make_lasting<EchoServer<Loop>>(loop);
  loop.run();
  report.add("cpu_ns", static_cast<double>(read_clock(CLOCK_PROCESS_CPUTIME_ID)));
}

}  // namespace millrace::bench
