// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/options.hpp"

#include <algorithm>
#include <getopt.h>
#include <optional>
#include <string_view>

#include "drivers/control/words.hpp"
#include "drivers/line_settings.hpp"
#include "drivers/uart_settings.hpp"
#include "firmware/gateway/recorder.hpp"
#include "hal/slice.hpp"
#include "hal/system.hpp"

namespace millrace {
namespace {

using control::split;

constexpr std::string_view help = R"(
Serves GPIO lines and serial ports to clients over TCP and Unix sockets.

  --board NAME           what is wired: sim, rpi3, rpi4, rpi5, rpi-zero2w, qemu-virt, qemu-imx8mp,
                         generic, or auto: the one that the device tree tells, else generic
                         (default: the board that this program was built for; auto if generic)
  --listen control=ADDR  where the control port listens; may be repeated. ADDR is 7000 (loopback),
                         127.0.0.1:7000, [::1]:7000, *:7000 (every interface: no password
                         protects it) or unix:/run/millrace.sock.
                         (default: 127.0.0.1:7000, and millrace.sock in the runtime directory)
  --listen pigpio=ADDR   the same for clients of pigpiod (default, unless any --listen is given:
                         127.0.0.1:8888, if it is free)
  --line NAME=SETTING[,SETTING]...
                         a line to be set up before anybody is served; may be repeated. SETTING: as
                         for the command config. GPIO17=output,level=1, or
                         GPIO4=input,bias=pull-up,debounce=5ms
  --pwm NAME[=CHIP:CHANNEL]
                         a line that the kernel's PWM drives, for clients of pigpiod; may be
                         repeated. The device tree must connect its pin to that channel (on a
                         Raspberry Pi: dtoverlay=pwm in config.txt), and it can't be a GPIO then.
                         CHIP is the name of its device, as fe20c000.pwm in /sys/class/pwm, or
                         pwmchip0, or a path. Without, the channel that the board is known to have
  --uart NAME=PATH[,SETTINGS]
                         a serial port; may be repeated, and replaces the board's. PATH is a device,
                         best one in /dev/serial/by-id/, or `sim` for a simulated port. SETTINGS:
                         115200,8N1 or 19200,7E2,rtscts (xonxoff, rs485, low-latency)
  --record PATH          a file with each change of all lines that are in use, a value change dump
                         (VCD), for GTKWave or PulseView. One that is there is renamed to PATH.1, or
                         the next number that is free
  --log LEVEL            error, warning, info or debug (default: info)
  --heap-trap ACTION     when anything allocates memory after the start: count (see status) or abort
  --help, --version

Exit status: 0 stopped by a signal, 1 the loop failed, 2 wrong command line, 3 GPIO, PWM or a
serial port can't be used, 4 an address can't be listened at.
)";

constexpr std::array<std::string_view, 2> services = {"control", "pigpio"};  // as Service has them
constexpr std::array<std::string_view, 4> log_levels = {"error", "warning", "info", "debug"};
constexpr std::array<std::string_view, 2> heap_actions = {"count", "abort"};

std::unexpected<OptionError> wrong(std::string_view what, std::string_view where,
                                   std::string_view remedy) {
  OptionError text;
  // A long one must not push the remedy out.
  text.append(what, ", ", where.empty() ? "an empty value" : slice(where, 0, 127), ", ", remedy);
  return std::unexpected(text);
}

const board::Board* board_of_this_machine() {
  const auto model = hal::device_tree_model();
  const board::Board* const found = model ? board::find_by_model(*model) : nullptr;
  return found != nullptr ? found : &board::generic::board;
}

std::expected<void, OptionError> add_listener(Options& options, std::string_view text) {
  const auto [service, address, found] = split(text, '=');
  const auto which = control::parse_name(service, services);
  if (!found || !which) {
    return wrong("no such service", text, "write --listen control=ADDRESS or pigpio=ADDRESS");
  }
  if (options.listener_count == options.listeners.size()) {
    return wrong("too many addresses", text, "raise listeners in the board's capacities");
  }
  const auto parsed = hal::SocketAddress::parse(address);
  if (!parsed) {
    return wrong(parsed.error().what, text, parsed.error().remedy);
  }
  options.listeners[options.listener_count++] = {.service = static_cast<Options::Service>(*which),
                                                 .address = *parsed};
  return {};
}

std::expected<void, OptionError> add_line(Options& options, std::string_view text) {
  if (!parse_line_option(text)) {
    return wrong("no settings of a line", text, "write for example GPIO17=output,level=1");
  }
  if (options.line_count == options.lines.size()) {
    return wrong("too many lines", text, "raise lines in the board's capacities");
  }
  options.lines[options.line_count++] = text;
  return {};
}

std::expected<void, OptionError> add_pwm(Options& options, std::string_view text) {
  if (options.pwm_count == options.pwms.size()) {
    return wrong("too many PWM channels", text, "raise pwms in the board's capacities");
  }
  options.pwms[options.pwm_count++] = text;
  return {};
}

std::expected<void, OptionError> add_uart(Options& options, std::string_view text) {
  const auto [name, rest, found] = split(text, '=');
  const auto [path, settings, has_settings] = split(rest, ',');
  if (!found || name.empty() || path.empty() || name.find(' ') != std::string_view::npos) {
    return wrong("no serial port", text, "write --uart NAME=PATH or NAME=sim");
  }
  if (options.uart_count == options.uarts.size()) {
    return wrong("too many serial ports", text, "raise uarts in the board's capacities");
  }
  UartService::Config& uart = options.uarts[options.uart_count++];
  uart.open_at_start = true;
  uart.name.append(name);
  if (path != "sim") {
    uart.paths[0].append(path);
  }
  if (uart.name.truncated() || uart.paths[0].truncated()) {
    return wrong("name or path too long", text, "use a shorter one");
  }
  if (has_settings) {
    const auto parsed = parse_uart_settings(settings);
    if (!parsed) {
      return wrong("settings not understood", text, "write for example 115200,8N1");
    }
    uart.settings = *parsed;
  }
  return {};
}

std::expected<void, OptionError> set_record(Options& options, std::string_view path) {
  if (path.empty() || path.size() > Recorder::max_path) {
    return wrong("no path for a record", path, "write for example /var/lib/millrace/lines.vcd");
  }
  options.record = path;
  return {};
}

void add_board_uarts(Options& options) {
  for (const board::Uart& wired : options.board->uarts) {
    UartService::Config& uart = options.uarts[options.uart_count++];
    uart.name.append(wired.name);
    for (std::size_t i = 0; i < wired.paths.size(); ++i) {
      uart.paths[i].append(wired.paths[i] == nullptr ? "" : wired.paths[i]);
    }
    // A real one may be the system's console: left alone until somebody asks for it.
    uart.open_at_start = uart.paths[0].empty();
  }
}

void add_default_listeners(Options& options) {
  (void)add_listener(options, "control=127.0.0.1:7000");
  (void)add_listener(options, "pigpio=127.0.0.1:8888");
  options.listeners[options.listener_count - 1].optional = true;  // pigpiod itself may be there
  const auto variable = [](const char* name) {
    const char* const value = hal::environment_variable(name);
    return std::string_view(value == nullptr ? "" : value);
  };
  const auto runtime = split(variable("RUNTIME_DIRECTORY"), ':').key;  // systemd: the first of them
  const auto session = variable("XDG_RUNTIME_DIR");
  std::string_view directory = "/run";
  if (!runtime.empty()) {
    directory = runtime;
  } else if (!hal::is_root()) {
    directory = session;
  }
  if (directory.empty()) {
    return;  // no place that is this user's alone
  }
  FixedString<hal::SocketAddress::max_path + 32> address("control=unix:");
  address.append(directory, "/millrace.sock");
  (void)add_listener(options, address);  // a path too long for a socket is done without
}

std::expected<void, OptionError> apply(Options& options, int option, std::string_view value) {
  switch (option) {
    case 'b':
      options.board = value == "auto" ? board_of_this_machine() : board::find(value);
      if (options.board == nullptr) {
        return wrong("no such board", value, "see --help for those that there are");
      }
      return {};
    case 'l':
      return add_listener(options, value);
    case 'n':
      return add_line(options, value);
    case 'p':
      return add_pwm(options, value);
    case 'u':
      return add_uart(options, value);
    case 'r':
      return set_record(options, value);
    case 'v': {
      const auto level = control::parse_name(value, log_levels);
      if (!level) {
        return wrong("no such level", value, "write error, warning, info or debug");
      }
      options.log_level = static_cast<hal::LogLevel>(*level);
      return {};
    }
    case 't': {
      const auto action = control::parse_name(value, heap_actions);
      if (!action) {
        return wrong("no such action", value, "write count or abort");
      }
      options.heap_trap = static_cast<hal::heap_trap::Action>(*action);
      return {};
    }
    case 'h':
      options.action = Options::Action::help;
      return {};
    case 'V':
      options.action = Options::Action::version;
      return {};
    default:
      return {};
  }
}

}  // namespace

