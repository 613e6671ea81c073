// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/system.hpp"

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <fcntl.h>
#include <sched.h>
#include <span>
#include <string_view>
#include <sys/prctl.h>
#include <unistd.h>

#include "hal/fd.hpp"
#include "hal/io.hpp"

namespace millrace::hal {

bool is_root() { return ::geteuid() == 0; }

std::uint64_t process_id() { return static_cast<std::uint64_t>(::getpid()); }

const char* environment_variable(const char* name) { return std::getenv(name); }

std::optional<FixedString<127>> device_tree_model() {
  const Fd file(::open("/proc/device-tree/model", O_RDONLY | O_CLOEXEC));
  std::array<char, 128> model{};
  if (!file || !read(file.get(), std::as_writable_bytes(std::span(model).first<127>())).done()) {
    return std::nullopt;
  }
  return FixedString<127>(std::string_view(model.data()));
}

Result<void> set_timer_slack(Duration slack) {
  // To the kernel 0 means "the default".
  if (slack < Duration(1)) {
    return fail(EINVAL, "cannot set the timer slack", "give 1 ns or more");
  }
  if (::prctl(PR_SET_TIMERSLACK, static_cast<unsigned long>(slack.count()), 0UL, 0UL, 0UL) != 0) {
    return fail_errno("cannot set the timer slack");
  }
  return {};
}

Result<void> run_on_processor(std::size_t number) {
  cpu_set_t processors;
  CPU_ZERO(&processors);
  if (number < CPU_SETSIZE) {
    CPU_SET(number, &processors);
  }
  if (::sched_setaffinity(0, sizeof processors, &processors) != 0) {
    return fail_errno("cannot run on that processor", "see nproc for how many there are");
  }
  return {};
}

void ignore_sigpipe() { (void)std::signal(SIGPIPE, SIG_IGN); }

}  // namespace millrace::hal
