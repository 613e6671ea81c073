// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <span>
#include <vector>

#include "hal/gpio_check.hpp"

namespace millrace::hal {
namespace {

using std::chrono::microseconds;

constexpr LineSettings as_is;
constexpr LineSettings input{.direction = Direction::input};
constexpr LineSettings output{.direction = Direction::output};

/// 0, or what the settings are refused with.
int refusal(const LineSettings& settings) {
  const auto checked = check_settings(std::span(&settings, 1));
  return checked ? 0 : checked.error().number;
}
int refusal(std::span<const LineAddress> lines, std::span<const LineSettings> settings) {
  const auto checked = check_request(lines, settings);
  return checked ? 0 : checked.error().number;
}

template <class Change>
LineSettings with(LineSettings settings, Change change) {
  change(settings);
  return settings;
}

TEST(GpioCheck, edges_make_an_input_of_a_line_that_is_left_as_it_is) {
  const auto edges = [](LineSettings& settings) { settings.edges = Edges::rising; };
  EXPECT_TRUE(wants_input(input));
  EXPECT_FALSE(wants_input(output));
  EXPECT_FALSE(wants_input(as_is));
  EXPECT_TRUE(wants_input(with(as_is, edges)));
  EXPECT_FALSE(wants_input(with(output, edges)));
  EXPECT_TRUE(wants_as_is(as_is));
  EXPECT_FALSE(wants_as_is(with(as_is, edges)));
  EXPECT_FALSE(wants_as_is(input));
  EXPECT_FALSE(wants_as_is(output));
}

TEST(GpioCheck, edges_are_for_inputs) {
  for (const Edges edges : {Edges::rising, Edges::falling, Edges::both}) {
    const auto change = [&](LineSettings& settings) { settings.edges = edges; };
    EXPECT_EQ(refusal(with(input, change)), 0);
    EXPECT_EQ(refusal(with(as_is, change)), 0);
    EXPECT_EQ(refusal(with(output, change)), EINVAL);
  }
}

TEST(GpioCheck, a_debounce_period_is_for_inputs_and_has_32_bits) {
  const auto period = [](std::int64_t count) {
    return [count](LineSettings& settings) { settings.debounce = microseconds(count); };
  };
  EXPECT_EQ(refusal(with(input, period(5000))), 0);
  EXPECT_EQ(refusal(with(input, period(UINT32_MAX))), 0);
  EXPECT_EQ(refusal(with(input, period(std::int64_t{UINT32_MAX} + 1))), EINVAL);
  EXPECT_EQ(refusal(with(input, period(-1))), EINVAL);
  EXPECT_EQ(refusal(with(output, period(5000))), EINVAL);
  EXPECT_EQ(refusal(with(as_is, period(5000))), EINVAL);
}

TEST(GpioCheck, a_drive_is_for_outputs) {
  for (const Drive drive : {Drive::open_drain, Drive::open_source}) {
    const auto change = [&](LineSettings& settings) { settings.drive = drive; };
    EXPECT_EQ(refusal(with(output, change)), 0);
    EXPECT_EQ(refusal(with(input, change)), EINVAL);
    EXPECT_EQ(refusal(with(as_is, change)), EINVAL);
  }
}

TEST(GpioCheck, a_bias_needs_a_direction) {
  for (const Bias bias : {Bias::disabled, Bias::pull_up, Bias::pull_down}) {
    const auto change = [&](LineSettings& settings) { settings.bias = bias; };
    EXPECT_EQ(refusal(with(input, change)), 0);
    EXPECT_EQ(refusal(with(output, change)), 0);
    EXPECT_EQ(refusal(with(as_is, change)), EINVAL);
  }
}

TEST(GpioCheck, one_wrong_line_among_many_is_enough) {
  std::array<LineSettings, 3> settings = {input, output, input};
  EXPECT_TRUE(check_settings(settings));
  settings[2].drive = Drive::open_drain;
  EXPECT_FALSE(check_settings(settings));
  EXPECT_TRUE(check_settings({}));
}

TEST(GpioCheck, a_request_has_1_to_64_lines_and_settings_for_each) {
  std::vector<LineAddress> lines;
  for (std::uint16_t offset = 0; offset < 65; ++offset) {
    lines.push_back({.chip = 1, .offset = offset});
  }
  const std::vector<LineSettings> settings(65, input);
  const auto first = [&](std::size_t count, std::size_t set) {
    return refusal(std::span(lines).first(count), std::span(settings).first(set));
  };
  EXPECT_EQ(first(0, 0), EINVAL);
  EXPECT_EQ(first(1, 1), 0);
  EXPECT_EQ(first(64, 64), 0);
  EXPECT_EQ(first(65, 65), EINVAL);
  EXPECT_EQ(first(2, 1), EINVAL);
  EXPECT_EQ(first(1, 2), EINVAL);
}

TEST(GpioCheck, a_request_is_of_one_chip_and_names_each_line_once) {
  const std::array<LineSettings, 3> settings = {input, input, input};
  const auto lines = [&](LineAddress a, LineAddress b, LineAddress c) {
    return refusal(std::array{a, b, c}, settings);
  };
  EXPECT_EQ(lines({1, 4}, {1, 5}, {1, 6}), 0);
  EXPECT_EQ(lines({1, 4}, {1, 5}, {2, 6}), EINVAL);
  EXPECT_EQ(lines({1, 4}, {1, 5}, {1, 4}), EBUSY);
  EXPECT_EQ(lines({1, 4}, {1, 5}, {1, 5}), EBUSY);
}

TEST(GpioCheck, a_request_has_settings_that_are_allowed) {
  const std::array lines = {LineAddress{.chip = 0, .offset = 1}};
  const std::array settings = {
      with(output, [](LineSettings& wrong) { wrong.edges = Edges::both; })};
  EXPECT_EQ(refusal(lines, settings), EINVAL);
}

TEST(GpioCheck, a_request_that_is_gone_is_a_bad_descriptor) {
  EXPECT_EQ(no_such_request().error().number, EBADF);
}

}  // namespace
}  // namespace millrace::hal
