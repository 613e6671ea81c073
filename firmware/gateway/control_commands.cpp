// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/control_commands.hpp"

#include <algorithm>
#include <chrono>

#include "drivers/control/words.hpp"
#include "drivers/line_settings.hpp"
#include "drivers/uart_settings.hpp"
#include "firmware/gateway/control_server.hpp"
#include "firmware/gateway/pigpio_server.hpp"
#include "firmware/gateway/recorder.hpp"
#include "firmware/gateway/version.hpp"
#include "hal/error_text.hpp"
#include "hal/heap_trap.hpp"
#include "hal/libgpiod_memory.hpp"
#include "hal/log.hpp"
#include "hal/memory.hpp"
#include "hal/slice.hpp"

namespace millrace {
namespace {

using control::parse_level;
using control::parse_name;
using control::split;
using hal::Edges;
using hal::LineSettings;

// In the order of the enumerators.
constexpr std::array<std::string_view, 4> edge_names = {"none", "rising", "falling", "both"};
constexpr std::array<std::string_view, priority_count> priority_names = {"urgent", "normal",
                                                                         "background"};
constexpr std::array<std::string_view, 2> active_level_names = {"high", "low"};

/// Every line once, the command, and the settings of config.
constexpr std::size_t most_words = board::capacities.lines + 10;

template <std::size_t N, class Enum>
std::string_view name_of(const std::array<std::string_view, N>& names, Enum value) {
  return names[static_cast<std::size_t>(value)];
}

/// What the kernel says of a line is other people's text: kept from breaking our lines and quotes.
FixedString<34> quoted(std::string_view text) {
  FixedString<34> result("\"");
  for (const char c : slice(text, 0, 32)) {
    // A char has a sign on x86 and none on ARM: either way, only ASCII passes.
    result.append(c < ' ' || c > '~' || c == '"' ? '?' : c);
  }
  result.append('"');
  return result;
}

std::int64_t microseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

// A web page can have a browser send any text to any port of this machine: as the body of a
// request, whose first line and Host come before it (RFC 9112, 3 and 3.2).
bool is_http(std::string_view line) {
  return line.ends_with(" HTTP/1.1") || line.ends_with(" HTTP/1.0") || line.starts_with("Host:");
}

}  // namespace

constexpr std::array<ControlCommands::Command, 16> ControlCommands::commands = {{
    {"help", &ControlCommands::help, "[COMMAND]", "what there is"},
    {"lines", &ControlCommands::lines, "[LINE ...]",
     "list lines: direction, bias, drive, active level, debounce, edges, level, consumer, "
     "watchers"},
    {"read", &ControlCommands::read, "LINE ...", "levels, read together"},
    {"set", &ControlCommands::set, "LINE=0|1 ...",
     "drive outputs together; a line that nobody has configured becomes an output"},
    {"config", &ControlCommands::config, "LINE ... SETTING ...",
     "SETTING: input output as-is bias=as-is|disabled|pull-up|pull-down "
     "drive=push-pull|open-drain|open-source active=high|low debounce=5ms level=0|1"},
    {"watch", &ControlCommands::watch, "LINE ...|all [rising|falling|both]",
     "be told of edges, and of what other clients do to the lines"},
    {"unwatch", &ControlCommands::unwatch, "[LINE ...]", "no longer"},
    {"release", &ControlCommands::release, "LINE",
     "give the line, and those first used by the same command, back to the kernel"},
    {"pull", &ControlCommands::pull, "LINE up|down", "what drives a simulated input from outside"},
    {"wire", &ControlCommands::wire, "LINE LINE",
     "connect two simulated lines; a line with itself: take its wire off"},
    {"uarts", &ControlCommands::uarts, "", "list serial ports"},
    {"uart", &ControlCommands::uart, "UART SETTINGS",
     "set a serial port up: 9600 or 115200,8N1 or 19200,7E2,rtscts (xonxoff, rs485, low-latency)"},
    {"attach", &ControlCommands::attach, "UART [raw]",
     "bytes go to and from the port, until Ctrl-] Enter (0x1D and a byte; 0x1D twice sends one); "
     "raw: until the connection ends"},
    {"status", &ControlCommands::status, "", "what the gateway does, in numbers"},
    {"limits", &ControlCommands::limits, "", "how many of everything there is, and is in use"},
    {"quit", &ControlCommands::quit, "", "close this connection"},
}};

// --- Answers -----------------------------------------------------------------------------------

void ControlCommands::execute(std::string_view line) {
  if (is_http(line)) {
    error("this is no web server", "this connection", "write commands: try help");
    session_.quit();
    return;
  }
  const control::Words<most_words> words(line);
  if (words.too_many()) {
    error("too many words", "this command", "use several commands");
    return;
  }
  if (words.all().empty()) {
    ok();
    return;
  }
  const std::string_view name = words.all().front();
  const auto command = std::ranges::find(commands, name, &Command::name);
  if (command == commands.end()) {
    error("no such command", quoted(name), "try help");
    return;
  }
  (this->*command->execute)(words.all().subspan(1));
}

void ControlCommands::list(Make make) {
  make_ = make;
  position_ = 0;
  rows_ = 0;
}

void ControlCommands::answer() {
  Row row;
  if ((this->*make_)(position_++, row)) {
    if (!row.empty()) {
      session_.put(row);
      ++rows_;
    }
    return;
  }
  make_ = nullptr;
  ok(rows_);
}

template <class... Parts>
void ControlCommands::ok(const Parts&... parts) {
  Row row("ok");
  if constexpr (sizeof...(parts) > 0) {
    row.append(' ', parts...);
  }
  session_.put(row);
}

void ControlCommands::error(std::string_view what, std::string_view where,
                            std::string_view remedy) {
  Row row;
  row.append("error: ", what, ", ", where);
  if (!remedy.empty()) {
    row.append(", ", remedy);
  }
  session_.put(row);
}

void ControlCommands::error(const Error& error, std::string_view where) {
  Row what(error.what);
  if (error.number != 0) {
    what.append(" (", errno_text(error.number), ')');
  }
  this->error(what, where, error.remedy);
}

void ControlCommands::error(const LineError& error) {
  this->error(error.error, session_.server().gpio().line(error.line).name);
}

void ControlCommands::usage(std::string_view name) {
  const auto command = std::ranges::find(commands, name, &Command::name);
  Row remedy("write ");
  remedy.append(name, ' ', command->words);
  error("words missing or not understood", name, remedy);
}

void ControlCommands::help(Words words) {
  if (words.empty()) {
    list(&ControlCommands::make_help);
    return;
  }
  const auto command = std::ranges::find(commands, words.front(), &Command::name);
  if (command == commands.end()) {
    error("no such command", quoted(words.front()), "try help");
    return;
  }
  ok(command->name, ' ', command->words, command->words.empty() ? "" : " ", "- ", command->help);
}

bool ControlCommands::make_help(std::size_t n, Row& row) {
  if (n < commands.size()) {
    const Command& command = commands[n];
    row.append("help ", command.name, ' ', command.words, command.words.empty() ? "" : " ", "- ",
               command.help);
    return true;
  }
  return false;
}

void ControlCommands::quit(Words /*words*/) {
  ok("bye");
  session_.quit();
}

// --- Lines -------------------------------------------------------------------------------------

std::optional<LineIndex> ControlCommands::find_line(std::string_view name) {
  const auto line = session_.server().gpio().find(name);
  if (!line) {
    error("no such line", quoted(name), "see lines");
  }
  return line;
}

/// The lines named, or with `all` those that others have left us; nothing after an error has been
/// put.
std::optional<LineSet> ControlCommands::parse_lines(Words words) {
  GpioService& gpio = session_.server().gpio();
  LineSet set;
  for (const std::string_view word : words) {
    if (word == "all") {
      for (std::size_t i = 0; i < gpio.size(); ++i) {
        set[i] = gpio.available(LineIndex(static_cast<std::uint16_t>(i)));
      }
      continue;
    }
    const auto line = find_line(word);
    if (!line) {
      return std::nullopt;
    }
    set[index(*line)] = true;
  }
  return set;
}

void ControlCommands::lines(Words words) {
  const auto chosen = parse_lines(words);
  if (!chosen) {
    return;
  }
  listed_ = *chosen;
  if (words.empty()) {
    listed_.set();
  }
  list(&ControlCommands::make_line);
}

bool ControlCommands::make_line(std::size_t n, Row& row) {
  GpioService& gpio = session_.server().gpio();
  if (n >= gpio.size()) {
    return false;
  }
  if (!listed_[n]) {
    return true;
  }
  const LineIndex which{static_cast<std::uint16_t>(n)};
  const GpioService::Line& line = gpio.line(which);
  row.append("line ", line.name);
  const auto info = gpio.info(which);
  if (!info) {
    row.append(" missing");
    return true;
  }
  // The kernel's word, but what it can't tell of an as-is line is what we asked for.
  const LineSettings& settings = info->settings;
  row.append(' ', to_text(settings.direction), " bias=", to_text(settings.bias),
             " drive=", to_text(settings.drive),
             " active=", active_level_names[settings.active_low ? 1 : 0],
             " debounce=", settings.debounce.count(), "us",
             " edges=", name_of(edge_names, settings.edges));
  const auto watchers =
      std::ranges::count_if(session_.server().readers(), [n](const GatewayLog::Reader& reader) {
        return reader.filter.rising[n] || reader.filter.falling[n];
      });
  const auto level = gpio.level(which);
  row.append(" level=", level ? (*level ? "1" : "0") : "?");
  row.append(" consumer=", quoted(info->consumer), " watchers=", watchers);
  return true;
}

void ControlCommands::read(Words words) {
  if (words.empty() || words.size() > board::capacities.lines) {
    usage("read");
    return;
  }
  std::array<LineIndex, board::capacities.lines> chosen;
  std::array<bool, board::capacities.lines> levels{};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto line = find_line(words[i]);
    if (!line) {
      return;
    }
    chosen[i] = *line;
  }
  const auto read = session_.server().gpio().read(std::span(chosen).first(words.size()), levels);
  if (!read) {
    error(read.error());
    return;
  }
  Row row("ok");
  for (std::size_t i = 0; i < words.size(); ++i) {
    row.append(' ', words[i], '=', levels[i]);
  }
  session_.put(row);
}

