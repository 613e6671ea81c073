// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <chrono>
#include <cstddef>

#include "firmware/reactor/reactor.hpp"
#include "hal/gpio.hpp"
#include "hal/or_exit.hpp"

namespace millrace {

/// Presses a simulated button, briefly and long in turn, and as buttons do, not cleanly: it
/// bounces. On real lines nothing happens.
class Finger {
 public:
  void start(Reactor& reactor, hal::Gpio& gpio, hal::LineAddress line) {
    reactor_ = &reactor;
    gpio_ = &gpio;
    line_ = line;
    timer_ = or_exit(reactor.add_timer(Handler::to<&Finger::on_timer>(*this)), "timer");
    reactor.arm_after(timer_, std::chrono::milliseconds(100));
  }

 private:
  struct Step {
    bool down;
    int milliseconds;  ///< until the next
  };
  static constexpr std::array steps = {
      Step{true, 1},    Step{false, 1}, Step{true, 100}, Step{false, 1},  Step{true, 1},
      Step{false, 200}, Step{true, 1},  Step{false, 1},  Step{true, 900}, Step{false, 200},
  };

  void on_timer(const Message& /*message*/) {
    const Step step = steps[next_++ % steps.size()];
    (void)gpio_->pull(line_, step.down);
    reactor_->arm_after(timer_, std::chrono::milliseconds(step.milliseconds));
  }

  Reactor* reactor_ = nullptr;
  hal::Gpio* gpio_ = nullptr;
  hal::LineAddress line_;
  TimerId timer_;
  std::size_t next_ = 0;
};

}  // namespace millrace
