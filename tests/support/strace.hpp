// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <optional>
#include <poll.h>
#include <sstream>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "hal/heap_trap.hpp"

namespace millrace::test {

/// The names of the system calls that `body` makes, on its own thread, between its two calls of
/// `mark`: it runs in a child process under strace(1). Reading the clock is left out, as the vDSO
/// serves it or does not, and so are a sanitizer's own mappings, which it makes when it likes.
/// Empty when strace is missing or not allowed to look.
inline std::optional<std::vector<std::string>> system_calls_of(
    const std::function<void(const std::function<void()>& mark)>& body) {
  std::array<int, 2> go{};
  std::array<int, 2> log{};
  EXPECT_EQ(::pipe2(go.data(), O_CLOEXEC), 0);
  EXPECT_EQ(::pipe(log.data()), 0);
  const pid_t traced = ::fork();
  if (traced == 0) {
    ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    ::close(go[1]);
    ::close(log[0]);
    ::close(log[1]);
    // Calls something strace can be seen to see, until told to go on.
    pollfd told{.fd = go[0], .events = POLLIN, .revents = 0};
    do {
      ::syscall(SYS_getppid);
    } while (::poll(&told, 1, 1) == 0);
    body([] { ::syscall(SYS_getpgid, 0); });
    ::_exit(0);
  }
  const pid_t strace = ::fork();
  if (strace == 0) {
    const std::string output = "/dev/fd/" + std::to_string(log[1]);
    const std::string pid = std::to_string(traced);
    ::close(2);  // it says that it has attached
    ::execlp("strace", "strace", "-f", "-qq", "-o", output.c_str(), "-p", pid.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(go[0]);
  ::close(log[1]);
  std::string text;
  const auto read_more = [&] {
    std::array<char, 4096> buffer{};
    const ssize_t count = ::read(log[0], buffer.data(), buffer.size());
    text.append(buffer.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
    return count > 0;
  };
  while (text.find("getppid") == std::string::npos && read_more()) {
  }
  ::close(go[1]);
  while (read_more()) {
  }
  ::close(log[0]);
  int status = 0;
  ::waitpid(traced, &status, 0);
  EXPECT_EQ(status, 0) << "the traced process failed";
  ::waitpid(strace, &status, 0);
  if (text.empty()) {
    return std::nullopt;
  }
  std::vector<std::string> names;
  int marks = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    pid_t pid = 0;
    std::string call;
    words >> pid >> call;
    const std::string name = call.substr(0, call.find('('));
    const bool resumed_or_signal = name == "<..." || name == "---" || name == "+++";
    const bool of_a_sanitizer =
        !hal::heap_trap::available() && (name == "mmap" || name == "munmap" || name == "madvise");
    if (pid != traced || resumed_or_signal || of_a_sanitizer || name.starts_with("clock_gettime")) {
      continue;
    }
    if (name == "getpgid") {
      ++marks;
    } else if (marks == 1) {
      names.push_back(name);
    }
  }
  EXPECT_EQ(marks, 2) << text;
  return names;
}

}  // namespace millrace::test
