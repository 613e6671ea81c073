// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace millrace::hal {

/// What came of one read or write on a non-blocking descriptor.
struct Transfer {
  enum class Status : std::uint8_t {
    done,         ///< `count` bytes were moved, at least one
    would_block,  ///< nothing could be moved now: wait for readiness
    closed,  ///< end of file (reads), or the peer is gone (EPIPE, ECONNRESET; writes and reads)
    failed   ///< `error` is the errno
  };

  Status status = Status::would_block;
  int error = 0;          ///< errno when failed or closed by a reset; 0 at an orderly end of file
  std::size_t count = 0;  ///< bytes moved

  [[nodiscard]] bool done() const { return status == Status::done; }
  /// Nothing will ever be moved again: who goes on watching the descriptor spins.
  [[nodiscard]] bool ended() const { return status == Status::closed || status == Status::failed; }
};

/// read(2) until it did not fail with EINTR. `into` must not be empty. One system call.
[[nodiscard]] Transfer read(int fd, std::span<std::byte> into);

/// Like read(), into two pieces of memory, the first to be filled first (readv(2)): for rings.
[[nodiscard]] Transfer read(int fd, std::span<std::byte> first, std::span<std::byte> second);

/// write(2), until it did not fail with EINTR; send() is the same for sockets (MSG_NOSIGNAL: a peer
/// that is gone is an outcome, not a SIGPIPE). May move fewer bytes than given. `from` must not be
/// empty. One system call.
[[nodiscard]] Transfer write(int fd, std::span<const std::byte> from);
[[nodiscard]] Transfer send(int fd, std::span<const std::byte> from);

/// Like send(), from two pieces of memory (sendmsg(2)): for rings.
[[nodiscard]] Transfer send(int fd, std::span<const std::byte> first,
                            std::span<const std::byte> second);

}  // namespace millrace::hal
