// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "hal/error.hpp"
#include "hal/fd.hpp"
#include "hal/file_system.hpp"
#include "hal/wakeup.hpp"

struct io_uring_cqe;  // NOLINT(readability-identifier-naming): that of linux/io_uring.h

namespace millrace::hal {

/// Has the kernel carry out calls to the file system by itself. An interface, so that tests can
/// have them fail. Loop thread only.
class FileRing {
 public:
  FileRing() = default;
  FileRing(const FileRing&) = delete;
  FileRing& operator=(const FileRing&) = delete;

  struct Done {
    std::uint64_t token = 0;  ///< what was given to start()
    FileReply reply;
  };

  /// For `calls` under way at once, whose ends are written to `wakeup`. Errors: ENOSYS and others,
  /// where there is no such thing.
  [[nodiscard]] virtual Result<void> open(std::size_t calls, const Wakeup& wakeup) = 0;

  /// Begins a call; false if it is not one that this is for, or can't be begun now. Its memory is
  /// the kernel's until it is done. One system call, which does not wait for a disk.
  [[nodiscard]] virtual bool start(const FileRequest& request, std::uint64_t token) = 0;

  /// A call that is done, if there is one. No system call.
  [[nodiscard]] virtual std::optional<Done> next() = 0;

  /// Leaves what is under way to the kernel.
  virtual void close() = 0;

 protected:
  ~FileRing() = default;  // nobody owns one through this interface
};

/// io_uring(7), for pread, pwrite and fsync: since Linux 5.15, as only from then on it can be told
/// how many calls of a slow disk may wait at once (IORING_REGISTER_IOWQ_MAX_WORKERS). Its rings are
/// memory of the kernel that open() maps: before growth_trap is armed.
class IoUring final : public FileRing {
 public:
  IoUring() = default;
  IoUring(const IoUring&) = delete;
  IoUring& operator=(const IoUring&) = delete;
  ~IoUring() { close(); }

  /// Errors: ENOSYS (no io_uring, or qemu-user), EPERM (switched off: kernel.io_uring_disabled, or
  /// by a container), EINVAL (too old), EALREADY.
  [[nodiscard]] Result<void> open(std::size_t calls, const Wakeup& wakeup) override;
  [[nodiscard]] bool start(const FileRequest& request, std::uint64_t token) override;
  [[nodiscard]] std::optional<Done> next() override;
  void close() override;

 private:
  [[nodiscard]] Result<void> set_up(std::size_t calls, const Wakeup& wakeup);

  Fd fd_;
  std::span<std::byte> rings_;
  std::span<std::byte> entries_;
  std::uint32_t* submission_tail_ = nullptr;
  std::uint32_t* submission_array_ = nullptr;
  std::uint32_t submission_mask_ = 0;
  std::uint32_t* completion_head_ = nullptr;
  std::uint32_t* completion_tail_ = nullptr;
  const io_uring_cqe* completions_ = nullptr;
  std::uint32_t completion_mask_ = 0;
};

}  // namespace millrace::hal
