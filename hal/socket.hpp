// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "hal/error.hpp"
#include "hal/fd.hpp"
#include "hal/fixed_string.hpp"
#include "hal/time.hpp"

struct sockaddr_storage;  // <sys/socket.h>: only hal/ needs to know what is inside

namespace millrace::hal {

enum class PortUse : std::uint8_t;

/// Where to listen or connect: a numeric IPv4 or IPv6 address with a port, or a Unix socket's path.
/// Names are not resolved: that would block.
class SocketAddress {
 public:
  enum class Family : std::uint8_t { none, ipv4, ipv6, unix_path };

  static constexpr std::size_t max_path = 107;  ///< sun_path without its NUL, unix(7)

  /// Parses "127.0.0.1:7000", "[::1]:7000", "7000" or ":7000" (both mean loopback, 127.0.0.1),
  /// "*:7000" (every IPv4 and IPv6 interface) or "unix:/run/millrace.sock". Port 0 lets the kernel
  /// choose. A link-local IPv6 address takes its interface's number: "[fe80::1%2]:7000". The whole
  /// text must match; no blanks, signs or leading zeros.
  /// Errors: EINVAL, with what was expected; ENAMETOOLONG (a Unix path longer than max_path).
  [[nodiscard]] static Result<SocketAddress> parse(std::string_view text);

  /// No address: family none, its text is empty.
  SocketAddress() = default;

  /// ipv6 for "*", which is listened to on a dual-stack socket.
  [[nodiscard]] Family family() const { return family_; }
  /// 0 for Unix sockets.
  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// Nobody outside this machine can reach it: 127.0.0.0/8, ::1, or a Unix socket.
  [[nodiscard]] bool is_local() const;
  /// The form that parse() reads. The client's end of a Unix socket has no name: "unix:".
  [[nodiscard]] FixedString<127> text() const;

  /// What bind(2) and connect(2) take; returns its size in bytes, 0 for family none.
  [[nodiscard]] std::size_t to_native(sockaddr_storage& out) const;
  /// What accept(2) and getsockname(2) return, `size` bytes of it. IPv4 mapped into IPv6 becomes
  /// IPv4; other families become none.
  [[nodiscard]] static SocketAddress from_native(const sockaddr_storage& in, std::size_t size);

  friend bool operator==(const SocketAddress& a, const SocketAddress& b) {
    return a.text().view() == b.text().view();
  }

 private:
  [[nodiscard]] static Result<SocketAddress> parse_unix(std::string_view path);

  friend Result<Fd> listen(const SocketAddress& address, int backlog, PortUse use);
  friend Result<SocketAddress> local_address(int fd);
  friend Result<Fd> connect(const SocketAddress& address);

  Family family_ = Family::none;
  bool every_interface_ = false;  ///< "*": family ipv6, address ::, IPv4 clients as well
  std::uint16_t port_ = 0;
  std::uint32_t interface_ = 0;           ///< sin6_scope_id; 0: none
  std::array<std::uint8_t, 16> bytes_{};  ///< in network order; IPv4 has the first four
  FixedString<max_path> path_;
};

// All sockets made here are streams, non-blocking and close-on-exec. Loop thread only. Each call
// costs a few system calls, never waits, and never allocates memory of ours.

/// Whether several sockets may listen at one TCP port.
enum class PortUse : std::uint8_t {
  exclusive,  ///< the second one gets EADDRINUSE
  shared      ///< each of this user's that says so: the kernel deals connections out (SO_REUSEPORT)
};

/// Listens. `backlog`: how many connections the kernel holds until accept(), at most
/// /proc/sys/net/core/somaxconn (4096 on today's kernels).
///
/// TCP: a port in TIME_WAIT is taken over (SO_REUSEADDR). "*" is served by one dual-stack socket,
/// or by IPv4 alone where the kernel has no IPv6; "[::]" is IPv6 only. Unix: the file gets mode
/// 0660. The file of a server that has died is replaced; a file that is no socket is left alone.
/// (Two servers that find the same dead file in the same instant can both believe that they have
/// it: start one per path.)
///
/// Errors: EADDRINUSE (another server is there), EADDRNOTAVAIL (not this machine's address), EACCES
/// (ports below 1024; the directory), ENOENT (no such directory), EAFNOSUPPORT, EINVAL (no
/// address).
[[nodiscard]] Result<Fd> listen(const SocketAddress& address, int backlog,
                                PortUse use = PortUse::exclusive);

/// The address that a socket is bound to: after listen() on port 0, the port that the kernel chose.
[[nodiscard]] Result<SocketAddress> local_address(int fd);

/// A listening Unix socket's file, which outlives it: for the clean stop. TCP has none.
class SocketFile {
 public:
  SocketFile() = default;
  /// What is there now: right after listen().
  explicit SocketFile(const SocketAddress& address);