void ControlCommands::set(Words words) {
  if (words.empty() || words.size() > board::capacities.lines) {
    usage("set");
    return;
  }
  std::array<LineIndex, board::capacities.lines> chosen;
  std::array<bool, board::capacities.lines> levels{};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto [name, value, found] = split(words[i], '=');
    const auto level = parse_level(value);
    if (!level) {
      error("no level", quoted(words[i]), "write LINE=0 or LINE=1");
      return;
    }
    const auto line = find_line(name);
    if (!line) {
      return;
    }
    chosen[i] = *line;
    levels[i] = *level;
  }
  const auto set = session_.server().gpio().set(std::span(chosen).first(words.size()),
                                                std::span(levels).first(words.size()));
  if (!set) {
    error(set.error());
    return;
  }
  Row row("ok");
  for (std::size_t i = 0; i < words.size(); ++i) {
    row.append(' ', split(words[i], '=').key, '=', levels[i]);
  }
  session_.put(row);
}

void ControlCommands::config(Words words) {
  const GpioService& gpio = session_.server().gpio();
  const auto is_line = [&](std::string_view word) { return gpio.find(word).has_value(); };
  const auto first_setting = std::ranges::find_if_not(words, is_line);
  const auto count = static_cast<std::size_t>(first_setting - words.begin());
  const Words settings = words.subspan(count);
  if (count == 0 && !words.empty()) {
    (void)find_line(words.front());
    return;
  }
  if (settings.empty()) {
    usage("config");
    return;
  }
  std::array<GpioService::Change, board::capacities.lines> changes;
  if (count > changes.size()) {
    error("a line is named twice", "config", "name each line once");
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    changes[i].line = *gpio.find(words[i]);
    const auto wanted = change_line_settings(gpio.settings(changes[i].line), settings);
    if (!wanted) {
      error("setting not understood", quoted(wanted.error()), "try help config");
      return;
    }
    changes[i].settings = *wanted;
  }
  const auto configured = session_.server().gpio().configure(std::span(changes).first(count));
  if (!configured) {
    error(configured.error());
    return;
  }
  ok();
}

