// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <chrono>
#include <gtest/gtest.h>
#include <string_view>
#include <vector>

#include "drivers/line_settings.hpp"

namespace millrace {
namespace {

using hal::Bias;
using hal::Direction;
using hal::Drive;
using hal::LineSettings;
using std::chrono::milliseconds;

using Words = std::vector<std::string_view>;

LineSettings change(const LineSettings& before, const Words& words) {
  const auto changed = change_line_settings(before, words);
  EXPECT_TRUE(changed) << (changed ? "" : changed.error());
  return changed.value_or(LineSettings{});
}

TEST(LineSettings, each_word_sets_one_thing) {
  const LineSettings all = change({}, {"input", "bias=pull-up", "active=low", "debounce=5ms"});
  EXPECT_EQ(all, (LineSettings{.direction = Direction::input,
                               .bias = Bias::pull_up,
                               .active_low = true,
                               .debounce = milliseconds(5)}));
  EXPECT_EQ(
      change({}, {"output", "drive=open-drain", "level=1"}),
      (LineSettings{
          .direction = Direction::output, .drive = Drive::open_drain, .output_active = true}));
}

TEST(LineSettings, what_is_not_named_stays) {
  const LineSettings before{.direction = Direction::input, .bias = Bias::pull_down};
  EXPECT_EQ(change(before, {}), before);
  EXPECT_EQ(change(before, {"active=low"}).bias, Bias::pull_down);
  EXPECT_EQ(change({.active_low = true}, {"active=high"}), LineSettings{});
}

TEST(LineSettings, the_last_word_counts) {
  EXPECT_EQ(change({}, {"bias=pull-up", "bias=disabled"}).bias, Bias::disabled);
}

TEST(LineSettings, what_is_not_understood_is_named_and_changes_nothing) {
  for (const std::string_view word :
       {"", "inputs", "bias", "bias=", "bias=up", "drive=hard", "active=1", "debounce=5",
        "debounce=-1ms", "level=2", "speed=9600", "=input"}) {
    LineSettings settings{.bias = Bias::pull_up, .output_active = true};
    const LineSettings before = settings;
    EXPECT_FALSE(parse_line_setting(word, settings)) << word;
    EXPECT_EQ(settings, before) << word;
    EXPECT_EQ(change_line_settings({}, Words{"input", word}).error(), word);
  }
}

TEST(LineSettings, what_belongs_to_the_other_direction_does_not_outlive_it) {
  const LineSettings in{.direction = Direction::input, .debounce = milliseconds(5)};
  EXPECT_EQ(change(in, {"output"}).debounce, milliseconds(0));
  EXPECT_EQ(change(in, {"output", "debounce=6ms"}).debounce, milliseconds(6)) << "to be refused";
  const LineSettings out{.direction = Direction::output, .drive = Drive::open_drain};
  EXPECT_EQ(change(out, {"input"}).drive, Drive::push_pull);
  EXPECT_EQ(change(out, {"input", "drive=open-source"}).drive, Drive::open_source);
}

TEST(LineSettings, their_words_are_read_back) {
  for (const auto direction : {Direction::as_is, Direction::input, Direction::output}) {
    EXPECT_EQ(change({}, {to_text(direction)}).direction, direction);
  }
  EXPECT_EQ(to_text(Bias::pull_down), "pull-down");
  EXPECT_EQ(to_text(Drive::open_source), "open-source");
}

}  // namespace
}  // namespace millrace
