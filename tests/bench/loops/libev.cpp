// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <ev.h>

#include "tests/bench/loops/bare.hpp"
#include "tests/bench/main.hpp"

namespace {

using namespace millrace::bench;

class Loop {
 public:
  using Event = NoEvent;

  // Not the default one, which waits for all child processes.
  Loop() : loop_(ev_loop_new(EVBACKEND_EPOLL)) {
    if (loop_ == nullptr) {
      give_up("ev_loop_new");
    }
    ev_ref(loop_);  // it runs until stopped, whatever is watched
  }

  class Watch {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, int fd, Object& object) {
      loop_ = loop.loop_;
      const auto call = [](struct ev_loop*, ev_io* io, int) {
        (static_cast<Object*>(io->data)->*Method)({});
      };
      ev_io_init(&io_, call, fd, EV_READ);
      io_.data = &object;
      ev_io_start(loop_, &io_);
    }
    void want(bool readable, bool writable) {
      ev_io_stop(loop_, &io_);
      ev_io_modify(&io_, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
      ev_io_start(loop_, &io_);
    }
    void close() { ev_io_stop(loop_, &io_); }

   private:
    struct ev_loop* loop_ = nullptr;
    ev_io io_{};
  };

  class Timer {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, Object& object) {
      loop_ = loop.loop_;
      const auto call = [](struct ev_loop*, ev_timer* timer, int) {
        (static_cast<Object*>(timer->data)->*Method)({});
      };
      ev_timer_init(&timer_, call, 0, 0);
      timer_.data = &object;
    }
    // ev_timer_again() moves it in place, but is for those that repeat.
    void arm(Nanoseconds /*time*/, Nanoseconds delay) {
      ev_timer_stop(loop_, &timer_);
      ev_timer_set(&timer_, static_cast<double>(delay) * 1e-9, 0);
      ev_timer_start(loop_, &timer_);
    }
    void cancel() { ev_timer_stop(loop_, &timer_); }

   private:
    struct ev_loop* loop_ = nullptr;
    ev_timer timer_{};
  };

  /// libev has no posts: a watcher is told that its event has come.
  class Post {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, Object& object) {
      loop_ = loop.loop_;
      const auto call = [](struct ev_loop*, ev_prepare* self, int) {
        (static_cast<Object*>(self->data)->*Method)({});
      };
      ev_prepare_init(&watcher_, call);
      watcher_.data = &object;
    }
    void post() { ev_feed_event(loop_, &watcher_, EV_CUSTOM); }

   private:
    struct ev_loop* loop_ = nullptr;
    ev_prepare watcher_{};
  };

  /// Wakes the loop, from any thread.
  class Wake {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, Object& object) {
      loop_ = loop.loop_;
      const auto call = [](struct ev_loop*, ev_async* self, int) {
        (static_cast<Object*>(self->data)->*Method)({});
      };
      ev_async_init(&async_, call);
      async_.data = &object;
      ev_async_start(loop_, &async_);
    }
    void wake() { ev_async_send(loop_, &async_); }

   private:
    struct ev_loop* loop_ = nullptr;
    ev_async async_{};
  };

  void run() { ev_run(loop_, 0); }
  void stop() { ev_break(loop_, EVBREAK_ALL); }
  void turn() { ev_run(loop_, EVRUN_NOWAIT); }

 private:
  struct ev_loop* loop_;
};

}  // namespace

int main(int count, char** arguments) { return run_workload<Loop>(count, arguments); }
