// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <gtest/gtest.h>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

#include "hal/heap_trap.hpp"
#include "hal/thread.hpp"
#include "tests/support/kernel.hpp"

namespace millrace::hal {
namespace {

using Stack = ThreadStack<default_thread_stack>;
Stack stack_memory;
Stack other_stack;

struct Seen {
  Semaphore go;
  Semaphore done;
  std::array<char, 16> name{};
  std::uintptr_t local = 0;
  bool takes_usr1 = true;
  bool takes_sys = false;
};

void look(void* context) {
  auto& seen = *static_cast<Seen*>(context);
  seen.go.wait();
  (void)::pthread_getname_np(::pthread_self(), seen.name.data(), seen.name.size());
  const char local = 0;
  seen.local = reinterpret_cast<std::uintptr_t>(&local);
  sigset_t blocked{};
  (void)::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  seen.takes_usr1 = ::sigismember(&blocked, SIGUSR1) == 0;
  seen.takes_sys = ::sigismember(&blocked, SIGSYS) == 0;
  seen.done.post();
}

TEST(Thread, runs_on_the_stack_that_it_was_given_under_its_name_and_takes_no_signals) {
  Seen seen;
  Thread thread;
  ASSERT_TRUE(thread.start(stack_memory.bytes, "worker 1", look, &seen));
  seen.go.post();
  thread.join();
  stack_memory.bytes.fill(std::byte{1});  // the guard is gone
  EXPECT_FALSE(thread.started());
  EXPECT_STREQ(seen.name.data(), "worker 1");
  EXPECT_FALSE(seen.takes_usr1);
  EXPECT_TRUE(seen.takes_sys);
#if !defined(__SANITIZE_ADDRESS__)  // which has locals elsewhere
  const auto begin = reinterpret_cast<std::uintptr_t>(stack_memory.bytes.data());
  EXPECT_GT(seen.local, begin);
  EXPECT_LT(seen.local, begin + stack_memory.bytes.size());
#endif
  sigset_t blocked{};
  (void)::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  EXPECT_EQ(::sigismember(&blocked, SIGUSR1), 0) << "the caller's own signals are as they were";
}

TEST(Thread, is_started_once_and_again_after_it_has_ended) {
  Seen seen;
  Thread thread;
  ASSERT_TRUE(thread.start(stack_memory.bytes, "x", look, &seen));
  const auto again = thread.start(other_stack.bytes, "x", look, &seen);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().number, EBUSY);
  seen.go.post();
  thread.join();
  ASSERT_TRUE(thread.start(stack_memory.bytes, "x", look, &seen));
  seen.go.post();
  thread.join();
  thread.join();  // nothing
  thread.detach();
}

TEST(Thread, detached_it_goes_on_by_itself) {
  static Seen seen;  // which the thread may still post when this has ended
  Thread thread;
  ASSERT_TRUE(thread.start(other_stack.bytes, "left", look, &seen));
  thread.detach();
  EXPECT_FALSE(thread.started());
  seen.go.post();
  seen.done.wait();
  EXPECT_STREQ(seen.name.data(), "left");
}

TEST(Thread, refuses_a_stack_that_is_too_small_or_begins_within_a_page) {
  Seen seen;
  Thread thread;
  const std::span bytes = stack_memory.bytes;
  for (const auto stack : {bytes.first(least_thread_stack), bytes.subspan(16)}) {
    const auto started = thread.start(stack, "x", look, &seen);
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().number, EINVAL);
  }
}

volatile int sink = 0;
// NOLINTNEXTLINE(misc-no-recursion): that is what it is for
[[gnu::noinline]] int deeper(int n) {
  std::array<volatile char, 1000> waste{};
  waste[static_cast<std::size_t>(n) % waste.size()] = 1;
  sink = n;
  return sink < 0 ? 0 : deeper(n + 1) + waste[1];
}

void run_deep() {
  Thread thread;
  if (thread.start(other_stack.bytes, "deep", [](void*) { sink = deeper(0); }, nullptr)) {
    thread.join();
  }
}

TEST(ThreadDeathTest, past_the_end_of_its_stack_the_process_ends) {
  if (!heap_trap::available() || millrace::test::is_emulated()) {
    GTEST_SKIP() << "a sanitizer has an end of its own, and so has the emulator";
  }
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(run_deep(), testing::KilledBySignal(SIGSEGV), "");
}

[[noreturn]] void start_beyond_the_limit() {
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  if (::setrlimit(RLIMIT_NPROC, &none) != 0 || (::getuid() == 0 && ::setuid(65534) != 0)) {
    ::_exit(2);
  }
  Seen seen;
  Thread thread;
  const auto started = thread.start(other_stack.bytes, "x", look, &seen);
  ::_exit(!started && started.error().number == EAGAIN && !thread.started() ? 0 : 1);
}

TEST(ThreadDeathTest, a_limit_of_processes_is_an_outcome) {
  if (millrace::test::is_emulated()) {
    GTEST_SKIP() << "the emulator has threads of its own";
  }
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(start_beyond_the_limit(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace millrace::hal