void ControlCommands::watch(Words words) {
  const auto edges = words.empty() ? std::nullopt : parse_name(words.back(), edge_names);
  const Words names = words.first(words.size() - (edges ? 1 : 0));
  if (names.empty() || edges == std::size_t{0}) {
    usage("watch");
    return;
  }
  const auto chosen = parse_lines(names);
  if (!chosen) {
    return;
  }
  // Watching anew replaces what was watched of these lines. The new edges come first, so that a
  // line that stays watched is never without its edges.
  GpioService& gpio = session_.server().gpio();
  EventFilter& filter = session_.events().filter;
  const auto wanted = static_cast<Edges>(edges.value_or(static_cast<std::size_t>(Edges::both)));
  if (const auto watched = gpio.watch(*chosen, wanted); !watched) {
    error(watched.error());
    return;
  }
  gpio.unwatch(filter.rising & *chosen, filter.falling & *chosen);
  filter.rising &= ~*chosen;
  filter.falling &= ~*chosen;
  filter.rising |= wanted != Edges::falling ? *chosen : LineSet();
  filter.falling |= wanted != Edges::rising ? *chosen : LineSet();
  ok(filter.lines().count());
}

void ControlCommands::unwatch(Words words) {
  const auto chosen = words.empty() ? std::optional(LineSet().set()) : parse_lines(words);
  if (!chosen) {
    return;
  }
  EventFilter& filter = session_.events().filter;
  session_.server().gpio().unwatch(filter.rising & *chosen, filter.falling & *chosen);
  filter.rising &= ~*chosen;
  filter.falling &= ~*chosen;
  ok(filter.lines().count());
}

