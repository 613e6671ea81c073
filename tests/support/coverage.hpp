// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <csignal>
#if defined(MILLRACE_COVERAGE)
extern "C" {
#include <gcov.h>
}
#endif

namespace millrace::test {

/// What has run is noted by exit(3), but not by _exit(2) and abort(3): a child process that shall
/// count for coverage calls this before the one, and the next before the other. Both do nothing in
/// programs that do not measure it.
inline void note_coverage() {
#if defined(MILLRACE_COVERAGE)
  __gcov_dump();
#endif
}
inline void note_coverage_at_abort() {
#if defined(MILLRACE_COVERAGE)
  (void)std::signal(SIGABRT, [](int) { note_coverage(); });
#endif
}

}  // namespace millrace::test
