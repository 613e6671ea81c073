// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <liburing.h>
#include <poll.h>
#include <vector>

#include "tests/bench/loops/bare.hpp"
#include "tests/bench/main.hpp"

namespace millrace::bench {

/// What a request that is no poll has in its user_data: who is called when it is done.
struct Completion {
  void (*function)(void* object, const io_uring_cqe& done) = nullptr;
  void* object = nullptr;

  template <auto Method, class Object>
  static Completion to(Object& object) {
    return {
        .function = [](void* self,
                       const io_uring_cqe& done) { (static_cast<Object*>(self)->*Method)(done); },
        .object = &object};
  }
};

/// Waits by io_uring. What the callbacks have asked for goes to the kernel in the call that waits.
///
/// A watch is a poll request that is made again after its callback. A multishot one would not have
/// to be, but tells changes only, as EPOLLET does: of what a callback leaves unread it would never
/// tell again. IORING_POLL_ADD_LEVEL is not for those.
class UringWaiter {
 public:
  UringWaiter() { checked(set_up(ring_), "io_uring_setup"); }
  ~UringWaiter() { ::io_uring_queue_exit(&ring_); }
  UringWaiter(const UringWaiter&) = delete;
  UringWaiter& operator=(const UringWaiter&) = delete;

  /// Waiting for a limited time is of Linux 5.11.
  static bool offered_by(const io_uring& ring) {
    return (ring.features & IORING_FEAT_EXT_ARG) != 0;
  }
  /// Opens a ring, and takes less where the kernel is older. Negative: there is none, see errno.
  static int set_up(io_uring& ring) {
    for (const unsigned flags : {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0U}) {
      io_uring_params params{};
      params.flags = flags | IORING_SETUP_CQSIZE;
      params.cq_entries = 4096;
      errno = -::io_uring_queue_init_params(1024, &ring, &params);
      if (errno == 0) {
        static_cast<void>(::io_uring_register_ring_fd(&ring));  // one look-up less in each call
        return 0;
      }
    }
    return -1;
  }

  class Watch {
   public:
    template <auto Method, class Object>
    void open(UringWaiter& loop, int fd, Object& object) {
      loop_ = &loop;
      fd_ = fd;
      if (loop.table_.size() <= static_cast<std::size_t>(fd)) {
        loop.table_.resize(static_cast<std::size_t>(fd) + 1);
      }
      Entry& entry = loop.entry(fd);
      entry.callback = Callback::to<Method>(object);
      entry.events = POLLIN;
      loop.arm(fd, entry);
    }
    void want(bool readable, bool writable) {
      Entry& entry = loop_->entry(fd_);
      entry.events = (readable ? POLLIN : 0U) | (writable ? POLLOUT : 0U);
      if (entry.armed) {
        const std::uint64_t token = token_of(fd_, entry);
        ::io_uring_prep_poll_update(loop_->new_request(0), token, token, entry.events,
                                    IORING_POLL_UPDATE_EVENTS);
      }
    }
    void close() {
      Entry& entry = loop_->entry(fd_);
      if (entry.armed) {
        ::io_uring_prep_poll_remove(loop_->new_request(0), token_of(fd_, entry));
      }
      entry = {.callback = {}, .generation = entry.generation + 1};
    }

   private:
    UringWaiter* loop_ = nullptr;
    int fd_ = -1;
  };

  /// To be filled in; sent when the loop waits next, or before if there is no room for more.
  /// `token` may be 0: nobody is told.
  io_uring_sqe* new_request(std::uint64_t token) {
    io_uring_sqe* request = ::io_uring_get_sqe(&ring_);
    while (request == nullptr) {
      errno = -std::min(::io_uring_submit(&ring_), 0);
      if (errno != 0 && errno != EINTR) {
        give_up("io_uring_submit");
      }
      request = ::io_uring_get_sqe(&ring_);
    }
    request->user_data = token;  // liburing leaves it alone when it fills in the rest
    return request;
  }
  io_uring_sqe* new_request(const Completion& completion) {
    return new_request(reinterpret_cast<std::uintptr_t>(&completion));
  }

 protected:
  [[nodiscard]] io_uring& ring() { return ring_; }

  void wait(Nanoseconds timeout) {
    if (timeout < 0) {
      ::io_uring_submit_and_wait(&ring_, 1);
    } else if (timeout == 0) {
      ::io_uring_submit_and_get_events(&ring_);
    } else {
      io_uring_cqe* first = nullptr;
      __kernel_timespec limit{.tv_sec = timeout / 1'000'000'000,
                              .tv_nsec = timeout % 1'000'000'000};
      ::io_uring_submit_and_wait_timeout(&ring_, &first, 1, &limit, nullptr);
    }
    const unsigned count =
        ::io_uring_peek_batch_cqe(&ring_, done_.data(), static_cast<unsigned>(done_.size()));
    for (unsigned i = 0; i < count; ++i) {
      take(*done_[i]);
    }
    ::io_uring_cq_advance(&ring_, count);
  }

 private:
  struct Entry {
    Callback callback;
    std::uint32_t events = 0;
    std::uint32_t generation = 0;
    bool armed = false;
  };
  static constexpr std::uint64_t is_poll = 1;  // which no address of a Completion has

  [[nodiscard]] Entry& entry(int fd) { return table_[static_cast<std::size_t>(fd)]; }
  [[nodiscard]] static std::uint64_t token_of(int fd, const Entry& entry) {
    return static_cast<std::uint64_t>(entry.generation) << 32U |
           static_cast<std::uint64_t>(fd) << 1U | is_poll;
  }
  void arm(int fd, Entry& entry) {
    io_uring_sqe* const request = new_request(token_of(fd, entry));
    ::io_uring_prep_poll_add(request, fd, entry.events);
    entry.armed = true;
  }

  void take(const io_uring_cqe& done) {
    if ((done.user_data & is_poll) == 0) {
      if (done.user_data != 0) {
        const auto& completion = *static_cast<const Completion*>(::io_uring_cqe_get_data(&done));
        completion.function(completion.object, done);
      }
      return;
    }
    const int fd = static_cast<int>(static_cast<std::uint32_t>(done.user_data) >> 1U);
    const auto generation = static_cast<std::uint32_t>(done.user_data >> 32U);
    if (entry(fd).generation != generation) {
      return;  // closed before it was told
    }
    errno = -std::min(done.res, 0);
    checked(done.res, "poll");
    entry(fd).armed = false;
    const Callback callback = entry(fd).callback;
    callback();
    Entry& after = entry(fd);  // which may have moved
    if (after.generation == generation) {
      arm(fd, after);
    }
  }

  io_uring ring_{};
  std::vector<Entry> table_;
  std::array<io_uring_cqe*, 128> done_{};
};

/// The main() of these programs. Where the kernel does not offer what `Waiter` needs, they say so,
/// and that is no failure.
template <class Waiter>
int run_workload_if_possible(int count, char** arguments) {
  const char* reason = "the kernel has no io_uring, or does not let us";
  io_uring ring{};
  if (UringWaiter::set_up(ring) >= 0) {
    reason = Waiter::offered_by(ring) ? nullptr : "the kernel's io_uring is too old";
    ::io_uring_queue_exit(&ring);
  }
  if (reason != nullptr) {
    Report report;
    report.skip(reason);
    report.print();
    return 0;
  }
  return run_workload<BareLoop<Waiter>>(count, arguments);
}

}  // namespace millrace::bench
