// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include "tests/bench/loops/bare.hpp"
#include "tests/bench/main.hpp"

namespace {

using namespace millrace::bench;

class Loop {
 public:
  using Event = NoEvent;

  Loop() { checked(sd_event_default(&loop_), "sd_event_default"); }

  class Watch {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, int fd, Object& object) {
      const auto call = [](sd_event_source*, int, std::uint32_t, void* self) {
        (static_cast<Object*>(self)->*Method)({});
        return 0;
      };
      checked(sd_event_add_io(loop.loop_, &source_, fd, EPOLLIN, call, &object), "sd_event_add_io");
    }
    void want(bool readable, bool writable) {
      checked(sd_event_source_set_io_events(source_,
                                            (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U)),
              "sd_event_source_set_io_events");
    }
    void close() { source_ = sd_event_source_disable_unref(source_); }

   private:
    sd_event_source* source_ = nullptr;
  };

  /// In microseconds, and to 1 of them: 0 would mean its default, 250 ms.
  class Timer {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, Object& object) {
      const auto call = [](sd_event_source*, std::uint64_t, void* self) {
        (static_cast<Object*>(self)->*Method)({});
        return 0;
      };
      checked(
          sd_event_add_time(loop.loop_, &source_, CLOCK_MONOTONIC, UINT64_MAX, 1, call, &object),
          "sd_event_add_time");
      checked(sd_event_source_set_enabled(source_, SD_EVENT_OFF), "sd_event_source_set_enabled");
    }
    void arm(Nanoseconds time, Nanoseconds delay) {
      sd_event_source_set_time(source_, static_cast<std::uint64_t>((time + delay + 999) / 1000));
      sd_event_source_set_enabled(source_, SD_EVENT_ONESHOT);
    }
    void cancel() { sd_event_source_set_enabled(source_, SD_EVENT_OFF); }

   private:
    sd_event_source* source_ = nullptr;
  };

  class Post {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, Object& object) {
      const auto call = [](sd_event_source*, void* self) {
        (static_cast<Object*>(self)->*Method)({});
        return 0;
      };
      checked(sd_event_add_defer(loop.loop_, &source_, call, &object), "sd_event_add_defer");
      checked(sd_event_source_set_enabled(source_, SD_EVENT_OFF), "sd_event_source_set_enabled");
    }
    void post() { sd_event_source_set_enabled(source_, SD_EVENT_ONESHOT); }

   private:
    sd_event_source* source_ = nullptr;
  };

  // sd_event_loop() does the same, but ends for good.
  void run() {
    stopped_ = false;
    while (!stopped_) {
      checked(sd_event_run(loop_, UINT64_MAX), "sd_event_run");
    }
  }
  void stop() { stopped_ = true; }
  void turn() { checked(sd_event_run(loop_, 0), "sd_event_run"); }

 private:
  sd_event* loop_ = nullptr;
  bool stopped_ = false;
};

}  // namespace

int main(int count, char** arguments) { return run_workload<Loop>(count, arguments); }
