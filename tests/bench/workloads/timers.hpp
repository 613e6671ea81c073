// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <memory>
#include <sys/eventfd.h>
#include <vector>

#include "tests/bench/support.hpp"

namespace millrace::bench {

/// A descriptor that is always readable, however much is read from it: a semaphore with 2^63 to
/// give.
template <class Loop>
class Flood {
 public:
  explicit Flood(Loop& loop)
      : fd_(checked(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE), "eventfd")) {
    const std::uint64_t many = 1ULL << 63U;
    checked(::write(fd_, &many, sizeof many), "write");
    watch_.template open<&Flood::on_readable>(loop, fd_, *this);
  }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

  /// The longest time between two reads, since the first.
  [[nodiscard]] Nanoseconds worst_gap() const { return worst_; }
  [[nodiscard]] std::uint64_t reads() const { return reads_; }

 private:
  void on_readable(typename Loop::Event /*event*/) {
    std::uint64_t one = 0;
    checked(::read(fd_, &one, sizeof one), "read");
    const Nanoseconds time = now();
    worst_ = reads_ > 0 ? std::max(worst_, time - last_) : 0;
    last_ = time;
    ++reads_;
  }

  int fd_;
  typename Loop::Watch watch_;
  Nanoseconds last_ = 0;
  Nanoseconds worst_ = 0;
  std::uint64_t reads_ = 0;
};

/// What it costs to arm a timer, to move it, to cancel it and to have it expire.
///
///   outstanding=N    that are armed at a time
///   operations=N     of each kind, at least
template <class Loop>
class Timers {
 public:
  Timers(Loop& loop, std::size_t count) : loop_(loop), count_(count), timers_(new One[count]) {
    for (std::size_t i = 0; i < count; ++i) {
      timers_[i].owner = this;
      timers_[i].timer.template open<&One::on_expiry>(loop, timers_[i]);
    }
  }

  void measure(std::size_t operations, Report& report) {
    for (std::size_t i = 0; i < count_; ++i) {
      timers_[i].timer.arm(now(), far_away());  // the memory is there from now on
    }
    for (std::size_t i = 0; i < count_; ++i) {
      timers_[i].timer.cancel();
    }
    const std::size_t rounds = std::max<std::size_t>(1, operations / count_);
    Nanoseconds arming = 0;
    Nanoseconds moving = 0;
    Nanoseconds cancelling = 0;
    std::vector<std::size_t> order(count_);
    for (std::size_t i = 0; i < count_; ++i) {
      order[i] = i;
    }
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::size_t i = count_; i > 1; --i) {
        std::swap(order[i - 1], order[random_.below(i)]);
      }
      const Nanoseconds time = now();
      const Nanoseconds start = cpu_time();
      for (std::size_t i = 0; i < count_; ++i) {
        timers_[i].timer.arm(time, far_away());
      }
      const Nanoseconds armed = cpu_time();
      for (const std::size_t i : order) {
        timers_[i].timer.arm(time, far_away());
      }
      const Nanoseconds moved = cpu_time();
      for (const std::size_t i : order) {
        timers_[i].timer.cancel();
      }
      arming += armed - start;
      moving += moved - armed;
      cancelling += cpu_time() - moved;
    }
    const auto each = static_cast<double>(rounds * count_);
    report.add("arm_ns", static_cast<double>(arming) / each);
    report.add("rearm_ns", static_cast<double>(moving) / each);
    report.add("cancel_ns", static_cast<double>(cancelling) / each);
    report.add("events", each);
  }

  /// All within 20 ms, which are over when the loop begins to run.
  void measure_expiry(std::size_t operations, Report& report) {
    const std::size_t rounds = std::max<std::size_t>(1, operations / count_);
    Nanoseconds spent = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
      loop_.turn();  // some take the time of their last turn for the present
      const Nanoseconds time = now();
      for (std::size_t i = 0; i < count_; ++i) {
        timers_[i].timer.arm(time, static_cast<Nanoseconds>(random_.below(20'000'000)));
      }
      const timespec pause{.tv_sec = 0, .tv_nsec = 25'000'000};
      ::nanosleep(&pause, nullptr);
      missing_ = count_;
      const Nanoseconds start = cpu_time();
      loop_.run();
      spent += cpu_time() - start;
    }
    report.add("expire_ns", static_cast<double>(spent) / static_cast<double>(rounds * count_));
  }

 private:
  struct One {
    Timers* owner = nullptr;
    typename Loop::Timer timer;

    void on_expiry(typename Loop::Event /*event*/) {
      if (--owner->missing_ == 0) {
        owner->loop_.stop();
      }
    }
  };

  Nanoseconds far_away() {
    return 1'000'000'000'000 + static_cast<Nanoseconds>(random_.below(1'000'000'000));
  }

  Loop& loop_;
  std::size_t count_;
  std::unique_ptr<One[]> timers_;
  std::size_t missing_ = 0;
  Random random_;
};

template <class Loop>
void timers(const Arguments& arguments, Report& report) {
  const std::size_t operations = arguments.size("operations", 200'000);
  Loop loop;
  auto& timers = make_lasting<Timers<Loop>>(loop, arguments.size("outstanding", 100));
  timers.measure(operations, report);
  const std::size_t expiries = arguments.size("expiries", operations / 100);
  if (expiries > 0) {
    timers.measure_expiry(expiries, report);
  }
}

/// How late a timer of 2.3 ms is, which its handler arms again each time.
///
///   samples=N   expiries
///   floods=N    descriptors that are always readable, besides
template <class Loop>
class Lateness {
 public:
  Lateness(Loop& loop, std::size_t samples) : loop_(loop), wanted_(samples) {
    timer_.template open<&Lateness::on_expiry>(loop, *this);
    samples_.reserve(samples);
  }
  std::vector<Nanoseconds>& measure() {
    timer_.arm(now(), 0);  // from then on it runs, and knows the time
    loop_.run();
    return samples_;
  }

 private:
  static constexpr Nanoseconds delay = 2'300'000;

  void arm(Nanoseconds time) {
    due_ = time + delay;
    timer_.arm(time, delay);
  }
  void on_expiry(typename Loop::Event /*event*/) {
    const Nanoseconds time = now();
    if (due_ != 0) {
      samples_.push_back(time - due_);
    }
    if (samples_.size() == wanted_) {
      loop_.stop();
    } else {
      arm(time);
    }
  }

  Loop& loop_;
  std::size_t wanted_;
  Nanoseconds due_ = 0;
  typename Loop::Timer timer_;
  std::vector<Nanoseconds> samples_;
};

template <class Loop>
void lateness(const Arguments& arguments, Report& report) {
  Loop loop;
  for (std::size_t i = 0; i < arguments.size("floods", 0); ++i) {
    make_lasting<Flood<Loop>>(loop);
  }
  auto& lateness = make_lasting<Lateness<Loop>>(loop, arguments.size("samples", 300));
  report.add_percentiles("lateness_ns", lateness.measure());
}

}  // namespace millrace::bench
