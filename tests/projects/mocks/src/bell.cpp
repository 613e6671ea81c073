// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "src/bell.hpp"

#include "src/sun/clock.hpp"
#include "src/wall/clock.hpp"

bool rings() { return wall::hour() == sun::hour(); }
