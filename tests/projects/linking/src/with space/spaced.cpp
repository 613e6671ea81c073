// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "spaced.hpp"

int spaced() { return 1; }
