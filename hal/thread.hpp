// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <pthread.h>
#include <semaphore.h>
#include <span>

#include "hal/error.hpp"

namespace millrace::hal {

// What pthread_attr_setstack(3) takes at the least (PTHREAD_STACK_MIN), and the largest pages that
// kernels for boards have. Thread-local variables are on the stack, too: ThreadSanitizer's are
// many.
#if defined(__SANITIZE_THREAD__)
inline constexpr std::size_t least_thread_stack = 1'048'576;
#elif defined(__aarch64__)
inline constexpr std::size_t least_thread_stack = 131'072;
#else
inline constexpr std::size_t least_thread_stack = 16'384;
#endif
#if defined(__aarch64__)
inline constexpr std::size_t largest_page = 16'384;  // Raspberry Pi 5
#else
inline constexpr std::size_t largest_page = 4096;
#endif

/// Enough for a few system calls and what sanitizers add.
inline constexpr std::size_t default_thread_stack =
    least_thread_stack > 65'536 ? least_thread_stack : 65'536;

/// A thread's stack, `Bytes` of it, and a guard page below: make it static. What is never used
/// takes no memory unless it is locked.
template <std::size_t Bytes>
struct ThreadStack {
  static_assert(Bytes >= least_thread_stack, "the C library takes no smaller stacks");
  alignas(largest_page) std::array<std::byte, largest_page + Bytes / 16 * 16> bytes;
};

/// A thread of which nothing but its function is not in static memory: its stack is given. The C
/// library allocates a table of thread-local variables for it, so start it before heap_trap and
/// growth_trap are armed.
class Thread {
 public:
  Thread() = default;
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread() = default;  // it goes on, as if detached

  /// Runs `body(context)` on `stack`, whose lowest page becomes a guard: to run over the stack's
  /// end is a SIGSEGV. The kernel shows `name`, of 15 characters at the most. The thread takes no
  /// signals but those that its own instructions raise, and the growth trap's.
  /// Errors: EBUSY (it runs already), EINVAL (the stack is too small, or pages are larger than it
  /// allows for), EAGAIN (no more threads: RLIMIT_NPROC).
  [[nodiscard]] Result<void> start(std::span<std::byte> stack, const char* name,
                                   void (*body)(void*), void* context);

  /// Waits until it has ended; its stack is ordinary memory again. Does nothing if it was not
  /// started.
  void join();
  /// It goes on by itself; its stack and the guard stay as they are.
  void detach();

  [[nodiscard]] bool started() const { return started_; }

 private:
  static void* run(void* thread);

  pthread_t thread_{};
  void (*body_)(void*) = nullptr;
  void* context_ = nullptr;
  std::span<std::byte> guard_;
  bool started_ = false;
};

/// Counts: post() adds one, wait() waits until there is one and takes it (sem_overview(7)). What
/// came before post() is seen after wait().
class Semaphore {
 public:
  Semaphore() { (void)::sem_init(&semaphore_, 0, 0); }
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  ~Semaphore() = default;  // one that is waited for may be left behind; it owns nothing

  /// Any thread, async-signal-safe. A system call only if somebody waits.
  void post() { (void)::sem_post(&semaphore_); }
  /// Any thread but the loop's. A system call only if it waits.
  void wait();

 private:
  sem_t semaphore_{};
};

}  // namespace millrace::hal
