// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/gateway.hpp"

#include <utility>

#include "drivers/uart_settings.hpp"
#include "firmware/gateway/version.hpp"
#include "hal/error_text.hpp"
#include "hal/growth_trap.hpp"
#include "hal/heap_trap.hpp"
#include "hal/log.hpp"
#include "hal/memory.hpp"
#include "hal/print.hpp"
#include "hal/system.hpp"

namespace millrace {
namespace {

using hal::log;
using hal::LogLevel;

void watch_memory(hal::heap_trap::Action when_allocated) {
  hal::heap_trap::arm(when_allocated);
  if (when_allocated != hal::heap_trap::Action::abort || !hal::heap_trap::available()) {
    return;
  }
  if (const auto armed = hal::growth_trap::arm(); !armed) {
    log(LogLevel::warning, "only malloc() and its family are watched: ", describe(armed.error()));
  }
}

}  // namespace

ExitCode Gateway::run(const Options& options) {
  hal::set_log_level(options.log_level);
  hal::ignore_sigpipe();
  if (const auto opened = open_loop(); !opened) {
    log(LogLevel::error, "the loop can't be started: ", describe(opened.error()));
    return ExitCode::failed;
  }
  if (!open_devices(options)) {
    return ExitCode::no_device;
  }
  if (!open_listeners(options)) {
    pigpio_.close();
    server_.close();
    return ExitCode::no_address;
  }
  if (const auto opened = open_record(options); !opened) {
    log(LogLevel::error, "record ", options.record, ": ", describe(opened.error()));
    pigpio_.close();
    server_.close();
    return ExitCode::failed;
  }
  // All the memory that there will ever be is there now.
  hal::prepare_stack(board::selected::budget.stack);
  const auto locked = hal::lock_memory();
  watch_memory(options.heap_trap);
  introduce(options, locked);  // last: who reads it finds in force what it promises
  const auto exit = reactor_.run();
  hal::heap_trap::disarm();
  if (!exit) {
    log(LogLevel::error, "the loop can't go on: ", describe(exit.error()));
    pigpio_.close();
    server_.close();
    return ExitCode::failed;
  }
  if (exit->undelivered > 0) {
    log(LogLevel::warning, exit->undelivered, " messages were not delivered");
  }
  return static_cast<ExitCode>(exit->status);
}

Result<void> Gateway::open_loop() {
  if (auto opened = reactor_.open(); !opened) {
    return opened;
  }
  auto signals = hal::SignalFd::open(hal::stop_signals);
  if (!signals) {
    return std::unexpected(signals.error());
  }
  signals_ = std::move(*signals);
  const auto watch = reactor_.watch(signals_.fd(), Events::readable,
                                    Handler::to<&Gateway::on_signal>(*this), Priority::urgent);
  if (!watch) {
    return std::unexpected(watch.error());
  }
  return reactor_.at_quit(Handler::to<&Gateway::on_quit>(*this));
}

bool Gateway::open_devices(const Options& options) {
  const board::Board& board = *options.board;
  const bool simulated = board.gpio == board::GpioBackend::simulation;
  if (const auto opened = server_.open(gpio_, uarts_, board); !opened) {
    log(LogLevel::error, "the control port can't be opened: ", describe(opened.error()));
    return false;
  }
  auto opened = simulated ? gpio_sim_.open() : gpio_cdev_.open();
  hal::Gpio& gpio = simulated ? static_cast<hal::Gpio&>(gpio_sim_) : gpio_cdev_;
  if (opened) {
    opened = gpio_.open(gpio, board, server_.changed());
  }
  if (!opened) {
    log(LogLevel::error, "GPIO of board ", board.name, ": ", describe(opened.error()));
    return false;
  }
  if (!options.record.empty()) {
    gpio_.see_all();
  }
  // Lines that the kernel's PWM has are no GPIOs: that is known before any line is set up.
  if (!set_up_pwms(options) || !set_up_lines(options)) {
    return false;
  }
  if (const auto pigpio = pigpio_.open(board); !pigpio) {
    log(LogLevel::error,
        "the port for pigpiod's clients can't be opened: ", describe(pigpio.error()));
    return false;
  }
  server_.show(pigpio_);
  for (const auto& uart : std::span(options.uarts).first(options.uart_count)) {
    if (const auto added = uarts_.add(uart); !added) {
      log(LogLevel::error, uart.name, uart.paths[0].empty() ? "" : " at ", uart.paths[0], ": ",
          describe(added.error()));
      return false;
    }
  }
  return true;
}

bool Gateway::set_up_lines(const Options& options) {
  for (const std::string_view text : std::span(options.lines).first(options.line_count)) {
    const auto wanted = parse_line_option(text);
    const auto line = gpio_.find(wanted->name);
    if (!line) {
      log(LogLevel::error, "no such line, ", text, ", board ", options.board->name,
          " has others: see the command lines");
      return false;
    }
    const GpioService::Change change{.line = *line, .settings = wanted->settings};
    if (const auto done = gpio_.configure({&change, 1}); !done) {
      log(LogLevel::error, text, ": ", describe(done.error().error));
      return false;
    }
  }
  return true;
}

bool Gateway::set_up_pwms(const Options& options) {
  for (const std::string_view text : std::span(options.pwms).first(options.pwm_count)) {
    const auto wanted = parse_pwm_option(text, *options.board);
    const auto line = gpio_.find(wanted->line);
    if (!line) {
      log(LogLevel::error, "no such line, --pwm ", text, ", board ", options.board->name,
          " has others: see the command lines");
      return false;
    }
    if (const auto added = pwms_.add(*line, wanted->channel); !added) {
      log(LogLevel::error, "PWM of ", wanted->line, " by ", wanted->channel, ": ",
          describe(added.error()));
      return false;
    }
  }
  return true;
}

bool Gateway::open_listeners(const Options& options) {
  for (const auto& wanted : std::span(options.listeners).first(options.listener_count)) {
    const bool control = wanted.service == Options::Service::control;
    const std::string_view name = control ? "control=" : "pigpio=";
    const auto actual = control ? server_.listen(wanted.address) : pigpio_.listen(wanted.address);
    if (!actual) {
      log(wanted.optional ? LogLevel::warning : LogLevel::error, name, wanted.address.text(), ": ",
          describe(actual.error()));
      if (!wanted.optional) {
        return false;
      }
      continue;
    }
    listeners_[listener_count_++] = {.service = wanted.service, .address = *actual};
    if (!actual->is_local()) {
      log(LogLevel::warning, name, actual->text(),
          " is open to the network: whoever reaches it controls the lines");
    }
  }
  return true;
}

Result<void> Gateway::open_record(const Options& options) {
  if (options.record.empty()) {
    return {};  // nobody else has tasks, or files
  }
  if (auto opened = tasks_.open(); !opened) {
    return opened;
  }
  if (auto opened = offload_.open(reactor_); !opened) {
    return opened;
  }
  server_.show(recorder_);
  return recorder_.open(options.record, *options.board);
}

void Gateway::introduce(const Options& options, const Result<void>& locked) const {
  hal::print("Millrace ", version, " on board ", options.board->name, ": ",
             options.board->description);
  if (gpio_.size() > 0) {
    hal::print("  lines    ", gpio_.line(LineIndex{0}).name, " to ",
               gpio_.line(LineIndex(static_cast<std::uint16_t>(gpio_.size() - 1))).name, ", ",
               gpio_.size() - gpio_.statistics().missing, " of ", gpio_.size());
  }
  for (std::size_t i = 0; i < uarts_.size(); ++i) {
    const auto& port = uarts_.port(UartIndex(static_cast<std::uint8_t>(i)));
    hal::print("  ", port.config.name, "    ",
               port.uart.is_open() ? port.uart.path() : port.config.paths[0].view(), " at ",
               to_text(port.config.settings), port.uart.is_open() ? "" : ", opened by attach");
  }
  for (const auto& channel : pwms_.channels()) {
    hal::print("  pwm      ", gpio_.line(channel.line).name, " by ", channel.pwm.name());
  }
  for (const auto& listener : std::span(listeners_).first(listener_count_)) {
    hal::print(listener.service == Options::Service::control ? "  control  " : "  pigpio   ",
               listener.address.text());
  }
  if (!options.record.empty()) {
    hal::print("  record   ", options.record);
  }
  if (locked) {
    hal::print("  memory   locked");
  } else {
    hal::print("  memory   not locked: ", describe(locked.error()));
  }
  for (const auto& listener : std::span(listeners_).first(listener_count_)) {
    const hal::SocketAddress& address = listener.address;
    if (listener.service == Options::Service::control &&
        address.family() != hal::SocketAddress::Family::unix_path) {
      hal::print("Try: printf 'help\\n' | nc -N 127.0.0.1 ", address.port(),
                 "     or talk to it: nc 127.0.0.1 ", address.port());
      break;
    }
  }
}

void Gateway::on_signal(const Message& /*message*/) {
  if (const auto received = signals_.read()) {
    log(LogLevel::info, "stopping on signal ", received->signal);
    reactor_.quit(static_cast<int>(ExitCode::stopped));
  }
}

void Gateway::on_quit(const Message& /*message*/) {
  // The lines are given back as they are: nothing resets them.
  pigpio_.close();
  server_.close();
  uarts_.close();
}

}  // namespace millrace
