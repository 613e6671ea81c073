// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "board/boards.hpp"
#include "firmware/gateway/uart_service.hpp"
#include "hal/fixed_string.hpp"
#include "hal/gpio.hpp"
#include "hal/heap_trap.hpp"
#include "hal/log.hpp"
#include "hal/socket.hpp"

namespace millrace {

/// What the gateway ends with, for scripts. `--help` lists them.
enum class ExitCode : int {
  stopped = 0,     ///< by SIGINT, SIGTERM or SIGHUP
  failed = 1,      ///< the loop could not go on
  usage = 2,       ///< the command line is wrong
  no_device = 3,   ///< GPIO or a serial port can't be used
  no_address = 4,  ///< an address can't be listened at
};

/// The command line.
struct Options {
  enum class Action { run, help, version };

  /// What is spoken to those who connect.
  enum class Service { control, pigpio };
  struct Listener {
    Service service = Service::control;
    hal::SocketAddress address;
    bool optional = false;  ///< done without if the address is taken: nobody has asked for it
  };

  Action action = Action::run;
  const board::Board* board = &board::selected::board;
  std::size_t listener_count = 0;
  std::array<Listener, board::capacities.listeners> listeners{};
  std::size_t line_count = 0;
  std::array<std::string_view, board::capacities.lines> lines{};  ///< for parse_line_option()
  std::size_t pwm_count = 0;
  std::array<std::string_view, board::capacities.pwms> pwms{};  ///< for parse_pwm_option()
  std::size_t uart_count = 0;                                   ///< 0: the board's
  std::array<UartService::Config, board::capacities.uarts> uarts{};
  std::string_view record;  ///< a path; empty: no record
  hal::LogLevel log_level = hal::LogLevel::info;
  hal::heap_trap::Action heap_trap = hal::heap_trap::Action::count;
};

/// Why a command line can't be followed: what, where, remedy.
using OptionError = FixedString<255>;

/// Reads the command line. Addresses that are not given are the default ones, and so are the
/// board's serial ports.
[[nodiscard]] std::expected<Options, OptionError> parse_options(std::span<char* const> arguments);

/// A line that is set up at the start.
struct LineOption {
  std::string_view name;
  hal::LineSettings settings;
};

/// Reads "GPIO17=output,level=1". Empty when a setting is not understood, or there is none.
[[nodiscard]] std::optional<LineOption> parse_line_option(std::string_view text);

/// A line that a channel of the kernel's PWM drives.
struct PwmOption {
  std::string_view line;
  std::string_view channel;
};

/// Reads "GPIO18=fe20c000.pwm:0", or "GPIO18" for the channel that the board has there. Empty when
/// either is missing.
[[nodiscard]] std::optional<PwmOption> parse_pwm_option(std::string_view text,
                                                        const board::Board& board);

/// What --help prints after the line that says how the program is called.
[[nodiscard]] std::string_view help_text();

}  // namespace millrace
