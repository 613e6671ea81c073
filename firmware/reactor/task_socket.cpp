// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/task_socket.hpp"

#include <utility>

namespace millrace {

void TaskAccept::on_event() {
  auto accepted = hal::accept(listener_.fd());
  if (!accepted) {
    accepted_.emplace(std::unexpected(accepted.error()));
  } else if (*accepted) {
    accepted_.emplace(std::move(**accepted));
  } else {
    wait_on();  // it has gone away again
    return;
  }
  go_on();
}

Result<hal::Accepted> TaskAccept::await_resume() {
  if (const auto ended = end(); !ended) {
    return std::unexpected(ended.error());
  }
  return std::move(*accepted_);
}

bool TaskConnect::open(const TaskStrand& strand) {
  if (const auto opened = watch_.open(strand.reactor(), socket_->get(), strand.priority());
      !opened) {
    socket_ = std::unexpected(opened.error());
    return false;
  }
  return true;
}

void TaskConnect::on_event() {
  if (const auto connected = hal::connect_result(socket_->get()); !connected) {
    watch_.close();
    socket_ = std::unexpected(connected.error());
  }
  go_on();
}

Result<hal::Fd> TaskConnect::await_resume() {
  auto ended = end();
  watch_.close();  // before the descriptor is
  if (!socket_) {
    return std::unexpected(socket_.error());
  }
  if (!ended) {
    return std::unexpected(ended.error());
  }
  return std::move(socket_);
}

}  // namespace millrace
