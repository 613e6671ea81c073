// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "drivers/pigpio/report.hpp"

#include <span>

#include "drivers/pigpio/frame.hpp"

namespace millrace::pigpio {
namespace {

std::uint32_t flags_of(const Report& report) {
  // PI_NTFY_FLAGS_WDOG, _ALIVE and _EVENT
  switch (report.kind) {
    case Report::Kind::watchdog:
      return 0x20U | report.number;
    case Report::Kind::keep_alive:
      return 0x40U;
    case Report::Kind::event:
      return 0x80U | report.number;
    case Report::Kind::levels:
      break;
  }
  return 0;
}

}  // namespace

std::array<std::byte, Report::size> Report::encode(std::uint16_t sequence) const {
  std::array<std::byte, size> bytes{};
  store32(sequence | flags_of(*this) << 16U, bytes);
  store32(tick, std::span(bytes).subspan(4));
  store32(levels, std::span(bytes).subspan(8));
  return bytes;
}

}  // namespace millrace::pigpio
