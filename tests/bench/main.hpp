// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <string_view>

#include "tests/bench/support.hpp"
#include "tests/bench/workloads/chain.hpp"
#include "tests/bench/workloads/churn.hpp"
#include "tests/bench/workloads/echo.hpp"
#include "tests/bench/workloads/fairness.hpp"
#include "tests/bench/workloads/footprint.hpp"
#include "tests/bench/workloads/post.hpp"
#include "tests/bench/workloads/timers.hpp"
#include "tests/bench/workloads/uart.hpp"

namespace millrace::bench {

struct Workload {
  std::string_view name;
  void (*run)(const Arguments& arguments, Report& report);
};
template <class Loop>
inline constexpr std::array workloads{
    Workload{"chain", &chain<Loop>},   Workload{"echo", &echo<Loop>},
    Workload{"timers", &timers<Loop>}, Workload{"lateness", &lateness<Loop>},
    Workload{"post", &post<Loop>},     Workload{"post_across", &post_across<Loop>},
    Workload{"churn", &churn<Loop>},   Workload{"fairness", &fairness<Loop>},
    Workload{"uart", &uart<Loop>},     Workload{"footprint", &footprint<Loop>},
};

/// The main() of each loop's program:
///
///     LOOP WORKLOAD [NAME=NUMBER]...
///
/// runs one workload and prints a JSON object of what was measured. cpu=N is the processor to run
/// on, other=N that of helping threads. A `Loop` has:
///
///     Event                           what its callbacks take: void on_ready(Event)
///     Watch   open<Method>(loop, fd, object), want(readable, writable), close()
///     Timer   open<Method>(loop, object), arm(time, delay), cancel(): `time` is the clock's, just
///     read Post    optional: open<Method>(loop, object), post(): once, in this turn or the next
///     Wake    optional: open<Method>(loop, object), wake(): from any thread
///     Mailbox optional: <Method, Object> open(loop, object), post(value): from any thread
///     Echo    optional: open<Closed>(loop, fd, owner): a connection, in the loop's own way
///     run(), stop(), turn()
template <class Loop>
int run_workload(int count, char** texts) {
  const Arguments arguments(count, texts);
  const std::string_view name = count > 1 ? texts[1] : "";
  run_on(arguments.number("cpu", -1));
  Report report;
  for (const Workload& workload : workloads<Loop>) {
    if (workload.name == name) {
      workload.run(arguments, report);
      report.print();
      return 0;
    }
  }
  std::fprintf(stderr, "usage: %s WORKLOAD [NAME=NUMBER]..., and workloads are:\n", texts[0]);
  for (const Workload& workload : workloads<Loop>) {
    std::fprintf(stderr, "  %.*s\n", static_cast<int>(workload.name.size()), workload.name.data());
  }
  return 2;
}

}  // namespace millrace::bench
