// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <cstdint>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <string_view>

#include "hal/fixed_string.hpp"

namespace millrace {
namespace {

template <class... Parts>
FixedString<63> text(const Parts&... parts) {
  return FixedString<63>().append(parts...);
}

TEST(FixedString, is_empty_at_first) {
  const FixedString<8> string;
  EXPECT_TRUE(string.empty());
  EXPECT_EQ(string.size(), 0U);
  EXPECT_EQ(FixedString<8>::capacity(), 8U);
  EXPECT_FALSE(string.truncated());
  EXPECT_STREQ(string.c_str(), "");
}

TEST(FixedString, appends_text_characters_and_numbers_in_turn) {
  EXPECT_EQ(text("GPIO", 17, ' ', std::string_view("level="), true, ',', false),
            "GPIO17 level=1,0");
  EXPECT_EQ(text(FixedString<4>("abc"), std::uint8_t{65}, std::int8_t{-1}, 'A'), "abc65-1A");
}

TEST(FixedString, writes_numbers_as_the_standard_library_does) {
  EXPECT_EQ(text(0), "0");
  EXPECT_EQ(text(-1), "-1");
  EXPECT_EQ(text(std::numeric_limits<std::int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(text(std::numeric_limits<std::int64_t>::max()), "9223372036854775807");
  EXPECT_EQ(text(std::numeric_limits<std::uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(text(std::numeric_limits<std::int8_t>::min()), "-128");
  for (std::int64_t number = 1; number < std::numeric_limits<std::int64_t>::max() / 7;
       number *= 7) {
    ASSERT_EQ(text(number).view(), std::to_string(number));
    ASSERT_EQ(text(-number).view(), std::to_string(-number));
  }
}

TEST(FixedString, writes_hexadecimal_numbers_with_the_digits_asked_for) {
  EXPECT_EQ(text(hex(0)), "0");
  EXPECT_EQ(text(hex(0xbeef)), "beef");
  EXPECT_EQ(text(hex(0xbeef, 8)), "0000beef");
  EXPECT_EQ(text(hex(0xbeef, 3)), "beef");
  EXPECT_EQ(text(hex(0, 16)), "0000000000000000");
  EXPECT_EQ(text(hex(std::numeric_limits<std::uint64_t>::max())), "ffffffffffffffff");
  EXPECT_EQ(text(hex(1, 0)), "1");
  EXPECT_EQ(text(hex(1, -5)), "1");
  EXPECT_EQ(text(hex(1, 17)), "0000000000000001");
}

TEST(FixedString, cuts_off_what_does_not_fit_and_remembers_it) {
  FixedString<4> string("abcd");
  EXPECT_FALSE(string.truncated());
  string.append("");
  EXPECT_FALSE(string.truncated());
  string.append('e');
  EXPECT_TRUE(string.truncated());
  EXPECT_EQ(string, "abcd");
  EXPECT_STREQ(string.c_str(), "abcd");
  string.append("");
  EXPECT_TRUE(string.truncated());
  string.clear();
  EXPECT_FALSE(string.truncated());
  EXPECT_TRUE(string.empty());
  EXPECT_STREQ(string.c_str(), "");
  string.append("ab", 123);
  EXPECT_TRUE(string.truncated());
  EXPECT_EQ(string, "ab12");
  EXPECT_EQ(FixedString<4>().append(-12345), "-123");
}

TEST(FixedString, ends_in_a_nul_at_every_length) {
  for (std::size_t length = 0; length <= 12; ++length) {
    FixedString<8> string;
    for (std::size_t i = 0; i < length; ++i) {
      string.append('x');
    }
    ASSERT_EQ(std::string_view(string.c_str()), std::string(std::min<std::size_t>(length, 8), 'x'));
    ASSERT_EQ(string.truncated(), length > 8);
  }
}

TEST(FixedString, of_no_capacity_holds_nothing) {
  FixedString<0> string;
  EXPECT_FALSE(string.truncated());
  string.append(7);
  EXPECT_TRUE(string.truncated());
  EXPECT_TRUE(string.empty());
  EXPECT_STREQ(string.c_str(), "");
}

TEST(FixedString, keeps_nul_bytes) {
  const FixedString<8> string(std::string_view("a\0b", 3));
  EXPECT_EQ(string.size(), 3U);
  EXPECT_EQ(string, std::string_view("a\0b", 3));
}

TEST(FixedString, is_compared_by_its_text_alone) {
  FixedString<8> string("abcdefgh");
  string.clear();
  string.append("abc");
  EXPECT_TRUE(string == "abc");
  EXPECT_FALSE(string == "abcd");
  EXPECT_FALSE(string == "ab");
}

constexpr FixedString<31> at_compile_time = FixedString<31>("line ").append(-5, ' ', hex(255, 4));
static_assert(at_compile_time == "line -5 00ff");
static_assert(!at_compile_time.truncated() && at_compile_time.size() == 12);
static_assert(FixedString<2>("abc").truncated());

}  // namespace
}  // namespace millrace
