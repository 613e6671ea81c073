// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <chrono>
#include <gtest/gtest.h>
#include <string>

#include "drivers/pigpio/notifications.hpp"

namespace millrace::pigpio {
namespace {

using namespace std::chrono_literals;
constexpr Instant start(1000s);

TEST(PigpioNotifications, give_out_the_lowest_handle_until_there_is_none) {
  Notifications all;
  for (unsigned i = 0; i < Notifications::count; ++i) {
    EXPECT_EQ(all.open(7, 0, start), i);
  }
  EXPECT_EQ(all.open(7, 0, start).error(), Code::no_handle);
  EXPECT_EQ(all.open_count(), Notifications::count);
  EXPECT_EQ(all.close(5), Code::ok);
  EXPECT_EQ(all.open(8, 0, start), 5);
  EXPECT_EQ(all.find(8), 5);
  EXPECT_EQ(all.find(9), Notifications::count);
}

TEST(PigpioNotifications, know_only_handles_that_are_open) {
  Notifications all;
  for (const std::uint32_t handle : {0U, 31U, 32U, UINT32_MAX}) {
    EXPECT_EQ(all.begin(handle, 1), Code::bad_handle);
    EXPECT_EQ(all.pause(handle), Code::bad_handle);
    EXPECT_EQ(all.close(handle), Code::bad_handle);
    EXPECT_EQ(all.monitor_events(handle, 1), Code::bad_handle);
  }
}

TEST(PigpioNotifications, watch_while_they_run) {
  Notifications all;
  ASSERT_TRUE(all.open(1, 0, start));
  ASSERT_TRUE(all.open(2, 0, start));
  EXPECT_EQ(all.watched(), 0U);
  EXPECT_EQ(all.begin(0, 0b0110), Code::ok);
  EXPECT_EQ(all.begin(1, 0b0011), Code::ok);
  EXPECT_EQ(all.watched(), 0b0111U);
  EXPECT_EQ(all.watching(0b0100), 0b01U);
  EXPECT_EQ(all.watching(0b0010), 0b11U);
  EXPECT_EQ(all.pause(0), Code::ok);
  EXPECT_EQ(all.watched(), 0b0011U);
  EXPECT_EQ(all.at(0).state, Notification::State::paused);
}

TEST(PigpioNotifications, are_told_of_events_even_if_paused) {
  Notifications all;
  ASSERT_TRUE(all.open(1, 0, start));
  EXPECT_EQ(all.monitor_events(0, 1U << 31U), Code::ok);
  EXPECT_EQ(all.awaiting_event(31), 1U);
  EXPECT_EQ(all.awaiting_event(30), 0U);
}

TEST(PigpioNotifications, remember_what_levels_they_were_told) {
  Notifications all;
  ASSERT_TRUE(all.open(1, 0b01, start));
  EXPECT_EQ(all.mistaken(0b11, 0b01), 0U);
  EXPECT_EQ(all.mistaken(0b11, 0b10), 1U);
  EXPECT_EQ(all.mistaken(0b01, 0b11), 0U) << "not asked about";
  all.note({.levels = 0b10, .audience = 1}, start);
  EXPECT_EQ(all.mistaken(0b11, 0b10), 0U);
  // Clients take no notice of the levels in other reports.
  all.note({.kind = Report::Kind::watchdog, .levels = 0b11, .audience = 1}, start);
  EXPECT_EQ(all.mistaken(0b11, 0b10), 0U);
  all.note({.levels = 0, .audience = 2}, start);
  EXPECT_EQ(all.mistaken(0b11, 0b10), 0U) << "for another handle";
}

TEST(PigpioNotifications, are_kept_alive_a_minute_after_the_last_report) {
  Notifications all;
  EXPECT_EQ(all.next_keep_alive(), never);
  ASSERT_TRUE(all.open(1, 0, start));
  ASSERT_TRUE(all.open(2, 0, start + 1s));
  EXPECT_EQ(all.next_keep_alive(), start + 60s);
  all.note({.audience = 1}, start + 30s);
  EXPECT_EQ(all.next_keep_alive(), start + 61s);
  EXPECT_EQ(all.silent(start + 61s - 1ns), 0U);
  EXPECT_EQ(all.silent(start + 61s), 2U);
}

TEST(PigpioReport, is_encoded_as_clients_expect) {
  const auto text = [](const Report& report) {
    std::string bytes;
    for (const std::byte byte : report.encode(0x0102)) {
      bytes.push_back(static_cast<char>(byte));
    }
    return bytes;
  };
  using Kind = Report::Kind;
  const std::string rest("\x44\x33\x22\x11\x04\x03\x02\x01", 8);
  const auto of = [](Kind kind) {
    return Report{.kind = kind, .number = 17, .tick = 0x11223344, .levels = 0x01020304};
  };
  EXPECT_EQ(text(of(Kind::levels)), std::string("\x02\x01\0\0", 4) + rest);
  EXPECT_EQ(text(of(Kind::watchdog)), std::string("\x02\x01\x31\0", 4) + rest);
  EXPECT_EQ(text(of(Kind::keep_alive)), std::string("\x02\x01\x40\0", 4) + rest);
  EXPECT_EQ(text(of(Kind::event)), std::string("\x02\x01\x91\0", 4) + rest);
}

TEST(PigpioTick, is_microseconds_and_wraps_around) {
  EXPECT_EQ(tick(Instant(1ms)), 1000U);
  EXPECT_EQ(tick(Instant(1999ns)), 1U);
  EXPECT_EQ(tick(Instant(std::chrono::microseconds((std::int64_t{1} << 32U) + 5))), 5U);
}

}  // namespace
}  // namespace millrace::pigpio
