// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <uv.h>

#include "tests/bench/loops/bare.hpp"
#include "tests/bench/main.hpp"

namespace {

using namespace millrace::bench;

class Loop {
 public:
  using Event = NoEvent;

  Loop() { checked(uv_loop_init(&loop_), "uv_loop_init"); }

  /// A handle lives on until libuv says that it is closed.
  class Watch {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, int fd, Object& object) {
      poll_ = new uv_poll_t{};
      poll_->data = &object;
      checked(uv_poll_init(&loop.loop_, poll_, fd), "uv_poll_init");
      call_ = [](uv_poll_t* poll, int, int) { (static_cast<Object*>(poll->data)->*Method)({}); };
      want(true, false);
    }
    void want(bool readable, bool writable) {
      checked(
          uv_poll_start(poll_, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), call_),
          "uv_poll_start");
    }
    void close() {
      uv_close(reinterpret_cast<uv_handle_t*>(poll_),
               [](uv_handle_t* handle) { delete reinterpret_cast<uv_poll_t*>(handle); });
    }

   private:
    uv_poll_t* poll_ = nullptr;
    uv_poll_cb call_ = nullptr;
  };

  /// In milliseconds, as libuv has them.
  class Timer {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, Object& object) {
      checked(uv_timer_init(&loop.loop_, &timer_), "uv_timer_init");
      timer_.data = &object;
      call_ = [](uv_timer_t* timer) { (static_cast<Object*>(timer->data)->*Method)({}); };
    }
    void arm(Nanoseconds /*time*/, Nanoseconds delay) {
      uv_timer_start(&timer_, call_, static_cast<std::uint64_t>((delay + 999'999) / 1'000'000), 0);
    }
    void cancel() { uv_timer_stop(&timer_); }

   private:
    uv_timer_t timer_{};
    uv_timer_cb call_ = nullptr;
  };

  /// Wakes the loop, from any thread.
  class Wake {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, Object& object) {
      const auto call = [](uv_async_t* self) { (static_cast<Object*>(self->data)->*Method)({}); };
      checked(uv_async_init(&loop.loop_, &async_, call), "uv_async_init");
      async_.data = &object;
    }
    void wake() { uv_async_send(&async_); }

   private:
    uv_async_t async_{};
  };

  /// Of a TCP connection: libuv's own, with what can be written at once written at once.
  class Echo {
   public:
    template <auto Closed, class Object>
    void open(Loop& loop, int fd, Object& owner) {
      owner_ = &owner;
      closed_ = [](uv_handle_t* handle) {
        auto* const self = static_cast<Echo*>(handle->data);
        (static_cast<Object*>(self->owner_)->*Closed)(self->fd_);
      };
      fd_ = fd;
      checked(uv_tcp_init(&loop.loop_, &tcp_), "uv_tcp_init");
      checked(uv_tcp_open(&tcp_, fd), "uv_tcp_open");
      tcp_.data = this;
      checked(uv_read_start(stream(), allocate, on_read), "uv_read_start");
    }

   private:
    [[nodiscard]] uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&tcp_); }

    static void allocate(uv_handle_t* handle, std::size_t /*wanted*/, uv_buf_t* buffer) {
      auto* const self = static_cast<Echo*>(handle->data);
      *buffer = uv_buf_init(self->buffer_.data(), static_cast<unsigned>(self->buffer_.size()));
    }
    static void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
      auto* const self = static_cast<Echo*>(stream->data);
      if (count < 0) {
        uv_close(reinterpret_cast<uv_handle_t*>(stream), self->closed_);
      } else if (count > 0) {
        uv_buf_t echo = uv_buf_init(buffer->base, static_cast<unsigned>(count));
        const int written = std::max(uv_try_write(stream, &echo, 1), 0);
        if (written < count) {
          self->rest_ = uv_buf_init(buffer->base + written, static_cast<unsigned>(count - written));
          uv_read_stop(stream);
          uv_write(&self->write_, stream, &self->rest_, 1, on_written);
        }
      }
    }
    static void on_written(uv_write_t* write, int status) {
      if (status == 0) {
        uv_read_start(write->handle, allocate, on_read);
      }
    }

    void* owner_ = nullptr;
    uv_close_cb closed_ = nullptr;
    int fd_ = -1;
    uv_tcp_t tcp_{};
    uv_write_t write_{};
    uv_buf_t rest_{};
    std::array<char, 4096> buffer_{};
  };

  void run() { uv_run(&loop_, UV_RUN_DEFAULT); }
  void stop() { uv_stop(&loop_); }
  void turn() { uv_run(&loop_, UV_RUN_NOWAIT); }

 private:
  uv_loop_t loop_{};
};

}  // namespace

int main(int count, char** arguments) { return run_workload<Loop>(count, arguments); }
