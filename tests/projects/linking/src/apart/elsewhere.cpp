// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "../elsewhere.hpp"

int elsewhere() { return 3; }
