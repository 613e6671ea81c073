// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/task_edges.hpp"

namespace millrace {

Result<void> TaskEdges::open(Reactor& reactor, hal::Gpio& gpio, hal::RequestId request,
                             Priority priority) {
  if (auto opened = fd_.open(reactor, gpio.event_fd(request), priority); !opened) {
    return opened;
  }
  gpio_ = &gpio;
  request_ = request;
  return {};
}

void TaskEdges::close() {
  fd_.close();
  taken_ = count_ = 0;
}

void TaskEdges::Next::on_event() {
  const auto count = edges_.gpio_->read_events(edges_.request_, edges_.events_);
  if (!count) {
    error_ = count.error();
  } else if (*count > 0) {
    edges_.taken_ = 0;
    edges_.count_ = *count;
  } else {
    wait_on();
    return;
  }
  go_on();
}

Result<hal::LineEvent> TaskEdges::Next::await_resume() {
  const auto ended = end();
  if (error_) {
    return std::unexpected(*error_);
  }
  if (!ended) {
    return std::unexpected(ended.error());
  }
  return edges_.events_[edges_.taken_++];
}

}  // namespace millrace
