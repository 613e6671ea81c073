// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "board/boards.hpp"
#include "drivers/control/escape_decoder.hpp"
#include "drivers/control/line_decoder.hpp"
#include "firmware/gateway/control_commands.hpp"
#include "firmware/gateway/event.hpp"
#include "firmware/gateway/uart_service.hpp"
#include "firmware/reactor/reactor.hpp"
#include "hal/ring_buffer.hpp"
#include "hal/socket.hpp"

namespace millrace {

class ControlServer;

/// One client of the control port: receives its lines, has them executed one after the other, sends
/// the answers and the events that it watches. What the client does not read waits in its send
/// ring; meanwhile no further command of its is read, and events beyond the log's length are lost
/// to it, and counted. Nobody else notices.
///
///        line           answer complete                  attach
///     ┌─────────▶ answering ─────────▶ commands ──────────────────▶ attached: bytes of the serial
///     └──────────────────────────────┘        ◀──────────────────── port, both ways
///                                              Ctrl-] and any byte
class ControlSession {
 public:
  static constexpr std::size_t longest_row = ControlCommands::longest_row;
  static_assert(board::capacities.send_ring >= 2 * (longest_row + 1));
  // A read answers each name with two bytes more.
  static_assert(board::capacities.line_length * 2 <= longest_row + 1);

  ControlSession() : commands_(*this) {}

  [[nodiscard]] bool is_open() const { return static_cast<bool>(connection_); }
  /// The client sends nothing more and nothing is under way to it: it waits for events, or is gone
  /// for good, which TCP does not tell.
  [[nodiscard]] bool only_listens() const {
    return is_open() && input_ended_ && input_.empty() && output_.empty() && !attachment_ &&
           !commands_.answering();
  }

  /// Takes over a connection, and a reader of the log. Errors: those of Reactor::watch(); the
  /// connection stays the caller's then.
  [[nodiscard]] Result<void> open(ControlServer& server, hal::Fd&& connection,
                                  GatewayLog::Reader& reader);
  /// Ends the session at once. Safe at any time.
  void close();

  /// Does all that can be done now: executes lines, sends answers and events.
  void pump();

  // --- For those who serve the serial ports ----------------------------------------------------

  /// Passed on if the client is attached to that port. What finds no room is dropped and counted.
  void on_uart_data(UartIndex uart, std::span<const std::byte> data);
  void on_uart_presence(UartIndex uart, bool present);

  // --- For its commands ------------------------------------------------------------------------

  [[nodiscard]] ControlServer& server() { return *server_; }
  [[nodiscard]] GatewayLog::Reader& events() { return *events_; }
  /// Sends a line; there is room for it.
  void put(std::string_view line);
  /// From here on the connection is the serial port's, until Ctrl-] if `escapes`, else to its end.
  /// Errors: those of UartService::attach().
  [[nodiscard]] Result<void> attach(UartIndex uart, bool escapes);
  /// Closes the connection once all is sent.
  void quit() { closing_ = true; }

 private:
  struct Attachment {
    UartIndex uart{};
    bool escapes = true;
    bool gone = false;  ///< the client is yet to be told so
    bool back = false;
    std::uint64_t received = 0;  ///< bytes from the port
    std::uint64_t sent = 0;      ///< bytes to the port
    std::uint64_t dropped = 0;   ///< bytes from the port that the client was too slow for
  };

  void on_ready(const Message& message);
  void receive();
  [[nodiscard]] bool work();
  [[nodiscard]] bool pass_on_events();
  [[nodiscard]] bool execute_line();
  [[nodiscard]] bool feed_uart();
  void put_uart_event(std::string_view what);
  void detach();
  void flush();
  void drain();
  /// `more`: there is work left that waits for nothing but its turn.
  void update_interest(bool more);
  [[nodiscard]] bool has_room() const { return output_.space() > longest_row; }
  [[nodiscard]] bool finished() const;

  ControlServer* server_ = nullptr;
  hal::Fd connection_;
  WatchId watch_;
  GatewayLog::Reader* events_ = nullptr;
  ControlCommands commands_;
  std::optional<Attachment> attachment_;
  bool input_ended_ = false;  ///< the client sends nothing more
  bool hung_up_ = false;      ///< nor does it receive: the kernel says so as long as it is watched
  bool closing_ = false;
  std::uint32_t events_in_a_row_ = 0;
  control::LineDecoder<board::capacities.line_length> decoder_;
  control::EscapeDecoder escape_;
  RingBuffer<board::capacities.receive_ring> input_;
  RingBuffer<board::capacities.send_ring> output_;
};

}  // namespace millrace
