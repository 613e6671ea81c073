// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <concepts>
#include <coroutine>
#include <optional>
#include <span>

#include "firmware/reactor/task_fd.hpp"
#include "hal/error.hpp"
#include "hal/signal_fd.hpp"

namespace millrace {

/// Signals, as tasks wait for them.
///
///     TaskSignals signals;
///     if (auto opened = signals.open(reactor, hal::stop_signals); !opened) …
///     const auto received = co_await signals.next();
class TaskSignals {
 public:
  /// Blocks them, and watches them: see hal::SignalFd::open(). Errors: as of that and
  /// TaskFd::open().
  [[nodiscard]] Result<void> open(Reactor& reactor, std::span<const int> signals,
                                  Priority priority = Priority::normal);
  /// As of TaskFd::close(). The signals stay blocked.
  void close();

  class Next;
  /// Waits for the next signal: Result<hal::SignalFd::Received>. Those that come while nobody waits
  /// are kept by the kernel, one of each. One task at a time. Errors: as of TaskFd::readable().
  [[nodiscard]] Next next(Deadline deadline = {});

 private:
  hal::SignalFd signals_;
  TaskFd fd_;  // after the descriptor, so that it is not watched any more when that is closed
};

class [[nodiscard]] TaskSignals::Next final : public TaskFdWait {
 public:
  Next(TaskSignals& signals, Deadline deadline)
      : TaskFdWait(
            signals.fd_, For::reading, deadline,
            [](TaskFdWait& wait, Events /*events*/) { static_cast<Next&>(wait).on_event(); }),
        signals_(signals) {}

  [[nodiscard]] bool await_ready() const { return false; }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    return wait(task);
  }
  [[nodiscard]] Result<hal::SignalFd::Received> await_resume();

 private:
  void on_event();

  TaskSignals& signals_;
  std::optional<hal::SignalFd::Received> received_;
};

inline TaskSignals::Next TaskSignals::next(Deadline deadline) { return {*this, deadline}; }

}  // namespace millrace
