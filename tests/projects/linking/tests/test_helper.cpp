// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "helper.hpp"
#include "stand_in.hpp"

void test() { expect(helped() == port()); }
