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

#ifdef MILLRACE_BENCH_SMALL
constexpr ReactorLimits limits{.fds = 4'100, .timers = 1'000};
#else
constexpr ReactorLimits limits{
    .fds = 25'000, .timers = 100'100, .messages = 4'096, .mailbox = 4'096, .poll_batch = 64};
#endif
StaticReactor<limits> reactor;

class Loop {
 public:
  using Event = const Message&;

  /// What the reactor sets apart for each.
  static constexpr double watch_bytes =
      static_cast<double>(sizeof(StaticReactor<ReactorLimits{.fds = 2000}>) -
                          sizeof(StaticReactor<ReactorLimits{.fds = 1000}>)) /
      1000;
  static constexpr double timer_bytes =
      static_cast<double>(sizeof(StaticReactor<ReactorLimits{.timers = 2000}>) -
                          sizeof(StaticReactor<ReactorLimits{.timers = 1000}>)) /
      1000;

  Loop() {
    or_exit(reactor.open(), "loop");
#ifdef MILLRACE_BENCH_UNMEASURED
    reactor.set_budget(forever);
#endif
  }

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
    void arm(Nanoseconds time, Nanoseconds delay) {
      reactor.arm_at(id_, Instant(Duration(time + delay)));
    }
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

  template <auto Method, class Object>
  class Mailbox {
   public:
    void open(Loop& /*loop*/, Object& object) { object_ = &object; }
    /// From any thread. False: it is full.
    bool post(Nanoseconds value) {
      Message message;
      message.store(value);
      return reactor.post_from_any_thread(Handler::to<&Mailbox::on_message>(*this), message)
          .has_value();
    }

   private:
    void on_message(const Message& message) { (object_->*Method)(message.load<Nanoseconds>()); }

    Object* object_ = nullptr;
  };

  void run() { (void)or_exit(reactor.run(), "loop"); }
  void stop() { reactor.quit(); }
  void turn() { (void)or_exit(reactor.turn(Duration::zero()), "loop"); }
};

}  // namespace

int main(int count, char** arguments) { return bench::run_workload<Loop>(count, arguments); }
