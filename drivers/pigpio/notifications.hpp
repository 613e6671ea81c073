// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "drivers/pigpio/code.hpp"
#include "drivers/pigpio/report.hpp"
#include "hal/time.hpp"

namespace millrace::pigpio {

/// A client, as the one who serves it knows it.
using ClientId = std::uint16_t;
/// Nobody's: a handle whose reports go into a FIFO outlives its client's connection.
inline constexpr ClientId no_client = UINT16_MAX;

/// A channel on which reports are sent, known by its handle to all clients.
///
///            NOIB, NO             NB
///     closed ────────▶ opened ─────────▶ running ◀────┐
///       ▲                │                  │ NP      │ NB
///       └────────────────┴── NC, hang-up ── ▼         │
///                        └─────────────── paused ─────┘
struct Notification {
  enum class State : std::uint8_t { closed, opened, running, paused };

  State state = State::closed;
  ClientId owner = no_client;
  std::uint32_t bits = 0;    ///< GPIOs that it watches while running
  std::uint32_t events = 0;  ///< events that it is told of, running or not
  std::uint32_t told = 0;    ///< the last levels that its client knows of: it compares with them
  Instant last_report;

  [[nodiscard]] bool is_open() const { return state != State::closed; }
};

/// All handles.
class Notifications {
 public:
  static constexpr std::uint8_t count = 32;  ///< PI_NOTIFY_SLOTS
  static constexpr Duration idle = std::chrono::minutes(1);

  /// The lowest handle that is free, now opened, by a client that knows `levels`.
  /// Errors: no_handle.
  [[nodiscard]] Expected<std::uint8_t> open(ClientId owner, std::uint32_t levels, Instant now);
  /// NB. Errors, here and below: bad_handle.
  [[nodiscard]] Code begin(std::uint32_t handle, std::uint32_t bits);
  [[nodiscard]] Code pause(std::uint32_t handle);
  [[nodiscard]] Code close(std::uint32_t handle);
  [[nodiscard]] Code monitor_events(std::uint32_t handle, std::uint32_t events);

  /// The open handle of `owner`; `count` if it has none.
  [[nodiscard]] std::uint8_t find(ClientId owner) const;
  [[nodiscard]] const Notification& at(std::uint8_t handle) const { return all_[handle]; }
  [[nodiscard]] std::uint8_t open_count() const;

  /// GPIOs that anybody watches.
  [[nodiscard]] std::uint32_t watched() const;

  // Whom a report is for: handles, a bit each.

  [[nodiscard]] std::uint32_t watching(std::uint32_t gpios) const;
  /// Those whose clients believe that one of `gpios` has another level.
  [[nodiscard]] std::uint32_t mistaken(std::uint32_t gpios, std::uint32_t levels) const;
  [[nodiscard]] std::uint32_t awaiting_event(std::uint8_t event) const;
  /// Those that have been told nothing for a minute.
  [[nodiscard]] std::uint32_t silent(Instant now) const;

  /// The audience of `report` is told it.
  void note(const Report& report, Instant now);

  /// When the next handle will have been silent for a minute; `never` if there is none.
  [[nodiscard]] Instant next_keep_alive() const;

 private:
  [[nodiscard]] Notification* find_open(std::uint32_t handle);
  /// Of those that are open, a bit each.
  template <class Predicate>
  [[nodiscard]] std::uint32_t select(Predicate predicate) const {
    std::uint32_t handles = 0;
    for (std::uint8_t handle = 0; handle < count; ++handle) {
      if (all_[handle].is_open() && predicate(all_[handle])) {
        handles |= std::uint32_t{1} << handle;
      }
    }
    return handles;
  }

  std::array<Notification, count> all_{};
};

}  // namespace millrace::pigpio
