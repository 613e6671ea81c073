// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "adder.hpp"
#include "stand_in.hpp"

void test() { expect(add(2, 2) == 4); }
