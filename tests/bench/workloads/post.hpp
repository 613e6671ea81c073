// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <memory>
#include <mutex>
#include <sys/eventfd.h>
#include <thread>
#include <vector>

#include "tests/bench/support.hpp"

namespace millrace::bench {

/// Wakes a loop that only knows descriptors, from any thread.
template <class Loop>
class EventfdWake {
 public:
  template <auto Method, class Object>
  void open(Loop& loop, Object& object) {
    object_ = &object;
    call_ = [](void* self) { (static_cast<Object*>(self)->*Method)({}); };
    watch_.template open<&EventfdWake::on_readable>(loop, fd_, *this);
  }
  void wake() {
    const std::uint64_t one = 1;
    checked(::write(fd_, &one, sizeof one), "write");
  }

 private:
  void on_readable(typename Loop::Event /*event*/) {
    std::uint64_t count = 0;
    checked(::read(fd_, &count, sizeof count), "read");
    call_(object_);
  }

  int fd_ = checked(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd");
  typename Loop::Watch watch_;
  void* object_ = nullptr;
  void (*call_)(void* self) = nullptr;
};

template <class Loop>
struct WakeOf {
  using Type = EventfdWake<Loop>;
};
template <class Loop>
  requires requires { typename Loop::Wake; }
struct WakeOf<Loop> {
  using Type = typename Loop::Wake;
};

/// What users of loops without messages write: a queue under a mutex, and the loop is woken when
/// it was empty.
template <class Loop, auto Method, class Object>
class QueueMailbox {
 public:
  void open(Loop& loop, Object& object) {
    object_ = &object;
    wake_.template open<&QueueMailbox::on_wake>(loop, *this);
  }
  bool post(Nanoseconds value) {
    bool was_empty = false;
    {
      const std::scoped_lock lock(mutex_);
      was_empty = queue_.empty();
      queue_.push_back(value);
    }
    if (was_empty) {
      wake_.wake();
    }
    return true;
  }

  struct Anything {
    template <class T>
    Anything(const T& /*event*/) {
    }  // NOLINT(google-explicit-constructor,hicpp-explicit-conversions)
    Anything() = default;
  };
  void on_wake(Anything /*event*/) {
    {
      const std::scoped_lock lock(mutex_);
      taken_.swap(queue_);
    }
    for (const Nanoseconds value : taken_) {
      (object_->*Method)(value);
    }
    taken_.clear();
  }

 private:
  Object* object_ = nullptr;
  typename WakeOf<Loop>::Type wake_;
  std::mutex mutex_;
  std::vector<Nanoseconds> queue_;
  std::vector<Nanoseconds> taken_;
};

template <class Loop, auto Method, class Object>
struct MailboxOf {
  using Type = QueueMailbox<Loop, Method, Object>;
};
template <class Loop, auto Method, class Object>
  requires requires { typename Loop::template Mailbox<Method, Object>; }
struct MailboxOf<Loop, Method, Object> {
  using Type = typename Loop::template Mailbox<Method, Object>;
};

/// Posts within the loop: each handler posts itself again.
///
///   messages=N      in total
///   outstanding=N   that wait at a time
template <class Loop>
class PostWithin {
 public:
  PostWithin(Loop& loop, std::size_t outstanding)
      : loop_(loop), outstanding_(outstanding), posts_(new One[outstanding]) {
    for (std::size_t i = 0; i < outstanding; ++i) {
      posts_[i].owner = this;
      posts_[i].post.template open<&One::on_post>(loop, posts_[i]);
    }
    start_.template open<&PostWithin::on_start>(loop, *this);
  }
  void pass(std::size_t messages) {
    to_post_ = messages;
    missing_ = messages + outstanding_;
    start_.arm(now(), 0);  // some take posts while they run only
    loop_.run();
  }

 private:
  struct One {
    PostWithin* owner = nullptr;
    typename Loop::Post post;

    void on_post(typename Loop::Event /*event*/) {
      if (owner->to_post_ > 0) {
        --owner->to_post_;
        post.post();
      }
      if (--owner->missing_ == 0) {
        owner->loop_.stop();
      }
    }
  };
  void on_start(typename Loop::Event /*event*/) {
    for (std::size_t i = 0; i < outstanding_; ++i) {
      posts_[i].post.post();
    }
  }

