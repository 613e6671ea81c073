// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>

#include "firmware/reactor/reactor.hpp"
#include "firmware/reactor/task_wait.hpp"
#include "hal/error.hpp"
#include "hal/events.hpp"

namespace millrace {

class TaskFdWait;

/// A descriptor that tasks wait for: the loop's watch of it, with one task that reads and one that
/// writes. As long as somebody waits again whenever it is ready, the watch stays as it is: no
/// system call. If it is ready and nobody waits, it is taken from the kernel until somebody does.
///
/// The loop watches each descriptor once: for a handler beside it, dup() the descriptor.
class TaskFd {
 public:
  TaskFd() = default;
  TaskFd(const TaskFd&) = delete;
  TaskFd& operator=(const TaskFd&) = delete;
  /// close(), and `fd` may be closed afterwards. Who waits gets ECANCELED.
  ~TaskFd() { close(); }

  /// Watches `fd`, which stays the caller's and must not block. Tasks that have waited for it go on
  /// at `priority`. Errors: EALREADY (it is open), as of Reactor::watch(). One system call.
  [[nodiscard]] Result<void> open(Reactor& reactor, int fd, Priority priority = Priority::normal);
  /// Ends the watch; tasks that wait get ECANCELED, each in a message of its own. Before the
  /// descriptor is closed. Does nothing if it is not open.
  void close();

  [[nodiscard]] bool is_open() const { return reactor_ != nullptr; }
  /// −1 if it is not open.
  [[nodiscard]] int fd() const { return watch_.fd; }

  class Readiness;
  /// Waits until there is something to be read (or accepted, or to be told: an end, an error), or
  /// room to write: Result<Events>, what it is. One task each at a time: EBUSY. Errors, besides:
  /// EBADF (not open), ECANCELED (closed meanwhile), as of Deadline.
  [[nodiscard]] Readiness readable();
  [[nodiscard]] Readiness readable(Deadline deadline);
  [[nodiscard]] Readiness writable();
  [[nodiscard]] Readiness writable(Deadline deadline);

 private:
  friend class TaskFdWait;

  void on_ready(const Message& message);
  void serve(Events events);
  void want(Events interest);
  [[nodiscard]] bool want_more(Events interest);

  Reactor* reactor_ = nullptr;
  WatchId watch_;
  Events interest_ = Events::none;
  bool reader_was_first_ = false;
  TaskFdWait* reader_ = nullptr;
  TaskFdWait* writer_ = nullptr;
};

/// What waits for a descriptor: the base of all such.
class TaskFdWait : public TaskWait {
 public:
  enum class For : std::uint8_t { reading, writing };

  TaskFdWait(const TaskFdWait&) = delete;
  TaskFdWait& operator=(const TaskFdWait&) = delete;

 protected:
  /// From a handler: it is ready. Either it calls go_on(), or wait_on(). Null: it goes on.
  using OnEvent = void (*)(TaskFdWait& wait, Events events);

  TaskFdWait(TaskFd& fd, For what, OnEvent on_event)
      : fd_(&fd), on_event_(on_event), reads_(what == For::reading) {}
  TaskFdWait(TaskFd& fd, For what, Deadline deadline, OnEvent on_event)
      : TaskWait(deadline), fd_(&fd), on_event_(on_event), reads_(what == For::reading) {}
  ~TaskFdWait() {
    if (!is_plain()) [[unlikely]] {
      stop();
    }
  }

  /// Whether another task waits for the same.
  [[nodiscard]] bool busy() const { return place() != nullptr; }
  /// From await_suspend(). False if there is nothing to wait for, which end() then tells.
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool wait(std::coroutine_handle<Promise> task) {
    const Events wanted = reads_ ? Events::readable : Events::writable;
    if (place() != nullptr || (!any(fd_->interest_, wanted) && !fd_->want_more(wanted))) {
      refuse(fd_->is_open());
      return false;
    }
    if (!TaskWait::wait(task)) {
      return false;
    }
    place() = this;
    set_watches(true);
    return true;
  }
  /// It has not been told enough.
  void wait_on() {
    place() = this;
    set_watches(true);
  }
  /// From await_resume(). Errors as of TaskFd::readable().
  [[nodiscard]] Result<void> end() {
    stop();
    return TaskWait::end();
  }
  [[nodiscard]] bool ended_well() {
    if (is_plain()) [[likely]] {
      return true;
    }
    stop();
    return TaskWait::ended_well();
  }
  /// What was reported last.
  [[nodiscard]] Events events() const { return events_; }

 private:
  friend class TaskFd;

  [[nodiscard]] TaskFdWait*& place() const { return reads_ ? fd_->reader_ : fd_->writer_; }
  void stop() {
    if (watches()) {
      place() = nullptr;
      set_watches(false);
    }
  }
  /// It does not wait any more, unless it says so.
  void event(Events events) {
    set_watches(false);
    events_ = events;
    if (on_event_ == nullptr) {
      go_on();
    } else {
      on_event_(*this, events);
    }
  }

  TaskFd* fd_;
  OnEvent on_event_;
  Events events_ = Events::none;
  bool reads_;
};

class [[nodiscard]] TaskFd::Readiness final : public TaskFdWait {
 public:
  Readiness(TaskFd& fd, For what) : TaskFdWait(fd, what, nullptr) {}
  Readiness(TaskFd& fd, For what, Deadline deadline) : TaskFdWait(fd, what, deadline, nullptr) {}

  [[nodiscard]] bool await_ready() const { return false; }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    return wait(task);
  }
  [[nodiscard]] Result<Events> await_resume() {
    if (!ended_well()) [[unlikely]] {
      return error();
    }
    return events();
  }
};

inline TaskFd::Readiness TaskFd::readable() { return {*this, TaskFdWait::For::reading}; }
inline TaskFd::Readiness TaskFd::readable(Deadline deadline) {
  return {*this, TaskFdWait::For::reading, deadline};
}
inline TaskFd::Readiness TaskFd::writable() { return {*this, TaskFdWait::For::writing}; }
inline TaskFd::Readiness TaskFd::writable(Deadline deadline) {
  return {*this, TaskFdWait::For::writing, deadline};
}

}  // namespace millrace
