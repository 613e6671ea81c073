// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/task_fd.hpp"

#include <utility>

namespace millrace {

Result<void> TaskFd::open(Reactor& reactor, int fd, Priority priority) {
  if (is_open()) {
    return fail(EALREADY, "the descriptor is open for tasks already", "close it first");
  }
  const auto watch =
      reactor.watch(fd, Events::none, Handler::to<&TaskFd::on_ready>(*this), priority);
  if (!watch) {
    return std::unexpected(watch.error());
  }
  reactor_ = &reactor;
  watch_ = *watch;
  interest_ = Events::none;
  return {};
}

void TaskFd::close() {
  if (!is_open()) {
    return;
  }
  reactor_->remove(watch_);
  reactor_ = nullptr;
  watch_ = {};
  for (TaskFdWait* const wait : {reader_, writer_}) {
    if (wait != nullptr) {
      wait->stop();
      wait->abandon();
    }
  }
}

void TaskFd::want(Events interest) {
  interest_ = interest;
  (void)reactor_->modify(watch_, interest);
}

void TaskFd::on_ready(const Message& message) {
  constexpr Events to_all = Events::error | Events::hangup;
  const Events events = message.ready().events;
  TaskFdWait* const reader =
      any(events, Events::readable | Events::read_closed | to_all) ? reader_ : nullptr;
  TaskFdWait* const writer = any(events, Events::writable | to_all) ? writer_ : nullptr;
  if (any(events, to_all)) {
    interest_ = Events::none;  // perhaps it can't be watched any more: the next wait asks again
  }
  // One of them only, as this may be gone when it returns; the other is reported again.
  if (reader != nullptr && (writer == nullptr || !reader_was_first_)) {
    reader_was_first_ = true;
    reader->on_event_(*reader, events);
  } else if (writer != nullptr) {
    reader_was_first_ = false;
    writer->on_event_(*writer, events);
  } else {
    want((reader_ != nullptr ? Events::readable : Events::none) |
         (writer_ != nullptr ? Events::writable : Events::none));
  }
}

Result<void> TaskFdWait::refuse() const {
  return refused_ == EBADF ? fail(EBADF, "the descriptor is not open for tasks", "open it first")
                           : fail(EBUSY, "another task waits for the same already",
                                  "have one task read, and one write");
}

}  // namespace millrace
