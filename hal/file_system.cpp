// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/file_system.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace millrace::hal {
namespace {

int flags_of(FileMode mode) {
  switch (mode) {
    case FileMode::write:
      return O_RDWR | O_CREAT | O_CLOEXEC;
    case FileMode::replace:
      return O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
    case FileMode::folder:
      return O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    case FileMode::read:
      break;
  }
  return O_RDONLY | O_CLOEXEC;
}

// The functions with 64 in their names: the others end at 2 GiB where long has 32 bits.
std::int64_t size_of(int fd) {
  struct stat64 status{};
  if (::fstat64(fd, &status) != 0) {
    return -1;
  }
  if (!S_ISREG(status.st_mode)) {
    errno = EINVAL;
    return -1;
  }
  return std::int64_t{status.st_size};
}

int move(const char* from, const char* to) {
  const int moved = ::renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
  if (moved == 0 || errno != EINVAL) {
    return moved;
  }
  // A file of its own holds the name, until it is replaced.
  const int held = ::open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (held < 0) {
    return -1;
  }
  (void)::close(held);
  if (std::rename(from, to) != 0) {
    const int error = errno;
    (void)::unlink(to);
    errno = error;
    return -1;
  }
  return 0;
}

std::int64_t call(const FileRequest& request) {
  const auto& [call, mode, fd, offset, bytes] = request;
  const auto* const path = reinterpret_cast<const char*>(bytes.data());
  const auto position = static_cast<off64_t>(offset);
  constexpr mode_t permissions = 0644;
  switch (call) {
    case FileCall::open:
      return ::open(path, flags_of(mode) | O_LARGEFILE, permissions);
    case FileCall::size:
      return size_of(fd);
    case FileCall::read:
      return ::pread64(fd, bytes.data(), bytes.size(), position);
    case FileCall::write:
      return ::pwrite64(fd, bytes.data(), bytes.size(), position);
    case FileCall::sync:
      return ::fsync(fd);
    case FileCall::truncate:
      return ::ftruncate64(fd, position);
    case FileCall::close:
      return ::close(fd);
    case FileCall::rename:
      return std::rename(path, path + std::strlen(path) + 1);
    case FileCall::move:
      return move(path, path + std::strlen(path) + 1);
    case FileCall::remove:
      return ::unlink(path);
  }
  errno = EINVAL;
  return -1;
}

}  // namespace

const char* name_of(FileCall call) {
  switch (call) {
    case FileCall::open:
      return "open";
    case FileCall::size:
      return "fstat";
    case FileCall::read:
      return "pread";
    case FileCall::write:
      return "pwrite";
    case FileCall::sync:
      return "fsync";
    case FileCall::truncate:
      return "ftruncate";
    case FileCall::close:
      return "close";
    case FileCall::rename:
      return "rename";
    case FileCall::move:
      return "renameat2";
    case FileCall::remove:
      return "unlink";
  }
  return "?";
}

FileReply SystemFiles::perform(const FileRequest& request) {
  for (;;) {
    const std::int64_t result = call(request);
    if (result >= 0) {
      return {.result = result, .error = 0};
    }
    // Linux closes the descriptor even then: see Fd::reset().
    // NOLINTNEXTLINE(clang-analyzer-unix.Errno): it is set, as the call has failed
    if (errno != EINTR || request.call == FileCall::close) {
      return {.result = 0, .error = errno};
    }
  }
}

}  // namespace millrace::hal
