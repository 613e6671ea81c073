// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "tests/support/wall/mock_clock.hpp"

namespace wall {

MockClock* living = nullptr;

MockClock::MockClock() { living = this; }

int hour() { return living->hour(); }

}  // namespace wall
