// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "doubler.hpp"

#include "adder.hpp"

int twice(int value) { return add(value, value); }
