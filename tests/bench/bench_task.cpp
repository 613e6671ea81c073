// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// What it costs to await something instead of being called back: the same events, once for a plain
// handler and once for a task. It prints ns an event. For tests/bench/task-cost, which counts the
// instructions, `bench_task handler|task ready|timer|notice|call TIMES` runs so many and prints
// nothing.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <unistd.h>

#include "firmware/reactor/static_reactor.hpp"
#include "firmware/reactor/task.hpp"
#include "firmware/reactor/task_channel.hpp"
#include "firmware/reactor/task_fd.hpp"
#include "firmware/reactor/task_scope.hpp"
#include "firmware/reactor/task_sleep.hpp"
#include "firmware/reactor/tasks.hpp"

using namespace millrace;

namespace {

StaticReactor<ReactorLimits{}> reactor;
StaticTasks<4096> tasks(reactor);
std::uint64_t left;
int always_ready;

void count() {
  if (--left == 0) {
    reactor.quit();
  }
}

// --- Handlers ----------------------------------------------------------------------------------

void on_ready(const Message& /*message*/) { count(); }
void on_timer(const Message& message) {
  count();
  reactor.arm_at(message.expiry().timer, Instant::min());
}
NotifierId notifier;
void on_notice(const Message& /*message*/) {
  count();
  reactor.raise(notifier);
}
[[gnu::noinline]] int called(int value) {
  asm volatile("" : "+r"(value));
  return value;
}
void on_call(const Message& /*message*/) {
  while (left > 1) {
    left -= static_cast<std::uint64_t>(called(1));
  }
  count();
}

bool handle(std::string_view what) {
  if (what == "ready") {
    return reactor.watch(always_ready, Events::readable, Handler::to<&on_ready>()).has_value();
  }
  if (what == "timer") {
    const auto timer = reactor.add_timer(Handler::to<&on_timer>());
    reactor.arm_at(*timer, Instant::min());
    return timer.has_value();
  }
  if (what == "notice") {
    notifier = *reactor.add_notifier(Handler::to<&on_notice>());
    reactor.raise(notifier);
    return true;
  }
  return what == "call" && reactor.post(Handler::to<&on_call>()).has_value();
}

// --- Tasks -------------------------------------------------------------------------------------

Task<> awaits_ready(Tasks& /*tasks*/, TaskFd& fd) {
  for (;;) {
    (void)co_await fd.readable();
    count();
  }
}
Task<> awaits_timer(Tasks& /*tasks*/) {
  for (;;) {
    (void)co_await sleep_until(Instant::min());
    count();
  }
}
Task<> awaits_notice(Tasks& /*tasks*/) {
  for (;;) {
    co_await yield();
    count();
  }
}
Task<int> is_called(Tasks& /*tasks*/, int value) { co_return value; }
Task<> awaits_call(Tasks& own) {
  while (left > 1) {
    left -= static_cast<std::uint64_t>(*co_await is_called(own, 1));
  }
  count();
}

TaskFd fd;

bool await(std::string_view what, TaskScope& scope) {
  if (what == "ready") {
    return fd.open(reactor, always_ready) && scope.spawn(awaits_ready(tasks, fd));
  }
  if (what == "timer") {
    return scope.spawn(awaits_timer(tasks)).has_value();
  }
  if (what == "notice") {
    return scope.spawn(awaits_notice(tasks)).has_value();
  }
  return what == "call" && scope.spawn(awaits_call(tasks)).has_value();
}

bool run(std::string_view who, std::string_view what, std::uint64_t times) {
  left = times;
  TaskScope scope(tasks);
  const bool started = who == "handler" ? handle(what) : who == "task" && await(what, scope);
  return started && reactor.run().has_value();
}

}  // namespace

int main(int count, char** arguments) {
  int pipe[2];  // NOLINT(modernize-avoid-c-arrays): pipe(2)
  if (!reactor.open() || !tasks.open() || ::pipe(pipe) != 0 || ::write(pipe[1], "x", 1) != 1) {
    return 1;
  }
  always_ready = pipe[0];
  if (count == 4) {
    return run(arguments[1], arguments[2], std::strtoull(arguments[3], nullptr, 10)) ? 0 : 2;
  }
  constexpr std::uint64_t times = 200000;
  for (const char* const what : {"ready", "timer", "notice", "call"}) {
    std::printf("await %-7s", what);
    for (const char* const who : {"handler", "task"}) {
      // A process for each, as what one has left in the loop would be dispatched with the other.
      const auto start = std::chrono::steady_clock::now();
      char command[512];  // NOLINT(modernize-avoid-c-arrays): of C's functions
      std::snprintf(command, sizeof command, "%s %s %s %llu", arguments[0], who, what,
                    static_cast<unsigned long long>(times));
      if (std::system(command) != 0) {
        return 1;
      }
      const std::chrono::duration<double, std::nano> taken =
          std::chrono::steady_clock::now() - start;
      std::printf("%10.0f ns %s", taken.count() / times, who);
    }
    std::puts("");
  }
}
