// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Asks an echo server on 127.0.0.1, over many connections at once, each of which sends its next
// request when the answer has come. Prints what that took as a JSON object, and how much of a
// processor the server's process has used.
//
//   echo_load port=N pid=SERVER [connections=64] [requests=100000] [size=64] [cpu=N]

#include <array>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <vector>

#include "tests/bench/support.hpp"

namespace {

using namespace millrace::bench;

struct Connection {
  int fd = -1;
  std::size_t missing = 0;
  Nanoseconds sent = 0;
};

class Load {
 public:
  Load(std::uint16_t port, std::size_t connections, std::size_t size)
      : size_(size), connections_(connections) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (Connection& connection : connections_) {
      connection.fd = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
      const int on = 1;
      checked(::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
      checked(::connect(connection.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address),
              "connect");
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = &connection;
      checked(::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event), "epoll_ctl");
    }
  }

  /// Sends so many requests, and returns how long each took.
  std::vector<Nanoseconds> ask(std::size_t requests) {
    std::vector<Nanoseconds> samples;
    samples.reserve(requests);
    std::size_t sent = 0;
    const auto send_one = [&](Connection& connection) {
      if (sent < requests) {
        ++sent;
        connection.missing = size_;
        connection.sent = now();
        checked(::send(connection.fd, buffer_.data(), size_, MSG_NOSIGNAL), "send");
      }
    };
    for (Connection& connection : connections_) {
      send_one(connection);
    }
    std::array<epoll_event, 1024> events{};
    while (samples.size() < requests) {
      const int count =
          ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 10'000);
      if (count <= 0) {
        give_up("no answer for 10 s");
      }
      for (int i = 0; i < count; ++i) {
        auto& connection = *static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
        const ssize_t received = ::recv(connection.fd, buffer_.data(), connection.missing, 0);
        if (received <= 0) {
          give_up("the server has closed a connection");
        }
        connection.missing -= static_cast<std::size_t>(received);
        if (connection.missing == 0) {
          samples.push_back(now() - connection.sent);
          send_one(connection);
        }
      }
    }
    return samples;
  }

 private:
  int epoll_ = checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  std::size_t size_;
  std::vector<Connection> connections_;
  std::array<char, 65536> buffer_{};
};

}  // namespace

int main(int count, char** texts) {
  const Arguments arguments(count, texts);
  run_on(arguments.number("cpu", -1));
  raise_descriptor_limit();
  const std::size_t requests = arguments.size("requests", 100'000);
  clockid_t server_time = 0;
  if (::clock_getcpuclockid(static_cast<pid_t>(arguments.number("pid", 0)), &server_time) != 0) {
    give_up("the server's processor time");
  }
  Load load(static_cast<std::uint16_t>(arguments.number("port", 0)),
            arguments.size("connections", 64), arguments.size("size", 64));
  const std::size_t first = requests / 10 + 1;
  load.ask(first);
  const Nanoseconds start = now();
  const Nanoseconds start_cpu = read_clock(server_time);
  std::vector<Nanoseconds> samples = load.ask(requests);
  const Nanoseconds cpu = read_clock(server_time) - start_cpu;
  const auto total = static_cast<double>(requests);
  Report report;
  report.add("requests_per_s", total / (static_cast<double>(now() - start) * 1e-9));
  report.add("cpu_ns", static_cast<double>(cpu) / total);
  report.add_percentiles("latency_ns", samples);
  report.add("requests", static_cast<double>(requests + first));
  report.print();
  return 0;
}
