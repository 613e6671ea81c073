// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/task_stream.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "hal/io.hpp"

namespace millrace {

Result<void> TaskStream::open(Reactor& reactor, int fd, Kind kind, Priority priority) {
  if (auto opened = fd_.open(reactor, fd, priority); !opened) {
    return opened;
  }
  ring_.clear();
  kind_ = kind;
  error_ = 0;
  ended_ = false;
  return {};
}

std::size_t TaskStream::discard() { return ring_.skip(ring_.size()); }

// One system call: the loop reports what is left over. The ring is not full, or nobody would wait.
void TaskStream::fill() {
  const auto free = ring_.claim_write();
  const hal::Transfer got = hal::read(fd_.fd(), free.first, free.second);
  ring_.commit_write(got.count);
  ended_ = got.status == hal::Transfer::Status::closed;
  error_ = got.status == hal::Transfer::Status::failed ? got.error : 0;
}

bool TaskStream::Reading::try_take() {
  RingView& ring = stream_.ring_;
  std::size_t wanted = into_.size();
  bool there = false;
  switch (until_) {
    case Until::some:
      there = !ring.empty() || into_.empty();
      break;
    case Until::full:
      there = ring.size() >= wanted;
      break;
    case Until::delimiter:
      if (const auto at = ring.find({&delimiter_, 1}, searched_)) {
        wanted = *at + 1;
        there = true;
      } else {
        searched_ = ring.size();
        wanted = searched_ + 1;
      }
      break;
  }
  if (until_ != Until::some && wanted > (there ? into_.size() : ring.capacity())) {
    error_ = EMSGSIZE;
  } else if (there) {
    count_ = ring.read(into_.first(std::min(wanted, into_.size())));
  } else if (stream_.error_ != 0) {
    error_ = std::exchange(stream_.error_, 0);
  } else if (stream_.ended_) {
    error_ = ENODATA;
  } else {
    return false;
  }
  return true;
}

void TaskStream::Reading::on_event() {
  stream_.fill();
  try_take() ? go_on() : wait_on();
}

Result<std::size_t> TaskStream::Reading::await_resume() {
  if (const auto ended = end(); !ended) {
    return std::unexpected(ended.error());
  }
  switch (error_) {
    case 0:
      return count_;
    case ENODATA:
      return fail(ENODATA, "the other side sends nothing more");
    case EMSGSIZE:
      return fail(EMSGSIZE, "more bytes than there is room for",
                  "make the stream's ring or the buffer larger, or discard() them");
    default:
      return fail(error_, "cannot read");
  }
}

Result<std::string_view> TaskStream::ReadingLine::await_resume() {
  const auto count = Reading::await_resume();
  if (!count) {
    return std::unexpected(count.error());
  }
  std::string_view line(text_, *count - 1);
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  return line;
}

bool TaskStream::Writing::try_write() {
  if (!stream_.is_open()) {
    return false;  // which wait() tells
  }
  while (!left_.empty()) {
    const hal::Transfer put = stream_.kind_ == Kind::socket ? hal::send(stream_.fd_.fd(), left_)
                                                            : hal::write(stream_.fd_.fd(), left_);
    if (put.status == hal::Transfer::Status::would_block) {
      return false;
    }
    if (!put.done()) {
      error_ = put.error;
      return true;
    }
    left_ = left_.subspan(put.count);
  }
  return true;
}

void TaskStream::Writing::on_event() { try_write() ? go_on() : wait_on(); }

Result<void> TaskStream::Writing::await_resume() {
  if (auto ended = end(); !ended) {
    return ended;
  }
  if (error_ != 0) {
    return fail(error_, "cannot write");
  }
  return {};
}

}  // namespace millrace
