// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "firmware/reactor/task.hpp"
#include "firmware/reactor/task_link.hpp"
#include "firmware/reactor/task_wait.hpp"
#include "firmware/reactor/tasks.hpp"
#include "hal/error.hpp"

namespace millrace {

/// Names a spawned task for ever: it is never reused.
enum class TaskId : std::uint64_t {};

/// The owner of tasks that run side by side: none outlives it. Its end cancels those that still
/// are; join() waits for them instead. A variable of a task, so that what it spawns ends with it,
/// or a static one, for the tasks that live as long as the program.
///
///     TaskScope scope(tasks);
///     if (auto spawned = scope.spawn(blink(tasks, led)); !spawned) …
///     co_await scope.join();
///
/// To cancel a task is to destroy its frame where it waits, and with it, from the inside out, what
/// it awaits, its variables and its own scopes; what the loop had queued for it is taken back. From
/// a handler that happens at once. From a task it happens when that one waits next: it may be among
/// those cancelled itself, or be awaited by them. None of them runs in between.
///
/// Loop thread only. Must not be moved. What its tasks refer to must outlive it, so declare it
/// last.
class TaskScope : private TaskLink {
 public:
  explicit TaskScope(Tasks& tasks) : tasks_(tasks) {}
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  /// Cancels all, at once, but for a task that runs at this moment and ends what it is part of:
  /// that one ends when it waits next.
  ~TaskScope();

  /// Has the task begin, by a message of `priority`, at which it goes on, too, whenever it has
  /// waited for time, tasks or channels. What it returns is dropped, but for the first error: see
  /// join(). Errors: ENOBUFS (no memory for its frame, or for the some 140 bytes that a spawned
  /// task takes besides).
  template <class T>
  [[nodiscard]] Result<TaskId> spawn(Task<T> task, Priority priority = Priority::normal) {
    if (!task) {
      return Task<T>::no_frame();
    }
    TaskStrand* const strand = add(priority);
    if (strand == nullptr) {
      return Task<T>::no_frame();
    }
    const auto handle = std::exchange(task.handle_, nullptr);
    handle.promise().attach(*strand, nullptr);
    begin(*strand, handle, [](std::coroutine_handle<> top) {
      using Promise = typename Task<T>::promise_type;
      auto& promise = std::coroutine_handle<Promise>::from_address(top.address()).promise();
      return promise.result ? std::nullopt : std::optional(promise.result.error());
    });
    return TaskId(strand->serial_);
  }

  /// Cancels all, or one. False if that is gone, or none of this scope's.
  void cancel();
  bool cancel(TaskId task);

  /// Waits until no task is left: Result<void>, the first error that any returned. Errors, besides:
  /// as of Deadline. The tasks go on if the time is up. Not for a task of this scope, which would
  /// wait for itself.
  class Join;
  [[nodiscard]] Join join(Deadline deadline = {});

  /// Tasks that are neither done nor cancelled.
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  friend class Tasks;
  friend class TaskStrand;

  [[nodiscard]] TaskStrand* add(Priority priority);
  void begin(TaskStrand& strand, std::coroutine_handle<> top,
             std::optional<Error> (*error_of)(std::coroutine_handle<>));
  [[nodiscard]] TaskStrand* first() const;
  void ended(TaskStrand& strand);
  void doom(TaskStrand& strand);
  void end_doomed_if_possible();
  void end_doomed();

  Tasks& tasks_;
  TaskLink strands_;
  TaskLink doomed_;  ///< strands that have come to their end, or were cancelled
  TaskLink joins_;
  std::size_t size_ = 0;
  std::optional<Error> error_;  ///< the first that a task returned
};

class [[nodiscard]] TaskScope::Join final : public TaskWait {
 public:
  Join(TaskScope& scope, Deadline deadline) : TaskWait(deadline), scope_(scope) {}

  [[nodiscard]] bool await_ready() const { return scope_.first() == nullptr; }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    scope_.joins_.append(ready());
    return wait(task);
  }
  [[nodiscard]] Result<void> await_resume() {
    ready().unlink();
    if (const auto ended = end(); !ended) {
      return ended;
    }
    const auto error = std::exchange(scope_.error_, std::nullopt);
    return error ? Result<void>(std::unexpected(*error)) : Result<void>();
  }

 private:
  friend class TaskScope;

  TaskScope& scope_;
};

inline TaskScope::Join TaskScope::join(Deadline deadline) { return {*this, deadline}; }

}  // namespace millrace
