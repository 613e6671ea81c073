// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Built without exceptions, as all the others are.
#define ASIO_NO_EXCEPTIONS 1  // NOLINT(readability-identifier-naming): asio's
#define ASIO_NO_DEPRECATED 1  // NOLINT(readability-identifier-naming)
#define ASIO_NO_TYPEID 1      // NOLINT(readability-identifier-naming)

#include <asio/detail/throw_exception.hpp>
#include <chrono>
#include <cstdlib>
#include <optional>
namespace asio::detail {
template <class Exception>
void throw_exception(const Exception& /*exception*/) {
  std::abort();
}
}  // namespace asio::detail

#include <asio/buffer.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>

#include "tests/bench/loops/bare.hpp"
#include "tests/bench/main.hpp"

namespace {

using namespace millrace::bench;
// Of the context's own executor: any_io_executor, which they have otherwise, costs 200
// instructions.
using Executor = asio::io_context::executor_type;
using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
using Clock = std::chrono::steady_clock;
using SteadyTimer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;

class Loop {
 public:
  using Event = NoEvent;

  class Watch {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, int fd, Object& object) {
      if (!descriptor_) {
        descriptor_.emplace(loop.context_);
      }
      callback_ = Callback::to<Method>(object);
      descriptor_->assign(fd);
      wait<Method>(Descriptor::wait_read, object);
      wait_for_writable_ = [](Watch& self, void* owner) {
        self.wait<Method>(Descriptor::wait_write, *static_cast<Object*>(owner));
      };
      wait_for_readable_ = [](Watch& self, void* owner) {
        self.wait<Method>(Descriptor::wait_read, *static_cast<Object*>(owner));
      };
    }
    void want(bool readable, bool writable) {
      descriptor_->cancel();
      if (readable) {
        wait_for_readable_(*this, callback_.object);
      }
      if (writable) {
        wait_for_writable_(*this, callback_.object);
      }
    }
    void close() { (void)descriptor_->release(); }

   private:
    template <auto Method, class Object>
    void wait(Descriptor::wait_type type, Object& object) {
      descriptor_->async_wait(type, [this, type, &object](const asio::error_code& error) {
        if (!error) {
          (object.*Method)({});
          if (descriptor_->is_open()) {
            wait<Method>(type, object);
          }
        }
      });
    }

    std::optional<Descriptor> descriptor_;
    Callback callback_;
    void (*wait_for_readable_)(Watch& self, void* owner) = nullptr;
    void (*wait_for_writable_)(Watch& self, void* owner) = nullptr;
  };

  class Timer {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, Object& object) {
      timer_.emplace(loop.context_);
      object_ = &object;
      arm_ = [](Timer& self, Nanoseconds deadline) {
        self.timer_->expires_at(Clock::time_point(std::chrono::nanoseconds(deadline)));
        self.timer_->async_wait(
            [object = static_cast<Object*>(self.object_)](const asio::error_code& error) {
              if (!error) {
                (object->*Method)({});
              }
            });
      };
    }
    void arm(Nanoseconds time, Nanoseconds delay) { arm_(*this, time + delay); }
    void cancel() { timer_->cancel(); }

   private:
    std::optional<SteadyTimer> timer_;
    void* object_ = nullptr;
    void (*arm_)(Timer& self, Nanoseconds deadline) = nullptr;
  };

  class Post {
   public:
    template <auto Method, class Object>
    void open(Loop& loop, Object& object) {
      context_ = &loop.context_;
      object_ = &object;
      post_ = [](Post& self) {
        asio::post(*self.context_,
                   [object = static_cast<Object*>(self.object_)] { (object->*Method)({}); });
      };
    }
    void post() { post_(*this); }

   private:
    asio::io_context* context_ = nullptr;
    void* object_ = nullptr;
    void (*post_)(Post& self) = nullptr;
  };

  template <auto Method, class Object>
  class Mailbox {
   public:
    void open(Loop& loop, Object& object) {
      context_ = &loop.context_;
      object_ = &object;
    }
    /// From any thread.
    bool post(Nanoseconds value) {
      asio::post(*context_, [object = object_, value] { (object->*Method)(value); });
      return true;
    }

   private:
    asio::io_context* context_ = nullptr;
    Object* object_ = nullptr;
  };

  /// Of a TCP connection: asio's own.
  class Echo {
   public:
    template <auto Closed, class Object>
    void open(Loop& loop, int fd, Object& owner) {
      socket_.emplace(loop.context_, asio::ip::tcp::v4(), fd);
      socket_->non_blocking(true);
      read<Closed>(fd, owner);
    }

   private:
    template <auto Closed, class Object>
    void read(int fd, Object& owner) {
      socket_->async_read_some(
          asio::buffer(buffer_),
          [this, fd, &owner](const asio::error_code& error, std::size_t count) {
            if (error) {
              socket_->close();
              (owner.*Closed)(fd);
              return;
            }
            asio::async_write(*socket_, asio::buffer(buffer_, count),
                              [this, fd, &owner](const asio::error_code&, std::size_t) {
                                read<Closed>(fd, owner);
                              });
          });
    }

    std::optional<Socket> socket_;
    std::array<char, 4096> buffer_{};
  };

  void run() {
    context_.restart();
    context_.run();
  }
  void stop() { context_.stop(); }
  void turn() {
    context_.restart();
    context_.poll();
  }

 private:
  // One thread runs it and has its descriptors and timers; others may only post.
  asio::io_context context_{ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
};

}  // namespace

int main(int count, char** arguments) { return run_workload<Loop>(count, arguments); }
