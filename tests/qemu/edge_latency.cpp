// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// How long it takes from an edge to a client that is told of it: by the gateway, and by a program
// that does nothing else, on the same kernel.
//
//   edge_latency serve CHIP OFFSET PORT
//       that program: blocks in read(), then in send()
//   edge_latency measure COUNT PULL PORT PULL PORT
//       makes COUNT edges at each of two lines in turn, by writing to their pulls, and waits for
//       the report: of that program, and of a gateway that speaks pigpiod's protocol, whose GPIO 1
//       it is

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <linux/gpio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <span>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/pigpio/report.hpp"
#include "hal/print.hpp"

namespace {

using namespace millrace;

constexpr std::size_t most = 10'000;
constexpr std::size_t report_size = pigpio::Report::size;

int number(const char* text) {
  int value = -1;
  std::from_chars(text, text + std::strlen(text), value);
  return value;
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

const sockaddr* generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

void send_at_once(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int serve(const char* chip, int offset, int port) {
  const int device = ::open(chip, O_RDWR | O_CLOEXEC);
  gpio_v2_line_request request{};
  request.offsets[0] = static_cast<std::uint32_t>(offset);
  request.num_lines = 1;
  request.config.flags =
      GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING;
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  if (device < 0 || ::ioctl(device, GPIO_V2_GET_LINE_IOCTL, &request) != 0 ||
      ::bind(listener, generic(address), sizeof(address)) != 0 || ::listen(listener, 1) != 0) {
    hal::print("the line or the port can't be had");
    return 1;
  }
  const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  send_at_once(client);
  gpio_v2_line_event event{};
  while (::read(request.fd, &event, sizeof(event)) == sizeof(event)) {
    std::array<std::byte, report_size> report{};
    std::memcpy(report.data(), &event, report.size());
    if (::send(client, report.data(), report.size(), MSG_NOSIGNAL) != report_size) {
      break;
    }
  }
  return 0;
}

int connect_to(int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  if (::connect(socket, generic(address), sizeof(address)) != 0) {
    return -1;
  }
  send_at_once(socket);
  return socket;
}

/// The result of a command of pigpiod's.
int ask(int socket, std::uint32_t command, std::uint32_t p1, std::uint32_t p2) {
  const std::array<std::uint32_t, 4> request = {command, p1, p2, 0};
  std::array<std::int32_t, 4> answer{};
  if (::send(socket, request.data(), sizeof(request), 0) != sizeof(request) ||
      ::recv(socket, answer.data(), sizeof(answer), MSG_WAITALL) != sizeof(answer)) {
    return -1;
  }
  return answer[3];
}

/// A channel on which GPIO 1 is reported.
int notifications(int port) {
  constexpr std::uint32_t nb = 19;
  constexpr std::uint32_t noib = 99;
  const int commands = connect_to(port);
  const int channel = connect_to(port);
  const int handle = ask(channel, noib, 0, 0);
  if (handle < 0 || ask(commands, nb, static_cast<std::uint32_t>(handle), 1U << 1U) != 0) {
    return -1;
  }
  return channel;
}

std::int64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

/// Whatever comes before there has been an edge.
void drain(int socket) {
  std::array<std::byte, 256> bytes{};
  pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
  while (::poll(&ready, 1, 200) == 1 && ::recv(socket, bytes.data(), bytes.size(), 0) > 0) {
  }
}

/// Nanoseconds from before an edge to after its report; −1 if there is none.
std::int64_t edge(int pull, bool up, int socket) {
  const std::string_view way = up ? "pull-up" : "pull-down";
  std::array<std::byte, report_size> report{};
  const std::int64_t before = now();
  if (::pwrite(pull, way.data(), way.size(), 0) < 0 ||
      ::recv(socket, report.data(), report.size(), MSG_WAITALL) != report_size) {
    return -1;
  }
  return now() - before;
}

int measure(std::size_t count, std::span<char*> ends) {
  std::array<int, 2> pulls{};
  std::array<int, 2> sockets{};
  for (std::size_t i = 0; i < 2; ++i) {
    pulls[i] = ::open(ends[2 * i], O_WRONLY | O_CLOEXEC);
    const int port = number(ends[2 * i + 1]);
    sockets[i] = i == 0 ? connect_to(port) : notifications(port);
    if (pulls[i] < 0 || sockets[i] < 0) {
      hal::print("no ", pulls[i] < 0 ? ends[2 * i] : ends[2 * i + 1]);
      return 1;
    }
    drain(sockets[i]);
  }
  static std::array<std::array<std::int64_t, most>, 2> times;
  for (std::size_t n = 0; n < count; ++n) {
    for (std::size_t i = 0; i < 2; ++i) {
      times[i][n] = edge(pulls[i], n % 2 == 0, sockets[i]);
      if (times[i][n] < 0) {
        hal::print("an edge was not told");
        return 1;
      }
    }
  }
  for (auto& each : times) {
    std::ranges::sort(std::span(each).first(count));
  }
  const auto at = [count](std::size_t which, std::size_t percent) {
    return times[which][std::min(count - 1, count * percent / 100)];
  };
  hal::print("blocking p50=", at(0, 50), " p99=", at(0, 99), " gateway p50=", at(1, 50),
             " p99=", at(1, 99), " ratio=", at(1, 50) * 1000 / at(0, 50), "/1000");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  const std::string_view role = argc > 1 ? argv[1] : "";
  if (role == "serve" && argc == 5) {
    return serve(argv[2], number(argv[3]), number(argv[4]));
  }
  const int count = role == "measure" && argc == 7 ? number(argv[2]) : 0;
  if (count > 0 && static_cast<std::size_t>(count) <= most) {
    return measure(static_cast<std::size_t>(count), arguments.subspan(3));
  }
  hal::print("usage: edge_latency serve CHIP OFFSET PORT | measure COUNT PULL PORT PULL PORT");
  return 2;
}
