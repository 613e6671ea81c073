// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <doubler.hpp>

#include "stand_in.hpp"

void test() { expect(twice(2) == 4); }
