// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "src/sun/clock.hpp"

#error "the real clock of the sun is not for tests"
