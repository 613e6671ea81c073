// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Asks a modem for the strength of its signal by AT commands, and ends: a task.

#include "board/boards.hpp"
#include "firmware/examples/board_uart.hpp"
#include "firmware/examples/task_report.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "firmware/reactor/task_scope.hpp"
#include "firmware/reactor/task_sleep.hpp"
#include "firmware/reactor/task_stream.hpp"
#include "hal/error_text.hpp"
#include "hal/fixed_string.hpp"
#include "hal/log.hpp"

using namespace millrace;
using namespace std::chrono_literals;

namespace {

using Text = FixedString<80>;

// What the modem says before its OK.
// [README
Task<Text> command(Tasks& /*tasks*/, TaskStream& modem, std::string_view text) {
  Text answer;
  std::array<char, 80> buffer{};
  modem.discard();
  if (const auto sent = co_await modem.write(text, 1s); !sent) {
    co_return std::unexpected(sent.error());
  }
  for (;;) {
    const auto line = co_await modem.read_line(buffer, 300ms);
    if (!line) {
      co_return std::unexpected(line.error());
    }
    if (*line == "OK") {
      co_return answer;
    }
    if (*line == "ERROR") {
      co_return fail(EPROTO, "the modem does not do that");
    }
    if (line->starts_with('+')) {
      answer = Text(*line);
    }
  }
}

Task<Result<void>> dialogue(Tasks& tasks, TaskStream& modem) {
  auto awake = co_await command(tasks, modem, "AT\r\n");
  while (!awake) {
    (void)co_await sleep_for(300ms);  // whatever has failed: others run
    awake = co_await command(tasks, modem, "AT\r\n");
  }
  for (const std::string_view text : {"ATE0\r\n", "AT+CSQ\r\n"}) {
    const auto answer = co_await command(tasks, modem, text);
    if (!answer) {
      co_return std::unexpected(answer.error());
    }
    hal::log(hal::LogLevel::info, "modem: ", answer->view());
  }
  co_return {};
}
// README]

StaticReactor<ReactorLimits{}> reactor;
StaticTasks<board::capacities.task_memory> tasks(reactor);
hal::Uart uart;
StaticTaskStream<256> modem;
TaskScope scope(tasks);

Task<> ends(Tasks& own) {
  TaskScope only(own);
  const auto spawned = only.spawn(dialogue(own, modem));
  const auto joined = co_await only.join();
  hal::log(hal::LogLevel::info, "modem: ", spawned && joined ? "done" : "failed");
  reactor.quit(spawned && joined ? 0 : 1);
}

}  // namespace

int main() {
  or_exit(reactor.open(), "loop");
  or_exit(tasks.open(), "tasks");
  uart = open_board_uart();
  or_exit(modem.open(reactor, uart.fd(), TaskStream::Kind::file), "uart");
  or_exit(scope.spawn(ends(tasks)), "task");
  const Exit exit = or_exit(reactor.run(), "loop");
  print_tasks(tasks);
  return exit.status;
}
