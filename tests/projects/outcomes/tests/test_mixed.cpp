// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>

TEST(Mixed, passes) { puts("said while it passed"); }
TEST(Mixed, fails) { EXPECT_EQ(1 + 1, 3); }
TEST(Mixed, is_skipped) { GTEST_SKIP() << "no such hardware"; }
TEST(Mixed, DISABLED_is_not_ready) {}
