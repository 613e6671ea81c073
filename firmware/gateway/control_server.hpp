// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "board/boards.hpp"
#include "firmware/gateway/acceptor.hpp"
#include "firmware/gateway/control_session.hpp"
#include "firmware/gateway/event.hpp"
#include "firmware/gateway/gpio_service.hpp"
#include "firmware/gateway/uart_service.hpp"
#include "firmware/reactor/reactor.hpp"
#include "hal/socket.hpp"

namespace millrace {

class PigpioServer;
class Recorder;

/// The control port: accepts clients on any number of addresses and keeps a session for each. When
/// all sessions are taken, one whose client only listens is closed for the next client; if there is
/// none, that is told so and closed.
class ControlServer final : public UartObserver, public Acceptor::Server {
 public:
  struct Statistics {
    std::uint32_t open = 0;
    std::uint32_t most = 0;       ///< open at once
    std::uint64_t served = 0;     ///< clients accepted
    std::uint64_t refused = 0;    ///< clients turned away: no session or no descriptor was free
    std::uint64_t displaced = 0;  ///< clients that only listened, closed for a new one
  };

  /// `readers`: those of all sessions.
  ControlServer(Reactor& reactor, GatewayLog& log, std::span<GatewayLog::Reader> readers);

  /// `board` is what status shows. Errors: those of Reactor::add_notifier() and add_timer().
  [[nodiscard]] Result<void> open(GpioService& gpio, UartService& uarts, const board::Board& board);

  /// Serves clients at `address` too; returns the address with the port that the kernel chose.
  /// Errors: those of hal::listen(); ENOSPC (Capacities::listeners).
  [[nodiscard]] Result<hal::SocketAddress> listen(const hal::SocketAddress& address) {
    return acceptor_.listen(address);
  }

  /// Stops listening, and closes every connection; what a client has not been sent is lost.
  void close();

  /// Has status and limits show this one, too.
  void show(const PigpioServer& pigpio) { pigpio_ = &pigpio; }
  /// What they are to show; nullptr if there is none.
  [[nodiscard]] const PigpioServer* pigpio() const { return pigpio_; }

  void show(const Recorder& recorder) { recorder_ = &recorder; }
  [[nodiscard]] const Recorder* recorder() const { return recorder_; }

  /// Raised by whoever appends to the log: the sessions pass it on.
  [[nodiscard]] NotifierId changed() const { return changed_; }

  void on_uart_data(UartIndex uart, std::span<const std::byte> data) override;
  void on_uart_room(UartIndex uart) override;
  void on_uart_presence(UartIndex uart, bool present) override;

  [[nodiscard]] Reactor& reactor() { return reactor_; }
  [[nodiscard]] GatewayLog& log() { return log_; }
  [[nodiscard]] GpioService& gpio() { return *gpio_; }
  [[nodiscard]] UartService& uarts() { return *uarts_; }
  [[nodiscard]] const board::Board& board() const { return *board_; }
  [[nodiscard]] Instant started() const { return started_; }
  [[nodiscard]] const Statistics& statistics() const { return statistics_; }
  [[nodiscard]] std::size_t listener_count() const { return acceptor_.listener_count(); }
  [[nodiscard]] std::span<const GatewayLog::Reader> readers() const { return readers_; }

  /// A session has ended.
  void on_closed() { --statistics_.open; }

 private:
  void take_client(hal::Fd client) override;
  void on_client_refused() override { ++statistics_.refused; }
  void on_changed(const Message& message);

  Reactor& reactor_;
  GatewayLog& log_;
  std::span<GatewayLog::Reader> readers_;
  GpioService* gpio_ = nullptr;
  UartService* uarts_ = nullptr;
  const board::Board* board_ = nullptr;
  const PigpioServer* pigpio_ = nullptr;
  const Recorder* recorder_ = nullptr;
  Instant started_;
  NotifierId changed_;
  Statistics statistics_;
  Acceptor acceptor_;
  std::array<ControlSession, board::capacities.connections> sessions_{};
};

}  // namespace millrace
