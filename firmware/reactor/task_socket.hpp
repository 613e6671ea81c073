// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <concepts>
#include <coroutine>
#include <optional>

#include "firmware/reactor/task_fd.hpp"
#include "hal/error.hpp"
#include "hal/fd.hpp"
#include "hal/socket.hpp"

namespace millrace {

/// What accept() returns: to be awaited.
class [[nodiscard]] TaskAccept final : public TaskFdWait {
 public:
  TaskAccept(TaskFd& listener, Deadline deadline)
      : TaskFdWait(
            listener, For::reading, deadline,
            [](TaskFdWait& wait, Events /*events*/) { static_cast<TaskAccept&>(wait).on_event(); }),
        listener_(listener) {}

  [[nodiscard]] bool await_ready() const { return false; }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    return wait(task);
  }
  [[nodiscard]] Result<hal::Accepted> await_resume();

 private:
  void on_event();

  TaskFd& listener_;
  std::optional<Result<hal::Accepted>> accepted_;
};

/// Waits for the next connection of a listener: Result<hal::Accepted>. Errors: as of hal::accept()
/// (out of descriptors: wait a while before the next one, or the loop spins) and of
/// TaskFd::readable(). A connection that was accepted is never lost to a deadline.
[[nodiscard]] inline TaskAccept accept(TaskFd& listener, Deadline deadline = {}) {
  return {listener, deadline};
}

/// What connect() returns: to be awaited. It has the descriptor and the watch until then.
class [[nodiscard]] TaskConnect final : public TaskFdWait {
 public:
  TaskConnect(const hal::SocketAddress& address, Deadline deadline)
      : TaskFdWait(watch_, For::writing, deadline,
                   [](TaskFdWait& wait, Events /*events*/) {
                     static_cast<TaskConnect&>(wait).on_event();
                   }),
        socket_(hal::connect(address)) {}

  [[nodiscard]] bool await_ready() const { return !socket_; }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    return open(task.promise().strand()) && wait(task);
  }
  [[nodiscard]] Result<hal::Fd> await_resume();

 private:
  [[nodiscard]] bool open(const TaskStrand& strand);
  void on_event();

  Result<hal::Fd> socket_;
  TaskFd watch_;
};

/// Connects, and waits until that is decided: Result<hal::Fd>, the socket. Errors: as of
/// hal::connect(), hal::connect_result(), Reactor::watch() and Deadline; the socket is closed then.
[[nodiscard]] inline TaskConnect connect(const hal::SocketAddress& address,
                                         Deadline deadline = {}) {
  return {address, deadline};
}

}  // namespace millrace
