// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "helper.hpp"

const char* helped() { return port(); }
