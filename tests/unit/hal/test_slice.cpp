// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>
#include <string_view>

#include "hal/slice.hpp"

namespace millrace {
namespace {

TEST(Slice, is_from_one_place_to_before_another) {
  EXPECT_EQ(slice("GPIO17=1", 4, 6), "17");
  EXPECT_EQ(slice("GPIO17", 0, 4), "GPIO");
  EXPECT_EQ(slice("GPIO17", 4), "17");
  EXPECT_EQ(slice("GPIO17", 0), "GPIO17");
}

TEST(Slice, ends_where_the_text_does) {
  EXPECT_EQ(slice("GPIO17", 4, 100), "17");
  EXPECT_EQ(slice("GPIO17", 6), "");
  EXPECT_EQ(slice("GPIO17", 7), "");
  EXPECT_EQ(slice("GPIO17", std::string_view::npos), "");
  EXPECT_EQ(slice("", 0, 1), "");
}

TEST(Slice, that_would_end_before_it_begins_is_empty) {
  EXPECT_EQ(slice("GPIO17", 4, 2), "");
  EXPECT_EQ(slice("GPIO17", 100, 2), "");
}

TEST(Slice, lies_in_the_text_it_is_of_even_if_it_is_empty) {
  constexpr std::string_view text = "GPIO17";
  EXPECT_EQ(slice(text, 4, 5).data(), text.data() + 4);
  EXPECT_EQ(slice(text, 9).data(), text.data() + text.size());
}

}  // namespace
}  // namespace millrace
