// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>

#include "board/boards.hpp"
#include "drivers/pigpio/daemon.hpp"
#include "drivers/pigpio/decoder.hpp"
#include "firmware/reactor/reactor.hpp"
#include "hal/fd.hpp"
#include "hal/ring_buffer.hpp"

namespace millrace {

class PigpioServer;

/// One connection of a client of pigpiod: receives requests, has them executed one after the other,
/// and sends the answers; and, once it is a notification channel, reports. What the client does not
/// read waits in its send ring; meanwhile none of its requests is read, and reports beyond the
/// log's length are lost to it, and counted. Nobody else notices.
class PigpioSession {
 public:
  static constexpr std::size_t longest_device = 127;  ///< of SERO, the longest extension kept
  static constexpr std::size_t receive_ring = 256;    ///< bytes received and not yet handled
  /// Bytes of a serial port in one answer, at the most.
  static constexpr std::size_t longest_data = board::capacities.pigpio_send_ring / 2;
  /// Reports leave that much of the send ring to answers.
  static constexpr std::size_t reserve = pigpio::header_size + longest_data;
  static_assert(board::capacities.pigpio_send_ring >= reserve + pigpio::Report::size);

  [[nodiscard]] bool is_open() const { return static_cast<bool>(connection_); }

  /// Takes over a connection of the client `id`. Errors: those of Reactor::watch(); the connection
  /// stays the caller's then.
  [[nodiscard]] Result<void> open(PigpioServer& server, hal::Fd&& connection, pigpio::ClientId id);
  /// Ends the session at once. Safe at any time.
  void close();

  /// Does all that can be done now: executes requests, sends answers.
  void pump();
  /// The reports of `handle` are this client's: sends as many as there is room for.
  void send_reports(std::uint8_t handle);
  /// Waits for something that may be over by now.
  [[nodiscard]] bool waits() const { return waiting_ != Waiting::nothing; }

 private:
  enum class Waiting : std::uint8_t {
    nothing,
    pulse,   ///< for the end of a trigger's pulse
    stream,  ///< for bytes to a serial port: those of the client, or room for them
    passing  ///< the same, but nobody takes them
  };

  void on_ready(const Message& message);
  void receive();
  [[nodiscard]] bool work();
  [[nodiscard]] bool execute();
  [[nodiscard]] bool stream();
  void put_answer(const pigpio::Request& request, std::int32_t result);
  void flush();
  /// `more`: there is work left that waits for nothing but its turn.
  void update_interest(bool more);
  [[nodiscard]] bool has_room() const { return output_.space() >= reserve; }

  PigpioServer* server_ = nullptr;
  hal::Fd connection_;
  WatchId watch_;
  pigpio::ClientId id_ = pigpio::no_client;
  Waiting waiting_ = Waiting::nothing;
  std::int32_t result_ = 0;   ///< of the request that waits
  bool input_ended_ = false;  ///< the client sends nothing more
  bool hung_up_ = false;      ///< nor does it receive: the kernel says so as long as it is watched
  pigpio::Decoder<longest_device> decoder_;
  RingBuffer<receive_ring> input_;
  RingBuffer<board::capacities.pigpio_send_ring> output_;
};

}  // namespace millrace
