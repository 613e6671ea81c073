// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "adder.cpp"
#include "stand_in.hpp"

void test() { expect(add(1, 1) == 2); }