void ControlCommands::release(Words words) {
  if (words.size() != 1) {
    usage("release");
    return;
  }
  const auto line = find_line(words[0]);
  if (!line) {
    return;
  }
  if (const auto released = session_.server().gpio().release(*line); !released) {
    error(released.error(), words[0]);
    return;
  }
  ok();
}

void ControlCommands::pull(Words words) {
  if (words.size() != 2 || (words[1] != "up" && words[1] != "down")) {
    usage("pull");
    return;
  }
  const auto line = find_line(words[0]);
  if (!line) {
    return;
  }
  if (const auto pulled = session_.server().gpio().pull(*line, words[1] == "up"); !pulled) {
    error(pulled.error(), words[0]);
    return;
  }
  ok();
}

void ControlCommands::wire(Words words) {
  if (words.size() != 2) {
    usage("wire");
    return;
  }
  const auto one = find_line(words[0]);
  if (!one) {
    return;
  }
  const auto other = find_line(words[1]);
  if (!other) {
    return;
  }
  if (const auto wired = session_.server().gpio().wire(*one, *other); !wired) {
    error(wired.error(), words[0]);
    return;
  }
  ok();
}

// --- Serial ports ------------------------------------------------------------------------------

void ControlCommands::uarts(Words /*words*/) { list(&ControlCommands::make_uart); }

