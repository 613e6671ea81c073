// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>

#include "board/boards.hpp"
#include "firmware/gateway/control_server.hpp"
#include "firmware/gateway/event.hpp"
#include "firmware/gateway/gpio_service.hpp"
#include "firmware/gateway/options.hpp"
#include "firmware/gateway/pigpio_server.hpp"
#include "firmware/gateway/pwm_service.hpp"
#include "firmware/gateway/recorder.hpp"
#include "firmware/gateway/uart_service.hpp"
#include "firmware/reactor/offload.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "firmware/reactor/tasks.hpp"
#include "hal/gpio_cdev.hpp"
#include "hal/gpio_sim.hpp"
#include "hal/signal_fd.hpp"

namespace millrace {

/// The product: lines and serial ports, shared by the clients of the control port and of pigpiod's
/// protocol. One object holds all of its memory.
///
///     line's fd ─▶ GpioService ─▶ log of events ─┬─▶ ControlSession ─▶ client
///                                                ├─▶ PigpioServer ─▶ PigpioSession ─▶ client
///                                                └─▶ Recorder ─▶ Offload ─▶ file
///     UART's fd ─▶ UartService ─▶ ControlSession, PigpioSerials ─▶ client
class Gateway {
 public:
  Gateway() = default;

  /// Opens everything, says what it serves, and runs until a signal ends it.
  [[nodiscard]] ExitCode run(const Options& options);

 private:
  static constexpr ReactorLimits limits = {.fds = board::capacities.fds,
                                           .timers = board::capacities.timers,
                                           .notifiers = 10,
                                           .messages = board::capacities.messages,
                                           .mailbox = board::capacities.mailbox};

  static_assert(board::capacities.libgpiod_memory >=
                    hal::GpioCdev::memory_for(board::capacities.lines, board::capacities.lines),
                "raise libgpiod_memory in the board's capacities");

  [[nodiscard]] Result<void> open_loop();
  [[nodiscard]] bool open_devices(const Options& options);
  [[nodiscard]] bool set_up_lines(const Options& options);
  [[nodiscard]] bool set_up_pwms(const Options& options);
  [[nodiscard]] bool open_listeners(const Options& options);
  [[nodiscard]] Result<void> open_record(const Options& options);
  /// Says what is served, and whether the memory could be locked.
  void introduce(const Options& options, const Result<void>& locked) const;
  void on_signal(const Message& message);
  void on_quit(const Message& message);

  StaticReactor<limits> reactor_;
  hal::SignalFd signals_;
  hal::StaticGpioCdev<board::capacities.lines, board::capacities.libgpiod_memory> gpio_cdev_;
  hal::GpioSim gpio_sim_;
  /// Those of the control port's sessions, one for all of pigpiod's clients, and the record's.
  static constexpr std::size_t watchers = board::capacities.connections + 1;
  std::array<GatewayLog::Reader, watchers + 1> readers_{};
  GatewayLog log_{readers_};
  ControlServer server_{reactor_, log_, std::span(readers_).first<watchers>()};
  GpioService gpio_{reactor_, log_};
  PwmService pwms_{gpio_};
  UartService uarts_{reactor_, server_};
  PigpioServer pigpio_{reactor_, log_, readers_[watchers - 1], gpio_, pwms_, uarts_};
  StaticTasks<board::capacities.task_memory> tasks_{reactor_};
  StaticOffload<OffloadLimits{.lanes = 1,
                              .workers = board::capacities.offload_workers,
                              .jobs = board::capacities.offload_jobs,
                              .buffer = board::capacities.offload_buffer}>
      offload_;
  Recorder recorder_{tasks_, offload_, log_, readers_.back(), gpio_};
  std::size_t listener_count_ = 0;
  std::array<Options::Listener, board::capacities.listeners> listeners_{};
};
#if !defined(__SANITIZE_THREAD__)  // threads have a stack of a megabyte there
static_assert(sizeof(Gateway) <= board::budget.memory, "raise Budget::memory, or lower capacities");
#endif

}  // namespace millrace
