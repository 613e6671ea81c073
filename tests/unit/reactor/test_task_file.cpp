// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "firmware/reactor/task.hpp"
#include "firmware/reactor/task_file.hpp"
#include "firmware/reactor/task_scope.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/tasks.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

constexpr OffloadLimits limits{.lanes = 1, .workers = 1, .jobs = 2, .buffer = 256};

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

struct TaskFileTest : ::testing::Test {
  TaskFileTest() { std::filesystem::create_directory(folder); }
  ~TaskFileTest() override { std::filesystem::remove_all(folder); }
  void SetUp() override {
    ASSERT_TRUE(tasks.open());
    ASSERT_TRUE(offload.open(loop));
  }
  void turn_until(std::string_view text) {
    while (trace.text().size() < text.size()) {
      ASSERT_TRUE(loop.turn());
    }
    EXPECT_EQ(trace, text);
  }
  void wait_idle() {
    while (file.busy() || offload.statistics(0).in_use > 0) {
      ASSERT_TRUE(loop.turn());
    }
  }

  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("millrace_task_" + std::to_string(::getpid()));
  std::string path = folder / "file";
  Trace trace;
  Loop<Epoll> loop;
  StaticTasks<16384> tasks{loop};
  StaticOffload<limits> offload;
  File file{offload, 0};
};

Task<> keeps(Tasks& /*tasks*/, File& file, std::string_view path, Trace& trace) {
  EXPECT_EQ((co_await read(file, 0, {})).error().number, EBADF);
  EXPECT_EQ(*co_await replace(file, path, bytes("one ")), 4U);
  EXPECT_TRUE(co_await open(file, path, hal::FileMode::write));
  EXPECT_EQ(*co_await append(file, bytes("two ")), 4U);
  EXPECT_EQ(*co_await write(file, 0, bytes("ONE")), 3U);
  EXPECT_TRUE(co_await sync(file));
  std::array<char, 20> text{};
  const std::span<std::byte> memory = std::as_writable_bytes(std::span(text));
  const auto count = co_await read(file, 0, memory, 1h);
  EXPECT_EQ(std::string_view(text.data(), *count), "ONE two ");
  EXPECT_TRUE(co_await look(file));
  EXPECT_TRUE(co_await close(file));
  const std::string moved = std::string(path) + ".1";
  EXPECT_TRUE(co_await rename(file, path, moved));
  EXPECT_EQ((co_await open(file, path, hal::FileMode::read)).error().number, ENOENT);
  EXPECT_TRUE(co_await rename(file, moved, path));
  const auto missing = co_await open(file, "/proc/none", hal::FileMode::read);
  EXPECT_EQ(missing.error().number, ENOENT);
  EXPECT_STREQ(missing.error().what, "open");
  trace.add("kept");
}

TEST_F(TaskFileTest, a_task_reads_as_if_it_blocked) {
  TaskScope scope(tasks);
  ASSERT_TRUE(scope.spawn(keeps(tasks, file, path, trace)));
  turn_until("kept");
}

Task<> opens(Tasks& /*tasks*/, File& file, std::string_view path, Deadline deadline, Trace& trace) {
  const auto opened = co_await open(file, path, hal::FileMode::read, deadline);
  trace.add(opened ? "opened " : "not ", opened ? 0 : opened.error().number);
}

TEST_F(TaskFileTest, a_disk_that_takes_too_long_is_given_up_by_the_task_alone) {
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);  // open() waits for the other end
  TaskScope scope(tasks);
  ASSERT_TRUE(scope.spawn(opens(tasks, file, path, 1ms, trace)));
  turn_until("not 110");  // ETIMEDOUT
  EXPECT_TRUE(file.busy());
  const hal::Fd peer(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  wait_idle();
  EXPECT_FALSE(file.is_open());
}

TEST_F(TaskFileTest, without_a_timer_for_its_deadline_nothing_is_begun) {
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);  // it would wait for the other end
  On nothing{[](const Message&) {}};
  std::vector<TimerId> timers;
  while (const auto timer = loop.add_timer(nothing)) {
    timers.push_back(*timer);
  }
  TaskScope scope(tasks);
  ASSERT_TRUE(scope.spawn(opens(tasks, file, path, 1h, trace)));
  loop.turn_now(2);
  EXPECT_EQ(trace, "not 28");  // ENOSPC
  EXPECT_FALSE(file.busy());
  EXPECT_EQ(offload.statistics(0).in_use, 0U);

  ASSERT_FALSE(timers.empty());
  loop.remove_timer(timers.back());
  const hal::Fd peer(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(scope.spawn(opens(tasks, file, path, 1h, trace)));
  turn_until("not 28 opened 0");
}

TEST_F(TaskFileTest, a_task_that_is_cancelled_leaves_nothing_behind) {
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  {
    TaskScope scope(tasks);
    ASSERT_TRUE(scope.spawn(opens(tasks, file, path, {}, trace)));
    while (!file.busy()) {
      loop.turn_now();
    }
  }
  EXPECT_EQ(tasks.statistics().frames, 0U);
  const hal::Fd peer(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  wait_idle();
  EXPECT_FALSE(file.is_open());
  EXPECT_EQ(trace, "");
}

Task<> fills_its_frame(Tasks& /*tasks*/, File& file) {
  std::array<std::byte, 1000> memory{};
  (void)co_await read(file, 0, memory);
}

TEST_F(TaskFileTest, memory_in_the_frame_of_a_task_that_ends_is_not_touched) {
  TaskScope outer(tasks);
  ASSERT_TRUE(outer.spawn(keeps(tasks, file, path, trace)));
  turn_until("kept");

  ASSERT_TRUE(outer.spawn(opens(tasks, file, path, {}, trace)));
  turn_until("kept opened 0");
  for (int turns = 0; turns < 4; ++turns) {
    TaskScope scope(tasks);
    ASSERT_TRUE(scope.spawn(fills_its_frame(tasks, file)));
    loop.turn_now(turns);
    scope.cancel();
    wait_idle();
  }
  EXPECT_TRUE(file.is_open());
}

}  // namespace
}  // namespace millrace::test
