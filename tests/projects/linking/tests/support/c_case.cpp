// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "c_case.h"

#include "stand_in.hpp"

void test() { expect(c_case() != 0); }
