// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstdint>

namespace millrace {

/// What a file descriptor is ready for, or is watched for. The bits are those of epoll_event
/// (uapi/linux/eventpoll.h), which poll(2) shares, so that no poller has to translate.
enum class Events : std::uint32_t {
  none = 0,
  readable = 0x001,     ///< EPOLLIN: bytes, a connection to accept, or end of file
  writable = 0x004,     ///< EPOLLOUT: room to write, or a finished connect
  error = 0x008,        ///< EPOLLERR: always reported, asked for or not
  hangup = 0x010,       ///< EPOLLHUP: both directions are closed; always reported
  read_closed = 0x2000  ///< EPOLLRDHUP: the peer will send nothing more; data may still wait
};

[[nodiscard]] constexpr std::uint32_t bits(Events events) {
  return static_cast<std::uint32_t>(events);
}
[[nodiscard]] constexpr Events operator|(Events a, Events b) { return Events(bits(a) | bits(b)); }
[[nodiscard]] constexpr Events operator&(Events a, Events b) { return Events(bits(a) & bits(b)); }
[[nodiscard]] constexpr Events operator~(Events a) { return Events(~bits(a)); }
constexpr Events& operator|=(Events& a, Events b) { return a = a | b; }

/// Whether any of the events `of` is among `events`.
[[nodiscard]] constexpr bool any(Events events, Events of) { return (events & of) != Events::none; }

/// What the kernel reports whether it was asked for or not.
inline constexpr Events always_reported = Events::error | Events::hangup;

}  // namespace millrace
