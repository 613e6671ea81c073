// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "elsewhere.hpp"
#include "stand_in.hpp"

void test() { expect(elsewhere() == 3); }
