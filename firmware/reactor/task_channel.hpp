// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "firmware/reactor/task_link.hpp"
#include "firmware/reactor/task_wait.hpp"
#include "hal/error.hpp"

namespace millrace {

/// Who waits at one end of a channel, and how much is promised to those who are about to go on.
class TaskQueueEnd {
 public:
  class Place;

  [[nodiscard]] bool nobody_waits() const { return waiting_.alone(); }
  [[nodiscard]] std::uint32_t promised() const { return promised_; }

  /// `available` can be taken now: as many who wait go on, first come, first served.
  void serve(std::uint32_t available);
  /// They get ECANCELED.
  void abandon();

 private:
  TaskLink waiting_;
  std::uint32_t promised_ = 0;
};

/// A task that waits there.
class TaskQueueEnd::Place : public TaskWait {
 protected:
  Place(TaskQueueEnd& end, Deadline deadline) : TaskWait(deadline), end_(&end) {}
  ~Place() = default;

  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool wait(std::coroutine_handle<Promise> task) {
    if (!TaskWait::wait(task)) {
      return false;
    }
    place_.wait = this;
    end_->waiting_.append(place_);
    return true;
  }
  /// Leaves; returns whether it had been promised something, which is its own then.
  bool leave() {
    place_.unlink();
    if (!promised_) {
      return false;
    }
    promised_ = false;
    --end_->promised_;
    return true;
  }

 private:
  friend class TaskQueueEnd;

  struct Link : TaskLink {
    Place* wait = nullptr;
  };

  TaskQueueEnd* end_;
  Link place_;
  bool promised_ = false;
};

/// Elements of type T that tasks pass to tasks, N of them at the most waiting, first in, first out.
/// send() waits for room, receive() for an element; handlers and tasks that do not want to wait use
/// try_send() and try_receive(). Each end is served first come, first served. What a task that is
/// cancelled has not received yet, another one receives.
///
///     TaskChannel<Reading, 8> readings;
///     (void)co_await readings.send(reading);
///     while (const auto reading = co_await readings.receive()) …
///
/// Loop thread only. No system call. Must outlive the tasks that wait for it.
template <class T, std::size_t N>
class TaskChannel {
  static_assert(N > 0 && N < UINT32_MAX);

 public:
  TaskChannel() = default;
  TaskChannel(const TaskChannel&) = delete;
  TaskChannel& operator=(const TaskChannel&) = delete;
  ~TaskChannel() = default;

  class Sending;
  class Receiving;
  /// Result<void>. Errors: ECANCELED (closed), as of Deadline; nothing was sent then.
  [[nodiscard]] Sending send(T element, Deadline deadline = {}) {
    return {*this, std::move(element), deadline};
  }
  /// Result<T>. Errors: ECANCELED (closed, and nothing is left), as of Deadline.
  [[nodiscard]] Receiving receive(Deadline deadline = {}) { return {*this, deadline}; }

  /// False if there is no room that is not promised to a task, or it is closed.
  [[nodiscard]] bool try_send(const T& element) {
    if (closed_ || room() == 0) {
      return false;
    }
    put(element);
    return true;
  }
  /// Nothing if there is no element that is not promised to a task.
  [[nodiscard]] std::optional<T> try_receive() {
    return left() == 0 ? std::nullopt : std::optional<T>(take());
  }

  /// Nothing more is sent: who waits to send gets ECANCELED, and who receives, when nothing is
  /// left.
  void close() {
    closed_ = true;
    senders_.abandon();
    receivers_.abandon();  // who waits has found it empty
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] static constexpr std::size_t capacity() { return N; }

 private:
  [[nodiscard]] std::uint32_t room() const {
    return static_cast<std::uint32_t>(N) - size_ - senders_.promised();
  }
  [[nodiscard]] std::uint32_t left() const { return size_ - receivers_.promised(); }
  void put(T element) {
    elements_[(std::size_t{first_} + size_) % N] = std::move(element);
    ++size_;
    receivers_.serve(left());
  }
  [[nodiscard]] T take() {
    T element = std::move(elements_[first_]);
    first_ = static_cast<std::uint32_t>((std::size_t{first_} + 1) % N);
    --size_;
    senders_.serve(room());
    return element;
  }

  TaskQueueEnd senders_;
  TaskQueueEnd receivers_;
  std::uint32_t first_ = 0;
  std::uint32_t size_ = 0;
  bool closed_ = false;
  std::array<T, N> elements_{};
};

template <class T, std::size_t N>
class [[nodiscard]] TaskChannel<T, N>::Sending final : public TaskQueueEnd::Place {
 public:
  Sending(TaskChannel& channel, T element, Deadline deadline)
      : Place(channel.senders_, deadline), channel_(channel), element_(std::move(element)) {}
  Sending(const Sending&) = delete;
  Sending& operator=(const Sending&) = delete;
  ~Sending() {
    if (leave()) {
      channel_.senders_.serve(channel_.room());
    }
  }

  [[nodiscard]] bool await_ready() const {
    return channel_.closed_ || (channel_.senders_.nobody_waits() && channel_.room() > 0);
  }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    return this->wait(task);
  }
  [[nodiscard]] Result<void> await_resume() {
    (void)leave();
    if (auto ended = end(); !ended) {
      return ended;
    }
    if (channel_.closed_) {
      return fail(ECANCELED, "the channel is closed");
    }
    channel_.put(std::move(element_));
    return {};
  }

 private:
  TaskChannel& channel_;
  T element_;
};

template <class T, std::size_t N>
class [[nodiscard]] TaskChannel<T, N>::Receiving final : public TaskQueueEnd::Place {
 public:
  Receiving(TaskChannel& channel, Deadline deadline)
      : Place(channel.receivers_, deadline), channel_(channel) {}
  Receiving(const Receiving&) = delete;
  Receiving& operator=(const Receiving&) = delete;
  ~Receiving() {
    if (leave()) {
      channel_.receivers_.serve(channel_.left());
    }
  }

  [[nodiscard]] bool await_ready() const {
    return (channel_.receivers_.nobody_waits() && channel_.left() > 0) ||
           (channel_.closed_ && channel_.left() == 0);
  }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    return this->wait(task);
  }
  [[nodiscard]] Result<T> await_resume() {
    const bool promised = leave();
    if (const auto ended = end(); !ended) {
      return std::unexpected(ended.error());
    }
    if (!promised && channel_.left() == 0) {
      return fail(ECANCELED, "the channel is closed");
    }
    return channel_.take();
  }

 private:
  TaskChannel& channel_;
};

}  // namespace millrace
