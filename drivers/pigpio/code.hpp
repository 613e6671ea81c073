// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstdint>
#include <expected>

namespace millrace::pigpio {

/// Why a command failed, as a client is told: numbers and meanings are pigpio.h's (pigpio 79).
enum class Code : std::int32_t {
  ok = 0,
  bad_user_gpio = -2,    ///< GPIO not 0-31
  bad_gpio = -3,         ///< GPIO not 0-53, or no line of this machine
  bad_mode = -4,         ///< mode not 0-7
  bad_level = -5,        ///< level not 0-1
  bad_pud = -6,          ///< pull not 0-2
  bad_pulsewidth = -7,   ///< pulse width not 0 or 500-2500
  bad_dutycycle = -8,    ///< duty cycle above the range
  bad_timeout = -15,     ///< watchdog not 0-60000 ms (PI_BAD_WDOG_TIMEOUT)
  bad_dutyrange = -21,   ///< range not 25-40000
  bad_pathname = -23,    ///< /dev/pigpioN can't be made
  no_handle = -24,       ///< all handles are in use
  bad_handle = -25,      ///< unknown handle
  not_permitted = -41,   ///< no permission to update this GPIO
  some_permitted = -42,  ///< no permission to update one or more of these
  bad_pulselen = -46,    ///< trigger pulse not 1-100 us
  gpio_in_use = -50,     ///< another program or driver has the line
  ser_open_failed = -72,
  bad_flags = -77,
  bad_ser_device = -79,
  bad_ser_speed = -80,
  bad_param = -81,
  ser_write_failed = -85,
  ser_read_no_data = -87,
  unknown_command = -88,
  not_pwm_gpio = -92,
  not_servo_gpio = -93,
  not_hclk_gpio = -94,     ///< no hardware clock on this GPIO
  not_hpwm_gpio = -95,     ///< no hardware PWM on this GPIO
  bad_hpwm_freq = -96,     ///< hardware PWM not 1 Hz to 125 MHz, or not possible there
  bad_hpwm_duty = -97,     ///< hardware PWM's duty cycle not 0-1000000
  bad_hclk_freq = -98,     ///< the same for the hardware clock's frequency
  message_too_big = -103,  ///< PI_MSG_TOOBIG
  bad_filter = -125,
  bad_event_id = -143,
};

/// As it stands in an answer.
[[nodiscard]] constexpr std::int32_t value(Code code) { return static_cast<std::int32_t>(code); }

/// A value, or why there is none.
template <class T>
using Expected = std::expected<T, Code>;

}  // namespace millrace::pigpio
