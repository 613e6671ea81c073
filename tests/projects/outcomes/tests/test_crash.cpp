// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>

TEST(Crash, passes_before) {}
TEST(Crash, crashes) { __builtin_trap(); }
TEST(Crash, never_runs) {}
