// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cerrno>
#include <gtest/gtest.h>
#include <string_view>

#include "hal/error.hpp"

namespace millrace {
namespace {

Result<int> refuse() { return fail(ENOENT, "no such line", "look at the board"); }

Result<void> refuse_by_errno() {
  errno = EACCES;
  return fail_errno("cannot open it");
}

TEST(Error, is_the_result_of_a_function_that_fails) {
  const auto result = refuse();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().number, ENOENT);
  EXPECT_EQ(std::string_view(result.error().what), "no such line");
  EXPECT_EQ(std::string_view(result.error().remedy), "look at the board");
}

TEST(Error, of_errno_has_the_number_of_the_call_that_has_just_failed) {
  const auto result = refuse_by_errno();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().number, EACCES);
  EXPECT_EQ(std::string_view(result.error().what), "cannot open it");
  EXPECT_EQ(std::string_view(result.error().remedy), "");
}

TEST(Error, is_equal_to_another_of_its_number_whatever_that_says) {
  EXPECT_EQ((Error{.number = EIO, .what = "here"}), (Error{.number = EIO, .what = "there"}));
  EXPECT_NE((Error{.number = EIO, .what = "here"}), (Error{.number = EAGAIN, .what = "here"}));
}

}  // namespace
}  // namespace millrace
