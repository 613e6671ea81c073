// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Our reactor, as any program would use it.

#include <chrono>

#include "firmware/reactor/static_reactor.hpp"
#include "hal/or_exit.hpp"
#include "tests/bench/main.hpp"

namespace {

using namespace millrace;
using bench::Nanoseconds;

constexpr ReactorLimits limits{
    .fds = 25'000, .timers = 100'100, .messages = 4'096, .mailbox = 4'096, .poll_batch = 128};
StaticReactor<limits> reactor;

class Loop {
 public:
  using Event = const Message&;

  Loop() { or_exit(reactor.open(), "loop"); }

  class Watch {
   public:
    template <auto Method, class Object>
    void open(Loop& /*loop*/, int fd, Object& object) {
      id_ = or_exit(reactor.watch(fd, Events::readable, Handler::to<Method>(object)), "watch");
    }
    void want(bool readable, bool writable) {
      or_exit(reactor.modify(id_, (readable ? Events::readable : Events::none) |
                                      (writable ? Events::writable : Events::none)),
              "modify");
    }
    void close() { or_exit(reactor.remove(id_), "remove"); }

   private:
    WatchId id_;
  };

  class Timer {
   public:
    template <auto Method, class Object>
    void open(Loop& /*loop*/, Object& object) {
      id_ = or_exit(reactor.add_timer(Handler::to<Method>(object)), "timer");
    }
    void arm(Nanoseconds delay) { reactor.arm_after(id_, Duration(delay)); }
    void cancel() { reactor.cancel(id_); }

   private:
    TimerId id_;
  };

  class Post {
   public:
    template <auto Method, class Object>
    void open(Loop& /*loop*/, Object& object) {
      handler_ = Handler::to<Method>(object);
    }
    void post() { or_exit(reactor.post(handler_), "post"); }

   private:
    Handler handler_;
  };

  void run() { (void)or_exit(reactor.run(), "loop"); }
  void stop() { reactor.quit(); }
  void turn() { (void)or_exit(reactor.turn(Duration::zero()), "loop"); }
};

}  // namespace

int main(int count, char** arguments) { return bench::run_workload<Loop>(count, arguments); }
