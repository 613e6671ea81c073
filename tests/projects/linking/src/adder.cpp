// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "adder.hpp"

int add(int a, int b) { return a + b; }
