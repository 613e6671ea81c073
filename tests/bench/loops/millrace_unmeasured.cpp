// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// The same without a budget for handlers: nobody reads the clock around them. As in other loops.

#define MILLRACE_BENCH_UNMEASURED
#include "tests/bench/loops/millrace.cpp"  // NOLINT(bugprone-suspicious-include)
