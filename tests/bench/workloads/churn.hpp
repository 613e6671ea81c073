// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>

#include "tests/bench/support.hpp"

namespace millrace::bench {

/// What it costs to begin and end watches, and to change what they wait for: 64 of them, each
/// change followed by a turn of the loop, so that the kernel is told; and without one between a
/// change and its opposite, which some loops then keep to themselves.
///
///   rounds=N
template <class Loop>
class Churn {
 public:
  explicit Churn(Loop& loop) : loop_(loop) {
    for (One& one : watched_) {
      one.pipe = make_pipe();
    }
  }

  void measure(std::size_t rounds, Report& report) {
    report.add("add_remove_ns", time(rounds, true, &One::add, &One::remove));
    report.add("add_remove_same_turn_ns", time(rounds, false, &One::add, &One::remove));
    each(&One::add);
    report.add("modify_ns", time(rounds, true, &One::want_more, &One::want_less) / 2);
    report.add("modify_same_turn_ns", time(rounds, false, &One::want_more, &One::want_less) / 2);
    each(&One::remove);
    loop_.turn();
  }

 private:
  static constexpr std::size_t count = 64;

  struct One {
    Pipe pipe;
    typename Loop::Watch watch;

    void on_ready(typename Loop::Event /*event*/) { give_up("nothing was written"); }
    void add(Loop& loop) { watch.template open<&One::on_ready>(loop, pipe.read_end, *this); }
    void remove(Loop& /*loop*/) { watch.close(); }
    void want_more(Loop& /*loop*/) { watch.want(true, true); }
    void want_less(Loop& /*loop*/) { watch.want(true, false); }
  };
  using Change = void (One::*)(Loop&);

  void each(Change change) {
    for (One& one : watched_) {
      (one.*change)(loop_);
    }
  }
  /// CPU time of both changes to one watch.
  double time(std::size_t rounds, bool turn_between, Change first, Change second) {
    const Nanoseconds start = cpu_time();
    for (std::size_t i = 0; i < rounds; ++i) {
      each(first);
      if (turn_between) {
        loop_.turn();
      }
      each(second);
      loop_.turn();
    }
    return static_cast<double>(cpu_time() - start) / static_cast<double>(rounds * count);
  }

  Loop& loop_;
  std::array<One, count> watched_;
};

template <class Loop>
void churn(const Arguments& arguments, Report& report) {
  Loop loop;
  auto& churn = make_lasting<Churn<Loop>>(loop);
  churn.measure(arguments.size("rounds", 1'000), report);
}

}  // namespace millrace::bench
