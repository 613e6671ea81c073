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
/// begins, or nothing, which is for ever. When it is over, the wait ends with ETIMEDOUT. It needs a
/// timer of the reactor, of which each spawned task keeps the first one: ENOSPC if there is none
/// left (ReactorLimits::timers). No system call.
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
  explicit TaskWait(Deadline deadline) : deadline_(deadline) {}
  ~TaskWait() { disarm(); }

  /// From await_suspend(): who waits, and from now on the deadline. False if there is no timer,
  /// which end() then tells.
  template <std::derived_from<TaskPromise> Promise>
  [[nodiscard]] bool wait(std::coroutine_handle<Promise> task) {
    ready_.handle = task;
    ready_.strand = &task.promise().strand();
    return deadline_.is_never() || arm();
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
    outcome_ = Outcome::abandoned;
    schedule();
  }
  /// From await_resume(), also if nothing was waited for. Errors: ETIMEDOUT, ENOSPC (no timer),
  /// ECANCELED (what was waited for was closed).
  [[nodiscard]] Result<void> end() {
    disarm();
    return outcome_ == Outcome::none ? Result<void>() : Result<void>(std::unexpected(error()));
  }
  [[nodiscard]] bool timed_out() const { return outcome_ == Outcome::timed_out; }
  /// Its place, in whatever list it waits in.
  [[nodiscard]] TaskReady& ready() { return ready_; }

 private:
  friend class TaskStrand;

  enum class Outcome : std::uint8_t { none, timed_out, no_timer, abandoned };

  [[nodiscard]] Error error() const {
    switch (outcome_) {
      case Outcome::timed_out:
        return {.number = ETIMEDOUT, .what = "the time is up", .remedy = ""};
      case Outcome::no_timer:
        return {.number = ENOSPC,
                .what = "all timers are in use",
                .remedy = "raise timers in the board's limits"};
      default:
        return {.number = ECANCELED, .what = "what was waited for was closed", .remedy = ""};
    }
  }
  [[nodiscard]] bool arm() {
    const auto timer = ready_.strand->take_timer(*this);
    if (!timer) {
      outcome_ = Outcome::no_timer;
      return false;
    }
    timer_ = *timer;
    deadline_.arm(ready_.strand->reactor(), timer_);
    return true;
  }
  void disarm() {
    if (timer_.generation != 0) {
      ready_.strand->give_timer_back(timer_);
      timer_ = {};
    }
  }
  /// The deadline has passed. From the timer's handler.
  void expire() {
    outcome_ = Outcome::timed_out;
    go_on();
  }
  void on_timer(const Message& /*message*/) { expire(); }

  TaskReady ready_;
  Deadline deadline_;
  TimerId timer_;
  Outcome outcome_ = Outcome::none;
};

}  // namespace millrace
