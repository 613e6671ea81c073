// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/gpio.hpp"

#include <cstddef>
#include <linux/gpio.h>

namespace millrace::hal {

static_assert(sizeof(LineEvent) == sizeof(gpio_v2_line_event));
static_assert(offsetof(LineEvent, timestamp_ns) == offsetof(gpio_v2_line_event, timestamp_ns));
static_assert(offsetof(LineEvent, id) == offsetof(gpio_v2_line_event, id));
static_assert(offsetof(LineEvent, offset) == offsetof(gpio_v2_line_event, offset));
static_assert(offsetof(LineEvent, sequence) == offsetof(gpio_v2_line_event, seqno));
static_assert(offsetof(LineEvent, line_sequence) == offsetof(gpio_v2_line_event, line_seqno));
static_assert(static_cast<int>(LineEvent::Id::rising_edge) == GPIO_V2_LINE_EVENT_RISING_EDGE);
static_assert(static_cast<int>(LineEvent::Id::falling_edge) == GPIO_V2_LINE_EVENT_FALLING_EDGE);
static_assert(Gpio::max_lines_per_request == GPIO_V2_LINES_MAX);

Result<LineAddress> Gpio::find(std::string_view name, std::string_view otherwise) {
  const auto found = find(name);
  return found ? found : find(otherwise);
}

Result<void> Gpio::pull(LineAddress /*line*/, bool /*up*/) {
  return fail(ENOTSUP, "only a simulated line can be pulled", "use config LINE bias=pull-up");
}

Result<void> Gpio::wire(LineAddress /*one*/, LineAddress /*other*/) {
  return fail(ENOTSUP, "only simulated lines can be wired by a command", "use a jumper wire");
}

Result<bool> Gpio::physical_level(LineAddress /*line*/) {
  return fail(ENOTSUP, "only a simulated line shows its electrical level");
}

}  // namespace millrace::hal
