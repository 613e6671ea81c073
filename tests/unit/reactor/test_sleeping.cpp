// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// When the loop sleeps, what wakes it, and what that costs in system calls.

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <vector>

#include "tests/support/descriptors.hpp"
#include "tests/support/kernel.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/sequential_consistency.hpp"
#include "tests/support/strace.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

template <class PollerType>
class Sleeping : public PollerTest<PollerType> {};
TYPED_TEST_SUITE(Sleeping, AllPollers, PollerNames);

// How often the wake-up was written to since it was read: the kernel counts.
int wakeups_written() {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
    std::ifstream file(entry.path());
    for (std::string word; file >> word;) {
      if (word == "eventfd-count:") {
        int count = -1;
        file >> std::hex >> count;
        return count;
      }
    }
  }
  ADD_FAILURE() << "there is no eventfd";
  return -1;
}

template <class PollerType>
std::vector<std::string> one_wait() {
  if constexpr (std::is_same_v<PollerType, EpollPwait2>) {
    return {"epoll_pwait2"};
  } else if constexpr (std::is_same_v<PollerType, EpollTimerfd>) {
    return {"timerfd_settime", "epoll_wait"};
  } else if constexpr (std::is_same_v<PollerType, Poll>) {
    return {"ppoll"};
  } else {
    return {"pselect6"};
  }
}

TYPED_TEST(Sleeping, an_idle_second_is_one_wait_and_no_other_system_call) {
  const auto calls = system_calls_of([](const auto& mark) {
    static Loop<TypeParam> loop;
    const Pair pipe = make_pipe();
    On never_called{[](const Message&) { std::abort(); }};
    On quit{[](const Message&) { loop.quit(); }};
    (void)loop.watch(pipe.near.get(), Events::readable, never_called);
    (void)loop.add_notifier(never_called);
    loop.arm_after(*loop.add_timer(never_called), 1h);
    loop.turn_now();
    loop.arm_after(*loop.add_timer(quit), 1s);
    mark();
    (void)loop.run();
    mark();
  });
  if (!calls) {
    GTEST_SKIP() << "strace is missing or may not attach";
  }
  std::vector<std::string> names = *calls;
  if (names.size() == 2 && names[1] == "epoll_pwait") {
    names[1] = "epoll_wait";  // machines that have no other
  }
  EXPECT_EQ(names, one_wait<TypeParam>());
}

TYPED_TEST(Sleeping, with_nothing_to_do_it_waits_without_limit) {
  Loop<TypeParam> loop;
  On wake{[&](const Message&) { loop.quit(); }};
  std::thread poster([&] {
    while (!loop.counting().waiting) {
      std::this_thread::yield();
    }
    EXPECT_EQ(loop.counting().last_timeout, forever);
    ASSERT_TRUE(loop.post_from_any_thread(wake));
  });
  ASSERT_TRUE(loop.run());
  poster.join();
  EXPECT_EQ(loop.counting().waits, 1);
  EXPECT_EQ(loop.statistics().sleeps, 1U);
}

TYPED_TEST(Sleeping, any_number_of_posts_to_a_sleeping_loop_are_one_write_and_one_turn) {
  Loop<TypeParam> loop;
  int runs = 0;
  On count{[&](const Message&) { ++runs; }};
  int written = 0;
  loop.counting().held = true;
  std::thread poster([&] {
    while (!loop.counting().waiting) {
      std::this_thread::yield();
    }
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(loop.post_from_any_thread(count));
    }
    written = wakeups_written();
    loop.counting().held = false;
  });
  ASSERT_TRUE(loop.turn());
  poster.join();
  EXPECT_EQ(written, 1);
  EXPECT_EQ(runs, 50);
  EXPECT_EQ(wakeups_written(), 0);  // cleared
  loop.turn_now();
  EXPECT_EQ(loop.counting().waits, 2);
}

TYPED_TEST(Sleeping, posts_to_an_awake_loop_write_nothing) {
  Loop<TypeParam> loop;
  int runs = 0;
  On count{[&](const Message&) { ++runs; }};
  On busy{[&](const Message&) {
    std::thread poster([&] {
      for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(loop.post_from_any_thread(count));
      }
    });
    poster.join();
    EXPECT_EQ(wakeups_written(), 0);
  }};
  ASSERT_TRUE(loop.post_from_any_thread(count));  // nor does one to a loop that does not run yet
  EXPECT_EQ(wakeups_written(), 0);
  ASSERT_TRUE(loop.post(busy));
  ASSERT_TRUE(loop.turn());
  ASSERT_TRUE(loop.turn());  // finds the mailbox full just before it would sleep
  EXPECT_EQ(runs, 51);
  EXPECT_EQ(wakeups_written(), 0);
}

