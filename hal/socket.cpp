// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/socket.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <concepts>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <span>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>

#include "hal/io.hpp"
#include "hal/slice.hpp"

namespace millrace::hal {
namespace {

constexpr const char* address_forms =
    "give PORT, ADDRESS:PORT, [IPV6-ADDRESS]:PORT, *:PORT or unix:/PATH";
constexpr std::array<std::uint8_t, 12> mapped_ipv4{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static_assert(SocketAddress::max_path + 1 == sizeof(sockaddr_un::sun_path));

template <std::unsigned_integral T>
bool parse_decimal(std::string_view text, T& value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  const bool leading_zero = text.size() > 1 && text.front() == '0';
  return error == std::errc() && stop == end && !leading_zero;
}

/// inet_pton(3) wants a NUL. Text that does not fit is no address.
bool parse_ip(int family, std::string_view text, void* into) {
  const FixedString<INET6_ADDRSTRLEN> copy(text);
  return !copy.truncated() && text.find('\0') == std::string_view::npos &&
         ::inet_pton(family, copy.c_str(), into) == 1;
}

bool is_mapped_ipv4(const in6_addr& address) {
  return std::memcmp(&address, mapped_ipv4.data(), mapped_ipv4.size()) == 0;
}

// sockaddr_storage is meant to be looked at as any of the others: socket(7).
template <class Sockaddr>
const Sockaddr& view_as(const sockaddr_storage& storage) {
  return reinterpret_cast<const Sockaddr&>(storage);
}
template <class Sockaddr>
Sockaddr& view_as(sockaddr_storage& storage) {
  return reinterpret_cast<Sockaddr&>(storage);
}

bool set_option(int fd, int level, int name, int value) {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

std::optional<int> option(int fd, int level, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(fd, level, name, &value, &size) != 0) {
    return std::nullopt;
  }
  return value;
}

Fd open_socket(int family) {
  return Fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

using FileStatus = struct stat64;

/// Of the socket with this path; st_ino is 0 if there is none.
FileStatus status_of_socket(const char* path) {
  FileStatus status{};
  const bool found = ::lstat64(path, &status) == 0 && S_ISSOCK(status.st_mode);
  return found ? status : FileStatus{};
}

const char* bind_remedy(int error, bool unix_path) {
  switch (error) {
    case EADDRINUSE:
      return unix_path ? "stop the other gateway, or choose another path"
                       : "another server has this port: stop it, or choose another port";
    case EADDRNOTAVAIL:
      return "this machine has no such address: see `ip address`";
    case EACCES:
      return unix_path ? "choose a directory that you may write to"
                       : "choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE";
    case ENOENT:
      return "make the socket's directory first";
    default:
      return "";
  }
}

/// A socket file outlives its server. Removes it if nobody listens there any more.
Result<void> remove_stale_file(const char* path, const sockaddr_storage& native, socklen_t size) {
  constexpr const char* what = "cannot listen on the Unix socket";
  if (status_of_socket(path).st_ino == 0) {
    return fail(EADDRINUSE, what, "the file there is no socket: choose another path");
  }
  const Fd probe = open_socket(AF_UNIX);
  if (!probe) {
    return fail_errno(what);
  }
  const bool dead = ::connect(probe.get(), &view_as<sockaddr>(native), size) != 0 &&
                    (errno == ECONNREFUSED || errno == ENOENT);
  if (!dead) {
    return fail(EADDRINUSE, what, bind_remedy(EADDRINUSE, true));
  }
  if (::unlink(path) != 0 && errno != ENOENT) {
    return fail_errno("cannot remove the socket file of a gateway that has died",
                      "remove the file by hand");
  }
  return {};
}

/// What accept(2) reports of the connection rather than of the listener.
bool concerns_one_connection(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:  // firewall
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

bool is_unix(int fd) { return option(fd, SOL_SOCKET, SO_DOMAIN) == AF_UNIX; }

}  // namespace

// --- SocketAddress ---

Result<SocketAddress> SocketAddress::parse(std::string_view text) {
  constexpr std::string_view unix_prefix = "unix:";
  constexpr const char* what = "not an address to listen on or to connect to";
  if (text.starts_with(unix_prefix)) {
    return parse_unix(slice(text, unix_prefix.size()));
  }

  SocketAddress result;
  const std::size_t colon = text.rfind(':');
  const bool port_only = colon == std::string_view::npos;
  std::string_view host = port_only ? std::string_view() : slice(text, 0, colon);
  if (!parse_decimal(port_only ? text : slice(text, colon + 1), result.port_)) {
    return fail(EINVAL, what, address_forms);
  }

  if (host == "*") {
    result.family_ = Family::ipv6;
    result.every_interface_ = true;
    return result;
  }
  if (!host.starts_with('[')) {
    result.family_ = Family::ipv4;
    if (!parse_ip(AF_INET, host.empty() ? "127.0.0.1" : host, result.bytes_.data())) {
      return fail(EINVAL, what, address_forms);
    }
    return result;
  }

  if (!host.ends_with(']')) {
    return fail(EINVAL, what, address_forms);
  }
  host = slice(host, 1, host.size() - 1);
  if (const std::size_t percent = host.find('%'); percent != std::string_view::npos) {
    if (!parse_decimal(slice(host, percent + 1), result.interface_)) {
      return fail(EINVAL, what, "give the interface by its number: [fe80::1%2]:PORT");
    }
    host = slice(host, 0, percent);
  }
  if (!parse_ip(AF_INET6, host, result.bytes_.data())) {
    return fail(EINVAL, what, address_forms);
  }
  result.family_ = Family::ipv6;
  sockaddr_storage native{};
  return from_native(native, result.to_native(native));  // maps IPv4 back
}

Result<SocketAddress> SocketAddress::parse_unix(std::string_view path) {
  constexpr const char* what = "not a Unix socket's path";
  if (path.empty() || path.find('\0') != std::string_view::npos) {
    return fail(EINVAL, what, "give unix:/PATH");
  }
  SocketAddress result;
  result.family_ = Family::unix_path;
  result.path_.append(path);
  if (result.path_.truncated()) {
    return fail(ENAMETOOLONG, what, "choose a path of 107 bytes at most");
  }
  return result;
}

bool SocketAddress::is_local() const {
  switch (family_) {
    case Family::none:
      return false;
    case Family::ipv4:
      return bytes_[0] == 127;
    case Family::ipv6:
      return std::count(bytes_.begin(), bytes_.end() - 1, 0) == 15 && bytes_.back() == 1;
    case Family::unix_path:
      return true;
  }
  return false;
}

FixedString<127> SocketAddress::text() const {
  FixedString<127> result;
  std::array<char, INET6_ADDRSTRLEN> ip{};
  switch (family_) {
    case Family::none:
      break;
    case Family::ipv4:
      ::inet_ntop(AF_INET, bytes_.data(), ip.data(), ip.size());
      result.append(ip.data(), ':', port_);
      break;
    case Family::ipv6:
      if (every_interface_) {
        result.append("*:", port_);
        break;
      }
      ::inet_ntop(AF_INET6, bytes_.data(), ip.data(), ip.size());
      result.append('[', ip.data());
      if (interface_ != 0) {
        result.append('%', interface_);
      }
      result.append("]:", port_);
      break;
    case Family::unix_path:
      result.append("unix:", path_.view());
      break;
  }
  return result;
}

std::size_t SocketAddress::to_native(sockaddr_storage& out) const {
  out = {};
  switch (family_) {
    case Family::none:
      return 0;
    case Family::ipv4: {
      auto& native = view_as<sockaddr_in>(out);
      native.sin_family = AF_INET;
      native.sin_port = htons(port_);
      std::memcpy(&native.sin_addr, bytes_.data(), sizeof native.sin_addr);
      return sizeof native;
    }
    case Family::ipv6: {
      auto& native = view_as<sockaddr_in6>(out);
      native.sin6_family = AF_INET6;
      native.sin6_port = htons(port_);
      native.sin6_scope_id = interface_;
      std::memcpy(&native.sin6_addr, bytes_.data(), sizeof native.sin6_addr);
      return sizeof native;
    }
    case Family::unix_path: {
      auto& native = view_as<sockaddr_un>(out);
      native.sun_family = AF_UNIX;
      std::memcpy(&native.sun_path, path_.c_str(), path_.size() + 1);
      return offsetof(sockaddr_un, sun_path) + path_.size() + 1;
    }
  }
  return 0;
}

SocketAddress SocketAddress::from_native(const sockaddr_storage& in, std::size_t size) {
  SocketAddress result;
  if (in.ss_family == AF_INET && size >= sizeof(sockaddr_in)) {
    const auto& native = view_as<sockaddr_in>(in);
    result.family_ = Family::ipv4;
    result.port_ = ntohs(native.sin_port);
    std::memcpy(result.bytes_.data(), &native.sin_addr, sizeof native.sin_addr);
  } else if (in.ss_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    const auto& native = view_as<sockaddr_in6>(in);
    const bool mapped = is_mapped_ipv4(native.sin6_addr);
    const std::span address(native.sin6_addr.s6_addr);
    result.family_ = mapped ? Family::ipv4 : Family::ipv6;
    result.port_ = ntohs(native.sin6_port);
    result.interface_ = mapped ? 0 : native.sin6_scope_id;
    std::ranges::copy(mapped ? address.subspan(mapped_ipv4.size()) : address,
                      result.bytes_.begin());
  } else if (in.ss_family == AF_UNIX && size >= sizeof(sa_family_t)) {
    const auto& native = view_as<sockaddr_un>(in);
    const std::size_t room = std::min(size, sizeof native) - offsetof(sockaddr_un, sun_path);
    result.family_ = Family::unix_path;
    result.path_.append(std::string_view(native.sun_path, ::strnlen(native.sun_path, room)));
  }
  return result;
}

// --- Servers ---

Result<Fd> listen(const SocketAddress& address, int backlog, PortUse use) {
  constexpr const char* what = "cannot listen";
  const bool unix_path = address.family() == SocketAddress::Family::unix_path;
  sockaddr_storage native{};
  auto size = static_cast<socklen_t>(address.to_native(native));
  if (size == 0) {
    return fail(EINVAL, what, address_forms);
  }
  Fd fd = open_socket(native.ss_family);
  if (!fd && errno == EAFNOSUPPORT && address.every_interface_) {
    auto& ipv4 = view_as<sockaddr_in>(native);
    ipv4 = {};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(address.port());
    size = sizeof ipv4;
    fd = open_socket(AF_INET);
  }
  if (!fd) {
    return fail_errno(what, errno == EAFNOSUPPORT ? "this machine's kernel has no IPv6" : "");
  }
  if (!unix_path && !set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1)) {
    return fail_errno(what);
  }
  if (use == PortUse::shared && !unix_path && !set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1)) {
    return fail_errno(what);
  }
  if (native.ss_family == AF_INET6 &&
      !set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, address.every_interface_ ? 0 : 1)) {
    return fail_errno(what);
  }

