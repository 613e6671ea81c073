// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/reactor/task_fd.hpp"
#include "hal/error.hpp"
#include "hal/ring_buffer.hpp"

namespace millrace {

/// Bytes to and from a serial port, a pipe or a stream socket, for tasks: one may read, and one
/// write. What was received and not yet read is in a fixed ring, so a read that fails or is
/// cancelled takes nothing. Sized by StaticTaskStream.
///
///     StaticTaskStream<256> modem;
///     if (auto opened = modem.open(reactor, uart.fd(), TaskStream::Kind::file); !opened) …
///
///     (void)co_await modem.write("ATI\r\n");
///     std::array<char, 80> line;
///     const Result<std::string_view> answer = co_await modem.read_line(line, 500ms);
///
/// Reading costs one system call each time that the loop reports bytes, and none if enough of them
/// have been received before. Each await has a deadline: see Deadline. The errors of all:
///
///     ENODATA    the other side sends nothing more; what is left in the ring can be read
///     EMSGSIZE   more than `into`, or the ring, can hold; nothing is taken
///     EBADF      not open          ECANCELED   closed meanwhile
///     EBUSY      another task reads (or writes) already
///     EPIPE      the other side is gone (writing)
///     ETIMEDOUT, ENOSPC as of Deadline; what read(2) and write(2) fail with
class TaskStream {
 public:
  /// How it is written to: sockets by send(), so that a peer that is gone is no SIGPIPE.
  enum class Kind : std::uint8_t { file, socket };

  TaskStream(const TaskStream&) = delete;
  TaskStream& operator=(const TaskStream&) = delete;

  /// Watches `fd`, which stays the caller's. The ring is empty then. Errors: as of TaskFd::open().
  [[nodiscard]] Result<void> open(Reactor& reactor, int fd, Kind kind,
                                  Priority priority = Priority::normal);
  /// As of TaskFd::close(). What is in the ring can be read.
  void close() { fd_.close(); }
  [[nodiscard]] bool is_open() const { return fd_.is_open(); }
  /// Drops what was received and not read; returns how many bytes.
  std::size_t discard();
  /// Bytes received and not read.
  [[nodiscard]] std::size_t size() const { return ring_.size(); }

  class Reading;
  class ReadingLine;
  class Writing;
  /// Waits for one byte at least: Result<std::size_t>, how many there are in `into`.
  [[nodiscard]] Reading read_some(std::span<std::byte> into, Deadline deadline = {});
  /// Waits until `into` is full: Result<std::size_t>, its size. Not more than the ring holds.
  [[nodiscard]] Reading read_exactly(std::span<std::byte> into, Deadline deadline = {});
  /// Waits for `delimiter`: Result<std::size_t>, how many bytes there are in `into` up to it,
  /// itself included.
  [[nodiscard]] Reading read_until(char delimiter, std::span<std::byte> into,
                                   Deadline deadline = {});
  /// Waits for a line feed: Result<std::string_view>, the text before it, without a carriage return
  /// at its end. It is in `into`, which must hold the ending, too.
  [[nodiscard]] ReadingLine read_line(std::span<char> into, Deadline deadline = {});
  /// Writes all: Result<void>. At once, as far as there is room; the rest as it comes. Of a write
  /// that fails nobody knows how much was written. `bytes` must outlive it.
  [[nodiscard]] Writing write(std::span<const std::byte> bytes, Deadline deadline = {});
  [[nodiscard]] Writing write(std::string_view text, Deadline deadline = {});
  /// Waits until there is something to be read or room to write: Result<Events>. What is in the
  /// ring does not count.
  [[nodiscard]] TaskFd::Readiness readable(Deadline deadline = {}) {
    return fd_.readable(deadline);
  }
  [[nodiscard]] TaskFd::Readiness writable(Deadline deadline = {}) {
    return fd_.writable(deadline);
  }

 protected:
  explicit TaskStream(std::span<std::byte> memory) : ring_(memory) {}
  ~TaskStream() = default;

 private:
  void fill();

