// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "board/boards.hpp"
#include "firmware/reactor/reactor.hpp"
#include "hal/fixed_string.hpp"
#include "hal/ring_buffer.hpp"
#include "hal/uart.hpp"

namespace millrace {

/// A serial port by its place in the gateway's table.
enum class UartIndex : std::uint8_t {};
[[nodiscard]] constexpr std::size_t index(UartIndex uart) { return static_cast<std::size_t>(uart); }

/// Who is told what happens at the serial ports.
///
/// Called from within attach(), send() and the loop: not to call back into the service.
class UartObserver {
 public:
  /// Bytes have come in: valid during the call.
  virtual void on_uart_data(UartIndex uart, std::span<const std::byte> data) = 0;
  /// send() takes bytes again after it did not take all.
  virtual void on_uart_room(UartIndex uart) = 0;
  /// The adapter was unplugged (false), or is back (true).
  virtual void on_uart_presence(UartIndex uart, bool present) = 0;

 protected:
  ~UartObserver() = default;
};

/// The serial ports, shared by all clients. A port is read only while somebody is attached to it:
/// what arrives earlier waits in the kernel. An unplugged adapter is opened again as soon as it is
/// back, looked for at growing intervals (0.25 s to 8 s). Loop thread only.
class UartService {
 public:
  static constexpr std::size_t chunk = 4096;  ///< bytes read at once, and told to observers

  /// A port to be served. `paths`: the first that opens; none means a simulated port.
  struct Config {
    FixedString<31> name;
    std::array<FixedString<127>, 2> paths;
    hal::UartSettings settings;
    bool open_at_start = false;  ///< else when the first client attaches
  };

  struct Port {
    Config config;
    hal::Uart uart;
    std::uint32_t attached = 0;   ///< clients
    std::uint64_t received = 0;   ///< bytes
    std::uint64_t sent = 0;       ///< bytes
    std::uint64_t discarded = 0;  ///< bytes that clients sent to it while it was unplugged
    std::uint64_t dropped = 0;    ///< bytes from it that an attached client was too slow for
    std::uint32_t reopened = 0;
    bool lost = false;  ///< was open and is not now

    [[nodiscard]] bool simulated() const { return config.paths[0].empty(); }
  };

  UartService(Reactor& reactor, UartObserver& observer)
      : reactor_(reactor), observers_{&observer} {}

  /// One more who is told of everything. To be called once.
  void also_tell(UartObserver& observer) { observers_[observer_count_++] = &observer; }

  /// Adds a port. Errors: ENOSPC (Capacities::uarts), EEXIST (the name is taken), and those of
  /// hal::Uart::open() for a port that is to be open from the start.
  [[nodiscard]] Result<void> add(const Config& config);

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] const Port& port(UartIndex uart) const { return ports_[index(uart)]; }
  [[nodiscard]] std::optional<UartIndex> find(std::string_view name) const;

  /// Counts one client more; opens the port if need be. Errors: those of hal::Uart::open().
  [[nodiscard]] Result<void> attach(UartIndex uart);
  void detach(UartIndex uart);

  /// Counts bytes that came in and that a client could not be given.
  void count_dropped(UartIndex uart, std::size_t bytes) { ports_[index(uart)].dropped += bytes; }

  /// Errors: those of hal::Uart::configure(); the old settings hold then.
  [[nodiscard]] Result<void> configure(UartIndex uart, const hal::UartSettings& settings);

  /// Queues bytes to be sent, as many as there is room for; returns how many. After less than all,
  /// the observer is told when there is room again. Bytes to a port that has vanished are lost, as
  /// on a cable that is not plugged in, and counted.
  [[nodiscard]] std::size_t send(UartIndex uart, std::span<const std::byte> data);

  /// Sends what is queued, as far as the ports take it at once, and closes them.
  void close();

 private:
  static constexpr Duration first_retry = std::chrono::milliseconds(250);
  static constexpr Duration last_retry = std::chrono::seconds(8);

  /// A port with what the loop needs to know of it.
  struct Slot {
    UartService* service = nullptr;
    WatchId watch;
    TimerId retry;
    Duration retry_after = first_retry;
    bool wants_room = false;
    int last_error = 0;  ///< of opening it again: told when it changes
    RingBuffer<board::capacities.uart_ring> output;

    void on_ready(const Message& message);
    void on_retry(const Message& message);
  };

  [[nodiscard]] UartIndex index_of(const Slot& slot) const;
  [[nodiscard]] Result<void> open(UartIndex uart);
  void update_interest(UartIndex uart);
  void receive(UartIndex uart);
  void flush(UartIndex uart);
  void transmit(UartIndex uart);
  void lose(UartIndex uart);
  void retry(UartIndex uart);
  void tell_room(UartIndex uart);
  void tell_presence(UartIndex uart, bool present);

  Reactor& reactor_;
  std::array<UartObserver*, 2> observers_;
  std::size_t observer_count_ = 1;
  std::size_t count_ = 0;
  std::array<Port, board::capacities.uarts> ports_{};
  std::array<Slot, board::capacities.uarts> slots_{};
  std::array<std::byte, chunk> received_{};
};

}  // namespace millrace
