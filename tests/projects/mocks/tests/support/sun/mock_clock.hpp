// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <gmock/gmock.h>
#include <src/sun/clock.hpp>

namespace sun {

struct MockClock {
  MockClock();
  MOCK_METHOD(int, hour, ());
};

}  // namespace sun
