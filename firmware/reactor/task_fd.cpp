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
  (void)reactor_->remove(watch_);
  reactor_ = nullptr;
  watch_ = {};
  interest_ = Events::none;
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

bool TaskFd::want_more(Events interest) {
  if (!is_open()) {
    return false;
  }
  // Those who wait already, too: an error has ended the interest of both, and served one of them.
  want(interest_ | interest | (reader_ != nullptr ? Events::readable : Events::none) |
       (writer_ != nullptr ? Events::writable : Events::none));
  return true;
}

void TaskFd::on_ready(const Message& message) {
  const Events events = message.ready().events;
  if (writer_ == nullptr && reader_ != nullptr && events == Events::readable) {
    std::exchange(reader_, nullptr)->event(events);  // nearly always
  } else {
    serve(events);
  }
}

void TaskFd::serve(Events events) {
  constexpr Events to_all = Events::error | Events::hangup;
  const bool reads =
      reader_ != nullptr && any(events, Events::readable | Events::read_closed | to_all);
  const bool writes = writer_ != nullptr && any(events, Events::writable | to_all);
  if (any(events, to_all)) {
    interest_ = Events::none;  // perhaps it can't be watched any more: the next wait asks again
  }
  // One of them only, as this may be gone when it returns; the other is reported again.
  if (reads && (!writes || !reader_was_first_)) {
    reader_was_first_ = true;
    std::exchange(reader_, nullptr)->event(events);
  } else if (writes) {
    reader_was_first_ = false;
    std::exchange(writer_, nullptr)->event(events);
  } else {
    want((reader_ != nullptr ? Events::readable : Events::none) |
         (writer_ != nullptr ? Events::writable : Events::none));
  }
}

}  // namespace millrace
