// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gmock/gmock.h>

#include "src/bell.hpp"
#include "sun/mock_clock.hpp"
#include "wall/mock_clock.hpp"

TEST(Bell, rings_when_the_clocks_agree) {
  testing::StrictMock<sun::MockClock> sun;
  testing::StrictMock<wall::MockClock> wall;
  EXPECT_CALL(sun, hour).WillOnce(testing::Return(6));
  EXPECT_CALL(wall, hour).WillOnce(testing::Return(6));
  EXPECT_TRUE(rings());
}
TEST(Bell, asks_no_clock) {
  testing::StrictMock<sun::MockClock> sun;
  testing::StrictMock<wall::MockClock> wall;
  EXPECT_CALL(wall, hour).WillOnce(testing::Return(6));
  rings();
}
