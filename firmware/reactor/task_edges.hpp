// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <optional>

#include "firmware/reactor/task_fd.hpp"
#include "hal/error.hpp"
#include "hal/gpio.hpp"

namespace millrace {

/// The edges of lines that were requested together, as tasks wait for them.
///
///     TaskEdges button;
///     if (auto opened = button.open(reactor, gpio, request); !opened) …
///     const Result<hal::LineEvent> edge = co_await button.next(1s);
class TaskEdges {
 public:
  /// Watches the request, which stays the caller's. Errors: as of TaskFd::open().
  [[nodiscard]] Result<void> open(Reactor& reactor, hal::Gpio& gpio, hal::RequestId request,
                                  Priority priority = Priority::normal);
  /// As of TaskFd::close(). Before the request is released. Edges not yet taken are dropped.
  void close();

  class Next;
  /// Waits for the next edge: Result<hal::LineEvent>. Those that come while nobody waits are kept,
  /// 16 here and the others by the kernel; a gap in LineEvent::sequence tells of those it dropped.
  /// One task at a time. Errors: as of Gpio::read_events() and TaskFd::readable().
  [[nodiscard]] Next next(Deadline deadline = {});

 private:
  TaskFd fd_;
  hal::Gpio* gpio_ = nullptr;
  hal::RequestId request_{};
  std::array<hal::LineEvent, 16> events_;
  std::size_t taken_ = 0;
  std::size_t count_ = 0;
};

class [[nodiscard]] TaskEdges::Next final : public TaskFdWait {
 public:
  Next(TaskEdges& edges, Deadline deadline)
      : TaskFdWait(
            edges.fd_, For::reading, deadline,
            [](TaskFdWait& wait, Events /*events*/) { static_cast<Next&>(wait).on_event(); }),
        edges_(edges) {}

  [[nodiscard]] bool await_ready() const { return edges_.taken_ < edges_.count_; }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    return wait(task);
  }
  [[nodiscard]] Result<hal::LineEvent> await_resume();

 private:
  void on_event();

  TaskEdges& edges_;
  std::optional<Error> error_;
};

inline TaskEdges::Next TaskEdges::next(Deadline deadline) { return {*this, deadline}; }

}  // namespace millrace