TYPED_TEST(Sleeping, a_wake_up_is_cleared_so_that_the_loop_sleeps_again) {
  Loop<TypeParam> loop;
  Trace trace;
  Note note(trace, "x");
  for (int i = 0; i < 3; ++i) {
    const int before = loop.counting().waits;
    std::thread poster([&] {
      while (!loop.counting().waiting) {
        std::this_thread::yield();
      }
      ASSERT_TRUE(loop.post_from_any_thread(note));
    });
    ASSERT_TRUE(loop.turn());
    poster.join();
    EXPECT_EQ(wakeups_written(), 0);
    EXPECT_EQ(loop.counting().waits, before + 1);
  }
  EXPECT_EQ(trace, "x x x");
}

TYPED_TEST(Sleeping, no_post_is_ever_slept_through) {
  // Two threads and the loop chase one another; a lost wake-up hangs the test.
  if (!keeps_sequential_consistency()) {
    GTEST_SKIP()
        << "this emulator lets a sequentially consistent load overtake the store before it";
  }
  static constexpr std::uint32_t count = 20'000;
  Loop<TypeParam> loop;
  std::atomic<std::uint32_t> done = 0;
  On answer{[&](const Message&) {
    if (++done == 2 * count) {
      loop.quit();
    }
  }};
  std::vector<std::thread> posters;
  for (int i = 0; i < 2; ++i) {
    posters.emplace_back([&] {
      for (std::uint32_t n = 0; n < count;) {
        const std::uint32_t before = done;
        if (loop.post_from_any_thread(answer)) {
          ++n;
          // Mostly one at a time, so that the loop is about to fall asleep each time.
          while (n % 16 != 0 && done == before) {
            std::this_thread::yield();
          }
        }
      }
    });
  }
  ASSERT_TRUE(loop.run());
  for (std::thread& poster : posters) {
    poster.join();
  }
  EXPECT_EQ(done, 2 * count);
}

// Memory that stops who reads it, until it is opened.
class ClosedPage {
 public:
  ClosedPage() : page_(::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    closed = this;
    struct sigaction action{};
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = [](int, siginfo_t* info, void*) { closed->hold(info->si_addr); };
    ::sigaction(SIGSEGV, &action, &old_);
  }
  ~ClosedPage() {
    ::sigaction(SIGSEGV, &old_, nullptr);
    ::munmap(page_, size);
  }
  ClosedPage(const ClosedPage&) = delete;
  ClosedPage& operator=(const ClosedPage&) = delete;

  [[nodiscard]] const Message& message() const { return *static_cast<const Message*>(page_); }
  [[nodiscard]] bool is_read() const { return read_; }
  void open() { open_ = true; }

 private:
  static constexpr std::size_t size = 4096;
  static inline ClosedPage* closed = nullptr;

  // Returns to the instruction that has read; elsewhere, for that to end the program.
  void hold(const void* address) {
    if (address < page_ || address >= static_cast<const char*>(page_) + size) {
      ::sigaction(SIGSEGV, &old_, nullptr);
      return;
    }
    for (read_ = true; !open_;) {
      std::this_thread::yield();
    }
    ::mprotect(page_, size, PROT_READ);
  }

  void* page_;
  struct sigaction old_{};
  std::atomic<bool> read_ = false;
  std::atomic<bool> open_ = false;
};

// A loop, and a thread that is in the middle of a post to it until the page is opened.
template <class PollerType>
struct InterruptedPost {
  Loop<PollerType> loop;
  ClosedPage page;
  Trace trace;
  Note note{trace, "x"};
  std::thread poster{[this] { EXPECT_TRUE(loop.post_from_any_thread(note, page.message())); }};

  InterruptedPost() {
    while (!page.is_read()) {
      std::this_thread::yield();
    }
  }
};

TYPED_TEST(Sleeping, beside_a_post_that_is_interrupted_in_the_middle_is_for_a_while_only) {
  InterruptedPost<TypeParam> post;
  auto& [loop, page, trace, note, poster] = post;
  for (int i = 1; i <= 3; ++i) {  // neither for ever, nor not at all
    ASSERT_TRUE(loop.turn(1min));
    EXPECT_EQ(loop.counting().last_timeout, 1ms);
    EXPECT_EQ(loop.counting().waits, i);
  }
  EXPECT_EQ(trace, "");
  page.open();
  while (trace.text().empty()) {
    ASSERT_TRUE(loop.turn(1min));
  }
  poster.join();
  EXPECT_EQ(trace, "x");
  ASSERT_TRUE(loop.turn(2ms));
  EXPECT_EQ(loop.counting().last_timeout, 2ms);
}

