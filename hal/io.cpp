// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/io.hpp"

#include <array>
#include <cerrno>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

namespace millrace::hal {
namespace {

template <class Call>
ssize_t uninterrupted(Call call) {
  ssize_t result = 0;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

/// What the system call's result means; `zero` is what a count of 0 means.
Transfer outcome(ssize_t result, Transfer::Status zero) {
  using enum Transfer::Status;
  if (result > 0) {
    return {.status = done, .error = 0, .count = static_cast<std::size_t>(result)};
  }
  if (result == 0) {
    return {.status = zero, .error = 0, .count = 0};
  }
  switch (errno) {
    case EAGAIN:
      return {.status = would_block, .error = 0, .count = 0};
    case EPIPE:
    case ECONNRESET:
      return {.status = closed, .error = errno, .count = 0};
    default:
      return {.status = failed, .error = errno, .count = 0};
  }
}

Transfer read_outcome(ssize_t result) { return outcome(result, Transfer::Status::closed); }
Transfer write_outcome(ssize_t result) { return outcome(result, Transfer::Status::would_block); }

iovec piece(std::span<std::byte> bytes) { return {bytes.data(), bytes.size()}; }
iovec piece(std::span<const std::byte> bytes) {
  // writev(2) and sendmsg(2) share readv(2)'s structure, but only read the memory.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
  return {const_cast<std::byte*>(bytes.data()), bytes.size()};
}

}  // namespace

Transfer read(int fd, std::span<std::byte> into) {
  return read_outcome(uninterrupted([&] { return ::read(fd, into.data(), into.size()); }));
}

Transfer read(int fd, std::span<std::byte> first, std::span<std::byte> second) {
  if (second.empty()) {
    return read(fd, first);
  }
  const std::array pieces{piece(first), piece(second)};
  return read_outcome(
      uninterrupted([&] { return ::readv(fd, pieces.data(), static_cast<int>(pieces.size())); }));
}

Transfer write(int fd, std::span<const std::byte> from) {
  return write_outcome(uninterrupted([&] { return ::write(fd, from.data(), from.size()); }));
}

Transfer send(int fd, std::span<const std::byte> from) {
  return write_outcome(
      uninterrupted([&] { return ::send(fd, from.data(), from.size(), MSG_NOSIGNAL); }));
}

Transfer send(int fd, std::span<const std::byte> first, std::span<const std::byte> second) {
  if (second.empty()) {
    return send(fd, first);
  }
  std::array pieces{piece(first), piece(second)};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  return write_outcome(uninterrupted([&] { return ::sendmsg(fd, &message, MSG_NOSIGNAL); }));
}

}  // namespace millrace::hal
