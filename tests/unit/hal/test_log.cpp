// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <span>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "hal/error_text.hpp"
#include "hal/fd.hpp"
#include "hal/io.hpp"
#include "hal/log.hpp"

namespace millrace::hal {
namespace {

/// Puts a pipe in place of standard error.
class Log : public testing::Test {
 public:
  Log() : before(::dup(STDERR_FILENO)) {
    std::array<int, 2> fds{-1, -1};
    EXPECT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
    reader = Fd(fds[0]);
    ::fcntl(reader.get(), F_SETFL, O_NONBLOCK);
    ::dup2(fds[1], STDERR_FILENO);
    ::close(fds[1]);
  }
  ~Log() override {
    ::dup2(before.get(), STDERR_FILENO);
    ::unsetenv("JOURNAL_STREAM");
    start_log();
    set_log_level(LogLevel::info);
  }

 protected:
  std::string written() {
    std::string text;
    std::array<char, 4096> part{};
    for (Transfer got;
         (got = read(reader.get(), std::as_writable_bytes(std::span(part)))).done();) {
      text.append(part.data(), got.count);
    }
    return text;
  }

  Fd before;
  Fd reader;
};

TEST_F(Log, a_line_has_its_level_and_its_parts) {
  log(LogLevel::error, "uart ", 3, ": ", describe({.number = EIO, .what = "cannot read"}));
  EXPECT_EQ(written(), "error: uart 3: cannot read: Input/output error\n");
  log(LogLevel::warning, 'w');
  log(LogLevel::info, hex(0xbeef, 6));
  EXPECT_EQ(written(), "warning: w\ninfo: 00beef\n");
}

TEST_F(Log, the_level_decides_what_is_shown) {
  log(LogLevel::debug, "hidden");
  EXPECT_EQ(written(), "");
  set_log_level(LogLevel::debug);
  EXPECT_EQ(log_level(), LogLevel::debug);
  log(LogLevel::debug, "shown");
  EXPECT_EQ(written(), "debug: shown\n");
  set_log_level(LogLevel::error);
  log(LogLevel::warning, "hidden");
  log(LogLevel::error, "shown");
  EXPECT_EQ(written(), "error: shown\n");
}

TEST_F(Log, the_journal_gets_its_own_marks) {
  struct stat status{};
  ASSERT_EQ(::fstat(STDERR_FILENO, &status), 0);
  const std::string journal = std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
  ::setenv("JOURNAL_STREAM", journal.c_str(), 1);
  start_log();
  set_log_level(LogLevel::debug);
  for (const auto level : {LogLevel::error, LogLevel::warning, LogLevel::info, LogLevel::debug}) {
    log(level, "x");
  }
  EXPECT_EQ(written(), "<3>x\n<4>x\n<6>x\n<7>x\n");
}

TEST_F(Log, another_stream_than_the_journal_gets_words) {
  for (const char* journal : {"1:2", "", "nonsense", "1:2:3"}) {
    ::setenv("JOURNAL_STREAM", journal, 1);
    start_log();
    log(LogLevel::info, "x");
    EXPECT_EQ(written(), "info: x\n") << journal;
  }
}

TEST_F(Log, control_characters_cannot_forge_a_line) {
  log(LogLevel::info, "a\nerror: forged\r\x1b[31m\x7f", '\0', "z \xc3\xa9");
  EXPECT_EQ(written(), "info: a?error: forged??[31m??z \xc3\xa9\n");
}

TEST_F(Log, a_line_that_is_too_long_shows_that_it_was_cut) {
  log(LogLevel::info, std::string(max_log_line, 'x'));
  EXPECT_EQ(written(), "info: " + std::string(max_log_line, 'x') + "\n");
  log(LogLevel::info, std::string(max_log_line + 1, 'x'));
  EXPECT_EQ(written(), "info: " + std::string(max_log_line, 'x') + "...\n");
}

TEST_F(Log, a_full_pipe_loses_lines_and_the_next_one_tells_how_many) {
  const auto lost_before = log_lines_lost();
  int lines = 0;
  while (log_lines_lost() == lost_before) {  // must never wait
    log(LogLevel::info, "line ", lines++);
  }
  for (int i = 0; i < 9; ++i) {
    log(LogLevel::info, "lost too");
  }
  EXPECT_EQ(log_lines_lost() - lost_before, 10U);

  const std::string first_lines = written();
  const std::string last = "info: line " + std::to_string(lines - 2) + "\n";
  EXPECT_TRUE(first_lines.ends_with(last)) << first_lines.substr(first_lines.size() - 100);

  log(LogLevel::info, "through");
  EXPECT_EQ(written(), "warning: 10 log lines were lost\ninfo: through\n");
  log(LogLevel::info, "again");
  EXPECT_EQ(written(), "info: again\n");
}

TEST_F(Log, a_closed_standard_error_loses_lines) {
  const auto lost_before = log_lines_lost();
  const Fd saved(::dup(STDERR_FILENO));
  ASSERT_TRUE(saved);
  ::close(STDERR_FILENO);
  log(LogLevel::info, "nowhere");
  ::dup2(saved.get(), STDERR_FILENO);
  EXPECT_EQ(log_lines_lost() - lost_before, 1U);
  log(LogLevel::info, "x");
  EXPECT_EQ(written(), "warning: 1 log lines were lost\ninfo: x\n");
}

TEST_F(Log, lines_of_several_threads_stay_whole) {
  std::array<std::thread, 4> threads;
  for (int i = 0; i < 4; ++i) {
    threads[static_cast<std::size_t>(i)] = std::thread([i] {
      for (int n = 0; n < 100; ++n) {
        log(LogLevel::info, "thread ", i, " says the same ", "in many ", "parts");
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  const std::string text = written();
  std::size_t lines = 0;
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    ASSERT_EQ(text.substr(at, 13), "info: thread ");
    ASSERT_EQ(text.substr(at + 14, text.find('\n', at) - at - 14), " says the same in many parts");
    ++lines;
  }
  EXPECT_EQ(lines, 400U);
}

}  // namespace
}  // namespace millrace::hal
