// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cstdlib>
#include <gtest/gtest.h>

TEST(Leaves, a_program_behind) { std::system("sleep 60 & echo $! >left"); }
