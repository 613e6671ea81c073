// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace millrace::bench {

using Nanoseconds = std::int64_t;

/// Ends the program: a benchmark that goes on after a failure measures something else.
[[noreturn]] inline void give_up(const char* what) {
  std::fprintf(stderr, "%s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

/// What `call` returned, unless that is negative.
template <class T>
T checked(T result, const char* what) {
  if (result < 0) {
    give_up(what);
  }
  return result;
}

[[nodiscard]] inline Nanoseconds read_clock(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}
/// CLOCK_MONOTONIC.
[[nodiscard]] inline Nanoseconds now() { return read_clock(CLOCK_MONOTONIC); }
/// What this thread has had of a processor.
[[nodiscard]] inline Nanoseconds cpu_time() { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

/// Numbers that are the same in each run: xorshift64*.
class Random {
 public:
  /// 0 … limit − 1.
  std::uint64_t below(std::uint64_t limit) {
    state_ ^= state_ >> 12U;
    state_ ^= state_ << 25U;
    state_ ^= state_ >> 27U;
    return (state_ * 0x2545F4914F6CDD1DULL >> 32U) % limit;
  }

 private:
  std::uint64_t state_ = 88172645463325252ULL;
};

/// NAME=NUMBER on the command line.
class Arguments {
 public:
  Arguments(int count, char** texts) : texts_(texts, texts + count) {}

  [[nodiscard]] std::int64_t number(std::string_view name, std::int64_t otherwise) const {
    for (const std::string_view text : texts_) {
      if (text.starts_with(name) && text.substr(name.size()).starts_with('=')) {
        std::int64_t value = 0;
        const std::string_view digits = text.substr(name.size() + 1);
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (error != std::errc{} || end != digits.data() + digits.size()) {
          std::fprintf(stderr, "%.*s: a number is wanted\n", static_cast<int>(text.size()),
                       text.data());
          std::exit(2);
        }
        return value;
      }
    }
    return otherwise;
  }
  [[nodiscard]] std::size_t size(std::string_view name, std::size_t otherwise) const {
    return static_cast<std::size_t>(number(name, static_cast<std::int64_t>(otherwise)));
  }

 private:
  std::vector<std::string_view> texts_;
};

/// What was measured: one JSON object of numbers on standard output.
class Report {
 public:
  Report() { text_.reserve(4096); }  // as much whatever is told, as allocations are counted, too
  void add(const std::string& name, double value) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%.10g", value);
    put(name, text.data());
  }
  /// The 50th, 99th and 99.9th percentile of `samples`, and the worst, as NAME_p50 and so on.
  void add_percentiles(const std::string& name, std::vector<Nanoseconds>& samples) {
    if (samples.empty()) {
      return;
    }
    std::ranges::sort(samples);
    const auto at = [&](double share) {
      return static_cast<double>(
          samples[static_cast<std::size_t>(share * static_cast<double>(samples.size() - 1))]);
    };
    add(name + "_p50", at(0.5));
    add(name + "_p99", at(0.99));
    add(name + "_p99.9", at(0.999));
    add(name + "_max", at(1));
  }
  /// Why there is nothing to measure: the loop does not offer it, or the machine has too little.
  void skip(const char* reason) { put("skipped", '"' + std::string(reason) + '"'); }

  void print() const {
    std::printf("{%s}\n", text_.c_str());
    std::fflush(stdout);
  }

 private:
  void put(std::string_view name, std::string_view value) {
    text_.append(text_.empty() ? "\"" : ", \"").append(name).append("\": ").append(value);
  }
  std::string text_;
};

/// The calling thread stays on that processor; does nothing where there are fewer, or for −1.
inline void run_on(std::int64_t processor) {
  if (processor >= 0 && processor < ::sysconf(_SC_NPROCESSORS_CONF)) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(processor), &set);
    ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
  }
}

/// The calling thread runs on any processor but that one, if there are more.
inline void stay_off(std::int64_t processor) {
  const auto count = ::sysconf(_SC_NPROCESSORS_CONF);
  if (processor < 0 || count < 2) {
    return;
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  for (std::int64_t other = 0; other < count; ++other) {
    if (other != processor) {
      CPU_SET(static_cast<unsigned>(other), &set);
    }
  }
  ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
}

/// How many descriptors can be open: the hard limit, which becomes the soft one.
inline std::size_t raise_descriptor_limit() {
  rlimit limit{};
  checked(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  checked(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
  return limit.rlim_max;
}

/// `wanted`, or as many hundreds as fit below the limit of descriptors when each takes `each`.
inline std::size_t as_many_as_fit(std::size_t wanted, std::size_t each) {
  constexpr std::size_t others = 64;  // the program's, the loop's, the workload's
  const std::size_t limit = raise_descriptor_limit();
  return wanted * each + others <= limit ? wanted : (limit - others) / each / 100 * 100;
}

/// An object that is never destroyed: what loops do with what they still watch then is neither the
/// same nor measured.
template <class T, class... Arguments>
T& make_lasting(Arguments&&... arguments) {
  return *new T(std::forward<Arguments>(arguments)...);
}

/// A pipe whose ends do not block.
struct Pipe {
  int read_end = -1;
  int write_end = -1;
};
inline Pipe make_pipe() {
  std::array<int, 2> ends{};
  checked(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), "pipe2");
  return {.read_end = ends[0], .write_end = ends[1]};
}

}  // namespace millrace::bench
