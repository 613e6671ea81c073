// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <thread>
#include <vector>

#include "tests/bench/support.hpp"
#include "tests/bench/workloads/timers.hpp"

namespace millrace::bench {

/// Descriptors that never run dry beside a timer of 1 kHz and rare edges, which another thread
/// makes by writing the time into a pipe.
///
///   floods=N          descriptors that never run dry
///   milliseconds=N    for how long
template <class Loop>
class Fairness {
 public:
  Fairness(Loop& loop, Nanoseconds length) : loop_(loop), length_(length), edges_(make_pipe()) {
    timer_.template open<&Fairness::on_timer>(loop, *this);
    watch_.template open<&Fairness::on_edge>(loop, edges_.read_end, *this);
  }

  void measure(std::int64_t cpu, Report& report) {
    std::thread edges([&] {
      stay_off(cpu);
      Random random;
      for (Nanoseconds spent = 0; spent < length_ * 9 / 10;) {
        const timespec pause{.tv_sec = 0,
                             .tv_nsec = 3'000'000 + static_cast<long>(random.below(4'000'000))};
        ::nanosleep(&pause, nullptr);
        spent += pause.tv_nsec;
        const Nanoseconds time = now();
        checked(::write(edges_.write_end, &time, sizeof time), "write");
      }
    });
    timer_.arm(now(), 0);  // from then on it runs, and knows the time
    loop_.run();
    edges.join();
    report.add_percentiles("timer_ns", timer_delays_);
    report.add_percentiles("edge_ns", edge_delays_);
    report.add("timer_count", static_cast<double>(timer_delays_.size()));
    report.add("edge_count", static_cast<double>(edge_delays_.size()));
  }

 private:
  static constexpr Nanoseconds period = 1'000'000;

  // Periods that are over already are as late as they are, and not made up for.
  void on_timer(typename Loop::Event /*event*/) {
    const Nanoseconds time = now();
    if (start_ == 0) {
      start_ = due_ = time;
    } else {
      timer_delays_.push_back(time - due_);
    }
    if (time - start_ > length_) {
      loop_.stop();
      return;
    }
    do {
      due_ += period;
    } while (due_ <= time);
    timer_.arm(time, due_ - time);
  }
  void on_edge(typename Loop::Event /*event*/) {
    Nanoseconds time = 0;
    checked(::read(edges_.read_end, &time, sizeof time), "read");
    edge_delays_.push_back(now() - time);
  }

  Loop& loop_;
  Nanoseconds length_;
  Pipe edges_;
  typename Loop::Timer timer_;
  typename Loop::Watch watch_;
  Nanoseconds start_ = 0;
  Nanoseconds due_ = 0;
  std::vector<Nanoseconds> timer_delays_;
  std::vector<Nanoseconds> edge_delays_;
};

template <class Loop>
void fairness(const Arguments& arguments, Report& report) {
  Loop loop;
  std::vector<Flood<Loop>*> floods;
  for (std::size_t i = 0; i < arguments.size("floods", 1); ++i) {
    floods.push_back(&make_lasting<Flood<Loop>>(loop));
  }
  auto& fairness =
      make_lasting<Fairness<Loop>>(loop, 1'000'000 * arguments.number("milliseconds", 1'000));
  fairness.measure(arguments.number("cpu", -1), report);
  Nanoseconds worst = 0;
  std::uint64_t reads = 0;
  for (const Flood<Loop>* flood : floods) {
    worst = std::max(worst, flood->worst_gap());
    reads += flood->reads();
  }
  report.add("flood_gap_ns_max", static_cast<double>(worst));
  report.add("flood_reads", static_cast<double>(reads));
}

}  // namespace millrace::bench
