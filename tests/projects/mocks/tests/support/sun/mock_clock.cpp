// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "tests/support/sun/mock_clock.hpp"

namespace sun {

MockClock* living = nullptr;

MockClock::MockClock() { living = this; }

int hour() { return living->hour(); }

}  // namespace sun
