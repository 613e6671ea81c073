// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Tells short from long presses of a button at GPIO27 that bounces: a task.

#include "board/boards.hpp"
#include "firmware/examples/board_gpio.hpp"
#include "firmware/examples/finger.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "firmware/reactor/task_edges.hpp"
#include "firmware/reactor/task_scope.hpp"
#include "hal/error_text.hpp"
#include "hal/log.hpp"
#include "hal/or_exit.hpp"

using namespace millrace;
using namespace std::chrono_literals;

namespace {

// [README
// The level after the next edge, once there has been no other for 20 ms.
Task<bool> next_level(Tasks& /*tasks*/, TaskEdges& edges, Deadline deadline) {
  auto edge = co_await edges.next(deadline);
  auto last = edge;
  while (edge) {
    last = edge;
    edge = co_await edges.next(20ms);
  }
  if (!last) {
    co_return std::unexpected(last.error());
  }
  co_return last->id == hal::LineEvent::Id::rising_edge;
}

Task<> tell_presses(Tasks& tasks, TaskEdges& edges) {
  for (;;) {
    const auto down = co_await next_level(tasks, edges, forever);
    if (!down) {
      hal::log(hal::LogLevel::error, "GPIO27: ", describe(down.error()));
      co_return;
    }
    if (!*down) {
      continue;
    }
    const auto up = co_await next_level(tasks, edges, 600ms);
    hal::log(hal::LogLevel::info, up ? "short press" : "long press");
    if (!up) {
      (void)co_await next_level(tasks, edges, forever);
    }
  }
}
// README]

StaticReactor<ReactorLimits{}> reactor;
StaticTasks<board::capacities.task_memory> tasks(reactor);
BoardGpio gpio;
TaskEdges edges;
Finger finger;
TaskScope scope(tasks);

}  // namespace

int main() {
  or_exit(reactor.open(), "loop");
  or_exit(tasks.open(), "tasks");
  or_exit(gpio.open(), "GPIO");
  const hal::LineSettings input{.direction = hal::Direction::input, .edges = hal::Edges::both};
  const auto line = or_exit(find_line(gpio, "GPIO27"), "GPIO27");
  const auto button = or_exit(gpio.request({&line, 1}, {&input, 1}, "button"), "GPIO27");
  or_exit(edges.open(reactor, gpio, button), "GPIO27");
  or_exit(scope.spawn(tell_presses(tasks, edges)), "task");
  finger.start(reactor, gpio, line);
  return or_exit(reactor.run(), "loop").status;
}
