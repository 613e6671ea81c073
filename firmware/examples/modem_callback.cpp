// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Asks a modem for the strength of its signal by AT commands, and ends: handlers and a state.

#include "firmware/examples/board_uart.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/fixed_string.hpp"
#include "hal/log.hpp"
#include "hal/ring_buffer.hpp"

using namespace millrace;
using namespace std::chrono_literals;

namespace {

StaticReactor<ReactorLimits{}> reactor;

// [README
struct Modem {
  static constexpr std::array<std::string_view, 3> commands = {"AT\r\n", "ATE0\r\n", "AT+CSQ\r\n"};

  hal::Uart uart;
  TimerId timer;
  RingBuffer<256> bytes;
  FixedString<80> answer;
  std::size_t step = 0;  // the command that was sent

  void send() {
    answer = {};
    (void)uart.write(std::as_bytes(std::span(commands[step])));
    reactor.arm_after(timer, 300ms);
  }
  void end(bool good) {
    hal::log(hal::LogLevel::info, "modem: ", good ? "done" : "failed");
    reactor.cancel(timer);
    reactor.quit(good ? 0 : 1);
  }
  void on_timer(const Message& /*message*/) { step == 0 ? send() : end(false); }
  void on_ready(const Message& /*message*/) {
    const auto free = bytes.claim_write();
    const auto got = uart.read(free.first, free.second);
    if (got.ended()) {
      end(false);  // the adapter is gone
    }
    bytes.commit_write(got.count);
    while (const auto at = bytes.find("\n")) {
      std::array<char, 80> buffer{};
      const auto part = std::span(buffer).first(std::min(*at + 1, buffer.size()));
      bytes.read(std::as_writable_bytes(part));
      std::string_view line(part.data(), part.size() - 1);
      line.remove_suffix(line.ends_with('\r') ? 1 : 0);
      on_line(line);
    }
    if (bytes.full()) {
      end(false);  // a line longer than that
    }
  }
  void on_line(std::string_view line) {
    reactor.arm_after(timer, 300ms);
    if (line == "ERROR") {
      step == 0 ? send() : end(false);
    } else if (line.starts_with('+')) {
      answer = FixedString<80>(line);
    } else if (line == "OK") {
      if (step > 0) {
        hal::log(hal::LogLevel::info, "modem: ", answer.view());
      }
      ++step < commands.size() ? send() : end(true);
    }
  }
};
// README]
Modem modem;

}  // namespace

int main() {
  or_exit(reactor.open(), "loop");
  modem.uart = open_board_uart();
  or_exit(reactor.watch(modem.uart.fd(), Events::readable, Handler::to<&Modem::on_ready>(modem)),
          "uart");
  modem.timer = or_exit(reactor.add_timer(Handler::to<&Modem::on_timer>(modem)), "timer");
  modem.send();
  return or_exit(reactor.run(), "loop").status;
}