bool ControlCommands::make_uart(std::size_t n, Row& row) {
  const UartService& uarts = session_.server().uarts();
  if (n >= uarts.size()) {
    return false;
  }
  const UartService::Port& port = uarts.port(UartIndex(static_cast<std::uint8_t>(n)));
  std::string_view state = "closed";
  if (port.uart.is_open()) {
    state = "open";
  } else if (port.lost) {
    state = "gone";
  }
  const std::string_view path =
      port.uart.is_open() ? port.uart.path() : port.config.paths[0].view();
  row.append("uart ", port.config.name, ' ', state, " path=", path.empty() ? "-" : path,
             " settings=", to_text(port.config.settings), " clients=", port.attached,
             " received=", port.received, " sent=", port.sent, " discarded=", port.discarded,
             " dropped=", port.dropped, " reopened=", port.reopened);
  if (port.uart.is_open()) {
    if (const auto counters = port.uart.counters()) {
      row.append(" framing-errors=", counters->framing_errors,
                 " parity-errors=", counters->parity_errors, " overruns=", counters->overruns,
                 " buffer-overruns=", counters->buffer_overruns, " breaks=", counters->breaks);
    }
  }
  return true;
}

void ControlCommands::uart(Words words) {
  if (words.size() != 2) {
    usage("uart");
    return;
  }
  UartService& uarts = session_.server().uarts();
  const auto port = uarts.find(words[0]);
  if (!port) {
    error("no such serial port", quoted(words[0]), "see uarts");
    return;
  }
  const auto settings = parse_uart_settings(words[1]);
  if (!settings) {
    error("settings not understood", quoted(words[1]), "write for example 115200,8N1");
    return;
  }
  if (const auto configured = uarts.configure(*port, *settings); !configured) {
    error(configured.error(), words[0]);
    return;
  }
  ok(words[0], ' ', to_text(*settings));
}

void ControlCommands::attach(Words words) {
  const bool raw = words.size() == 2 && words[1] == "raw";
  if (words.size() != 1 && !raw) {
    usage("attach");
    return;
  }
  const UartService& uarts = session_.server().uarts();
  const auto port = uarts.find(words[0]);
  if (!port) {
    error("no such serial port", quoted(words[0]), "see uarts");
    return;
  }
  if (const auto attached = session_.attach(*port, !raw); !attached) {
    error(attached.error(), words[0]);
    return;
  }
  ok("attached ", words[0], ' ', to_text(uarts.port(*port).config.settings),
     raw ? "" : " Ctrl-] Enter detaches");
}

// --- Numbers -----------------------------------------------------------------------------------

void ControlCommands::status(Words /*words*/) { list(&ControlCommands::make_status); }

