// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <gtest/gtest.h>
#include <string_view>

#include "firmware/reactor/task_scope.hpp"
#include "firmware/reactor/tasks.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {

/// A loop on a clock of its own, tasks, and a trace. In the end nothing may be left of any task.
template <std::size_t Bytes, ReactorLimits Limits = test_limits>
struct TaskLoop {
  TaskLoop() { EXPECT_TRUE(tasks.open()); }
  TaskLoop(const TaskLoop&) = delete;
  TaskLoop& operator=(const TaskLoop&) = delete;
  ~TaskLoop() {
    EXPECT_EQ(frames(), 0U);
    EXPECT_EQ(tasks.statistics().memory.used, 0U);
    EXPECT_EQ(loop.statistics().timers, 0U);
    EXPECT_EQ(loop.statistics().watches, 0U);
    EXPECT_EQ(loop.statistics().notifiers, 3U);
  }

  [[nodiscard]] std::uint32_t frames() const { return tasks.statistics().frames; }
  /// Turns that do not wait.
  void turn(int count = 1) { loop.turn_now(count); }
  void turn_after(Duration time, int count = 1) {
    clock.advance(time);
    turn(count);
  }
  /// What is known of tasks of this name; of none if there was none.
  [[nodiscard]] TaskType type(std::string_view part_of_name) const {
    for (std::size_t i = 0; const auto type = tasks.type(i); ++i) {
      if (std::string_view(type->name).find(part_of_name) != std::string_view::npos) {
        return *type;
      }
    }
    return {};
  }

  FakeClock clock;
  Loop<Epoll, Limits> loop{clock};
  StaticTasks<Bytes> tasks{loop};
  Trace trace;
};

using SmallTaskLoop = TaskLoop<16384>;

}  // namespace millrace::test
