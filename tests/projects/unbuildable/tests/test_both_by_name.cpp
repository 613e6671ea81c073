// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "mock_clock.hpp"

TEST_SOURCE_FILE("src/clock.cpp")
