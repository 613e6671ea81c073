// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>

#include "exempt.hpp"
#include "sign.hpp"
#include "whole/whole.hpp"

TEST(Sign, of_what_is_positive) {
  EXPECT_EQ(sign(1), 1);
  EXPECT_EQ(exempt(false), 1);
}
TEST(Whole, is_all_covered) { EXPECT_EQ(whole(true) + whole(false), 1); }
