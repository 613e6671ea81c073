// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// A bare loop like that of epoll.cpp, on io_uring's polls.

#include "tests/bench/loops/io_uring.hpp"

int main(int count, char** arguments) {
  return millrace::bench::run_workload_if_possible<millrace::bench::UringWaiter>(count, arguments);
}
