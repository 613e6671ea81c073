// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/reactor/file.hpp"
#include "firmware/reactor/task_wait.hpp"
#include "hal/error.hpp"

namespace millrace {

/// What the functions below return: to be awaited. Result<std::size_t>, the bytes read or
/// written. Errors as of the operation, and of Deadline. If its time is up or the task ends,
/// what was begun is taken back or goes on as of File::cancel(): memory that was given, a part of
/// the task's frame, say, is not touched any more.
template <std::invocable<Handler> Begin>
class [[nodiscard]] TaskFile final : public TaskWait {
 public:
  TaskFile(File& file, Begin begin, Deadline deadline)
      : TaskWait(deadline), file_(file), begin_(begin) {}
  TaskFile(const TaskFile&) = delete;
  TaskFile& operator=(const TaskFile&) = delete;
  ~TaskFile() { stop(); }

  [[nodiscard]] bool await_ready() const { return false; }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    if (!wait(task)) {
      return false;
    }
    begun_ = begin_(Handler::to<&TaskFile::on_done>(*this));
    waits_ = begun_.has_value();
    return waits_;
  }
  [[nodiscard]] Result<std::size_t> await_resume() {
    stop();
    if (!begun_) {
      return std::unexpected(begun_.error());
    }
    if (!ended_well()) {
      return error();
    }
    return outcome_.result();
  }

 private:
  void on_done(const Message& message) {
    waits_ = false;
    outcome_ = message.load<FileOutcome>();
    go_on();
  }
  void stop() {
    if (waits_) {
      waits_ = false;
      file_.cancel();
    }
  }

  File& file_;
  Begin begin_;
  Result<void> begun_;
  bool waits_ = false;
  FileOutcome outcome_;
};

// As of File's functions. Each of the arguments must outlive the await.
//
//     const auto count = co_await read(file, 0, buffer, 1s);

[[nodiscard]] inline auto open(File& file, std::string_view path, hal::FileMode mode,
                               Deadline deadline = {}) {
  return TaskFile(
      file, [&file, path, mode](Handler done) { return file.open(path, mode, done); }, deadline);
}
[[nodiscard]] inline auto look(File& file, Deadline deadline = {}) {
  return TaskFile(file, [&file](Handler done) { return file.look(done); }, deadline);
}
[[nodiscard]] inline auto read(File& file, std::uint64_t offset, std::span<std::byte> into,
                               Deadline deadline = {}) {
  return TaskFile(
      file, [&file, offset, into](Handler done) { return file.read(offset, into, done); },
      deadline);
}
[[nodiscard]] inline auto write(File& file, std::uint64_t offset, std::span<const std::byte> from,
                                Deadline deadline = {}) {
  return TaskFile(
      file, [&file, offset, from](Handler done) { return file.write(offset, from, done); },
      deadline);
}
[[nodiscard]] inline auto append(File& file, std::span<const std::byte> from,
                                 Deadline deadline = {}) {
  return TaskFile(file, [&file, from](Handler done) { return file.append(from, done); }, deadline);
}
[[nodiscard]] inline auto sync(File& file, Deadline deadline = {}) {
  return TaskFile(file, [&file](Handler done) { return file.sync(done); }, deadline);
}
[[nodiscard]] inline auto close(File& file, Deadline deadline = {}) {
  return TaskFile(file, [&file](Handler done) { return file.close(done); }, deadline);
}
[[nodiscard]] inline auto replace(File& file, std::string_view path,
                                  std::span<const std::byte> content, Deadline deadline = {}) {
  return TaskFile(
      file, [&file, path, content](Handler done) { return file.replace(path, content, done); },
      deadline);
}
[[nodiscard]] inline auto rename(File& file, std::string_view path, std::string_view to,
                                 Deadline deadline = {}) {
  return TaskFile(
      file, [&file, path, to](Handler done) { return file.rename(path, to, done); }, deadline);
}

}  // namespace millrace