  const auto bind = [&] { return ::bind(fd.get(), &view_as<sockaddr>(native), size) == 0; };
  bool bound = bind();
  if (!bound && errno == EADDRINUSE && unix_path) {
    if (auto removed = remove_stale_file(address.path_.c_str(), native, size); !removed) {
      return std::unexpected(removed.error());
    }
    bound = bind();
  }
  if (!bound) {
    return fail_errno(what, bind_remedy(errno, unix_path));
  }
  // Before listen(), so that nobody can connect while the mode is still the umask's choice.
  if (unix_path && ::chmod(address.path_.c_str(), 0660) != 0) {
    return fail_errno("cannot let the group use the Unix socket");
  }
  // Two sockets with SO_REUSEADDR can be bound to one port; only one of them can listen.
  if (::listen(fd.get(), backlog) != 0) {
    return fail_errno(what, bind_remedy(errno, unix_path));
  }
  return fd;
}

Result<SocketAddress> local_address(int fd) {
  sockaddr_storage native{};
  socklen_t size = sizeof native;
  if (::getsockname(fd, &view_as<sockaddr>(native), &size) != 0) {
    return fail_errno("cannot read the socket's address");
  }
  auto result = SocketAddress::from_native(native, size);
  if (result.family() == SocketAddress::Family::ipv6 &&
      std::ranges::count(result.bytes_, 0) == std::ssize(result.bytes_)) {
    result.every_interface_ = option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
  }
  return result;
}

SocketFile::SocketFile(const SocketAddress& address) : address_(address) {
  sockaddr_storage native{};
  if (address.family() == SocketAddress::Family::unix_path && address.to_native(native) != 0) {
    const auto status = status_of_socket(view_as<sockaddr_un>(native).sun_path);
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }
}

void SocketFile::remove() const {
  sockaddr_storage native{};
  if (inode_ == 0 || address_.to_native(native) == 0) {
    return;
  }
  const char* path = view_as<sockaddr_un>(native).sun_path;
  const auto status = status_of_socket(path);
  if (status.st_dev == device_ && status.st_ino == inode_) {
    ::unlink(path);
  }
}

Result<std::optional<Accepted>> accept(int listener) {
  for (int attempt = 0; attempt < max_accept_attempts; ++attempt) {
    sockaddr_storage native{};
    socklen_t size = sizeof native;
    Fd fd(::accept4(listener, &view_as<sockaddr>(native), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      return Accepted{.fd = std::move(fd), .peer = SocketAddress::from_native(native, size)};
    }
    if (errno == EAGAIN) {
      break;
    }
    if (!concerns_one_connection(errno)) {
      const bool out_of_descriptors = errno == EMFILE || errno == ENFILE;
      return fail_errno("cannot accept a connection",
                        out_of_descriptors ? "raise LimitNOFILE= or `ulimit -n`" : "");
    }
  }
  return std::nullopt;
}

// --- Clients ---

Result<Fd> connect(const SocketAddress& address) {
  constexpr const char* what = "cannot connect";
  sockaddr_storage native{};
  const auto size = static_cast<socklen_t>(address.to_native(native));
  if (size == 0 || address.every_interface_) {
    return fail(EINVAL, what, "give one address to connect to");
  }
  Fd fd = open_socket(native.ss_family);
  if (!fd) {
    return fail_errno(what);
  }
  // An interrupted connect() goes on in the background like any other non-blocking one.
  if (::connect(fd.get(), &view_as<sockaddr>(native), size) != 0 && errno != EINPROGRESS &&
      errno != EINTR) {
    return fail_errno(what, errno == ECONNREFUSED || errno == ENOENT ? "start the server" : "");
  }
  return fd;
}

Result<void> connect_result(int fd) {
  constexpr const char* what = "cannot connect";
  const std::optional<int> error = option(fd, SOL_SOCKET, SO_ERROR);
  if (!error) {
    return fail_errno(what);
  }
  if (*error != 0) {
    return fail(*error, what, *error == ECONNREFUSED ? "start the server" : "");
  }
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (::getpeername(fd, &view_as<sockaddr>(peer), &size) != 0) {
    return fail(errno == ENOTCONN ? EINPROGRESS : errno, what);
  }
  return {};
}

// --- Connections ---

Result<void> keep_alive(int fd, Duration idle, Duration interval, int probes,
                        Duration user_timeout) {
  constexpr const char* what = "cannot set the keep-alive of a connection";
  constexpr std::chrono::seconds longest(32767);  // MAX_TCP_KEEPIDLE, net/tcp.h of the kernel
  constexpr int most_probes = 127;                // MAX_TCP_KEEPCNT
  const auto in_range = [&](Duration time) { return time > Duration::zero() && time <= longest; };
  if (!in_range(idle) || !in_range(interval) || probes < 1 || probes > most_probes ||
      user_timeout < Duration::zero() || user_timeout > longest) {
    return fail(EINVAL, what, "times from 1 s to 32767 s, 1 to 127 probes");
  }
  if (is_unix(fd)) {
    return {};
  }
  const auto seconds = [](Duration time) {
    return static_cast<int>(std::chrono::ceil<std::chrono::seconds>(time).count());
  };
  const auto milliseconds =
      static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(user_timeout).count());
  if (!set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds(idle)) ||
      !set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds(interval)) ||
      !set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, probes) ||
      !set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds) ||
      !set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1)) {
    return fail_errno(what);
  }
  return {};
}