bool ControlCommands::make_status(std::size_t n, Row& row) {
  ControlServer& server = session_.server();
  const ReactorStatistics loop = server.reactor().statistics();
  const GpioService& gpio = server.gpio();
  constexpr std::size_t first_queue = 2;
  constexpr std::size_t after_queues = first_queue + priority_count;
  if (n >= first_queue && n < after_queues) {
    const QueueStatistics& queue = loop.queues[n - first_queue];
    row.append("queue ", priority_names[n - first_queue], " depth=", queue.depth,
               " high-water=", queue.high_water, " dispatched=", queue.dispatched,
               " refused=", queue.refused);
    return true;
  }
  switch (n) {
    case 0:
      row.append("gateway version=", version, " board=", server.board().name,
                 " uptime=", microseconds(server.reactor().now() - server.started()), "us",
                 " log-lines-lost=", hal::log_lines_lost());
      return true;
    case 1:
      row.append("loop poller=", server.reactor().poller().name(), " turns=", loop.turns,
                 " sleeps=", loop.sleeps, " timers-expired=", loop.timers_expired,
                 " periods-missed=", loop.periods_missed, " stale-events=", loop.stale_events,
                 " mailbox-refused=", loop.mailbox_refused,
                 " overruns=", server.reactor().ledger().total());
      return true;
    case after_queues:
      row.append("connections open=", server.statistics().open, " most=", server.statistics().most,
                 " served=", server.statistics().served, " refused=", server.statistics().refused,
                 " displaced=", server.statistics().displaced);
      return true;
    case after_queues + 1:
      row.append("events logged=", server.log().appended(), " lost-by-clients=",
                 server.log().lost_in_total() -
                     (server.recorder() == nullptr ? 0 : server.recorder()->lost_in_log()),
                 " watched=", session_.events().filter.lines().count());
      return true;
    case after_queues + 2:
      row.append("heap calls-since-start=", hal::heap_trap::calls());
      return true;
    case after_queues + 3: {
      const auto usage = hal::memory_usage().value_or(hal::MemoryUsage{});
      row.append("memory mapped=", usage.mapped, " resident=", usage.resident,
                 " stack-high-water=", hal::stack_high_water(),
                 " stack-prepared=", board::selected::budget.stack);
      return true;
    }
    case after_queues + 4: {
      const SegregatedPool::Statistics memory = hal::libgpiod_memory::statistics();
      row.append("libgpiod allocations=", memory.allocated, " refused=", memory.refused,
                 " memory-used=", memory.used, " memory-high-water=", memory.high_water);
      return true;
    }
    case after_queues + 5: {
      std::uint32_t claimed = 0;
      std::uint32_t watched = 0;
      for (std::size_t i = 0; i < gpio.size(); ++i) {
        const auto& line = gpio.line(LineIndex(static_cast<std::uint16_t>(i)));
        claimed += line.claimed() ? 1U : 0U;
        watched += line.watched() ? 1U : 0U;
      }
      row.append("gpio lines=", gpio.size(), " missing=", gpio.statistics().missing,
                 " claimed=", claimed, " watched=", watched, " edges=", gpio.statistics().edges,
                 " lost-by-kernel=", gpio.statistics().lost);
      return true;
    }
    case after_queues + 6:
      make_pigpio_status(row);
      return true;
    case after_queues + 7:
      make_pulse_status(row);
      return true;
    case after_queues + 8:
      make_task_status(row);
      return true;
    case after_queues + 9:
      make_offload_status(row);
      return true;
    case after_queues + 10:
      make_record_status(row);
      return true;
    default:
      break;
  }
  std::size_t after_pulses = n - (after_queues + 11);
  if (const PigpioServer* const pigpio = server.pigpio()) {
    const std::size_t channels = pigpio->pwms().channels().size();
    const std::size_t trains = pigpio->daemon().pulse_count();
    if (after_pulses < channels) {
      make_channel_status(after_pulses, row);
      return true;
    }
    if (after_pulses < channels + trains) {
      make_train_status(after_pulses - channels, row);
      return true;
    }
    after_pulses -= channels + trains;
  }
  const std::size_t after_gpio = after_pulses;
  if (after_gpio < server.uarts().size()) {
    return make_uart(after_gpio, row);
  }
  const auto slow = server.reactor().ledger().entry(after_gpio - server.uarts().size());
  if (slow) {
    row.append("slow ", slow->name, " count=", slow->count, " worst=", microseconds(slow->worst),
               "us backlog=", slow->backlog);
  }
  return slow.has_value();
}

void ControlCommands::make_pigpio_status(Row& row) const {
  if (const PigpioServer* const pigpio = session_.server().pigpio()) {
    const PigpioServer::Statistics& statistics = pigpio->statistics();
    row.append("pigpio open=", statistics.open, " most=", statistics.most,
               " served=", statistics.served, " refused=", statistics.refused,
               " commands=", statistics.commands,
               " handles=", pigpio->daemon().notifications().open_count(),
               " reports=", pigpio->reports(), " lost-by-clients=", pigpio->reports_lost());
  }
}

