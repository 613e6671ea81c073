// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>

#include "clock.hpp"

TEST(Good, is_built) { EXPECT_EQ(hour(), 12); }
