// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "port.hpp"
#include "stand_in.hpp"

TEST_SOURCE_FILE("src/port_for_linux.cpp")

void test() { expect(*port() == 'l'); }
