// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <gmock/gmock.h>
#include <span>

#include "hal/io.hpp"

namespace millrace::test {

/// Stands in for hal/io.cpp: its functions call those of the MockIo that lives, of which there is
/// one at a time. What a test does not expect fails it, naming the function and its arguments.
class IoFunctions {
 public:
  IoFunctions();
  IoFunctions(const IoFunctions&) = delete;
  IoFunctions& operator=(const IoFunctions&) = delete;
  ~IoFunctions();

  MOCK_METHOD(hal::Transfer, read, (int fd, std::span<std::byte> into));
  MOCK_METHOD(hal::Transfer, read_two,
              (int fd, std::span<std::byte> first, std::span<std::byte> second));
  MOCK_METHOD(hal::Transfer, write, (int fd, std::span<const std::byte> from));
  MOCK_METHOD(hal::Transfer, send, (int fd, std::span<const std::byte> from));
  MOCK_METHOD(hal::Transfer, send_two,
              (int fd, std::span<const std::byte> first, std::span<const std::byte> second));
};
using MockIo = testing::StrictMock<IoFunctions>;

}  // namespace millrace::test
