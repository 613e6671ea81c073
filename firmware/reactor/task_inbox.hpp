// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "firmware/reactor/message.hpp"
#include "firmware/reactor/task_link.hpp"
#include "firmware/reactor/task_wait.hpp"
#include "hal/error.hpp"

namespace millrace {

/// Messages for tasks: whoever has its handler() can post to it, from any thread, too, and tasks
/// wait for the next one, or the next one of a code. One that somebody waits for is his within its
/// own dispatch; others are kept, first in, first out. Sized by StaticTaskInbox.
///
///     StaticTaskInbox<8> inbox;
///     (void)reactor.post_from_any_thread(inbox.handler(), message);
///     const Result<Message> message = co_await inbox.receive(code, 1s);
class TaskInbox {
 public:
  TaskInbox(const TaskInbox&) = delete;
  TaskInbox& operator=(const TaskInbox&) = delete;

  /// For Reactor::post(), add_timer(), watch() and so on. The inbox must outlive what refers to it.
  [[nodiscard]] Handler handler() { return Handler::to<&TaskInbox::on_message>(*this); }

  class Receiving;
  /// Waits for a message: Result<Message>. Of those who wait for the same, the first gets it.
  /// Errors: as of Deadline.
  [[nodiscard]] Receiving receive(Deadline deadline = {});
  /// The same of this code (Message::code).
  [[nodiscard]] Receiving receive(std::uint16_t code, Deadline deadline = {});

  /// Messages that nobody has waited for yet.
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Messages dropped, as there was no room to keep them: the newest.
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 protected:
  explicit TaskInbox(std::span<Message> memory) : memory_(memory) {}
  ~TaskInbox() = default;

 private:
  void on_message(const Message& message);

  std::span<Message> memory_;
  TaskLink waiting_;
  std::size_t size_ = 0;
  std::uint64_t refused_ = 0;
};

class [[nodiscard]] TaskInbox::Receiving final : public TaskWait {
 public:
  Receiving(TaskInbox& inbox, std::optional<std::uint16_t> code, Deadline deadline)
      : TaskWait(deadline), inbox_(inbox), code_(code) {}

  [[nodiscard]] bool await_ready();
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    place_.wait = this;
    inbox_.waiting_.append(place_);
    return wait(task);
  }
  [[nodiscard]] Result<Message> await_resume();

 private:
  friend class TaskInbox;

  struct Link : TaskLink {
    Receiving* wait = nullptr;
  };
  [[nodiscard]] bool wants(const Message& message) const {
    return !code_ || *code_ == message.code;
  }

  TaskInbox& inbox_;
  std::optional<std::uint16_t> code_;
  Link place_;
  Message message_;
};

inline TaskInbox::Receiving TaskInbox::receive(Deadline deadline) {
  return {*this, std::nullopt, deadline};
}
inline TaskInbox::Receiving TaskInbox::receive(std::uint16_t code, Deadline deadline) {
  return {*this, code, deadline};
}

/// What is declared before the inbox that uses it.
template <std::size_t N>
struct TaskInboxMemory {
  std::array<Message, N> messages;
};

/// A TaskInbox that keeps up to N messages.
template <std::size_t N>
class StaticTaskInbox final : private TaskInboxMemory<N>, public TaskInbox {
 public:
  StaticTaskInbox() : TaskInbox(TaskInboxMemory<N>::messages) {}
};

}  // namespace millrace
