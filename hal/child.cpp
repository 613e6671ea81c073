// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/child.hpp"

#include <csignal>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace millrace::hal {

Result<Fd> open_child(std::int32_t pid) {
  // The C library has no function for it before 2.36. The descriptor is close-on-exec.
  const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) {
    return fail_errno("the child can't be watched");
  }
  return Fd(fd);
}

Result<ChildExit> reap_child(int child) {
  constexpr auto by_descriptor = static_cast<idtype_t>(3);  // P_PIDFD, Linux 5.4
  siginfo_t info{};
  if (::waitid(by_descriptor, static_cast<id_t>(child), &info, WEXITED | WNOHANG) != 0) {
    return fail_errno("the child's end can't be learned");
  }
  if (info.si_pid == 0) {
    return fail(EAGAIN, "the child still runs");
  }
  return ChildExit{.status = info.si_status, .killed = info.si_code != CLD_EXITED};
}

}  // namespace millrace::hal