  /// Removes it, unless it is gone or another has its name. Call it while the listener is open:
  /// until then no other file can be taken for it.
  void remove() const;

 private:
  SocketAddress address_;
  std::uint64_t device_ = 0;
  std::uint64_t inode_ = 0;  ///< 0: none
};

inline constexpr int max_accept_attempts = 16;  ///< system calls that one accept() may cost

struct Accepted {
  Fd fd;
  SocketAddress peer;
};

/// The next connection that waits, or nullopt when none does. A connection that died while it
/// waited is skipped: at most max_accept_attempts of them, the listener stays readable when there
/// are more. Errors: EMFILE, ENFILE (out of descriptors: see SpareFd), ENOBUFS, ENOMEM, and those
/// that mean a bug (EBADF, EINVAL, ENOTSOCK). The listener stays readable: whoever just returns to
/// the loop after an error, spins.
[[nodiscard]] Result<std::optional<Accepted>> accept(int listener);

/// Starts to connect. Success means connected or in progress: wait until the socket is writable,
/// then ask connect_result(). Errors: ECONNREFUSED, ENOENT, EACCES, ENETUNREACH, EAGAIN (a Unix
/// server whose backlog is full: try later), EINVAL (no address, or "*").
[[nodiscard]] Result<Fd> connect(const SocketAddress& address);

/// What came of connect(), once: asking clears the kernel's answer. Errors: EINPROGRESS (not
/// decided yet), ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, …
[[nodiscard]] Result<void> connect_result(int fd);

/// Lets the kernel find out peers that vanished without a word (tcp(7)): after `idle` without
/// traffic it probes every `interval`, and gives up after `probes` without an answer (1..127); data
/// that stays unacknowledged for `user_timeout` ends the connection as well (TCP_USER_TIMEOUT; it
/// also overrides `probes`: keep it at or above idle + interval × probes). `idle` and `interval`
/// are rounded up to whole seconds, 1..32767 s; `user_timeout` to milliseconds, 0 is the system's
/// default. The connection then fails with ETIMEDOUT. Unix sockets need none of it: success.
/// Errors: EINVAL (range).
[[nodiscard]] Result<void> keep_alive(int fd, Duration idle, Duration interval, int probes,
                                      Duration user_timeout);

/// Sends small writes at once (TCP_NODELAY) instead of waiting for the ACK of the one before.
/// Unix sockets do so anyway: success.
[[nodiscard]] Result<void> no_delay(int fd);

/// Ends what we send: the peer reads end of file after all that has been written. Success if the
/// peer is gone already.
[[nodiscard]] Result<void> shutdown_write(int fd);

/// Closes a connection that can't be served, after telling why: `text` is sent if the socket's
/// buffer takes it, which it does when nothing has been sent before.
void refuse(Fd connection, std::string_view text);

/// A descriptor held in reserve. Out of descriptors, accept() fails but its client keeps the
/// listener readable, so that the loop spins; giving up the spare for a moment makes room to accept
/// the client and to turn it away.
class SpareFd {
 public:
  SpareFd() = default;

  /// Takes the spare. Call it early, while there are descriptors.
  [[nodiscard]] static Result<SpareFd> open();

  /// Refuses the next client of `listener` with `text` (see refuse()), then takes the spare again.
  /// False if nobody could be refused, because none waits or somebody else was faster to take the
  /// descriptor: stop watching the listener for a while then.
  [[nodiscard]] bool refuse_one(int listener, std::string_view text = {});

  [[nodiscard]] bool is_open() const { return static_cast<bool>(fd_); }

 private:
  Fd fd_;
};

}  // namespace millrace::hal
