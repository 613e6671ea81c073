// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <bitset>
#include <cstdint>

#include "board/boards.hpp"
#include "drivers/event_log.hpp"
#include "hal/time.hpp"

namespace millrace {

/// A line by its place in the gateway's table.
enum class LineIndex : std::uint16_t {};
[[nodiscard]] constexpr std::size_t index(LineIndex line) { return static_cast<std::size_t>(line); }

using LineSet = std::bitset<board::capacities.lines>;

/// What those who watch a line are told.
struct Event {
  enum class Kind : std::uint8_t {
    edge,    ///< the kernel saw the level change
    set,     ///< a client drove an output
    config,  ///< a client set the line up anew
    gap,     ///< edges were lost: `count` of this line (0: of lines requested together with it,
             ///< maybe of this one, too); `level` is read afresh
    gone,    ///< the line's chip has vanished
    // For a record, which is to know what the others can ask for:
    seen,   ///< from now on each change is told, and this is the `level` to begin with
    unseen  ///< changes are not told any more
  };

  Kind kind = Kind::edge;
  bool level = false;
  LineIndex line{};
  std::uint32_t sequence = 0;  ///< edge: of the line, from 1
  std::uint32_t count = 0;     ///< gap: edges lost
  Instant time;                ///< edge: the kernel's time stamp
};

/// What a client has asked to be told.
struct EventFilter {
  LineSet rising;
  LineSet falling;
  bool record = false;  ///< seen and unseen, too

  [[nodiscard]] bool operator()(const Event& event) const {
    const auto line = index(event.line);
    if (event.kind >= Event::Kind::seen) {
      return record;
    }
    if (event.kind == Event::Kind::edge) {
      return event.level ? rising[line] : falling[line];
    }
    return rising[line] || falling[line];
  }
  [[nodiscard]] LineSet lines() const { return rising | falling; }
};

using GatewayLog = EventLog<Event, board::capacities.events, EventFilter>;

}  // namespace millrace
