// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>

TEST(Exit, ends_it_all) { _Exit(0); }
TEST(Exit, never_runs) {}
