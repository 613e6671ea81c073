// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

namespace millrace::hal {

/// Tells the processor that this is a loop that looks at memory until another one has written it:
/// it then leaves the memory and its other half alone for a moment: some 10 to 50 ns on x86, on
/// many Arm processors none.
inline void cpu_relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__ARM_ARCH_7A__)
  asm volatile("yield");
#endif
}

}  // namespace millrace::hal
