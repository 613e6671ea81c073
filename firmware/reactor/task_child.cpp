// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/task_child.hpp"

namespace millrace {

bool TaskChildExit::open(const TaskStrand& strand) {
  if (const auto opened = watch_.open(strand.reactor(), child_->get(), strand.priority());
      !opened) {
    child_ = std::unexpected(opened.error());
    return false;
  }
  return true;
}

Result<hal::ChildExit> TaskChildExit::await_resume() {
  const auto ended = end();
  watch_.close();  // before the descriptor is
  if (!child_) {
    return std::unexpected(child_.error());
  }
  if (!ended) {
    return std::unexpected(ended.error());
  }
  return hal::reap_child(child_->get());
}

}  // namespace millrace
