// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "port.hpp"

const char* port() { return "linux"; }
