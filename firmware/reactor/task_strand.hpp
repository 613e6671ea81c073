// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <coroutine>
#include <cstdint>
#include <optional>
#include <utility>

#include "firmware/reactor/message.hpp"
#include "firmware/reactor/task_link.hpp"
#include "firmware/reactor/tasks.hpp"

namespace millrace {

class TaskPromise;
class TaskWait;

/// Who waits for a task, or for several.
struct TaskJoin {
  std::coroutine_handle<> parent;
  std::uint32_t remaining = 1;         ///< the parent goes on when so many more have ended
  const TaskPromise* first = nullptr;  ///< the first that has ended
};

/// Tasks that begin together, in order: each runs until it waits for something, then the next one
/// begins.
struct TaskGroup : TaskJoin {
  /// One more child, if it is not null.
  void add(std::coroutine_handle<> child) {
    if (child) {
      children[count++] = child;
    }
  }

  std::coroutine_handle<>* children = nullptr;
  std::uint32_t count = 0;
  std::uint32_t begun = 0;
  TaskGroup* outer = nullptr;  ///< another one that was beginning when this one was made
};

/// A spawned task and all that it awaits: a tree of frames, of which one runs at a time. Its tasks
/// are resumed one after the other by the loop in resume(), never from within each other: so the
/// stack does not grow, with any compiler, and no frame ends while its code runs.
///
/// Of interest only to what tasks wait for; the memory is the tasks'.
class TaskStrand : public TaskLink {
 public:
  TaskStrand(Tasks& tasks, TaskScope* scope, Priority priority, std::uint64_t serial)
      : tasks_(tasks), scope_(scope), serial_(serial), priority_(priority) {}
  ~TaskStrand() = default;

  [[nodiscard]] Tasks& tasks() const { return tasks_; }
  [[nodiscard]] Reactor& reactor() const { return tasks_.reactor(); }
  [[nodiscard]] Priority priority() const { return priority_; }

  /// Lets one of the tasks go on until all wait again. From handlers only: no task may be running.
  void resume(std::coroutine_handle<> handle) {
    Tasks& tasks = tasks_;
    tasks.running_ = this;
    ++tasks.statistics_.resumed;
    handle.resume();
    if (next_ || group_ != nullptr) [[unlikely]] {
      resume_others();
    }
    tasks.running_ = nullptr;
    if (tasks.reap_) [[unlikely]] {
      tasks.reap();
    }
  }

  /// From await_suspend(): what runs next.
  void run_next(std::coroutine_handle<> handle) { next_ = handle; }
  void begin(TaskGroup& group) {
    group.outer = std::exchange(group_, &group);
    begin_next();
  }
  /// From final_suspend().
  void ended(TaskJoin* join, const TaskPromise& promise) {
    if (join == nullptr) {
      finish();
      return;
    }
    if (join->first == nullptr) {
      join->first = &promise;
    }
    if (--join->remaining == 0) {
      if (group_ == join) {  // of which not all have begun
        group_ = group_->outer;
      }
      next_ = join->parent;
    }
  }

  /// A timer for `wait`, TaskWait::expire() of which is called. The strand keeps one, so that most
  /// waits need not take one. Errors: ENOSPC (ReactorLimits::timers).
  [[nodiscard]] Result<TimerId> take_timer(TaskWait& wait);
  /// Disarms it, too.
  void give_timer_back(TimerId timer);

 private:
  friend class Tasks;
  friend class TaskScope;

  void resume_others();
  void begin_next();
  void finish();
  void on_timer(const Message& message);
  /// Ends the frames, and the strand.
  void destroy();

  Tasks& tasks_;
  TaskScope* scope_;
  std::uint64_t serial_;
  std::coroutine_handle<> next_;
  TaskGroup* group_ = nullptr;  ///< some of which have not begun
  std::coroutine_handle<> top_;
  std::optional<Error> (*error_of_)(std::coroutine_handle<>) = nullptr;
  TimerId timer_;
  TaskWait* timer_user_ = nullptr;
  TaskReady start_;
  Priority priority_;
  bool doomed_ = false;  ///< to be ended as soon as it does not run
};

}  // namespace millrace
