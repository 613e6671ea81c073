// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cstdlib>
#include <gtest/gtest.h>

// The shell starts another program, and writes its id where the test of the tool looks for it.
TEST(Endless, waits_for_its_grandchild) { std::system("sleep 60 & echo $! >grandchild; wait"); }
