// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/growth_trap.hpp"

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <dlfcn.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "hal/code_address.hpp"
#include "hal/heap_trap.hpp"

namespace millrace::hal::growth_trap {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
#elif defined(__arm__)
constexpr std::uint32_t architecture = AUDIT_ARCH_ARM;
#else
#error "which AUDIT_ARCH_ of linux/audit.h is this machine?"
#endif

#if defined(SYS_mmap)
constexpr std::uint32_t map_call = SYS_mmap;
#else
constexpr std::uint32_t map_call = SYS_mmap2;
#endif

// Where the function that made the system call returns to: its caller, as long as it is one of
// libc's plain wrappers.
// NOLINTBEGIN(performance-no-int-to-ptr): registers
const void* caller(const ucontext_t& context) {
#if defined(__x86_64__)
  // It may have saved registers on top of that; a call, such as one of libc, is before the address.
  constexpr std::uint8_t call = 0xe8;
  const auto* const stack = reinterpret_cast<void* const*>(context.uc_mcontext.gregs[REG_RSP]);
  Dl_info info{};
  for (std::size_t i = 0; i < 8; ++i) {
    const auto* const code = static_cast<const std::uint8_t*>(stack[i]);
    if (::dladdr(code, &info) != 0 && code[-5] == call) {
      return code;
    }
  }
  return stack[0];
#elif defined(__aarch64__)
  return reinterpret_cast<const void*>(context.uc_mcontext.regs[30]);
#else
  return reinterpret_cast<const void*>(context.uc_mcontext.arm_lr);
#endif
}
// NOLINTEND(performance-no-int-to-ptr)

void on_trapped(int /*signal*/, siginfo_t* info, void* context) {
  const auto call = static_cast<std::uint32_t>(info->si_syscall);
  FixedString<600> text("error: ");
  text.append(call == SYS_brk      ? "brk"
              : call == SYS_mremap ? "mremap"
                                   : "mmap",
              "() was called after the start of the loop, at ", describe_code(info->si_call_addr),
              ", called from ", describe_code(caller(*static_cast<ucontext_t*>(context))), "\n");
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.c_str(), text.size());
  std::abort();
}

constexpr sock_filter load(std::size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
// Goes on `then` instructions further if what was loaded is `value`, else with the next one.
constexpr sock_filter jump_if(std::uint32_t value, std::uint8_t then) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, then, 0);
}
constexpr sock_filter answer(std::uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }

}  // namespace

Result<void> arm() {
  if (!heap_trap::available()) {
    return fail(ENOTSUP, "the growth of memory can't be watched under a sanitizer");
  }
  struct sigaction action{};
  action.sa_sigaction = on_trapped;
  action.sa_flags = SA_SIGINFO;
  (void)::sigaction(SIGSYS, &action, nullptr);  // fails for no signal that can be caught
  // Numbers of system calls mean something else in a process's other architecture (x32, armhf).
  std::array filter = {
      load(offsetof(seccomp_data, arch)),
      jump_if(architecture, 1),
      answer(SECCOMP_RET_ALLOW),
      load(offsetof(seccomp_data, nr)),
      jump_if(map_call, 3),
      jump_if(SYS_brk, 2),
      jump_if(SYS_mremap, 1),
      answer(SECCOMP_RET_ALLOW),
      answer(SECCOMP_RET_TRAP),
  };
  // ESRCH, and not a thread's number, if one has a filter of its own.
  constexpr unsigned long thread_sync = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
  const sock_fprog program{.len = filter.size(), .filter = filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0 ||
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, thread_sync, &program) != 0) {
    return fail_errno("cannot watch the growth of memory",
                      "use a kernel with CONFIG_SECCOMP_FILTER");
  }
  return {};
}

}  // namespace millrace::hal::growth_trap
