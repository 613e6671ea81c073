// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "firmware/reactor/reactor.hpp"
#include "firmware/reactor/task_link.hpp"
#include "hal/error.hpp"
#include "hal/segregated_pool.hpp"

namespace millrace {

class TaskScope;
class TaskStrand;

/// A task that can go on, and waits for its turn to. Part of what it waited for.
struct TaskReady : TaskLink {
  std::coroutine_handle<> handle;
  TaskStrand* strand = nullptr;
};

/// What a kind of task takes: of each function that is a coroutine, there is one.
struct TaskType {
  const char* name = "";         ///< the function's, as the compiler writes it
  std::uint32_t frame = 0;       ///< bytes of its frame
  std::uint32_t live = 0;        ///< frames that there are
  std::uint32_t high_water = 0;  ///< the most there ever were at once
};

struct TaskStatistics {
  SegregatedPool::Statistics memory;  ///< of frames, and of some 140 bytes for each spawned task
  std::uint32_t frames = 0;           ///< tasks that there are, those that wait for others included
  std::uint32_t frames_high_water = 0;
  std::uint32_t largest_frame = 0;  ///< bytes
  std::uint64_t refused = 0;        ///< calls for which there was no frame left
  std::uint64_t resumed = 0;        ///< times that a task began or went on in a message of its own
};

/// Where tasks live: the memory of their frames, the loop that they run in, and the queue of those
/// that can go on. A coroutine finds all that in its first parameter (its second, if it is a member
/// function or a lambda):
///
///     Task<> blink(Tasks& tasks, Led& led) {
///       for (;;) {
///         led.toggle();
///         (void)co_await sleep_for(250ms);
///       }
///     }
///
/// A task runs only within messages of the loop, and one at a time: it is resumed by the handler of
/// what it has waited for, in the order, at the priority and on the budget of that message; one
/// that waits for nothing outside (a spawned task that begins, yield(), a channel) by a notifier of
/// its priority. So whatever holds for handlers between two messages holds for tasks between two
/// co_await: nobody else runs.
///
/// For want of memory a call yields a Task without a frame, which does nothing: to await or to
/// spawn it gives ENOBUFS. So does one whose frame would be larger than max_frame. Nothing else is
/// allocated anywhere.
///
/// What to avoid, as compilers get it wrong: a lambda with captures written within a co_await
/// expression is destroyed twice (g++ 12 to 14: make it a variable before); a lambda that is itself
/// a coroutine with captures ends before its frame does, with any compiler; a braced list as an
/// argument within a co_await expression (name the type); structured bindings of co_await in a loop
/// (g++ 15); co_await as the condition of an if or a while, with which g++ 12 may drop the whole
/// body without a word (declare a variable: `while (const auto edge = co_await …)`).
///
/// Loop thread only. Sized by StaticTasks.
class Tasks {
 public:
  /// Bytes of the largest frame that there can be. With g++ whatever is awaited has a place of its
  /// own in the frame, some 100 bytes each; clang has those share it that are not awaited together.
  static constexpr std::size_t max_frame = SegregatedPool::largest - sizeof(void*);

  /// Kinds of tasks whose frames are told apart; those of others are counted together.
  static constexpr std::size_t max_types = 32;

  /// `memory` and `reactor` must outlive the tasks, and these all their scopes.
  Tasks(Reactor& reactor, std::span<std::byte> memory);
  Tasks(const Tasks&) = delete;
  Tasks& operator=(const Tasks&) = delete;
  ~Tasks();

  /// Takes three notifiers of the reactor, one a priority. Before the first task is spawned.
  /// Errors: ENOSPC (ReactorLimits::notifiers).
  [[nodiscard]] Result<void> open();

  [[nodiscard]] Reactor& reactor() const { return reactor_; }
  [[nodiscard]] TaskStatistics statistics() const;
  /// The `index`-th kind of task, in the order of their first calls; empty past the last. If
  /// max_types were not enough, the last is all others together.
  [[nodiscard]] std::optional<TaskType> type(std::size_t index) const {
    return index < type_count_ ? std::optional<TaskType>(types_[index]) : std::nullopt;
  }

  // --- For what tasks wait for ----------------------------------------------------------------

  /// Has the task go on, at its strand's priority, behind those that can do so already; to be
  /// unlinked if it is not to go on after all. Never refused.
  void schedule(TaskReady& ready);

  // --- For Task and TaskScope ------------------------------------------------------------------

  [[nodiscard]] void* allocate_frame(std::size_t size);
  static void release_frame(void* frame, std::size_t size);
  /// Names the frame that was allocated last.
  void name_frame(void* frame, const char* name);
  /// Other memory of tasks. Null if there is none left: counted.
  [[nodiscard]] void* allocate(std::size_t size);
  void release(void* block, std::size_t size);

 private:
  friend class TaskScope;
  friend class TaskStrand;

  struct Type final : TaskType {
    Tasks* owner = nullptr;
  };

  template <Priority Of>
  void on_ready(const Message& message);
  void go_on(Priority priority);
  void reap();
  [[nodiscard]] Type& type_of(const char* name);

  Reactor& reactor_;
  SegregatedPool memory_;
  std::span<std::byte> bytes_;  ///< all of it
  TaskStrand* running_ = nullptr;
  bool reaping_ = false;  ///< reap() runs
  bool reap_ = false;     ///< something is to be ended as soon as no task runs
  TaskLink cancelled_;    ///< scopes of which something is to be ended then
  TaskLink orphans_;      ///< strands to be ended then: their scopes are gone
  std::array<TaskLink, priority_count> ready_;
  std::array<NotifierId, priority_count> notifiers_;
  TaskStatistics statistics_;
  std::uint64_t last_serial_ = 0;
  const void* last_frame_ = nullptr;
  std::size_t last_size_ = 0;
  std::size_t type_count_ = 0;
  std::array<Type, max_types + 1> types_;
  std::array<std::uint8_t, 2 * max_types> hashed_{};  ///< by name's address: 1 + the type's place
};

template <std::size_t Bytes>
struct TaskMemory {
  alignas(SegregatedPool::alignment) std::array<std::byte, Bytes> bytes;
};

/// Tasks with the memory of their frames: so many bytes, a constant of the board. How many a frame
/// takes is told by type() and by `make memory-map APP=…`; each has 16 bytes more. Make it static.
template <std::size_t Bytes>
class StaticTasks final : private TaskMemory<Bytes>, public Tasks {
 public:
  explicit StaticTasks(Reactor& reactor) : Tasks(reactor, TaskMemory<Bytes>::bytes) {}
};

}  // namespace millrace
