// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>

#include "firmware/reactor/task.hpp"
#include "firmware/reactor/task_strand.hpp"
#include "firmware/reactor/task_wait.hpp"
#include "hal/error.hpp"

namespace millrace {

/// What when_all() and when_any() have in common.
template <class... Ts>
class TaskGroupOf : protected TaskGroup {
  static_assert(sizeof...(Ts) > 0);

 public:
  TaskGroupOf(const TaskGroupOf&) = delete;
  TaskGroupOf& operator=(const TaskGroupOf&) = delete;

 protected:
  explicit TaskGroupOf(Task<Ts>... tasks) : tasks_(std::move(tasks)...) {}
  ~TaskGroupOf() = default;

  template <std::derived_from<TaskPromise> Promise>
  void begin(std::coroutine_handle<Promise> task) {
    TaskStrand& strand = task.promise().strand();
    parent = task;
    children = handles_.data();
    std::apply([&](auto&... each) { (add(each.attach(strand, *this)), ...); }, tasks_);
    strand.begin(*this);
  }

  std::tuple<Task<Ts>...> tasks_;

 private:
  std::array<std::coroutine_handle<>, sizeof...(Ts)> handles_;
};

/// What when_all() returns: to be awaited.
template <class... Ts>
class [[nodiscard]] TaskAll final : private TaskGroupOf<Ts...> {
 public:
  using result_type = std::tuple<typename TaskResult<Ts>::Type...>;

  explicit TaskAll(Task<Ts>... tasks) : TaskGroupOf<Ts...>(std::move(tasks)...) {}

  [[nodiscard]] bool await_ready() {
    this->remaining =
        std::apply([](const auto&... each) { return (0U + ... + (each ? 1U : 0U)); }, this->tasks_);
    return this->remaining == 0;
  }
  template <std::derived_from<TaskPromise> Promise>
  void await_suspend(std::coroutine_handle<Promise> task) {
    this->begin(task);
  }
  [[nodiscard]] result_type await_resume() {
    return std::apply([](auto&... each) { return result_type{each.take()...}; }, this->tasks_);
  }
};

/// Runs tasks side by side until all have ended: a std::tuple of their Results, in their order.
/// They begin in order, each until it waits. A task without a frame counts as ended, with ENOBUFS.
///
///     const auto [left, right] = co_await when_all(measure(tasks, a), measure(tasks, b));
template <class... Ts>
[[nodiscard]] TaskAll<Ts...> when_all(Task<Ts>... tasks) {
  return TaskAll<Ts...>(std::move(tasks)...);
}

/// What when_any() returns: to be awaited.
template <class... Ts>
class [[nodiscard]] TaskAny final : private TaskGroupOf<Ts...> {
 public:
  using result_type = std::variant<typename TaskResult<Ts>::Type...>;

  explicit TaskAny(Task<Ts>... tasks) : TaskGroupOf<Ts...>(std::move(tasks)...) {}

  [[nodiscard]] bool await_ready() const {
    return std::apply([](const auto&... each) { return (!each || ...); }, this->tasks_);
  }
  template <std::derived_from<TaskPromise> Promise>
  void await_suspend(std::coroutine_handle<Promise> task) {
    this->begin(task);
  }
  [[nodiscard]] result_type await_resume() { return take(std::index_sequence_for<Ts...>()); }

 private:
  template <std::size_t... Is>
  result_type take(std::index_sequence<Is...> /*indices*/) {
    std::optional<result_type> result;
    (take_if_first<Is>(result), ...);
    std::apply([](auto&... each) { (each.reset(), ...); }, this->tasks_);
    return std::move(*result);
  }
  template <std::size_t I>
  void take_if_first(std::optional<result_type>& result) {
    auto& task = std::get<I>(this->tasks_);
    if (!result && (this->first != nullptr ? task.is(this->first) : !task)) {
      result.emplace(std::in_place_index<I>, task.take());
    }
  }
};

/// Runs tasks side by side until the first has ended, and cancels the others: a std::variant of
/// their Results, whose index() says which. They begin in order, each until it waits; if one ends
/// before that, those behind it do not begin. If one has no frame, it has ended first, with
/// ENOBUFS.
///
///     const auto first = co_await when_any(button(tasks), command(tasks));
///     if (first.index() == 0) …
template <class... Ts>
[[nodiscard]] TaskAny<Ts...> when_any(Task<Ts>... tasks) {
  return TaskAny<Ts...>(std::move(tasks)...);
}

/// What within() returns: to be awaited.
template <class T>
class [[nodiscard]] TaskWithin final : public TaskWait {
 public:
  TaskWithin(Deadline deadline, Task<T> task) : TaskWait(deadline), task_(std::move(task)) {}

  [[nodiscard]] bool await_ready() const { return !task_; }
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) {
    if (!wait(task)) {
      return false;
    }
    TaskStrand& strand = task.promise().strand();
    join_.parent = task;
    strand.run_next(task_.attach(strand, join_));
    return true;
  }
  [[nodiscard]] typename Task<T>::result_type await_resume() {
    if (const auto ended = end(); !ended) {
      task_.reset();
      return std::unexpected(ended.error());
    }
    return task_.take();
  }

 private:
  TaskJoin join_;
  Task<T> task_;
};

/// Runs a task that is cancelled when the deadline passes: its Result, or ETIMEDOUT.
///
///     const auto answer = co_await within(2s, request(tasks, port));
template <class T>
[[nodiscard]] TaskWithin<T> within(Deadline deadline, Task<T> task) {
  return TaskWithin<T>(deadline, std::move(task));
}

}  // namespace millrace
