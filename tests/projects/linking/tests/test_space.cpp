// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "stand_in.hpp"
#include "with space/spaced.hpp"

void test() { expect(spaced() == 1); }
