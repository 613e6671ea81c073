// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>

#include "tests/bench/loops/bare.hpp"
#include "tests/bench/main.hpp"

#ifndef MILLRACE_BENCH_PRECISE
#define MILLRACE_BENCH_PRECISE 0
#endif

namespace {

using namespace millrace::bench;

class Loop {
 public:
  using Event = NoEvent;

  Loop() {
    event_config* const config = event_config_new();
    if (MILLRACE_BENCH_PRECISE != 0) {
      event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    }
    base_ = event_base_new_with_config(config);
    event_config_free(config);
    if (base_ == nullptr) {
      give_up("event_base_new_with_config");
    }
  }

  class Watch {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, int fd, Object& object) {
      event_assign(&event_, loop.base_, fd, EV_READ | EV_PERSIST, &call<Method, Object>, &object);
      event_add(&event_, nullptr);
    }
    void want(bool readable, bool writable) {
      event_del(&event_);
      const int events = (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST;
      event_assign(&event_, event_get_base(&event_), event_get_fd(&event_),
                   static_cast<short>(events), event_get_callback(&event_),
                   event_get_callback_arg(&event_));
      event_add(&event_, nullptr);
    }
    void close() { event_del(&event_); }

   private:
    event event_{};
  };

  class Timer {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, Object& object) {
      evtimer_assign(&event_, loop.base_, (&call<Method, Object>), &object);
    }
    void arm(Nanoseconds /*time*/, Nanoseconds delay) {
      const timeval time{.tv_sec = delay / 1'000'000'000,
                         .tv_usec = (delay % 1'000'000'000 + 999) / 1000};
      evtimer_add(&event_, &time);
    }
    void cancel() { evtimer_del(&event_); }

   private:
    event event_{};
  };

  class Post {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, Object& object) {
      event_assign(&event_, loop.base_, -1, 0, &call<Method, Object>, &object);
    }
    void post() { event_active(&event_, EV_READ, 0); }

   private:
    event event_{};
  };

  /// Wakes the loop, from any thread.
  class Wake {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, Object& object) {
      event_assign(&event_, loop.base_, -1, 0, &call<Method, Object>, &object);
    }
    void wake() { event_active(&event_, EV_READ, 0); }

   private:
    event event_{};
  };
  /// Has the loop take locks: to be called before it is made, where other threads wake it.
  static void prepare_for_threads() { evthread_use_pthreads(); }

  void run() { event_base_loop(base_, EVLOOP_NO_EXIT_ON_EMPTY); }
  void stop() { event_base_loopbreak(base_); }
  void turn() { event_base_loop(base_, EVLOOP_ONCE | EVLOOP_NONBLOCK); }

 private:
  template <auto Method, class Object>
  static void call(int /*fd*/, short /*events*/, void* object) {
    (static_cast<Object*>(object)->*Method)({});
  }

  event_base* base_ = nullptr;
};

}  // namespace

int main(int count, char** arguments) { return run_workload<Loop>(count, arguments); }
