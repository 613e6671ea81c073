// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// How long after the kernel's time stamp of an edge somebody has it, for `make bench BENCH=gpio`.
//
//   edge_bench blocking|epoll CHIP OFFSET PULL COUNT
//   edge_bench millrace LINE PULL COUNT
//       a handler: that blocks in read(), that of a bare epoll loop, that of the reactor
//   edge_bench gpiomon CHIP OFFSET PULL COUNT
//       who reads what libgpiod's gpiomon prints
//   edge_bench serve CHIP OFFSET PORT
//       blocks in read(), and sends each event to its client
//   edge_bench raw PORT PULL COUNT
//       the client of that
//   edge_bench control PORT LINE PULL COUNT
//       a client of the gateway's control port
//
// Edges are made by writing to a simulated line's pull, each when the one before has been handled
// and its handler sleeps again. Prints percentiles in nanoseconds.

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <linux/gpio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <span>
#include <string_view>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "firmware/examples/board_gpio.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/or_exit.hpp"
#include "hal/print.hpp"

namespace {

using namespace millrace;

[[noreturn]] void give_up(std::string_view what) {
  hal::print("edge_bench: ", what, " failed");
  std::exit(1);
}
template <class T>
T checked(T result, std::string_view what) {
  if (result < 0) {
    give_up(what);
  }
  return result;
}

std::int64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

/// Makes edges, in a process of its own: one for each call of next().
class Finger {
 public:
  Finger(const char* pull, int count) : child_(start(pull, count)), missing_(count) {
    samples_.reserve(static_cast<std::size_t>(count));
    next();
  }

  /// Notes how long ago that was, and asks for another edge; false after the last.
  bool handled(std::int64_t time_stamp) {
    samples_.push_back(now() - time_stamp);
    if (--missing_ == 0) {
      return false;
    }
    next();
    return true;
  }

  void tell(std::string_view name) {
    checked(::waitpid(child_, nullptr, 0), "waitpid");  // it holds the line, too
    std::ranges::sort(samples_);
    const auto at = [&](std::size_t per_mille) {
      return samples_[(samples_.size() - 1) * per_mille / 1000];
    };
    hal::print(name, " p50=", at(500), " p99=", at(990), " p99.9=", at(999));
  }

 private:
  pid_t start(const char* pull, int count) {
    std::array<int, 2> ends{};
    checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
    go_ = ends[1];
    const int file = checked(::open(pull, O_WRONLY | O_CLOEXEC), pull);
    const pid_t child = checked(::fork(), "fork");
    if (child == 0) {
      press(ends[0], file, count);
    }
    return child;
  }
  [[noreturn]] static void press(int go, int file, int count) {
    for (int i = 0; i < count; ++i) {
      char byte = 0;
      if (::read(go, &byte, 1) != 1) {
        ::_exit(1);
      }
      const timespec until_it_sleeps{.tv_sec = 0, .tv_nsec = 2'000'000};
      ::nanosleep(&until_it_sleeps, nullptr);
      const std::string_view way = i % 2 == 0 ? "pull-up" : "pull-down";
      if (::pwrite(file, way.data(), way.size(), 0) < 0) {
        ::_exit(1);
      }
    }
    ::_exit(0);
  }
  void next() { checked(::write(go_, "", 1), "write"); }

  int go_ = -1;  // start() sets it: before what start() returns
  pid_t child_;
  int missing_;
  std::vector<std::int64_t> samples_;
};

int number(const char* text) {
  int value = -1;
  std::from_chars(text, text + std::strlen(text), value);
  return value;
}

int request_line(const char* chip, int offset) {
  const int device = checked(::open(chip, O_RDWR | O_CLOEXEC), chip);
  gpio_v2_line_request request{};
  request.offsets[0] = static_cast<std::uint32_t>(offset);
  request.num_lines = 1;
  request.config.flags =
      GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING;
  checked(::ioctl(device, GPIO_V2_GET_LINE_IOCTL, &request), "the line");
  return request.fd;
}

std::int64_t read_event(int fd) {
  gpio_v2_line_event event{};
  if (::read(fd, &event, sizeof event) != sizeof event) {
    give_up("read");
  }
  return static_cast<std::int64_t>(event.timestamp_ns);
}

void blocking(const char* chip, int offset, const char* pull, int count) {
  const int line = request_line(chip, offset);
  Finger finger(pull, count);
  while (finger.handled(read_event(line))) {
  }
  finger.tell("blocking");
}

void bare_epoll(const char* chip, int offset, const char* pull, int count) {
  const int line = request_line(chip, offset);
  const int epoll = checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = line;
  checked(::epoll_ctl(epoll, EPOLL_CTL_ADD, line, &event), "epoll_ctl");
  Finger finger(pull, count);
  do {
    checked(::epoll_wait(epoll, &event, 1, -1), "epoll_wait");
  } while (finger.handled(read_event(event.data.fd)));
  finger.tell("epoll");
}

StaticReactor<ReactorLimits{}> reactor;

struct Edges {
  BoardGpio gpio;
  hal::RequestId line{};
  Finger* finger = nullptr;
  std::array<hal::LineEvent, 16> events;

