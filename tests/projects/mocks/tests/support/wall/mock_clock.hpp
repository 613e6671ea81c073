// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <gmock/gmock.h>

#include "src/wall/clock.hpp"

namespace wall {

struct MockClock {
  MockClock();
  MOCK_METHOD(int, hour, ());
};

}  // namespace wall
