// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>
#include <optional>
#include <string_view>

#include "board/boards.hpp"

namespace millrace::board {
namespace {

TEST(PigpioNumber, is_that_of_lines_called_gpio_and_a_number) {
  EXPECT_EQ(pigpio_number("GPIO0"), 0U);
  EXPECT_EQ(pigpio_number("GPIO17"), 17U);
  EXPECT_EQ(pigpio_number("GPIO999"), 999U);
  for (const std::string_view name : {"", "GPIO", "GPIO1000", "GPIO99999999999999999999", "gpio17",
                                      "GPIO1_IO07", "GPIO17 ", "XGPIO17", "17", "SDA1"}) {
    EXPECT_EQ(pigpio_number(name), std::nullopt) << name;
  }
}

TEST(PigpioNumber, of_a_raspberry_pi_is_bcms) {
  for (const Board* const pi : {&rpi3::board, &rpi4::board, &rpi5::board, &rpi_zero2w::board}) {
    for (unsigned i = 0; i < pi->lines.size(); ++i) {
      EXPECT_EQ(pigpio_number(pi->lines[i].name), i) << pi->name;
    }
  }
}

TEST(PigpioNumber, comes_with_a_revision_code_on_every_board) {
  for (const Board* const board : all) {
    EXPECT_NE(board->pigpio_revision, 0U) << board->name << ": gpiozero fails on it";
    EXPECT_NE(board->pigpio_revision & 1U << 23U, 0U) << board->name << ": new-style codes";
  }
}

}  // namespace
}  // namespace millrace::board
