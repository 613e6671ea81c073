// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// A bare poll() loop: one array of descriptors, gone through each time.

#include <poll.h>
#include <vector>

#include "tests/bench/loops/bare.hpp"
#include "tests/bench/main.hpp"

namespace {

using namespace millrace::bench;

class PollWaiter {
 public:
  class Watch {
   public:
    template <auto Method, class Object>
    void open(PollWaiter& loop, int fd, Object& object) {
      loop_ = &loop;
      index_ = loop.polled_.size();
      loop.polled_.push_back({.fd = fd, .events = POLLIN, .revents = 0});
      loop.entries_.push_back({.callback = Callback::to<Method>(object), .watch = this});
    }
    void want(bool readable, bool writable) {
      loop_->polled_[index_].events =
          static_cast<short>((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
    }
    // The last one takes its place; if that is ready now, it will be in the next turn.
    void close() {
      loop_->polled_[index_] = loop_->polled_.back();
      loop_->entries_[index_] = loop_->entries_.back();
      loop_->entries_[index_].watch->index_ = index_;
      loop_->polled_.pop_back();
      loop_->entries_.pop_back();
    }

   private:
    PollWaiter* loop_ = nullptr;
    std::size_t index_ = 0;
  };

 protected:
  void wait(Nanoseconds timeout) {
    const timespec limit{.tv_sec = timeout / 1'000'000'000, .tv_nsec = timeout % 1'000'000'000};
    int count = ::ppoll(polled_.data(), polled_.size(), timeout < 0 ? nullptr : &limit, nullptr);
    for (std::size_t i = 0; count > 0 && i < polled_.size(); ++i) {
      if (polled_[i].revents != 0) {
        --count;
        polled_[i].revents = 0;
        const Callback callback = entries_[i].callback;  // which may add others
        callback();
      }
    }
  }

 private:
  struct Entry {
    Callback callback;
    Watch* watch = nullptr;
  };
  std::vector<pollfd> polled_;
  std::vector<Entry> entries_;
};

}  // namespace

int main(int count, char** arguments) {
  return run_workload<BareLoop<PollWaiter>>(count, arguments);
}
