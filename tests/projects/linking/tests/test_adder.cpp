// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "adder.hpp"
#include "stand_in.hpp"

void test() { expect(add(1, 2) == 3); }
