// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "tests/mocks/mock_io.hpp"

namespace millrace::test {
namespace {

IoFunctions* living = nullptr;

// Calls a mock, or fails the test if there is none.
template <class Function>
hal::Transfer call(const char* name, Function function) {
  if (living == nullptr) {
    ADD_FAILURE() << "hal::" << name << "() was called, and there is no MockIo";
    return {.status = hal::Transfer::Status::failed};
  }
  return function(*living);
}

}  // namespace

IoFunctions::IoFunctions() { living = this; }
IoFunctions::~IoFunctions() { living = nullptr; }

}  // namespace millrace::test

namespace millrace::hal {

using test::call;
using test::IoFunctions;

Transfer read(int fd, std::span<std::byte> into) {
  return call("read", [&](IoFunctions& io) { return io.read(fd, into); });
}
Transfer read(int fd, std::span<std::byte> first, std::span<std::byte> second) {
  return call("read", [&](IoFunctions& io) { return io.read_two(fd, first, second); });
}
Transfer write(int fd, std::span<const std::byte> from) {
  return call("write", [&](IoFunctions& io) { return io.write(fd, from); });
}
Transfer send(int fd, std::span<const std::byte> from) {
  return call("send", [&](IoFunctions& io) { return io.send(fd, from); });
}
Transfer send(int fd, std::span<const std::byte> first, std::span<const std::byte> second) {
  return call("send", [&](IoFunctions& io) { return io.send_two(fd, first, second); });
}

}  // namespace millrace::hal
