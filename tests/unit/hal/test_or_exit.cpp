// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cerrno>
#include <gtest/gtest.h>
#include <memory>
#include <utility>

#include "hal/or_exit.hpp"

namespace millrace {
namespace {

TEST(OrExit, gives_the_value_that_there_is) {
  EXPECT_EQ(or_exit(Result<int>(7), "answer"), 7);
  const auto moved = or_exit(Result<std::unique_ptr<int>>(std::make_unique<int>(8)), "answer");
  EXPECT_EQ(*moved, 8);
  or_exit(Result<void>(), "nothing to give");
}

TEST(OrExitDeathTest, ends_with_status_1_and_says_where_and_why) {
  EXPECT_EXIT(or_exit(Result<int>(fail(ENOENT, "no such line", "see the board")), "GPIO17"),
              testing::ExitedWithCode(1),
              "GPIO17: no such line: No such file or directory; see the board\n");
  EXPECT_EXIT(or_exit(Result<void>(fail(0, "it is broken")), "loop"), testing::ExitedWithCode(1),
              "loop: it is broken\n");
}

}  // namespace
}  // namespace millrace
