// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Reads a register of a Modbus device twice a second, and asks again when no answer comes: a task.

#include "board/boards.hpp"
#include "firmware/examples/board_uart.hpp"
#include "firmware/examples/modbus.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "firmware/reactor/task_scope.hpp"
#include "firmware/reactor/task_sleep.hpp"
#include "firmware/reactor/task_stream.hpp"
#include "hal/error_text.hpp"
#include "hal/log.hpp"

using namespace millrace;
using namespace std::chrono_literals;

namespace {

// [README
Task<int> read_register(Tasks& /*tasks*/, TaskStream& port, std::uint16_t number) {
  const modbus::Request request = modbus::read_register(number);
  modbus::Response response{};
  for (int attempt = 0; attempt < 3; ++attempt) {
    port.discard();
    if (const auto sent = co_await port.write(request, 1s); !sent) {
      co_return std::unexpected(sent.error());
    }
    const auto received = co_await port.read_exactly(response, 200ms);
    if (received) {
      if (const auto value = modbus::value_of(response)) {
        co_return *value;
      }
    }
  }
  co_return fail(ETIMEDOUT, "the device does not answer");
}

Task<> poll(Tasks& tasks, TaskStream& port) {
  for (;;) {
    if (const auto value = co_await read_register(tasks, port, 7)) {
      hal::log(hal::LogLevel::info, "register 7 is ", *value);
    } else {
      hal::log(hal::LogLevel::warning, "register 7: ", describe(value.error()));
    }
    (void)co_await sleep_for(500ms);
  }
}
// README]

StaticReactor<ReactorLimits{}> reactor;
StaticTasks<board::capacities.task_memory> tasks(reactor);
hal::Uart uart;
StaticTaskStream<256> port;
TaskScope scope(tasks);

}  // namespace

int main() {
  or_exit(reactor.open(), "loop");
  or_exit(tasks.open(), "tasks");
  uart = open_board_uart();
  or_exit(port.open(reactor, uart.fd(), TaskStream::Kind::file), "uart");
  or_exit(scope.spawn(poll(tasks, port)), "task");
  return or_exit(reactor.run(), "loop").status;
}
