// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstdint>
#include <optional>

#include "hal/error.hpp"
#include "hal/fixed_string.hpp"
#include "hal/time.hpp"

namespace millrace::hal {

// What a program needs to know of its machine and its process, or sets up once. For start-up.

/// Whether the effective user is root.
[[nodiscard]] bool is_root();

/// This process's number.
[[nodiscard]] std::uint64_t process_id();

/// The value of an environment variable; nullptr if it is not set. Only while nobody changes the
/// environment (we never do).
[[nodiscard]] const char* environment_variable(const char* name);

/// What the board calls itself, such as "Raspberry Pi 4 Model B Rev 1.4" (/proc/device-tree/model);
/// nullopt on machines without a device tree.
[[nodiscard]] std::optional<FixedString<127>> device_tree_model();

/// How late the kernel may end a sleep of the calling thread, to merge wake-ups (PR_SET_TIMERSLACK,
/// prctl(2)): 50 µs unless set, at least 1 ns. Threads started later inherit it. Real-time
/// scheduling has none anyway. Errors: EINVAL (less than 1 ns).
[[nodiscard]] Result<void> set_timer_slack(Duration slack);

/// Keeps the calling thread on one processor, counted from 0 (sched_setaffinity(2)): a reactor of
/// its own for each. Threads started later inherit it. Errors: EINVAL (there is no such processor,
/// or this process may not use it).
[[nodiscard]] Result<void> run_on_processor(std::size_t number);

/// Turns writing to a closed pipe or socket into EPIPE, for the whole process. hal::send() needs
/// none of it; standard error and ptys do.
void ignore_sigpipe();

}  // namespace millrace::hal
