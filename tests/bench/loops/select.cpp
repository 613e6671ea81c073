// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// A bare select() loop, for descriptors below 1024.

#include <array>
#include <sys/select.h>

#include "tests/bench/loops/bare.hpp"
#include "tests/bench/main.hpp"

namespace {

using namespace millrace::bench;

class SelectWaiter {
 public:
  static constexpr std::size_t most_descriptors = FD_SETSIZE;

  SelectWaiter() {
    FD_ZERO(&readable_);
    FD_ZERO(&writable_);
  }

  class Watch {
   public:
    template <auto Method, class Object>
    void open(SelectWaiter& loop, int fd, Object& object) {
      loop_ = &loop;
      fd_ = fd;
      loop.table_[static_cast<std::size_t>(fd)] = Callback::to<Method>(object);
      loop.end_ = std::max(loop.end_, fd + 1);
      want(true, false);
    }
    void want(bool readable, bool writable) {
      if (readable) {
        FD_SET(fd_, &loop_->readable_);
      } else {
        FD_CLR(fd_, &loop_->readable_);
      }
      if (writable) {
        FD_SET(fd_, &loop_->writable_);
      } else {
        FD_CLR(fd_, &loop_->writable_);
      }
    }
    void close() {
      want(false, false);
      loop_->table_[static_cast<std::size_t>(fd_)] = {};
    }

   private:
    SelectWaiter* loop_ = nullptr;
    int fd_ = -1;
  };

 protected:
  void wait(Nanoseconds timeout) {
    fd_set readable = readable_;
    fd_set writable = writable_;
    const timespec limit{.tv_sec = timeout / 1'000'000'000, .tv_nsec = timeout % 1'000'000'000};
    int count =
        ::pselect(end_, &readable, &writable, nullptr, timeout < 0 ? nullptr : &limit, nullptr);
    for (int fd = 0; count > 0 && fd < end_; ++fd) {
      const bool reads = FD_ISSET(fd, &readable);
      const bool writes = FD_ISSET(fd, &writable);
      if (reads || writes) {
        count -= static_cast<int>(reads) + static_cast<int>(writes);
        table_[static_cast<std::size_t>(fd)]();
      }
    }
  }

 private:
  fd_set readable_{};
  fd_set writable_{};
  int end_ = 0;
  std::array<Callback, FD_SETSIZE> table_{};
};

}  // namespace

int main(int count, char** arguments) {
  return run_workload<BareLoop<SelectWaiter>>(count, arguments);
}