void ControlCommands::make_pulse_status(Row& row) const {
  if (const PigpioServer* const pigpio = session_.server().pigpio()) {
    const pigpio::PulseStatistics& pulses = pigpio->daemon().pulses();
    const auto edges = static_cast<std::int64_t>(std::max<std::uint64_t>(pulses.edges, 1));
    row.append("pulses lines=", pigpio->daemon().pulse_count(), " edges=", pulses.edges,
               " late-on-average=", microseconds(pulses.late_in_total / edges),
               "us late-at-worst=", microseconds(pulses.late_at_worst),
               "us periods-missed=", pulses.missed);
  }
}

void ControlCommands::make_task_status(Row& row) const {
  if (const Recorder* const recorder = session_.server().recorder()) {
    const TaskStatistics tasks = recorder->tasks().statistics();
    row.append("tasks frames=", tasks.frames, " most=", tasks.frames_high_water,
               " largest=", tasks.largest_frame, " refused=", tasks.refused,
               " resumed=", tasks.resumed, " memory-used=", tasks.memory.used,
               " memory-high-water=", tasks.memory.high_water);
  }
}

void ControlCommands::make_offload_status(Row& row) const {
  if (const Recorder* const recorder = session_.server().recorder()) {
    const Offload& offload = recorder->offload();
    const LaneStatistics& jobs = offload.statistics(0);
    row.append("offload io-uring=", offload.uses_ring() ? 1 : 0, " jobs=", jobs.in_use,
               " most=", jobs.high_water, " waiting=", jobs.queued,
               " running=", jobs.running + jobs.in_ring, " refused=", jobs.refused,
               " done=", jobs.told, " by-io-uring=", jobs.ringed,
               " workers-idle=", offload.workers_idle());
  }
}

void ControlCommands::make_record_status(Row& row) const {
  if (const Recorder* const recorder = session_.server().recorder()) {
    const Recorder::Statistics& record = recorder->statistics();
    row.append("record bytes=", record.bytes, " changes=", record.changes,
               " waiting=", recorder->waiting(), " lost=", record.lost, " late=", record.late,
               " files=", record.files, " errors=", record.errors,
               " slowest=", microseconds(record.slowest), "us path=", recorder->path());
  }
}

void ControlCommands::make_channel_status(std::size_t n, Row& row) const {
  const PwmService::Channel& channel = session_.server().pigpio()->pwms().channels()[n];
  row.append("pulses ", session_.server().gpio().line(channel.line).name,
             " by=kernel channel=", channel.pwm.name(), " enabled=", channel.pwm.enabled() ? 1 : 0,
             " period=", channel.pwm.period().count(), "ns width=", channel.pwm.width().count(),
             "ns refused=", channel.refused);
}

void ControlCommands::make_train_status(std::size_t n, Row& row) const {
  const PigpioServer& pigpio = *session_.server().pigpio();
  for (unsigned gpio = 0; gpio < pigpio::user_gpios; ++gpio) {
    const pigpio::PulseStatistics* const pulses = pigpio.daemon().pulses_of(gpio);
    if (pulses == nullptr || n-- > 0) {
      continue;
    }
    const auto edges = static_cast<std::int64_t>(std::max<std::uint64_t>(pulses->edges, 1));
    row.append("pulses ", session_.server().gpio().line(pigpio.lines().line(gpio)).name,
               " by=timer period=", pigpio.daemon().period_of(gpio).count(),
               "ns width=", pigpio.daemon().width_of(gpio).count(), "ns edges=", pulses->edges,
               " late-on-average=", microseconds(pulses->late_in_total / edges),
               "us late-at-worst=", microseconds(pulses->late_at_worst),
               "us periods-missed=", pulses->missed);
    return;
  }
}

void ControlCommands::limits(Words /*words*/) { list(&ControlCommands::make_limit); }

