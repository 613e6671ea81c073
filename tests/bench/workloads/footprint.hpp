// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstring>
#include <malloc.h>
#include <memory>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <vector>

#include "tests/bench/support.hpp"
#include "tests/bench/workloads/echo.hpp"

namespace millrace::bench {

/// KiB of the process that are in memory.
inline double resident() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/self/status", "re"),
                                                             &std::fclose);
  std::array<char, 256> line{};
  while (file && std::fgets(line.data(), line.size(), file.get()) != nullptr) {
    if (std::strncmp(line.data(), "VmRSS:", 6) == 0) {
      return std::strtod(line.data() + 6, nullptr);
    }
  }
  give_up("/proc/self/status");
}

/// Bytes that the heap has given and not got back, with what it needs itself for each.
inline double heap_used() {
  const struct mallinfo2 info = ::mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

/// What watches, timers and connections take: of the heap, and of the memory that a loop has set
/// apart for them from the start. What a program itself keeps for each is part of it.
///
///   count=N   of each
template <class Loop>
class Footprint {
 public:
  Footprint(Loop& loop, std::size_t count) : loop_(loop), count_(count) {}

  void measure(Report& report) {
    double taken = heap_used();
    const auto each = [&] {
      const double before = std::exchange(taken, heap_used());
      return (taken - before) / static_cast<double>(count_);
    };
    double set_apart_for_watch = 0;
    double set_apart_for_timer = 0;
    if constexpr (requires { Loop::watch_bytes; }) {
      set_apart_for_watch = Loop::watch_bytes;
      set_apart_for_timer = Loop::timer_bytes;
    }

    auto& watches = make_lasting<std::vector<Watched>>(count_);
    for (Watched& watched : watches) {
      const int fd = checked(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd");
      watched.watch.template open<&Watched::on_event>(loop_, fd, watched);
    }
    loop_.turn();
    report.add("watch_bytes", each() + set_apart_for_watch);

    auto& timers = make_lasting<std::vector<Timed>>(count_);
    const Nanoseconds time = now();
    for (Timed& timed : timers) {
      timed.timer.template open<&Timed::on_event>(loop_, timed);
      timed.timer.arm(time, 1'000'000'000'000);
    }
    loop_.turn();
    report.add("timer_bytes", each() + set_apart_for_timer);

    const int listener = listen_on_loopback();
    static_cast<void>(each());
    for (std::size_t i = 0; i < count_; ++i) {
      make_lasting<Connection>().template open<&Footprint::on_closed>(loop_, connect_to(listener),
                                                                      *this);
    }
    loop_.turn();
    report.add("connection_bytes", each() + set_apart_for_watch - buffer_size);
    report.add("rss_kb", resident());
  }

 private:
  using Connection = typename EchoOf<Loop>::Type;
  static constexpr double buffer_size = 4096;  // of each connection, in all of them

  struct Watched {
    typename Loop::Watch watch;
    void on_event(typename Loop::Event /*event*/) {}
  };
  struct Timed {
    typename Loop::Timer timer;
    void on_event(typename Loop::Event /*event*/) {}
  };
  void on_closed(int /*fd*/) {}

  /// Our end of a connection of the process with itself.
  static int connect_to(int listener) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    checked(::getsockname(listener, generic, &length), "getsockname");
    const int far_end = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    checked(::connect(far_end, generic, length), "connect");
    return checked(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC), "accept4");
  }

  Loop& loop_;
  std::size_t count_;
};

template <class Loop>
void footprint(const Arguments& arguments, Report& report) {
  raise_descriptor_limit();
  const std::size_t count = arguments.size("count", 1'000);
  if constexpr (requires { Loop::most_descriptors; }) {
    if (3 * count + 16 > Loop::most_descriptors) {
      report.skip("descriptors past what it can watch");
      return;
    }
  }
  Loop loop;
  loop.turn();
  report.add("rss_start_kb", resident());
  auto& footprint = make_lasting<Footprint<Loop>>(loop, count);
  footprint.measure(report);
}

}  // namespace millrace::bench
