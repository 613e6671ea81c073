// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Counts the edges of a button at GPIO27, and says every second how many there were.

#include "firmware/examples/board_gpio.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/log.hpp"
#include "hal/or_exit.hpp"

using namespace millrace;

namespace {

struct EdgeCounter {
  BoardGpio gpio;
  hal::LineAddress line;
  hal::RequestId button{};
  std::array<hal::LineEvent, 16> events;
  std::size_t edges = 0;
  bool up = false;

  void on_edges(const Message& /*message*/) {
    edges += or_exit(gpio.read_events(button, events), "GPIO27");
  }
  void on_second(const Message& /*message*/) {
    hal::log(hal::LogLevel::info, "GPIO27: ", edges, " edges");
  }
  void on_finger(const Message& /*message*/) { (void)gpio.pull(line, up = !up); }
};

StaticReactor<ReactorLimits{}> reactor;
EdgeCounter counter;

}  // namespace

int main() {
  or_exit(reactor.open(), "loop");
  or_exit(counter.gpio.open(), "GPIO");
  const hal::LineSettings input{.direction = hal::Direction::input, .edges = hal::Edges::both};
  counter.line = or_exit(find_line(counter.gpio, "GPIO27"), "GPIO27");
  counter.button =
      or_exit(counter.gpio.request({&counter.line, 1}, {&input, 1}, "counter"), "GPIO27");
  or_exit(reactor.watch(counter.gpio.event_fd(counter.button), Events::readable,
                        Handler::to<&EdgeCounter::on_edges>(counter)),
          "GPIO27");
  const auto second =
      or_exit(reactor.add_timer(Handler::to<&EdgeCounter::on_second>(counter)), "timer");
  reactor.arm_every(second, std::chrono::seconds(1));
  // Somebody has to press the button where there is none: on real lines pull() does nothing.
  const auto finger =
      or_exit(reactor.add_timer(Handler::to<&EdgeCounter::on_finger>(counter)), "timer");
  reactor.arm_every(finger, std::chrono::milliseconds(100));
  return or_exit(reactor.run(), "loop").status;
}