Result<void> no_delay(int fd) {
  if (!set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) && !is_unix(fd)) {
    return fail_errno("cannot turn off the delay of small writes");
  }
  return {};
}

Result<void> shutdown_write(int fd) {
  if (::shutdown(fd, SHUT_WR) != 0 && errno != ENOTCONN) {
    return fail_errno("cannot end a connection's writing side");
  }
  return {};
}

void refuse(Fd connection, std::string_view text) {
  if (!text.empty()) {
    (void)send(connection.get(), std::as_bytes(std::span(text)));
  }
  (void)shutdown_write(connection.get());
  // Closing with unread input resets the connection, and the text would be lost on its way.
  std::array<std::byte, 4096> unread;
  for (int i = 0; i < 4 && read(connection.get(), unread).done(); ++i) {
  }
}

// --- SpareFd ---

Result<SpareFd> SpareFd::open() {
  SpareFd result;
  result.fd_ = Fd(::eventfd(0, EFD_CLOEXEC));
  if (!result.fd_) {
    return fail_errno("cannot take a spare descriptor", "raise LimitNOFILE= or `ulimit -n`");
  }
  return result;
}

bool SpareFd::refuse_one(int listener, std::string_view text) {
  fd_.reset();
  auto client = accept(listener).value_or(std::nullopt);
  const bool refused = client.has_value();
  if (client) {
    refuse(std::move(client->fd), text);
  }
  if (auto spare = open()) {
    *this = std::move(*spare);
  }
  return refused;
}

}  // namespace millrace::hal
