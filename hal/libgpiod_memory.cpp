// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/libgpiod_memory.hpp"

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace millrace::hal::libgpiod_memory {
namespace {

constinit SegregatedPool pool;

}  // namespace

void assign(std::span<std::byte> memory) { pool = SegregatedPool(memory); }

SegregatedPool::Statistics statistics() { return pool.statistics(); }

}  // namespace millrace::hal::libgpiod_memory

using millrace::hal::libgpiod_memory::pool;

void* millrace_libgpiod_malloc(std::size_t size) {
  void* const memory = pool.allocate(size);
  if (memory == nullptr) {
    errno = ENOBUFS;
  }
  return memory;
}

void* millrace_libgpiod_calloc(std::size_t count, std::size_t size) {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    bytes = SIZE_MAX;  // refused and counted, like any other that is too large
  }
  void* const memory = millrace_libgpiod_malloc(bytes);
  return memory != nullptr ? std::memset(memory, 0, bytes) : nullptr;
}

void millrace_libgpiod_free(void* memory) { pool.release(memory); }

char* millrace_libgpiod_strdup(const char* text) {
  const std::size_t size = std::strlen(text) + 1;
  void* const memory = millrace_libgpiod_malloc(size);
  return memory != nullptr ? static_cast<char*>(std::memcpy(memory, text, size)) : nullptr;
}

char* millrace_libgpiod_realpath(const char* path, char* /*resolved*/) {
  // Loop thread only; and 4 KiB less of its stack.
  static std::array<char, PATH_MAX> buffer;
  return ::realpath(path, buffer.data()) != nullptr ? millrace_libgpiod_strdup(buffer.data())
                                                    : nullptr;
}
