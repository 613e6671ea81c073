// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <concepts>
#include <coroutine>

#include "firmware/reactor/task_wait.hpp"

namespace millrace {

/// What sleep_for() and sleep_until() return: to be awaited.
class [[nodiscard]] TaskSleep final : public TaskWait {
 public:
  explicit TaskSleep(Deadline deadline) : TaskWait(deadline) {}

  [[nodiscard]] bool await_ready() const { return false; }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    return wait(task);
  }
  [[nodiscard]] Result<void> await_resume() {
    if (!timed_out()) [[unlikely]] {
      return end();
    }
    return {};
  }
};

/// Waits for so long, never shorter; 0 or less lets others run first. `forever`: until cancelled.
/// Errors: ENOSPC (ReactorLimits::timers), at once. No system call.
[[nodiscard]] inline TaskSleep sleep_for(Duration delay) { return TaskSleep(delay); }

/// Waits until `at`, never shorter, if that is not past. Errors as of sleep_for().
[[nodiscard]] inline TaskSleep sleep_until(Instant at) { return TaskSleep(at); }

/// What yield() returns: to be awaited.
class [[nodiscard]] TaskYield final : public TaskWait {
 public:
  TaskYield() = default;

  [[nodiscard]] bool await_ready() const { return false; }
  template <std::derived_from<TaskPromise> Promise>
  void await_suspend(std::coroutine_handle<Promise> task) {
    (void)wait(task);
    schedule();
  }
  void await_resume() const {}
};

/// Lets what is queued at the task's priority run before it goes on: for long calculations.
[[nodiscard]] inline TaskYield yield() { return {}; }

}  // namespace millrace