  TaskFd fd_;
  RingView ring_;
  int error_ = 0;       ///< of the last read(2)
  bool ended_ = false;  ///< nothing more will be received
  Kind kind_ = Kind::file;
};

class [[nodiscard]] TaskStream::Reading : public TaskFdWait {
 public:
  enum class Until : std::uint8_t { some, full, delimiter };

  Reading(TaskStream& stream, std::span<std::byte> into, Until until, char delimiter,
          Deadline deadline)
      : TaskFdWait(
            stream.fd_, For::reading, deadline,
            [](TaskFdWait& wait, Events /*events*/) { static_cast<Reading&>(wait).on_event(); }),
        stream_(stream),
        into_(into),
        until_(until),
        delimiter_(std::byte(delimiter)) {}

  [[nodiscard]] bool await_ready() { return !busy() && try_take(); }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    return wait(task);
  }
  [[nodiscard]] Result<std::size_t> await_resume();

 private:
  void on_event();
  /// Whether it is decided: taken, or can't be.
  [[nodiscard]] bool try_take();

  TaskStream& stream_;
  std::span<std::byte> into_;
  std::size_t searched_ = 0;  ///< in the ring there is no delimiter before
  std::size_t count_ = 0;
  int error_ = 0;
  Until until_;
  std::byte delimiter_;
};

class [[nodiscard]] TaskStream::ReadingLine final : public Reading {
 public:
  ReadingLine(TaskStream& stream, std::span<char> into, Deadline deadline)
      : Reading(stream, std::as_writable_bytes(into), Until::delimiter, '\n', deadline),
        text_(into.data()) {}

  [[nodiscard]] Result<std::string_view> await_resume();

 private:
  const char* text_;
};

class [[nodiscard]] TaskStream::Writing final : public TaskFdWait {
 public:
  Writing(TaskStream& stream, std::span<const std::byte> bytes, Deadline deadline)
      : TaskFdWait(
            stream.fd_, For::writing, deadline,
            [](TaskFdWait& wait, Events /*events*/) { static_cast<Writing&>(wait).on_event(); }),
        stream_(stream),
        left_(bytes) {}

  [[nodiscard]] bool await_ready() { return !busy() && try_write(); }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    return wait(task);
  }
  [[nodiscard]] Result<void> await_resume();

 private:
  void on_event();
  /// Whether it is decided: all written, or it can't be.
  [[nodiscard]] bool try_write();

  TaskStream& stream_;
  std::span<const std::byte> left_;
  int error_ = 0;
};

inline TaskStream::Reading TaskStream::read_some(std::span<std::byte> into, Deadline deadline) {
  return {*this, into, Reading::Until::some, '\0', deadline};
}
inline TaskStream::Reading TaskStream::read_exactly(std::span<std::byte> into, Deadline deadline) {
  return {*this, into, Reading::Until::full, '\0', deadline};
}
inline TaskStream::Reading TaskStream::read_until(char delimiter, std::span<std::byte> into,
                                                  Deadline deadline) {
  return {*this, into, Reading::Until::delimiter, delimiter, deadline};
}
inline TaskStream::ReadingLine TaskStream::read_line(std::span<char> into, Deadline deadline) {
  return {*this, into, deadline};
}
inline TaskStream::Writing TaskStream::write(std::span<const std::byte> bytes, Deadline deadline) {
  return {*this, bytes, deadline};
}
inline TaskStream::Writing TaskStream::write(std::string_view text, Deadline deadline) {
  return {*this, std::as_bytes(std::span(text)), deadline};
}

/// What is declared before the stream that uses it.
template <std::size_t Bytes>
struct TaskStreamMemory {
  std::array<std::byte, Bytes> bytes;
};

/// A TaskStream with a ring of so many bytes: of the longest line, or of what may come while nobody
/// reads.
template <std::size_t Bytes>
class StaticTaskStream final : private TaskStreamMemory<Bytes>, public TaskStream {
 public:
  StaticTaskStream() : TaskStream(TaskStreamMemory<Bytes>::bytes) {}
};

}  // namespace millrace
