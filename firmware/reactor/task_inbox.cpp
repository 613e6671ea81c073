// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/task_inbox.hpp"

#include <algorithm>

namespace millrace {

void TaskInbox::on_message(const Message& message) {
  for (TaskLink* link = &waiting_.first(); link != &waiting_; link = &link->next()) {
    Receiving& wait = *static_cast<Receiving::Link&>(*link).wait;
    if (wait.wants(message)) {
      wait.place_.unlink();
      wait.message_ = message;
      wait.go_on();
      return;
    }
  }
  if (size_ == memory_.size()) {
    ++refused_;
    return;
  }
  memory_[size_++] = message;
}

bool TaskInbox::Receiving::await_ready() {
  const auto kept = inbox_.memory_.first(inbox_.size_);
  const auto found =
      std::ranges::find_if(kept, [this](const Message& message) { return wants(message); });
  if (found == kept.end()) {
    return false;
  }
  message_ = *found;
  std::move(found + 1, kept.end(), found);
  --inbox_.size_;
  return true;
}

Result<Message> TaskInbox::Receiving::await_resume() {
  place_.unlink();
  if (const auto ended = end(); !ended) {
    return std::unexpected(ended.error());
  }
  return message_;
}

}  // namespace millrace
