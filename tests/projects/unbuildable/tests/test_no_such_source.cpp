// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "clock.hpp"

TEST_SOURCE_FILE("src/missing.cpp")
