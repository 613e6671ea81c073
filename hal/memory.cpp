// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/memory.hpp"

#include <array>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <fcntl.h>
#include <span>
#include <sys/mman.h>
#include <unistd.h>

#include "hal/fd.hpp"
#include "hal/io.hpp"

namespace millrace::hal {
namespace {

using Word = std::uint64_t;
constexpr Word mark = 0x5ac6'1de0'97b2'f043;

// What the frames of prepare_stack() and of signal handlers on top of it need for themselves.
constexpr std::size_t own_frames = 512;

// The marked part of the stack, from its low end; it is used from its high end.
std::atomic<const volatile Word*> marked = nullptr;
std::atomic<std::size_t> marked_words = 0;

}  // namespace

Result<void> lock_memory() {
  if (::mlockall(MCL_CURRENT) == 0) {
    return {};
  }
  switch (errno) {
    case EPERM:
    case ENOMEM:
      return fail(errno, "this process may not lock so much memory",
                  "allow it: LimitMEMLOCK=infinity in its systemd unit, or ulimit -l unlimited");
    default:
      return fail_errno("memory can't be locked");
  }
}

// A sanitizer would take the memory below the frame for nobody's.
[[gnu::noinline]] __attribute__((no_sanitize("address", "thread"))) void prepare_stack(
    std::size_t bytes) {
  auto* const frame = static_cast<std::byte*>(__builtin_frame_address(0));
  void* const below = frame - own_frames;
  auto* const top = static_cast<volatile Word*>(below);  // frames are aligned
  const std::size_t words = bytes / sizeof(Word);
  for (std::size_t i = 1; i <= words; ++i) {
    *(top - i) = mark;
  }
  marked_words.store(words, std::memory_order_relaxed);
  marked.store(top - words, std::memory_order_release);
}

[[gnu::noinline]] __attribute__((no_sanitize("address", "thread"))) std::size_t stack_high_water() {
  const volatile Word* const low = marked.load(std::memory_order_acquire);
  const std::size_t words = marked_words.load(std::memory_order_relaxed);
  if (low == nullptr) {
    return 0;
  }
  std::size_t untouched = 0;
  while (untouched < words && low[untouched] == mark) {
    ++untouched;
  }
  return own_frames + (words - untouched) * sizeof(Word);
}

Result<MemoryUsage> memory_usage() {
  const Fd file(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
  if (!file) {
    return fail_errno("cannot read /proc/self/statm", "mount /proc");
  }
  std::array<char, 128> text{};
  (void)read(file.get(), std::as_writable_bytes(std::span(text)));  // if not, there is no number
  const char* const end = text.data() + text.size();
  std::size_t mapped = 0;
  std::size_t resident = 0;
  const auto first = std::from_chars(text.data(), end - 1, mapped);
  if (std::from_chars(first.ptr + 1, end, resident).ec != std::errc()) {
    return fail(EIO, "cannot understand /proc/self/statm");
  }
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return MemoryUsage{.mapped = mapped * page, .resident = resident * page};
}

}  // namespace millrace::hal
