// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Sends back what a serial port receives.

#include "board/boards.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/or_exit.hpp"
#include "hal/print.hpp"
#include "hal/ring_buffer.hpp"
#include "hal/uart.hpp"

using namespace millrace;

namespace {

StaticReactor<ReactorLimits{}> reactor;

struct SerialEcho {
  hal::Uart uart;
  WatchId watch;
  RingBuffer<1024> bytes;

  void on_ready(const Message& /*message*/) {
    const auto free = bytes.claim_write();
    if (!free.first.empty()) {
      const auto got = uart.read(free.first, free.second);
      if (got.ended()) {
        reactor.quit(1);  // the adapter is gone
      }
      bytes.commit_write(got.count);
    }
    const auto filled = bytes.claim_read();
    if (!filled.first.empty()) {
      bytes.commit_read(uart.write(filled.first).count);
    }
    or_exit(reactor.modify(watch, (bytes.full() ? Events::none : Events::readable) |
                                      (bytes.empty() ? Events::none : Events::writable)),
            "uart");
  }
};
SerialEcho echo;

}  // namespace

int main() {
  const char* const path = board::selected::uarts[0].paths[0];
  or_exit(reactor.open(), "loop");
  echo.uart = or_exit(path ? hal::Uart::open(path, {}) : hal::Uart::open_simulated({}), "uart");
  echo.watch = or_exit(
      reactor.watch(echo.uart.fd(), Events::readable, Handler::to<&SerialEcho::on_ready>(echo)),
      "uart");
  hal::print("echoing at ", echo.uart.path());
  return or_exit(reactor.run(), "loop").status;
}
