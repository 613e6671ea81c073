// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/io_uring.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace millrace::hal {
namespace {

std::span<std::byte> map(int fd, std::size_t size, std::uint64_t offset) {
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                              static_cast<off_t>(offset));
  return memory == MAP_FAILED ? std::span<std::byte>()
                              : std::span(static_cast<std::byte*>(memory), size);
}

void unmap(std::span<std::byte>& memory) {
  if (!memory.empty()) {
    (void)::munmap(memory.data(), memory.size());
    memory = {};
  }
}

/// What the kernel has put there, suitably aligned.
template <class T>
T* at(std::span<std::byte> memory, std::size_t offset) {
  void* const place = &memory[offset];
  return static_cast<T*>(place);
}

std::uint32_t* number_at(std::span<std::byte> memory, std::uint32_t offset) {
  return at<std::uint32_t>(memory, offset);
}

}  // namespace

Result<void> IoUring::open(std::size_t calls, const Wakeup& wakeup) {
  if (fd_) {
    return fail(EALREADY, "the ring is open already");
  }
  auto done = set_up(calls, wakeup);
  if (!done) {
    close();
  }
  return done;
}

Result<void> IoUring::set_up(std::size_t calls, const Wakeup& wakeup) {
  io_uring_params params{};
  fd_ = Fd(static_cast<int>(::syscall(SYS_io_uring_setup, calls, &params)));
  if (!fd_) {
    return fail_errno("the kernel has no io_uring");
  }
  // Calls that wait must not keep others waiting, however few processors there are.
  std::array<std::uint32_t, 2> workers{static_cast<std::uint32_t>(calls), 0};
  int wakeup_fd = wakeup.fd();
  if ((params.features & IORING_FEAT_SINGLE_MMAP) == 0 ||
      ::syscall(SYS_io_uring_register, fd_.get(), IORING_REGISTER_IOWQ_MAX_WORKERS, workers.data(),
                workers.size()) != 0 ||
      ::syscall(SYS_io_uring_register, fd_.get(), IORING_REGISTER_EVENTFD, &wakeup_fd, 1) != 0) {
    return fail_errno("the kernel's io_uring is too old");
  }
  const auto& [sq, cq] = std::pair(params.sq_off, params.cq_off);
  rings_ = map(fd_.get(),
               std::max<std::size_t>(sq.array + params.sq_entries * sizeof(std::uint32_t),
                                     cq.cqes + params.cq_entries * sizeof(io_uring_cqe)),
               IORING_OFF_SQ_RING);
  entries_ = map(fd_.get(), params.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES);
  if (rings_.empty() || entries_.empty()) {
    return fail_errno("cannot map the rings of io_uring");
  }
  submission_tail_ = number_at(rings_, sq.tail);
  submission_array_ = number_at(rings_, sq.array);
  submission_mask_ = params.sq_entries - 1;
  completion_head_ = number_at(rings_, cq.head);
  completion_tail_ = number_at(rings_, cq.tail);
  completions_ = at<const io_uring_cqe>(rings_, cq.cqes);
  completion_mask_ = params.cq_entries - 1;
  return {};
}

bool IoUring::start(const FileRequest& request, std::uint64_t token) {
  if (!fd_) {
    return false;
  }
  io_uring_sqe entry{};
  switch (request.call) {
    case FileCall::read:
      entry.opcode = IORING_OP_READ;
      entry.flags =
          IOSQE_ASYNC;  // else the first look for it is made here, and may wait for a disk
      break;
    case FileCall::write:
      entry.opcode = IORING_OP_WRITE;
      entry.flags = IOSQE_ASYNC;
      break;
    case FileCall::sync:
      entry.opcode = IORING_OP_FSYNC;
      entry.flags = IOSQE_ASYNC;
      break;
    default:
      return false;
  }
  entry.fd = request.fd;
  if (request.call != FileCall::sync) {
    entry.off = request.offset;
    entry.addr = reinterpret_cast<std::uintptr_t>(request.bytes.data());
    entry.len = static_cast<std::uint32_t>(request.bytes.size());
  }
  entry.user_data = token;
  // Each is taken by the kernel before this returns: there is always room.
  const std::uint32_t tail = *submission_tail_;
  const std::uint32_t place = tail & submission_mask_;
  at<io_uring_sqe>(entries_, 0)[place] = entry;
  submission_array_[place] = place;
  std::atomic_ref(*submission_tail_).store(tail + 1, std::memory_order_release);
  long taken = 0;
  do {
    taken = ::syscall(SYS_io_uring_enter, fd_.get(), 1, 0, 0, nullptr, 0);
  } while (taken < 0 && errno == EINTR);
  if (taken != 1) {
    std::atomic_ref(*submission_tail_).store(tail, std::memory_order_release);
    return false;
  }
  return true;
}

std::optional<FileRing::Done> IoUring::next() {
  if (!fd_) {
    return std::nullopt;
  }
  const std::uint32_t head = *completion_head_;
  if (head == std::atomic_ref(*completion_tail_).load(std::memory_order_acquire)) {
    return std::nullopt;
  }
  const io_uring_cqe& done = completions_[head & completion_mask_];
  const Done result{.token = done.user_data,
                    .reply = {.result = std::max(done.res, 0), .error = std::max(-done.res, 0)}};
  std::atomic_ref(*completion_head_).store(head + 1, std::memory_order_release);
  return result;
}

void IoUring::close() {
  unmap(entries_);
  unmap(rings_);
  fd_.reset();
}

}  // namespace millrace::hal
