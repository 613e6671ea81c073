// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "hal/fixed_string.hpp"

namespace millrace::board {

/// A GPIO line of the board: the name that clients use, and what the kernel may call it. `kernel`
/// is tried first, then `fallback`; each is a line name or LABEL:OFFSET, never a chip number.
struct Line {
  FixedString<15> name;
  FixedString<15> kernel;
  FixedString<31> fallback;
};

/// A serial port of the board: opened when a client first attaches to it. The first of `paths` that
/// exists is taken; none means a simulated port.
struct Uart {
  std::string_view name;
  std::array<const char*, 2> paths = {};
};

/// Which channel of the kernel's PWM a line can be connected to: CHIP:CHANNEL, the chip by its
/// device's name. Whether it is, the device tree decides, so the command line has to say so.
struct Pwm {
  std::string_view line;
  std::string_view channel;
};

/// Where the lines come from.
enum class GpioBackend : std::uint8_t { kernel, simulation };

/// What is wired on a board. Data only; chosen when the gateway starts.
struct Board {
  std::string_view name;
  std::string_view description;
  GpioBackend gpio = GpioBackend::kernel;
  /// Empty: every line that the kernel has a name for, as far as Capacities::lines goes.
  std::span<const Line> lines;
  std::span<const Uart> uarts;
  // NOLINTNEXTLINE(readability-redundant-member-init): else g++ wants every board to have some
  std::span<const Pwm> pwms = {};
  /// What the device tree's model begins with on such a board. toolchain/board reads it here, too.
  std::array<std::string_view, 2> models = {};
  /// What clients of pigpiod are told this is: they ask for a Raspberry Pi's revision code to know
  /// the pins of its header. Unless told better, a Pi 3 Model B, whose 40 pins the others have,
  /// too.
  std::uint32_t pigpio_revision = 0xa02082;
};

/// The number by which clients of pigpiod know a line of this name: GPIO17 is 17; nothing for any
/// other. On a board that has no such line, its N-th line is N.
[[nodiscard]] constexpr std::optional<unsigned> pigpio_number(std::string_view name) {
  constexpr std::string_view prefix = "GPIO";
  const bool digits = name.starts_with(prefix) && name.size() > prefix.size() &&
                      name.find_first_not_of("0123456789", prefix.size()) == std::string_view::npos;
  unsigned number = 0;
  for (std::size_t i = prefix.size(); digits && i < name.size() && number < 1000; ++i) {
    number = number * 10 + static_cast<unsigned>(name[i] - '0');
  }
  return digits && number < 1000 ? std::optional(number) : std::nullopt;
}

/// How many of everything a firmware has: all of its memory follows from these. Chosen when it is
/// built; a board is served by any firmware whose capacities are enough for it.
struct Capacities {
  std::size_t fds = 128;                ///< highest descriptor number that can be watched, plus one
  std::size_t timers = 16;              ///< timers of the loop
  std::size_t messages = 64;            ///< posted messages waiting in the loop
  std::size_t mailbox = 64;             ///< messages from other threads; a power of two
  std::size_t task_memory = 6144;       ///< bytes for frames of coroutines: see StaticTasks
  std::size_t lines = 32;               ///< GPIO lines
  std::size_t libgpiod_memory = 16384;  ///< bytes for libgpiod: see GpioCdev::memory_for()
  std::size_t uarts = 4;                ///< serial ports
  std::size_t listeners = 4;            ///< addresses that clients can connect to
  std::size_t connections = 16;         ///< clients at once
  std::size_t line_length = 512;        ///< bytes of a command
  std::size_t receive_ring = 1024;      ///< bytes received of each client and not yet handled
  std::size_t send_ring = 8192;         ///< bytes to be sent to each client
  std::size_t uart_ring = 4096;         ///< bytes to be sent to each serial port
  std::size_t events = 1024;            ///< edges and changes that a slow client can be behind
  std::size_t pigpio_connections = 24;  ///< the same for clients of pigpiod, who need two each
  std::size_t pigpio_send_ring = 768;   ///< bytes to be sent on each of these
  std::size_t pigpio_reports = 256;     ///< reports that a slow one can be behind
  std::size_t pigpio_serials = 2;       ///< serial ports open at once by such clients
  std::size_t pwms = 4;                 ///< lines with a channel of the kernel's PWM
  std::size_t offload_workers = 1;      ///< threads for what blocks, such as files
  std::size_t offload_jobs = 1;         ///< that wait or run: one for each file
  std::size_t offload_buffer = 4096;    ///< bytes that each reads or writes at once
  std::size_t record_events = 256;   ///< changes that the record puts in the order of their times
  std::size_t record_buffer = 4096;  ///< bytes of text of the record that wait to be written

  friend bool operator==(const Capacities&, const Capacities&) = default;
};

inline constexpr std::size_t kib = 1024;

/// What a firmware may take, in bytes: the build fails over it, and `make memory-map` tells who
/// takes what.
struct Budget {
  std::size_t code = 1024 * kib;   ///< loaded read-only: .text, .rodata, …; a C library included
  std::size_t memory = 512 * kib;  ///< loaded or zeroed, and written to: .data, .bss, …
  std::size_t stack = 32 * kib;    ///< of the loop's thread, from main() on, at its worst
};

/// The channels of BCM2835's to BCM2711's PWM on the header, as dtoverlay=pwm and pwm-2chan connect
/// them; of two lines of a channel only one is its line.
[[nodiscard]] constexpr std::array<Pwm, 4> bcm_pwms(std::string_view first,
                                                    std::string_view second) {
  return {{{.line = "GPIO12", .channel = first},
           {.line = "GPIO13", .channel = second},
           {.line = "GPIO18", .channel = first},
           {.line = "GPIO19", .channel = second}}};
}

/// `Count` lines GPIO0 … as the Raspberry Pi's header has them. Their kernel names differ between
/// device trees (GPIO2 is SDA1 in some), the pin controller's label and offset do not.
template <std::size_t Count>
[[nodiscard]] constexpr std::array<Line, Count> numbered_lines(std::string_view label) {
  std::array<Line, Count> lines{};
  for (std::size_t i = 0; i < Count; ++i) {
    lines[i].name.append("GPIO", i);
    lines[i].kernel = lines[i].name;
    lines[i].fallback.append(label, ':', i);
  }
  return lines;
}

}  // namespace millrace::board
