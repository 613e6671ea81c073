// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>

int runs = 0;

TEST(Order, case_0) { EXPECT_EQ(runs++, 0); }
TEST(Order, case_1) { EXPECT_EQ(runs++, 1); }
TEST(Order, case_2) { EXPECT_EQ(runs++, 2); }
TEST(Order, case_3) { EXPECT_EQ(runs++, 3); }
TEST(Order, case_4) { EXPECT_EQ(runs++, 4); }
TEST(Order, case_5) { EXPECT_EQ(runs++, 5); }
