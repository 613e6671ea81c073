// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// The limit: epoll_wait and a flat table, with nothing that a loop would do besides.

#include <array>
#include <sys/epoll.h>
#include <vector>

#include "tests/bench/loops/bare.hpp"
#include "tests/bench/main.hpp"

namespace {

using namespace millrace::bench;

class EpollWaiter {
 public:
  EpollWaiter() : epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {}
  ~EpollWaiter() { ::close(epoll_); }
  EpollWaiter(const EpollWaiter&) = delete;
  EpollWaiter& operator=(const EpollWaiter&) = delete;

  class Watch {
   public:
    template <auto Method, class Object>
    void open(EpollWaiter& loop, int fd, Object& object) {
      loop_ = &loop;
      fd_ = fd;
      if (loop.table_.size() <= static_cast<std::size_t>(fd)) {
        loop.table_.resize(static_cast<std::size_t>(fd) + 1);
      }
      loop.table_[static_cast<std::size_t>(fd)] = Callback::to<Method>(object);
      loop.control(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
    void want(bool readable, bool writable) {
      loop_->control(EPOLL_CTL_MOD, fd_, (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U));
    }
    void close() {
      loop_->control(EPOLL_CTL_DEL, fd_, 0);
      loop_->table_[static_cast<std::size_t>(fd_)] = {};
    }

   private:
    EpollWaiter* loop_ = nullptr;
    int fd_ = -1;
  };

 protected:
  void wait(Nanoseconds timeout) {
    int count = 0;
    if (timeout <= 0) {
      count = ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()),
                           timeout < 0 ? -1 : 0);
    } else {
      const timespec limit{.tv_sec = timeout / 1'000'000'000, .tv_nsec = timeout % 1'000'000'000};
      count =
          ::epoll_pwait2(epoll_, events_.data(), static_cast<int>(events_.size()), &limit, nullptr);
    }
    for (int i = 0; i < count; ++i) {
      table_[static_cast<std::size_t>(events_[static_cast<std::size_t>(i)].data.fd)]();
    }
  }

 private:
  void control(int operation, int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    checked(::epoll_ctl(epoll_, operation, fd, &event), "epoll_ctl");
  }

  int epoll_;
  std::vector<Callback> table_;
  std::array<epoll_event, 128> events_{};
};

}  // namespace

int main(int count, char** arguments) {
  return run_workload<BareLoop<EpollWaiter>>(count, arguments);
}
