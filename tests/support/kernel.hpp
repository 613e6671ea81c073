// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <asm/termbits.h>
#include <cstdlib>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "hal/fd.hpp"

namespace millrace::test {

// What not every kernel can do that tests are run on: emulators of user programs are short of much.

/// Whether serial ports can be set up: TCGETS2 (ioctl_tty(2)), here of a pseudo-terminal.
inline bool has_termios2() {
  const hal::Fd pty(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios2 mode{};
  return pty && ::ioctl(pty.get(), TCGETS2, &mode) == 0;
}

inline constexpr const char* no_termios2 = "serial ports can't be set up: no TCGETS2";

/// Whether an emulator runs this program as a process of its own, whose memory and program the
/// kernel takes for ours.
inline bool is_emulated() { return std::getenv("MILLRACE_EMULATED") != nullptr; }

}  // namespace millrace::test