bool ControlCommands::make_limit(std::size_t n, Row& row) {
  ControlServer& server = session_.server();
  const ReactorStatistics loop = server.reactor().statistics();
  const ReactorLimits& reactor = server.reactor().limits();
  const board::Capacities& capacities = board::capacities;
  const SegregatedPool::Statistics libgpiod = hal::libgpiod_memory::statistics();
  const auto limit = [&row](std::string_view name, std::size_t most) {
    row.append("limit ", name, ' ', most);
  };
  const auto limit_used = [&](std::string_view name, std::size_t most, std::size_t used) {
    limit(name, most);
    row.append(" used=", used);
  };
  switch (n) {
    case 0:
      limit_used("fds", reactor.fds, loop.watches);
      return true;
    case 1:
      limit_used("timers", reactor.timers, loop.timers);
      return true;
    case 2:
      limit_used("messages", reactor.messages, reactor.messages - loop.messages_free);
      row.append(" high-water=", reactor.messages - loop.messages_least_free);
      return true;
    case 3:
      limit("mailbox", reactor.mailbox);
      return true;
    case 4:
      limit_used("lines", capacities.lines, server.gpio().size());
      return true;
    case 5:
      limit_used("libgpiod-memory", capacities.libgpiod_memory, libgpiod.used);
      row.append(" high-water=", libgpiod.high_water);
      return true;
    case 6:
      limit_used("uarts", capacities.uarts, server.uarts().size());
      return true;
    case 7:
      limit_used("listeners", capacities.listeners,
                 server.listener_count() +
                     (server.pigpio() == nullptr ? 0 : server.pigpio()->listener_count()));
      return true;
    case 8:
      limit_used("connections", capacities.connections, server.statistics().open);
      row.append(" high-water=", server.statistics().most);
      return true;
    case 9:
      limit("line-length", capacities.line_length);
      return true;
    case 10:
      limit("receive-ring", capacities.receive_ring);
      return true;
    case 11:
      limit("send-ring", capacities.send_ring);
      return true;
    case 12:
      limit("uart-ring", capacities.uart_ring);
      return true;
    case 13:
      limit("events", capacities.events);
      return true;
    case 14:
      limit("pigpio-connections", capacities.pigpio_connections);
      if (const PigpioServer* const pigpio = server.pigpio()) {
        row.append(" used=", pigpio->statistics().open, " high-water=", pigpio->statistics().most);
      }
      return true;
    case 15:
      limit("pigpio-send-ring", capacities.pigpio_send_ring);
      return true;
    case 16:
      limit("pigpio-reports", capacities.pigpio_reports);
      return true;
    case 17:
      limit("pigpio-serials", capacities.pigpio_serials);
      if (const PigpioServer* const pigpio = server.pigpio()) {
        row.append(" used=", pigpio->serials().open_count());
      }
      return true;
    case 18:
      limit("pwms", capacities.pwms);
      if (const PigpioServer* const pigpio = server.pigpio()) {
        row.append(" used=", pigpio->pwms().channels().size());
      }
      return true;
    case 19:
      limit("task-memory", capacities.task_memory);
      if (const Recorder* const recorder = server.recorder()) {
        const SegregatedPool::Statistics memory = recorder->tasks().statistics().memory;
        row.append(" used=", memory.used, " high-water=", memory.high_water);
      }
      return true;
    case 20:
      limit("offload-workers", capacities.offload_workers);
      if (const Recorder* const recorder = server.recorder()) {
        row.append(" used=", capacities.offload_workers - recorder->offload().workers_idle());
      }
      return true;
    case 21:
      limit("offload-jobs", capacities.offload_jobs);
      if (const Recorder* const recorder = server.recorder()) {
        const LaneStatistics& jobs = recorder->offload().statistics(0);
        row.append(" used=", jobs.in_use, " high-water=", jobs.high_water);
      }
      return true;
    case 22:
      limit("offload-buffer", capacities.offload_buffer);
      return true;
    case 23:
      limit("record-events", capacities.record_events);
      return true;
    case 24:
      limit("record-buffer", capacities.record_buffer);
      return true;
    default:
      return false;
  }
}

}  // namespace millrace
