// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "stand_in.hpp"

// #include "broken.hpp"
/*
#include "broken.hpp"
TEST_SOURCE_FILE("src/broken.cpp")
*/
#if 0
#include "broken.hpp"
TEST_SOURCE_FILE("src/broken.cpp")
#endif

void test() {}
