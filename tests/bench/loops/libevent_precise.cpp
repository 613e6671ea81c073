// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// libevent with EVENT_BASE_FLAG_PRECISE_TIMER.

#define MILLRACE_BENCH_PRECISE 1
#include "tests/bench/loops/libevent.cpp"  // NOLINT(bugprone-suspicious-include)
