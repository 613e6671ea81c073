// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Tells short from long presses of a button at GPIO27 that bounces: handlers and a state.

#include "firmware/examples/board_gpio.hpp"
#include "firmware/examples/finger.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/log.hpp"
#include "hal/or_exit.hpp"

using namespace millrace;
using namespace std::chrono_literals;

namespace {

StaticReactor<ReactorLimits{}> reactor;

// [README
struct Button {
  enum class State { up, settling_down, down, settling_up, held };

  BoardGpio gpio;
  hal::RequestId request{};
  TimerId timer;
  std::array<hal::LineEvent, 16> events;
  State state = State::up;
  bool level = false;  // of the last edge
  bool was_held = false;

  void on_edges(const Message& /*message*/) {
    const auto count = or_exit(gpio.read_events(request, events), "GPIO27");
    if (count == 0) {
      return;
    }
    level = events[count - 1].id == hal::LineEvent::Id::rising_edge;
    if (state == State::up) {
      state = State::settling_down;
    } else if (state != State::settling_down) {
      was_held = was_held || state == State::held;
      state = State::settling_up;
    }
    reactor.arm_after(timer, 20ms);
  }
  void on_timer(const Message& /*message*/) {
    if (state == State::settling_down && level) {
      state = State::down;
      reactor.arm_after(timer, 600ms);
    } else if (state == State::down) {
      hal::log(hal::LogLevel::info, "long press");
      state = State::held;
    } else {
      if (state == State::settling_up && !was_held) {
        hal::log(hal::LogLevel::info, "short press");
      }
      was_held = false;
      state = State::up;
    }
  }
};
// README]
Button button;
Finger finger;

}  // namespace

int main() {
  or_exit(reactor.open(), "loop");
  or_exit(button.gpio.open(), "GPIO");
  const hal::LineSettings input{.direction = hal::Direction::input, .edges = hal::Edges::both};
  const auto line = or_exit(find_line(button.gpio, "GPIO27"), "GPIO27");
  button.request = or_exit(button.gpio.request({&line, 1}, {&input, 1}, "button"), "GPIO27");
  or_exit(reactor.watch(button.gpio.event_fd(button.request), Events::readable,
                        Handler::to<&Button::on_edges>(button)),
          "GPIO27");
  button.timer = or_exit(reactor.add_timer(Handler::to<&Button::on_timer>(button)), "timer");
  finger.start(reactor, button.gpio, line);
  return or_exit(reactor.run(), "loop").status;
}
