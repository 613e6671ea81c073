// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Reads a register of a Modbus device twice a second, and asks again when no answer comes: handlers
// and a state.

#include "firmware/examples/board_uart.hpp"
#include "firmware/examples/modbus.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/log.hpp"

using namespace millrace;
using namespace std::chrono_literals;

namespace {

StaticReactor<ReactorLimits{}> reactor;

// [README
struct Poll {
  hal::Uart uart;
  TimerId timer;
  modbus::Response response{};
  std::size_t received = 0;
  int attempt = 0;
  bool waiting = false;  // for an answer; else for the next time

  void ask() {
    received = 0;
    waiting = true;
    (void)uart.flush(true, false);
    (void)uart.write(modbus::read_register(7));
    reactor.arm_after(timer, 200ms);
  }
  void rest() {
    waiting = false;
    attempt = 0;
    reactor.arm_after(timer, 500ms);
  }
  void on_ready(const Message& /*message*/) {
    const auto free = std::span(response).subspan(received % response.size());
    const auto got = uart.read(free);
    received += got.count;
    if (got.ended()) {
      reactor.quit(1);  // the adapter is gone
    } else if (!waiting || received < response.size()) {
      received = waiting ? received : 0;
    } else if (const auto value = modbus::value_of(response)) {
      hal::log(hal::LogLevel::info, "register 7 is ", *value);
      rest();
    } else {
      next_attempt();
    }
  }
  void on_timer(const Message& /*message*/) { waiting ? next_attempt() : ask(); }
  void next_attempt() {
    if (++attempt < 3) {
      ask();
    } else {
      hal::log(hal::LogLevel::warning, "register 7: the device does not answer");
      rest();
    }
  }
};
// README]
Poll poll;

}  // namespace

int main() {
  or_exit(reactor.open(), "loop");
  poll.uart = open_board_uart();
  or_exit(reactor.watch(poll.uart.fd(), Events::readable, Handler::to<&Poll::on_ready>(poll)),
          "uart");
  poll.timer = or_exit(reactor.add_timer(Handler::to<&Poll::on_timer>(poll)), "timer");
  poll.ask();
  return or_exit(reactor.run(), "loop").status;
}
