// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <gtest/gtest.h>

#include "hal/error_text.hpp"

namespace millrace {
namespace {

TEST(ErrorText, says_what_why_and_what_to_do) {
  const Error error{.number = EACCES,
                    .what = "cannot open the serial port",
                    .remedy = "add yourself to the group dialout"};
  EXPECT_EQ(describe(error).view(),
            "cannot open the serial port: Permission denied; add yourself to the group dialout");
}

TEST(ErrorText, leaves_out_what_is_not_there) {
  EXPECT_EQ(describe({}).view(), "");
  EXPECT_EQ(describe({.what = "a bad word"}).view(), "a bad word");
  EXPECT_EQ(describe({.number = ENOENT}).view(), "No such file or directory");
  EXPECT_EQ(describe({.number = 0, .what = "a bad word", .remedy = "say another"}).view(),
            "a bad word; say another");
}

TEST(ErrorText, an_unknown_number_has_a_text) {
  EXPECT_STREQ(errno_text(123456), "Unknown error");
  EXPECT_STREQ(errno_text(-1), "Unknown error");
}

TEST(ErrorText, what_is_too_long_is_cut_off) {
  std::array<char, 1000> what{};
  what.fill('x');
  what.back() = '\0';
  const auto text = describe({.number = EIO, .what = what.data()});
  EXPECT_EQ(text.size(), text.capacity());
  EXPECT_TRUE(text.truncated());
}

}  // namespace
}  // namespace millrace
