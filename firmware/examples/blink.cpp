// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Blinks an LED at GPIO17, twice a second.

#include "firmware/examples/board_gpio.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/log.hpp"
#include "hal/or_exit.hpp"

using namespace millrace;

namespace {

struct Blink {
  BoardGpio gpio;
  hal::RequestId led{};
  bool on = false;

  void on_timer(const Message& /*message*/) {
    on = !on;
    or_exit(gpio.set(led, 1, on ? 1 : 0), "GPIO17");
    hal::log(hal::LogLevel::info, "GPIO17 is ", on ? "on" : "off");
  }
};

StaticReactor<ReactorLimits{}> reactor;
Blink blink;

}  // namespace

int main() {
  or_exit(reactor.open(), "loop");
  or_exit(blink.gpio.open(), "GPIO");
  const hal::LineSettings output{.direction = hal::Direction::output};
  const auto line = or_exit(find_line(blink.gpio, "GPIO17"), "GPIO17");
  blink.led = or_exit(blink.gpio.request({&line, 1}, {&output, 1}, "blink"), "GPIO17");
  const auto timer = or_exit(reactor.add_timer(Handler::to<&Blink::on_timer>(blink)), "timer");
  reactor.arm_every(timer, std::chrono::milliseconds(250));
  return or_exit(reactor.run(), "loop").status;
}
