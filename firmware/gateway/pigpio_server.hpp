// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "board/boards.hpp"
#include "drivers/event_log.hpp"
#include "drivers/pigpio/daemon.hpp"
#include "firmware/gateway/acceptor.hpp"
#include "firmware/gateway/event.hpp"
#include "firmware/gateway/gpio_service.hpp"
#include "firmware/gateway/pigpio_lines.hpp"
#include "firmware/gateway/pigpio_serials.hpp"
#include "firmware/gateway/pigpio_session.hpp"
#include "firmware/gateway/uart_service.hpp"
#include "firmware/reactor/reactor.hpp"

namespace millrace {

/// Serves clients of pigpiod: connects the daemon of drivers/pigpio to lines, serial ports, timers
/// and connections.
///
///     log of events ─▶ on_changed() ─▶ Daemon ─▶ log of reports ─▶ PigpioSession, FIFO
///     timers ────────▶ on_edge(), on_deadline() ──┘ ▲
///     PigpioSession ─▶ execute() ───────────────────┘
///
/// Reports are kept once for all, as events are: a client that does not read loses the oldest ones,
/// and the latest word of levels is always among those that are kept. Loop thread only.
class PigpioServer final : public UartObserver, public Acceptor::Server, public pigpio::Audience {
 public:
  struct Statistics {
    std::uint32_t open = 0;
    std::uint32_t most = 0;     ///< open at once
    std::uint64_t served = 0;   ///< connections accepted
    std::uint64_t refused = 0;  ///< connections turned away: no session or descriptor was free
    std::uint64_t commands = 0;
  };

  /// `reader`: of the log of events, for all clients together.
  PigpioServer(Reactor& reactor, GatewayLog& log, GatewayLog::Reader& reader, GpioService& gpio,
               PwmService& pwms, UartService& uarts)
      : reactor_(reactor),
        log_(log),
        reader_(reader),
        gpio_(gpio),
        pwms_(pwms),
        uarts_(uarts),
        acceptor_(reactor, *this, {}),
        lines_(gpio, pwms, reader),
        serials_(uarts) {}

  /// Once the lines and the PWM channels are known. Errors: those of Reactor::add_notifier() and
  /// add_timer().
  [[nodiscard]] Result<void> open(const board::Board& board);

  /// Serves clients at `address` too. See Acceptor::listen().
  [[nodiscard]] Result<hal::SocketAddress> listen(const hal::SocketAddress& address) {
    return acceptor_.listen(address);
  }

  /// Stops listening, and closes every connection.
  void close();

  [[nodiscard]] const Statistics& statistics() const { return statistics_; }
  [[nodiscard]] std::size_t listener_count() const { return acceptor_.listener_count(); }
  [[nodiscard]] const PwmService& pwms() const { return pwms_; }
  [[nodiscard]] const PigpioLines& lines() const { return lines_; }
  [[nodiscard]] std::uint64_t reports() const { return reports_.appended(); }
  [[nodiscard]] std::uint64_t reports_lost() const { return reports_.lost_in_total(); }

  // --- For its sessions ------------------------------------------------------------------------

  [[nodiscard]] Reactor& reactor() { return reactor_; }
  [[nodiscard]] const pigpio::Daemon& daemon() const { return daemon_; }
  [[nodiscard]] PigpioSerials& serials() { return serials_; }
  [[nodiscard]] const PigpioSerials& serials() const { return serials_; }

  /// Executes a request; what it has others told is sent before this returns.
  [[nodiscard]] pigpio::Answer execute(const pigpio::Request& request, pigpio::ClientId client,
                                       std::span<std::byte> data);
  /// The next report for a handle, encoded, and takes it as sent; nothing if there is none.
  [[nodiscard]] std::optional<std::array<std::byte, pigpio::Report::size>> next_report(
      std::uint8_t handle);
  /// Sends the client of a notification channel what waits for it.
  void deliver_to(pigpio::ClientId client);
  /// Sends reports that wait, and arms the timers anew: at the end of whatever happens here.
  void settle();
  /// A session has ended.
  void on_closed(pigpio::ClientId client);

  // --- For those who serve the lines, the serial ports and the daemon ----------------------------

  void on_uart_data(UartIndex uart, std::span<const std::byte> data) override;
  void on_uart_room(UartIndex uart) override;
  void on_uart_presence(UartIndex /*uart*/, bool /*present*/) override {}
  void publish(const pigpio::Report& report) override;
  [[nodiscard]] pigpio::Code open_channel(std::uint8_t handle, bool own_channel) override;
  void close_channel(std::uint8_t handle) override;

 private:
  /// What a handle wants of the log of reports: those that it is the audience of.
  struct ForHandle {
    std::uint8_t handle = 0;
    bool operator()(const pigpio::Report& report) const {
      return (report.audience >> handle & 1U) != 0;
    }
  };
  using ReportLog = EventLog<pigpio::Report, board::capacities.pigpio_reports, ForHandle>;

  /// What is sent on a handle, and its FIFO, if it has one of its own.
  struct Channel {
    PigpioServer* server = nullptr;
    std::uint16_t sequence = 0;
    hal::Fd fifo;
    WatchId watch;

    void on_ready(const Message& message);
  };

  void take_client(hal::Fd client) override;
  void on_client_refused() override { ++statistics_.refused; }
  void on_changed(const Message& message);
  void on_edge(const Message& message);
  void on_deadline(const Message& message);
  void take_events();
  void pump_waiting();
  void deliver();
  void deliver_to_handle(std::uint8_t handle);
  void write_fifo(std::uint8_t handle);
  /// Not the turn's time: it goes on while others run, and edges may be younger than that.
  [[nodiscard]] static Instant now();

  Reactor& reactor_;
  GatewayLog& log_;
  GatewayLog::Reader& reader_;
  GpioService& gpio_;
  PwmService& pwms_;
  UartService& uarts_;
  NotifierId changed_;
  TimerId edge_timer_;
  TimerId deadline_timer_;
  Instant edge_armed_ = never;
  Instant deadline_armed_ = never;
  bool undelivered_ = false;
  Statistics statistics_;
  Acceptor acceptor_;
  PigpioLines lines_;
  PigpioSerials serials_;
  pigpio::Daemon daemon_{lines_, serials_, *this};
  std::array<ReportLog::Reader, pigpio::Notifications::count> report_readers_{};
  ReportLog reports_{report_readers_};
  std::array<Channel, pigpio::Notifications::count> channels_{};
  std::array<PigpioSession, board::capacities.pigpio_connections> sessions_{};
};

}  // namespace millrace
