// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstdint>

namespace millrace::pigpio {

/// Commands that are served, by their numbers in pigpio.h. Any other is unknown here, though
/// pigpiod may have it: waves, scripts, I2C, SPI, files, the shell.
enum class Command : std::uint32_t {
  modes = 0,   ///< MODES gpio mode
  modeg = 1,   ///< MODEG gpio
  pud = 2,     ///< PUD gpio pull
  read = 3,    ///< READ gpio
  write = 4,   ///< WRITE gpio level
  pwm = 5,     ///< PWM gpio duty
  prs = 6,     ///< PRS gpio range
  pfs = 7,     ///< PFS gpio hertz
  servo = 8,   ///< SERVO gpio microseconds
  wdog = 9,    ///< WDOG gpio milliseconds
  br1 = 10,    ///< BR1
  br2 = 11,    ///< BR2
  bc1 = 12,    ///< BC1 bits
  bc2 = 13,    ///< BC2 bits
  bs1 = 14,    ///< BS1 bits
  bs2 = 15,    ///< BS2 bits
  tick = 16,   ///< TICK
  hwver = 17,  ///< HWVER
  no = 18,     ///< NO
  nb = 19,     ///< NB handle bits
  np = 20,     ///< NP handle
  nc = 21,     ///< NC handle
  prg = 22,    ///< PRG gpio
  pfg = 23,    ///< PFG gpio
  prrg = 24,   ///< PRRG gpio
  pigpv = 26,  ///< PIGPV
  trig = 37,   ///< TRIG gpio microseconds (level)
  sero = 76,   ///< SERO baud flags (device)
  serc = 77,   ///< SERC handle
  serrb = 78,  ///< SERRB handle
  serwb = 79,  ///< SERWB handle byte
  serr = 80,   ///< SERR handle count; that many bytes follow the answer
  serw = 81,   ///< SERW handle 0 (bytes)
  serda = 82,  ///< SERDA handle
  gdc = 83,    ///< GDC gpio
  gpw = 84,    ///< GPW gpio
  hc = 85,     ///< HC gpio hertz
  hp = 86,     ///< HP gpio hertz (duty)
  fg = 97,     ///< FG gpio steady
  fn = 98,     ///< FN gpio steady (active)
  noib = 99,   ///< NOIB
  evm = 115,   ///< EVM handle bits
  evt = 116,   ///< EVT event
};

inline constexpr std::uint32_t version = 79;  ///< of pigpio, as PIGPV answers

inline constexpr unsigned user_gpios = 32;  ///< numbers 0 to 31 can be watched, filtered and pulsed
inline constexpr unsigned gpios = 54;       ///< numbers 0 to 53 can be read and driven

}  // namespace millrace::pigpio