std::expected<Options, OptionError> parse_options(std::span<char* const> arguments) {
  static constexpr std::array<option, 11> known = {{
      {"board", required_argument, nullptr, 'b'},
      {"listen", required_argument, nullptr, 'l'},
      {"line", required_argument, nullptr, 'n'},
      {"pwm", required_argument, nullptr, 'p'},
      {"uart", required_argument, nullptr, 'u'},
      {"record", required_argument, nullptr, 'r'},
      {"log", required_argument, nullptr, 'v'},
      {"heap-trap", required_argument, nullptr, 't'},
      {"help", no_argument, nullptr, 'h'},
      {"version", no_argument, nullptr, 'V'},
      {nullptr, 0, nullptr, 0},
  }};
  Options options;
  if (options.board == &board::generic::board) {
    options.board = board_of_this_machine();
  }
  optind = 0;  // glibc: start afresh
  for (;;) {
    const auto at = static_cast<std::size_t>(std::max(optind, 1));
    // "+": in the order given, so that the word at fault is the one at `at`.
    const int found = getopt_long(static_cast<int>(arguments.size()), arguments.data(),
                                  "+:", known.data(), nullptr);
    if (found == -1) {
      break;
    }
    const std::string_view word = arguments[at];
    if (found == '?') {
      return wrong("no such option", word, "try --help");
    }
    if (found == ':') {
      return wrong("a value is missing", word, "try --help");
    }
    if (const auto applied = apply(options, found, optarg == nullptr ? "" : optarg); !applied) {
      return std::unexpected(applied.error());
    }
  }
  if (static_cast<std::size_t>(optind) < arguments.size()) {
    return wrong("no such argument", arguments[static_cast<std::size_t>(optind)], "try --help");
  }
  for (const std::string_view text : std::span(options.pwms).first(options.pwm_count)) {
    if (!parse_pwm_option(text, *options.board)) {
      return wrong("no PWM channel is known", text, "write for example GPIO18=fe20c000.pwm:0");
    }
  }
  if (options.uart_count == 0) {
    if (options.board->uarts.size() > options.uarts.size()) {
      return wrong("the board has more serial ports than this firmware", options.board->name,
                   "build it for that board");
    }
    add_board_uarts(options);
  }
  if (options.listener_count == 0) {
    add_default_listeners(options);
  }
  return options;
}

std::optional<LineOption> parse_line_option(std::string_view text) {
  auto parts = split(text, '=');
  LineOption line{.name = parts.key, .settings = {}};
  if (line.name.empty() || parts.value.empty()) {
    return std::nullopt;
  }
  while (parts.found) {
    parts = split(parts.value, ',');
    if (!parse_line_setting(parts.key, line.settings)) {
      return std::nullopt;
    }
  }
  return line;
}

std::optional<PwmOption> parse_pwm_option(std::string_view text, const board::Board& board) {
  const auto [line, channel, found] = split(text, '=');
  if (found) {
    return line.empty() || channel.empty() ? std::nullopt : std::optional(PwmOption{line, channel});
  }
  const auto known = std::ranges::find(board.pwms, line, &board::Pwm::line);
  return known == board.pwms.end() ? std::nullopt
                                   : std::optional(PwmOption{known->line, known->channel});
}

std::string_view help_text() { return help; }

}  // namespace millrace