  Loop& loop_;
  std::size_t outstanding_;
  std::unique_ptr<One[]> posts_;
  typename Loop::Timer start_;
  std::size_t to_post_ = 0;
  std::size_t missing_ = 0;
};

template <class Loop>
void post(const Arguments& arguments, Report& report) {
  if constexpr (requires { typename Loop::Post; }) {
    const std::size_t messages = arguments.size("messages", 200'000);
    const std::size_t outstanding = arguments.size("outstanding", 1);
    Loop loop;
    auto& posts = make_lasting<PostWithin<Loop>>(loop, outstanding);
    const std::size_t first = messages / 10;
    posts.pass(first);
    const Nanoseconds start = cpu_time();
    posts.pass(messages);
    const auto total = static_cast<double>(messages + outstanding);
    report.add("cpu_ns", static_cast<double>(cpu_time() - start) / total);
    report.add("events", total + static_cast<double>(first + outstanding));
  } else {
    report.skip("there are no posts within it");
  }
}

/// Posts from other threads, `producers` of them, which run on other processors than the loop's.
///
///   burst: all post as many as they can, together `messages`; ns per message
///   ping-pong: each posts the time, and waits until the loop has had it; how long that took
template <class Loop>
class PostAcross {
 public:
  PostAcross(Loop& loop, std::size_t producers, std::int64_t cpu)
      : loop_(loop), producers_(producers), cpu_(cpu) {
    mailbox_.open(loop, *this);
  }

  /// Nanoseconds from the first to the last.
  Nanoseconds burst(std::size_t messages) {
    sampling_ = false;
    missing_ = messages / producers_ * producers_;
    return run([&](std::size_t /*number*/) {
      for (std::size_t i = 0; i < messages / producers_; ++i) {
        send(-1);
      }
    });
  }
  std::vector<Nanoseconds>& ping_pong(std::size_t messages) {
    sampling_ = true;
    missing_ = messages / producers_ * producers_;
    samples_.reserve(missing_);
    for (std::size_t i = 0; i < producers_; ++i) {
      answers_.push_back(checked(::eventfd(0, EFD_CLOEXEC), "eventfd"));
    }
    run([&](std::size_t number) {
      for (std::size_t i = 0; i < messages / producers_; ++i) {
        // The time's last digits say who it is.
        const auto most = static_cast<Nanoseconds>(producers_);
        send(now() / most * most + static_cast<Nanoseconds>(number));
        std::uint64_t count = 0;
        checked(::read(answers_[number], &count, sizeof count), "read");
      }
    });
    return samples_;
  }

 private:
  void on_message(Nanoseconds value) {
    if (sampling_) {
      samples_.push_back(now() - value);
      const std::uint64_t one = 1;
      const auto number = static_cast<std::size_t>(value) % producers_;
      checked(::write(answers_[number], &one, sizeof one), "write");
    }
    if (--missing_ == 0) {
      loop_.stop();
    }
  }
  void send(Nanoseconds value) {
    while (!mailbox_.post(value)) {
      ::sched_yield();
    }
  }
  template <class Work>
  Nanoseconds run(const Work& work) {
    const Nanoseconds start = now();
    std::vector<std::thread> threads;
    threads.reserve(producers_);
    for (std::size_t i = 0; i < producers_; ++i) {
      threads.emplace_back([&, i] {
        stay_off(cpu_);
        work(i);
      });
    }
    loop_.run();
    const Nanoseconds spent = now() - start;
    for (std::thread& thread : threads) {
      thread.join();
    }
    return spent;
  }

  Loop& loop_;
  std::size_t producers_;
  std::int64_t cpu_;
  typename MailboxOf<Loop, &PostAcross::on_message, PostAcross>::Type mailbox_;
  std::size_t missing_ = 0;
  bool sampling_ = false;
  std::vector<Nanoseconds> samples_;
  std::vector<int> answers_;
};

template <class Loop>
void post_across(const Arguments& arguments, Report& report) {
  if constexpr (requires { Loop::prepare_for_threads(); }) {
    Loop::prepare_for_threads();
  }
  const std::size_t messages = arguments.size("messages", 400'000);
  Loop loop;
  auto& posts = make_lasting<PostAcross<Loop>>(loop, arguments.size("producers", 1),
                                               arguments.number("cpu", -1));
  posts.burst(messages / 10);
  report.add("burst_ns",
             static_cast<double>(posts.burst(messages)) / static_cast<double>(messages));
  report.add_percentiles("wake_ns", posts.ping_pong(arguments.size("wakes", 4'000)));
}

}  // namespace millrace::bench
