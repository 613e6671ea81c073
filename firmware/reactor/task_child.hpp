// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>

#include "firmware/reactor/task_fd.hpp"
#include "hal/child.hpp"
#include "hal/error.hpp"
#include "hal/fd.hpp"

namespace millrace {

/// What child_exit() returns: to be awaited.
class [[nodiscard]] TaskChildExit final : public TaskFdWait {
 public:
  TaskChildExit(std::int32_t pid, Deadline deadline)
      : TaskFdWait(watch_, For::reading, deadline, nullptr), child_(hal::open_child(pid)) {}

  [[nodiscard]] bool await_ready() const { return !child_; }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    return open(task.promise().strand()) && wait(task);
  }
  [[nodiscard]] Result<hal::ChildExit> await_resume();

 private:
  [[nodiscard]] bool open(const TaskStrand& strand);
  Result<hal::Fd> child_;
  TaskFd watch_;
};

/// Waits for the end of a child of this process, and reaps it: Result<hal::ChildExit>. If the time
/// is up or the task is cancelled, the child is left alone. Errors: as of hal::open_child(),
/// hal::reap_child(), Reactor::watch() and Deadline.
[[nodiscard]] inline TaskChildExit child_exit(std::int32_t pid, Deadline deadline = {}) {
  return {pid, deadline};
}

}  // namespace millrace
