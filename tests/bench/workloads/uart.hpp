// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <csignal>
#include <cstddef>
#include <memory>
#include <poll.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): posix_openpt() is there
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <vector>

#include "tests/bench/support.hpp"

namespace millrace::bench {

/// Serial ports, which are pseudo-terminals here, at full speed: another process writes to all as
/// fast as they take it. Each byte is looked at: none may be missing.
///
///   ports=N   kbytes=N: in total
template <class Loop>
class Uart {
 public:
  Uart(Loop& loop, std::size_t ports, std::size_t bytes_each)
      : loop_(loop), count_(ports), ports_(new Port[ports]) {
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      pattern[i] = static_cast<char>(i % 251);
    }
    for (std::size_t i = 0; i < ports; ++i) {
      Port& port = ports_[i];
      port.owner = this;
      port.missing = bytes_each;
      port.master =
          checked(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), "posix_openpt");
      checked(::grantpt(port.master), "grantpt");
      checked(::unlockpt(port.master), "unlockpt");
      std::array<char, 64> path{};
      checked(-::ptsname_r(port.master, path.data(), path.size()), "ptsname_r");
      port.fd = checked(::open(path.data(), O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), "open");
      termios settings{};
      checked(::tcgetattr(port.fd, &settings), "tcgetattr");
      ::cfmakeraw(&settings);
      checked(::tcsetattr(port.fd, TCSANOW, &settings), "tcsetattr");
      port.watch.template open<&Port::on_readable>(loop, port.fd, port);
    }
    unfinished_ = ports;
  }

  void measure(std::size_t bytes_each, std::int64_t other, Report& report) {
    const pid_t writer = checked(::fork(), "fork");
    if (writer == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      run_on(other);
      write_all(bytes_each);
      ::_exit(0);
    }
    const Nanoseconds start = now();
    const Nanoseconds start_cpu = cpu_time();
    loop_.run();
    const auto bytes = static_cast<double>(bytes_each * count_);
    report.add("cpu_ns_per_kb", static_cast<double>(cpu_time() - start_cpu) / bytes * 1000);
    report.add("mb_per_s", bytes / static_cast<double>(now() - start) * 1000);
    report.add("drops", static_cast<double>(drops_));
    report.add("kb", bytes / 1000);
    checked(::waitpid(writer, nullptr, 0), "waitpid");
  }

 private:
  static inline std::array<char, std::size_t{251} * 40> pattern{};

  struct Port {
    Uart* owner = nullptr;
    int master = -1;
    int fd = -1;
    typename Loop::Watch watch;
    std::size_t place = 0;  // in the pattern
    std::size_t missing = 0;

    void on_readable(typename Loop::Event /*event*/) {
      std::array<char, 4096> buffer;
      const ssize_t got = ::read(fd, buffer.data(), buffer.size());
      if (got < 0 && errno == EAGAIN) {
        return;
      }
      const auto count = static_cast<std::size_t>(checked(got, "read"));
      if (std::memcmp(buffer.data(), pattern.data() + place, count) != 0) {
        ++owner->drops_;
      }
      place = (place + count) % 251;
      missing -= std::min(count, missing);
      if (missing == 0 && --owner->unfinished_ == 0) {
        owner->loop_.stop();
      }
    }
  };

  // Blocks where it can't go on with any.
  void write_all(std::size_t bytes_each) {
    std::vector<pollfd> polled;
    std::vector<std::size_t> written(count_);
    for (std::size_t i = 0; i < count_; ++i) {
      polled.push_back({.fd = ports_[i].master, .events = POLLOUT, .revents = 0});
    }
    std::size_t unfinished = count_;
    while (unfinished > 0) {
      checked(::poll(polled.data(), polled.size(), -1), "poll");
      for (std::size_t i = 0; i < count_; ++i) {
        if ((polled[i].revents & POLLOUT) != 0) {
          const std::size_t length = std::min<std::size_t>(4096, bytes_each - written[i]);
          const ssize_t count = ::write(polled[i].fd, pattern.data() + written[i] % 251, length);
          written[i] += count > 0 ? static_cast<std::size_t>(count) : 0;
          if (written[i] == bytes_each) {
            polled[i].fd = -1;
            --unfinished;
          }
        }
      }
    }
  }

  Loop& loop_;
  std::size_t count_;
  std::unique_ptr<Port[]> ports_;
  std::size_t unfinished_ = 0;
  std::size_t drops_ = 0;
};

template <class Loop>
void uart(const Arguments& arguments, Report& report) {
  const std::size_t ports = arguments.size("ports", 1);
  const std::size_t each = arguments.size("kbytes", 20'000) * 1000 / ports;
  Loop loop;
  auto& uart = make_lasting<Uart<Loop>>(loop, ports, each);
  uart.measure(each, arguments.number("other", -1), report);
}

}  // namespace millrace::bench
