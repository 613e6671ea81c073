// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/thread.hpp"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <sys/mman.h>
#include <unistd.h>

namespace millrace::hal {
namespace {

sigset_t what_threads_do_not_take() {
  sigset_t signals{};
  ::sigfillset(&signals);
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS}) {
    ::sigdelset(&signals, signal);
  }
  return signals;
}

#if defined(__SANITIZE_ADDRESS__)
constexpr int guard_access = PROT_READ;  // it looks for leaks there
#else
constexpr int guard_access = PROT_NONE;
#endif

bool protect(std::span<std::byte> page, int access) {
  return ::mprotect(page.data(), page.size(), access) == 0;
}

}  // namespace

void* Thread::run(void* thread) {
  const auto& self = *static_cast<const Thread*>(thread);
  self.body_(self.context_);
  return nullptr;
}

Result<void> Thread::start(std::span<std::byte> stack, const char* name, void (*body)(void*),
                           void* context) {
  if (started_) {
    return fail(EBUSY, "the thread runs already");
  }
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  if (stack.size() < page + least_thread_stack ||
      reinterpret_cast<std::uintptr_t>(stack.data()) % page != 0) {
    return fail(EINVAL, "the stack of a thread is too small",
                "raise it in the board's limits, or use a kernel with smaller pages");
  }
  guard_ = stack.first(page);
  if (!protect(guard_, guard_access)) {
    return fail_errno("cannot guard the stack of a thread");
  }
  body_ = body;
  context_ = context;
  pthread_attr_t attributes{};
  (void)::pthread_attr_init(&attributes);
  (void)::pthread_attr_setstack(&attributes, stack.data() + page, stack.size() - page);
  const sigset_t blocked = what_threads_do_not_take();
  sigset_t before{};
  (void)::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const int error = ::pthread_create(&thread_, &attributes, &Thread::run, this);
  (void)::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  (void)::pthread_attr_destroy(&attributes);
  if (error != 0) {
    (void)protect(guard_, PROT_READ | PROT_WRITE);
    return fail(error, "cannot start a thread", "raise the limit of processes (RLIMIT_NPROC)");
  }
  started_ = true;
  (void)::pthread_setname_np(thread_, name);
  return {};
}

void Thread::join() {
  if (started_) {
    (void)::pthread_join(thread_, nullptr);
    (void)protect(guard_, PROT_READ | PROT_WRITE);
    started_ = false;
  }
}

void Thread::detach() {
  if (started_) {
    (void)::pthread_detach(thread_);
    started_ = false;
  }
}

void Semaphore::wait() {
  while (::sem_wait(&semaphore_) != 0 && errno == EINTR) {
  }
}

}  // namespace millrace::hal