TYPED_TEST(Sleeping, beside_a_post_that_is_interrupted_in_the_middle_ends_with_it) {
  InterruptedPost<TypeParam> post;
  auto& [loop, page, trace, note, poster] = post;
  int written = 0;
  loop.counting().held = true;
  std::thread opener([&] {
    while (!loop.counting().waiting) {
      std::this_thread::yield();
    }
    page.open();
    poster.join();
    written = wakeups_written();
    loop.counting().held = false;
  });
  ASSERT_TRUE(loop.turn(1min));
  opener.join();
  EXPECT_EQ(written, 1);
  EXPECT_EQ(trace, "x");
}

Reactor* signalled_loop = nullptr;
Handler signalled_handler;
void post_from_signal_handler(int /*signal*/) {
  (void)signalled_loop->post_from_any_thread(signalled_handler);
}

TYPED_TEST(Sleeping, a_post_from_a_signal_handler_wakes_the_loop) {
  Loop<TypeParam> loop;
  Trace trace;
  On quit{[&](const Message&) {
    trace.add("signal");
    loop.quit();
  }};
  signalled_loop = &loop;
  signalled_handler = quit;
  struct sigaction action{};
  struct sigaction old{};
  action.sa_handler = post_from_signal_handler;
  ::sigaction(SIGUSR1, &action, &old);
  const pthread_t loop_thread = ::pthread_self();
  std::thread signaller([&] {
    while (!loop.counting().waiting) {
      std::this_thread::yield();
    }
    ::pthread_kill(loop_thread, SIGUSR1);
  });
  ASSERT_TRUE(loop.run());
  signaller.join();
  ::sigaction(SIGUSR1, &old, nullptr);
  EXPECT_EQ(trace, "signal");
}

TYPED_TEST(Sleeping, twenty_ready_descriptors_cost_one_wait_a_turn_and_nothing_else) {
  Loop<TypeParam> loop;
  std::vector<Pair> pipes;
  int runs = 0;
  On count{[&](const Message&) { ++runs; }};
  for (int i = 0; i < 20; ++i) {
    pipes.push_back(make_pipe());
    put(pipes.back().far, "x");
    ASSERT_TRUE(loop.watch(pipes.back().near.get(), Events::readable, count));
  }
  (void)loop.counting().take_changes();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(loop.turn());
  }
  EXPECT_EQ(runs, 2000);
  EXPECT_EQ(loop.counting().waits, 100);
  EXPECT_EQ(loop.counting().take_changes(), 0);
}

TYPED_TEST(Sleeping, what_is_queued_keeps_the_loop_from_waiting) {
  Loop<TypeParam> loop;
  Trace trace;
  On again{[&](const Message& message) {
    if (message.value > 0) {
      ASSERT_TRUE(loop.post(message.handler, at(normal, message.value - 1)));
    } else {
      trace.add("done");
    }
  }};
  ASSERT_TRUE(loop.post(again, at(normal, 100)));
  ASSERT_TRUE(loop.turn());  // 64 of them
  ASSERT_TRUE(loop.turn());  // the rest
  EXPECT_EQ(loop.counting().last_timeout, Duration::zero());
  EXPECT_EQ(trace, "done");
  EXPECT_EQ(loop.statistics().sleeps, 0U);
}

TYPED_TEST(Sleeping, the_longest_wait_of_a_turn_is_what_the_caller_says) {
  FakeClock clock;
  Loop<TypeParam> loop(clock);
  Trace trace;
  Note note(trace, "x");
  loop.arm_after(*loop.add_timer(note), 1s);
  ASSERT_TRUE(loop.turn(10ms));
  EXPECT_EQ(loop.counting().last_timeout, 10ms);
  EXPECT_EQ(trace, "");
  ASSERT_TRUE(loop.turn(10s));
  EXPECT_EQ(loop.counting().last_timeout, 990ms);
  EXPECT_EQ(trace, "x");
}

TEST(StaticReactor, can_be_told_to_sleep_by_timerfd) {
  StaticReactor<ReactorLimits{.fds = 64}> reactor;
  ASSERT_TRUE(reactor.open(hal::EpollPoller::Wait::timerfd));
  Trace trace;
  Note note(trace, "x");
  reactor.arm_after(*reactor.add_timer(note), 1ms);
  ASSERT_TRUE(reactor.turn());
  EXPECT_EQ(trace, "x");
}

}  // namespace
}  // namespace millrace::test