  void on_edge(const Message& /*message*/) {
    const std::size_t count = or_exit(gpio.read_events(line, events), "events");
    for (const hal::LineEvent& event : std::span(events).first(count)) {
      if (!finger->handled(static_cast<std::int64_t>(event.timestamp_ns))) {
        reactor.quit();
      }
    }
  }
};
Edges edges;

void with_reactor(const char* name, const char* pull, int count) {
  or_exit(reactor.open(), "loop");
  or_exit(edges.gpio.open(), "GPIO");
  const auto line = or_exit(edges.gpio.find(name), name);
  const hal::LineSettings input{.direction = hal::Direction::input, .edges = hal::Edges::both};
  edges.line = or_exit(edges.gpio.request({&line, 1}, {&input, 1}, "edge_bench"), name);
  or_exit(reactor.watch(edges.gpio.event_fd(edges.line), Events::readable,
                        Handler::to<&Edges::on_edge>(edges)),
          name);
  Finger finger(pull, count);
  edges.finger = &finger;
  or_exit(reactor.run(), "loop");
  finger.tell("millrace");
}

/// Of "1767225600.123456789".
std::int64_t parse_time(std::string_view text) {
  const std::size_t dot = text.find('.');
  std::int64_t seconds = 0;
  std::int64_t rest = 0;
  if (dot == std::string_view::npos || dot + 10 > text.size()) {
    give_up(text);
  }
  std::from_chars(text.data(), text.data() + dot, seconds);
  std::from_chars(text.data() + dot + 1, text.data() + dot + 10, rest);
  return seconds * 1'000'000'000 + rest;
}

/// Reads what is there; lines come whole.
std::string_view read_some(int fd, std::span<char> into) {
  const ssize_t count = ::read(fd, into.data(), into.size());
  if (count <= 0) {
    give_up("reading the report");
  }
  return {into.data(), static_cast<std::size_t>(count)};
}

void gpiomon(const char* chip, const char* offset, const char* pull, int count) {
  std::array<int, 2> ends{};
  checked(::pipe2(ends.data(), O_CLOEXEC), "pipe2");
  const pid_t process = checked(::fork(), "fork");
  if (process == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execl("/usr/bin/gpiomon", "gpiomon", "--event-clock", "monotonic", "--format", "%S", "--chip",
            chip, offset, nullptr);
    ::_exit(127);
  }
  const timespec until_it_waits{.tv_sec = 1, .tv_nsec = 0};
  ::nanosleep(&until_it_waits, nullptr);
  Finger finger(pull, count);
  std::array<char, 256> buffer{};
  while (finger.handled(parse_time(read_some(ends[0], buffer)))) {
  }
  ::kill(process, SIGTERM);
  ::waitpid(process, nullptr, 0);
  finger.tell("gpiomon");
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

void serve(const char* chip, int offset, int port) {
  const int line = request_line(chip, offset);
  const int listener = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const sockaddr_in address = loopback(port);
  checked(::bind(listener, generic(address), sizeof address), "bind");
  checked(::listen(listener, 1), "listen");
  const int client = checked(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept4");
  const int on = 1;
  ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  for (;;) {
    const std::int64_t time = read_event(line);
    if (::send(client, &time, sizeof time, MSG_NOSIGNAL) != sizeof time) {
      return;
    }
  }
}

int connect_to(int port) {
  const int socket = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const sockaddr_in address = loopback(port);
  checked(::connect(socket, generic(address), sizeof address), "connect");
  return socket;
}

void raw_client(int port, const char* pull, int count) {
  const int server = connect_to(port);
  Finger finger(pull, count);
  std::int64_t time = 0;
  do {
    if (::recv(server, &time, sizeof time, MSG_WAITALL) != sizeof time) {
      give_up("recv");
    }
  } while (finger.handled(time));
  finger.tell("blocking_tcp");
}

void control_client(int port, std::string_view line, const char* pull, int count) {
  const int server = connect_to(port);
  FixedString<64> command;
  command.append("watch ", line, '\n');
  const std::string_view text = command.view();
  checked(::send(server, text.data(), text.size(), 0), "send");
  std::array<char, 512> buffer{};
  while (!read_some(server, buffer).contains("ok 1")) {
  }
  Finger finger(pull, count);
  constexpr std::string_view before = "time=";
  std::string_view report;
  do {
    report = read_some(server, buffer);
    const std::size_t place = report.find(before);
    if (place == std::string_view::npos) {
      give_up(report);
    }
    report.remove_prefix(place + before.size());
  } while (finger.handled(parse_time(report)));
  finger.tell("gateway_tcp");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view role = argc > 1 ? argv[1] : "";
  if (role == "blocking" && argc == 6) {
    blocking(argv[2], number(argv[3]), argv[4], number(argv[5]));
  } else if (role == "epoll" && argc == 6) {
    bare_epoll(argv[2], number(argv[3]), argv[4], number(argv[5]));
  } else if (role == "gpiomon" && argc == 6) {
    gpiomon(argv[2], argv[3], argv[4], number(argv[5]));
  } else if (role == "millrace" && argc == 5) {
    with_reactor(argv[2], argv[3], number(argv[4]));
  } else if (role == "serve" && argc == 5) {
    serve(argv[2], number(argv[3]), number(argv[4]));
  } else if (role == "raw" && argc == 5) {
    raw_client(number(argv[2]), argv[3], number(argv[4]));
  } else if (role == "control" && argc == 6) {
    control_client(number(argv[2]), argv[3], argv[4], number(argv[5]));
  } else {
    hal::print("edge_bench: see its source for how to call it");
    return 2;
  }
  return 0;
}
