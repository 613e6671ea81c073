// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/task_signal.hpp"

#include <utility>

namespace millrace {

Result<void> TaskSignals::open(Reactor& reactor, std::span<const int> signals, Priority priority) {
  auto opened = hal::SignalFd::open(signals);
  if (!opened) {
    return std::unexpected(opened.error());
  }
  close();
  signals_ = std::move(*opened);
  return fd_.open(reactor, signals_.fd(), priority);
}

void TaskSignals::close() {
  fd_.close();
  signals_.close();
}

void TaskSignals::Next::on_event() {
  received_ = signals_.signals_.read();
  received_ ? go_on() : wait_on();
}

Result<hal::SignalFd::Received> TaskSignals::Next::await_resume() {
  if (const auto ended = end(); !ended) {
    return std::unexpected(ended.error());
  }
  return *received_;
}

}  // namespace millrace
