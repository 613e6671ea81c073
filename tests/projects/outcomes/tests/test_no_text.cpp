// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>

TEST(NoText, fails) {
  ADD_FAILURE() << "\xff\x01"
                   "and this";
}
TEST(NoText, passes) { puts("\xff\xfe\x01"); }
