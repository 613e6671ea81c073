// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <string_view>

#include "tests/bench/support.hpp"
#include "tests/bench/workloads/chain.hpp"
#include "tests/bench/workloads/echo.hpp"

namespace millrace::bench {

/// The main() of each loop's program:
///
///     LOOP WORKLOAD [NAME=NUMBER]...
///
/// runs one workload and prints a JSON object of what was measured. cpu=N is the processor to run
/// on, other=N that of helping threads. A `Loop` has:
///
///     Event                           what its callbacks take: void on_ready(Event)
///     Watch   open<Method>(loop, fd, object), want(readable, writable), close()
///     Timer   open<Method>(loop, object), arm(delay), cancel()
///     Post    open<Method>(loop, object), post(): once, in this turn or the next
///     Echo    optional: open<Closed>(loop, fd, owner): a connection, in the loop's own way
///     run(), stop(), turn()
template <class Loop>
int run_workload(int count, char** texts) {
  const Arguments arguments(count, texts);
  const std::string_view name = count > 1 ? texts[1] : "";
  run_on(arguments.number("cpu", -1));
  Report report;
  if (name == "chain") {
    chain<Loop>(arguments, report);
  } else if (name == "echo") {
    echo<Loop>(arguments, report);
  } else {
    std::fprintf(stderr, "usage: %s chain | echo [NAME=NUMBER]...\n", texts[0]);
    return 2;
  }
  report.print();
  return 0;
}

}  // namespace millrace::bench
