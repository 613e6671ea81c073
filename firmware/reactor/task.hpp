// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cerrno>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <source_location>
#include <type_traits>
#include <utility>

#include "firmware/reactor/task_strand.hpp"
#include "firmware/reactor/tasks.hpp"
#include "hal/error.hpp"

namespace millrace {

/// What every task's promise has.
class TaskPromise {
 public:
  template <class... Arguments>
  explicit TaskPromise(Tasks& tasks, const Arguments&... /*arguments*/) : own_tasks(&tasks) {}
  template <class Object, class... Arguments>
  TaskPromise(const Object& /*object*/, Tasks& tasks, const Arguments&... /*arguments*/)
      : own_tasks(&tasks) {}
  TaskPromise(const TaskPromise&) = delete;
  TaskPromise& operator=(const TaskPromise&) = delete;

  // noexcept: null is no frame, which get_return_object_on_allocation_failure() then tells.
  template <class... Arguments>
  static void* operator new(std::size_t size, Tasks& tasks,
                            const Arguments&... /*arguments*/) noexcept {
    return tasks.allocate_frame(size);
  }
  template <class Object, class... Arguments>
  static void* operator new(std::size_t size, const Object& /*object*/, Tasks& tasks,
                            const Arguments&... /*arguments*/) noexcept {
    return tasks.allocate_frame(size);
  }
  // NOLINTNEXTLINE(misc-new-delete-overloads): those above are what it belongs to
  static void operator delete(void* frame, std::size_t size) { Tasks::release_frame(frame, size); }

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  void unhandled_exception() const noexcept {}  // there are none

  struct FinalAwaiter : std::suspend_always {
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> handle) const noexcept {
      TaskPromise& promise = handle.promise();
      promise.own_strand->ended(promise.join_, promise);
    }
  };
  [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }

  [[nodiscard]] TaskStrand& strand() const { return *own_strand; }
  /// Makes it part of a strand; `join` is null for the task that was spawned.
  void attach(TaskStrand& strand, TaskJoin* join) {
    own_strand = &strand;
    join_ = join;
  }

 protected:
  ~TaskPromise() = default;
  [[nodiscard]] Tasks& tasks() const { return *own_tasks; }

 private:
  union {
    Tasks* own_tasks;  ///< until it is attached
    TaskStrand* own_strand;
  };
  TaskJoin* join_ = nullptr;
};

template <class T>
class Task;

/// What is awaited of a task that returns T: a Result is not wrapped in another one.
template <class T>
struct TaskResult {
  using Type = Result<T>;
};
template <class T>
struct TaskResult<Result<T>> {
  using Type = Result<T>;
};

template <class T, class Derived>
// NOLINTNEXTLINE(bugprone-crtp-constructor-accessibility): inherited
class TaskPromiseOf : public TaskPromise {
 public:
  using TaskPromise::TaskPromise;

  [[nodiscard]] Task<T> get_return_object(
      std::source_location where = std::source_location::current()) {
    const auto handle = std::coroutine_handle<Derived>::from_promise(static_cast<Derived&>(*this));
    tasks().name_frame(handle.address(), where.function_name());
    return Task<T>(handle);
  }
  [[nodiscard]] static Task<T> get_return_object_on_allocation_failure() noexcept {
    return Task<T>();
  }

  typename TaskResult<T>::Type result = fail(ECANCELED, "the task has not ended");

 protected:
  ~TaskPromiseOf() = default;
};

template <class T>
class TaskPromiseFor final : public TaskPromiseOf<T, TaskPromiseFor<T>> {
 public:
  using TaskPromiseOf<T, TaskPromiseFor<T>>::TaskPromiseOf;
  template <class Value = typename TaskResult<T>::Type>
  void return_value(Value&& value) {
    this->result = std::forward<Value>(value);
  }
};
template <>
class TaskPromiseFor<void> final : public TaskPromiseOf<void, TaskPromiseFor<void>> {
 public:
  using TaskPromiseOf<void, TaskPromiseFor<void>>::TaskPromiseOf;
  void return_void() { this->result = {}; }
};

/// A coroutine of the loop: sequential code that waits with co_await and blocks nobody. A call does
/// nothing but take a frame from the pool of its first argument, a Tasks&; it begins when it is
/// awaited by another task, or spawned in a TaskScope.
///
///     Task<int> sum(Tasks& tasks, Stream& a, Stream& b);   // co_return 5;  or  co_return fail(…);
///     Result<int> result = co_await sum(tasks, a, b);      // of Task<Result<int>>, too
///     Task<Result<void>> send(Tasks& tasks, …);            // co_return {};
///     Task<> blink(Tasks& tasks, …);                       // co_return;
///
/// What a task awaits ends with it: to destroy a task's frame destroys the frames that it awaits,
/// and takes back what they wait for. References among its parameters must outlive it, as ever;
/// values are moved into the frame.
///
/// Awaiting: ENOBUFS if there was no memory for the frame. It costs no system call. A task is
/// awaited once.
template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = TaskPromiseFor<T>;
  using result_type = typename TaskResult<T>::Type;

  Task() = default;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { reset(); }

  /// False if there was no memory for its frame, or it was moved or awaited.
  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(handle_); }

  /// Ends it: not while it runs.
  void reset() {
    if (handle_) {
      std::exchange(handle_, nullptr).destroy();
    }
  }

  [[nodiscard]] bool await_ready() const { return !handle_; }
  template <std::derived_from<TaskPromise> Promise>
  void await_suspend(std::coroutine_handle<Promise> parent) {
    TaskStrand& strand = parent.promise().strand();
    join_.parent = parent;
    strand.run_next(attach(strand, join_));
  }
  [[nodiscard]] result_type await_resume() { return take(); }

  // --- For what is made of tasks ---------------------------------------------------------------

  /// Has it tell `join` when it ends. Null if it has no frame.
  std::coroutine_handle<> attach(TaskStrand& strand, TaskJoin& join) {
    if (handle_) {
      handle_.promise().attach(strand, &join);
    }
    return handle_;
  }
  [[nodiscard]] bool is(const TaskPromise* promise) const {
    return handle_ && &handle_.promise() == promise;
  }
  /// What came of it; its frame ends.
  [[nodiscard]] result_type take() {
    if (!handle_) {
      return no_frame();
    }
    result_type result = std::move(handle_.promise().result);
    reset();
    return result;
  }
  [[nodiscard]] static std::unexpected<Error> no_frame() {
    return fail(ENOBUFS, "there is no memory left for tasks",
                "raise task_memory in the board's capacities");
  }

 private:
  friend class TaskScope;

  std::coroutine_handle<promise_type> handle_;
  TaskJoin join_;
};

}  // namespace millrace
