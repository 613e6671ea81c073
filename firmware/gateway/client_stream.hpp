// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>

#include "firmware/reactor/reactor.hpp"
#include "hal/io.hpp"
#include "hal/ring_buffer.hpp"

namespace millrace {

// Moves bytes between a client's connection and the rings of its session, whatever they mean. For
// the loop's thread; nothing blocks.

/// What is known of the client's sending half.
enum class Input : std::uint8_t {
  open,
  ended,  ///< the client sends nothing more
  broken  ///< the connection is of no use any more
};

/// Reads once into a ring that has room. One system call.
template <std::size_t N>
[[nodiscard]] Input receive_into(RingBuffer<N>& ring, int fd) {
  const auto free = ring.claim_write();
  const auto transfer = hal::read(fd, free.first, free.second);
  switch (transfer.status) {
    case hal::Transfer::Status::done:
      ring.commit_write(transfer.count);
      return Input::open;
    case hal::Transfer::Status::would_block:
      return Input::open;
    case hal::Transfer::Status::closed:
      return transfer.error == 0 ? Input::ended : Input::broken;
    case hal::Transfer::Status::failed:
      break;
  }
  return Input::broken;
}

/// Sends what is in the ring, as far as the client takes it. False if the connection is broken. A
/// system call for what is there, and one more if not all of it was taken.
template <std::size_t N>
[[nodiscard]] bool send_from(RingBuffer<N>& ring, int fd) {
  while (!ring.empty()) {
    const auto pieces = ring.claim_read();
    const auto transfer = hal::send(fd, pieces.first, pieces.second);
    if (transfer.status == hal::Transfer::Status::would_block) {
      return true;
    }
    if (!transfer.done()) {
      return false;
    }
    ring.commit_read(transfer.count);
  }
  return true;
}

/// What to watch a connection for. Errors are reported anyway: a reset is noticed even while we
/// don't read. Once noticed it would be reported for ever, so we listen no more (`hung_up`) until
/// there is room to read what was sent before it.
[[nodiscard]] constexpr Events interest_in(bool reading, bool writing, bool hung_up) {
  return (hung_up ? Events::none : Events::error) | (reading ? Events::readable : Events::none) |
         (writing ? Events::writable : Events::none);
}

}  // namespace millrace
