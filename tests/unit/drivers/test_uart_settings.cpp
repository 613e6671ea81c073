// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <cstdint>
#include <gtest/gtest.h>
#include <limits>
#include <string_view>

#include "drivers/uart_settings.hpp"

namespace millrace {
namespace {

using hal::FlowControl;
using hal::Parity;
using hal::UartSettings;

TEST(UartSettings, of_a_baud_rate_alone_are_8N1_without_flow_control) {
  EXPECT_EQ(parse_uart_settings("9600"), UartSettings{.baud = 9600});
  EXPECT_EQ(parse_uart_settings("9600"), parse_uart_settings("9600,8N1"));
}

TEST(UartSettings, are_read_as_they_are_usually_written) {
  EXPECT_EQ(parse_uart_settings("19200,7E2,rtscts"),
            (UartSettings{.baud = 19'200,
                          .data_bits = 7,
                          .parity = Parity::even,
                          .stop_bits = 2,
                          .flow_control = FlowControl::rtscts}));
  EXPECT_EQ(parse_uart_settings("250000,low-latency,5M1,rs485,xonxoff"),
            (UartSettings{.baud = 250'000,
                          .data_bits = 5,
                          .parity = Parity::mark,
                          .stop_bits = 1,
                          .flow_control = FlowControl::xonxoff,
                          .rs485 = true,
                          .low_latency = true}));
}

TEST(UartSettings, are_read_back_from_their_own_text) {
  std::size_t longest = 0;
  for (const std::uint32_t baud : {1U, 115'200U, std::numeric_limits<std::uint32_t>::max()}) {
    for (std::uint8_t data_bits = 5; data_bits <= 8; ++data_bits) {
      for (const Parity parity :
           {Parity::none, Parity::odd, Parity::even, Parity::mark, Parity::space}) {
        for (std::uint8_t stop_bits = 1; stop_bits <= 2; ++stop_bits) {
          for (const FlowControl flow :
               {FlowControl::none, FlowControl::rtscts, FlowControl::xonxoff}) {
            for (const unsigned flags : {0U, 1U, 2U, 3U}) {
              const UartSettings settings = {.baud = baud,
                                             .data_bits = data_bits,
                                             .parity = parity,
                                             .stop_bits = stop_bits,
                                             .flow_control = flow,
                                             .rs485 = (flags & 1) != 0,
                                             .low_latency = (flags & 2) != 0};
              const auto text = to_text(settings);
              ASSERT_FALSE(text.truncated());
              ASSERT_EQ(parse_uart_settings(text), settings) << text.view();
              longest = std::max(longest, text.size());
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(longest, std::string_view("4294967295,8N1,xonxoff,rs485,low-latency").size());
}

TEST(UartSettings, have_the_text_that_people_write) {
  EXPECT_EQ(to_text({}), "115200,8N1");
  EXPECT_EQ(to_text({.baud = 300, .data_bits = 7, .parity = Parity::odd, .stop_bits = 2}),
            "300,7O2");
}

TEST(UartSettings, are_refused_as_a_whole_if_one_part_is_not_understood) {
  for (const std::string_view text : {"",
                                      ",",
                                      "0",
                                      "-1",
                                      "+9600",
                                      "x",
                                      "4294967296",
                                      "9600,",
                                      ",8N1",
                                      "9600,8N",
                                      "9600,8N1x",
                                      "9600,4N1",
                                      "9600,9N1",
                                      "9600,8X1",
                                      "9600,8n1",
                                      "9600,8N0",
                                      "9600,8N3",
                                      "9600, 8N1",
                                      "9600,8N1,",
                                      "9600,8N1,RTSCTS",
                                      "9600,rtscts,none",
                                      "9600 8N1"}) {
    EXPECT_FALSE(parse_uart_settings(text)) << '"' << text << '"';
  }
}

}  // namespace
}  // namespace millrace
