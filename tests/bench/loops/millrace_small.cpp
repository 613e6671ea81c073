// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Our reactor with no more room than the workload "footprint" needs.

#define MILLRACE_BENCH_SMALL 1
#include "tests/bench/loops/millrace.cpp"  // NOLINT(bugprone-suspicious-include)
