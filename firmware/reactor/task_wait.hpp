// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cerrno>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>

#include "firmware/reactor/task.hpp"
#include "firmware/reactor/task_strand.hpp"
#include "hal/error.hpp"
#include "hal/time.hpp"

namespace millrace {

/// Until when something is waited for: an Instant, a duration from the moment that the waiting
/// begins, or nothing or `forever`, which is without limit. When it is over, the wait ends with
/// ETIMEDOUT. It needs a timer of the reactor, of which each spawned task keeps the first one:
/// ENOSPC if there is none left (ReactorLimits::timers). No system call.
class Deadline {
 public:
  constexpr Deadline() = default;
  constexpr Deadline(Instant at) : at_(at) {}  // NOLINT(google-explicit-constructor)
  template <class Rep, class Period>
  constexpr Deadline(
      std::chrono::duration<Rep, Period> delay)  // NOLINT(google-explicit-constructor)
      : at_(Duration(delay).count() == forever.count() ? never : Instant(Duration(delay))),
        relative_(at_ != never) {}

  [[nodiscard]] constexpr bool is_never() const { return at_ == never; }
  void arm(Reactor& reactor, TimerId timer) const {
    if (relative_) {
      reactor.arm_after(timer, at_.time_since_epoch());
    } else {
      reactor.arm_at(timer, at_);
    }
  }

 private:
  Instant at_ = never;
  bool relative_ = false;
};

/// What is the same in all that a task waits for, from await_suspend() to await_resume(). It is
/// part of the task's frame; its destructor, and that of what is derived from it, takes back
/// whatever could still reach the task.
class TaskWait {
 public:
  TaskWait(const TaskWait&) = delete;
  TaskWait& operator=(const TaskWait&) = delete;

 protected:
  /// For ever, or until the deadline. Members that are not used then are not set: this is the way
  /// that every await takes.
  TaskWait() {}  // NOLINT(modernize-use-equals-default): that of the union would be deleted
  explicit TaskWait(Deadline deadline)
      : deadline_at(deadline), state_(deadline.is_never() ? 0U : timed) {}
  ~TaskWait() { disarm(); }

  /// From await_suspend(): who waits, and from now on the deadline. False if there is no timer,
  /// which end() then tells.
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool wait(std::coroutine_handle<Promise> task) {
    ready_.handle = task;
    ready_.strand = &task.promise().strand();
    return (state_ & timed) == 0 || arm();
  }
  /// From a handler: the task goes on, in this call. Its frame may be gone afterwards, and with it
  /// this object.
  void go_on() { ready_.strand->resume(ready_.handle); }
  /// From a task or a handler: the task goes on in a message of its own. The deadline does not
  /// count any more.
  void schedule() {
    disarm();
    ready_.strand->tasks().schedule(ready_);
  }
  /// The same: what it waits for is gone, which end() tells.
  void abandon() {
    state_ |= abandoned;
    schedule();
  }
  /// From await_suspend(): it can't be waited for, which end() tells.
  void refuse(bool is_open) { state_ |= is_open ? busy : closed; }
  /// From await_resume(), also if nothing was waited for. Errors: ETIMEDOUT, ENOSPC (no timer),
  /// ECANCELED (what was waited for was closed), EBADF, EBUSY (refused).
  [[nodiscard]] Result<void> end() {
    if (!ended_well()) {
      return error();
    }
    return {};
  }
  /// The same in two: error() if that is false.
  [[nodiscard]] bool ended_well() {
    if (is_plain()) [[likely]] {
      return true;
    }
    disarm();
    return (state_ & failed) == 0;
  }
  /// That neither ended_well() nor a destructor has anything to do: one test, for the usual way.
  [[nodiscard]] bool is_plain() const { return (state_ & (watching | armed | failed)) == 0; }
  /// For TaskFdWait: the descriptor knows of it.
  [[nodiscard]] bool watches() const { return (state_ & watching) != 0; }
  void set_watches(bool watches) {
    state_ = static_cast<std::uint8_t>(watches ? state_ | watching : state_ & ~watching);
  }
  [[nodiscard, gnu::cold]] std::unexpected<Error> error() const;
  [[nodiscard]] bool timed_out() const { return (state_ & expired) != 0; }
  /// Its place, in whatever list it waits in.
  [[nodiscard]] TaskReady& ready() { return ready_; }

 private:
  friend class TaskStrand;

  // Bits of the state.
  static constexpr std::uint8_t timed = 1;  ///< there is a deadline
  static constexpr std::uint8_t armed = 2;  ///< and a timer
  static constexpr std::uint8_t expired = 4;
  static constexpr std::uint8_t no_timer = 8;
  static constexpr std::uint8_t abandoned = 16;
  static constexpr std::uint8_t busy = 32;
  static constexpr std::uint8_t closed = 64;
  static constexpr std::uint8_t watching = 128;
  static constexpr std::uint8_t failed = expired | no_timer | abandoned | busy | closed;

  [[nodiscard]] bool arm();
  void disarm() {
    if ((state_ & armed) != 0) {
      give_timer_back();
    }
  }
  void give_timer_back();
  /// The deadline has passed. From the timer's handler.
  void expire() {
    state_ |= expired;
    go_on();
  }
  void on_timer(const Message& /*message*/) { expire(); }

  TaskReady ready_;
  union {
    Deadline deadline_at;  ///< until it is armed
    TimerId deadline_timer;
  };
  std::uint8_t state_ = 0;
};

}  // namespace millrace
