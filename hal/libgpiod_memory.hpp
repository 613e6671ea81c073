// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <span>

#include "hal/segregated_pool.hpp"

/// The memory that libgpiod allocates from: fixed, and never the heap. The build links libgpiod's
/// static library with its malloc(), calloc(), free(), strdup() and realpath() renamed to those
/// below (hal/libgpiod_memory.symbols), so that nothing it does can reach another.
///
/// One for the process, as the library is. Loop thread only.
namespace millrace::hal::libgpiod_memory {

/// What libgpiod has from now on: `memory` must outlive its use. Before any use of libgpiod, or
/// when it holds nothing any more.
void assign(std::span<std::byte> memory);

[[nodiscard]] SegregatedPool::Statistics statistics();

}  // namespace millrace::hal::libgpiod_memory

extern "C" {
/// As the functions of ISO C and POSIX that they stand for, except that errno is ENOBUFS when there
/// is no room: ENOMEM would be the kernel's. realpath() takes no buffer of the caller's.
void* millrace_libgpiod_malloc(std::size_t size);
void* millrace_libgpiod_calloc(std::size_t count, std::size_t size);
void millrace_libgpiod_free(void* memory);
char* millrace_libgpiod_strdup(const char* text);
char* millrace_libgpiod_realpath(const char* path, char* resolved);
}
