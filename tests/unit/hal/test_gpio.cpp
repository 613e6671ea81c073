// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cerrno>
#include <cstddef>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <span>
#include <string_view>

#include "hal/gpio.hpp"

namespace millrace::hal {
namespace {

using testing::Return;

/// A backend that does no more than it must.
class Plain final : public Gpio {
 public:
  using Gpio::find;
  MOCK_METHOD(Result<LineAddress>, find, (std::string_view name), (override));
  MOCK_METHOD(Result<LineAddress>, at, (std::size_t index), (override));
  MOCK_METHOD(Result<LineInfo>, info, (LineAddress line), (override));
  MOCK_METHOD(Result<RequestId>, request,
              (std::span<const LineAddress> lines, std::span<const LineSettings> settings,
               const char* consumer, std::size_t event_buffer),
              (override));
  MOCK_METHOD(Result<void>, reconfigure,
              (RequestId request, std::span<const LineSettings> settings), (override));
  MOCK_METHOD(Result<LineMask>, get, (RequestId request, LineMask which), (override));
  MOCK_METHOD(Result<void>, set, (RequestId request, LineMask which, LineMask levels), (override));
  MOCK_METHOD(int, event_fd, (RequestId request), (const, override));
  MOCK_METHOD(Result<std::size_t>, read_events, (RequestId request, std::span<LineEvent> events),
              (override));
  MOCK_METHOD(void, release, (RequestId request), (override));
};

constexpr LineAddress one{.chip = 1, .offset = 7};
constexpr LineAddress other{.chip = 2, .offset = 8};

TEST(Gpio, finds_a_line_by_the_first_of_two_names_that_there_is) {
  Plain gpio;
  EXPECT_CALL(gpio, find(std::string_view("GPIO17"))).WillRepeatedly(Return(one));
  EXPECT_CALL(gpio, find(std::string_view("pinctrl:17"))).WillRepeatedly(Return(other));
  EXPECT_CALL(gpio, find(std::string_view("X"))).WillRepeatedly(Return(fail(ENOENT, "no X")));
  EXPECT_CALL(gpio, find(std::string_view("Y"))).WillRepeatedly(Return(fail(EEXIST, "many Y")));
  EXPECT_EQ(gpio.find("GPIO17", "pinctrl:17"), one);
  EXPECT_EQ(gpio.find("X", "pinctrl:17"), other);
  EXPECT_EQ(gpio.find("X", "Y").error().number, EEXIST);
  EXPECT_EQ(gpio.find("Y", "X").error().number, ENOENT);
}

TEST(Gpio, of_real_lines_is_not_simulated_and_says_what_to_do_instead) {
  Plain gpio;
  const auto pulled = gpio.pull(one, true);
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().number, ENOTSUP);
  EXPECT_NE(std::string_view(pulled.error().remedy).find("bias="), std::string_view::npos);
  const auto level = gpio.physical_level(one);
  ASSERT_FALSE(level);
  EXPECT_EQ(level.error().number, ENOTSUP);
}

TEST(Gpio, has_nothing_to_watch_or_to_look_for_unless_the_backend_says_so) {
  Plain gpio;
  EXPECT_EQ(gpio.service_fd(), -1);
  EXPECT_TRUE(gpio.refresh());
  gpio.service();
}

TEST(LineEvent, has_its_time_on_the_clock_of_the_loop) {
  LineEvent event{};
  event.timestamp_ns = 4'242'000'123'456;
  EXPECT_EQ(event.timestamp(), Instant(std::chrono::seconds(4242) + Duration(123'456)));
}

TEST(LineSettings, are_equal_only_if_all_are) {
  const LineSettings settings{.direction = Direction::input, .bias = Bias::pull_up};
  EXPECT_EQ(settings, LineSettings(settings));
  const auto differs = [&](auto change) {
    LineSettings changed = settings;
    change(changed);
    return changed != settings;
  };
  EXPECT_TRUE(differs([](LineSettings& line) { line.direction = Direction::output; }));
  EXPECT_TRUE(differs([](LineSettings& line) { line.bias = Bias::pull_down; }));
  EXPECT_TRUE(differs([](LineSettings& line) { line.drive = Drive::open_drain; }));
  EXPECT_TRUE(differs([](LineSettings& line) { line.edges = Edges::both; }));
  EXPECT_TRUE(differs([](LineSettings& line) { line.active_low = true; }));
  EXPECT_TRUE(differs([](LineSettings& line) { line.output_active = true; }));
  EXPECT_TRUE(differs([](LineSettings& line) { ++line.debounce; }));
}

}  // namespace
}  // namespace millrace::hal
