// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// What is understood can be told again in the same words, and any settings come back from text.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "drivers/uart_settings.hpp"
#include "tests/support/fuzz.hpp"

namespace {

using millrace::parse_uart_settings;
using millrace::to_text;
using millrace::hal::FlowControl;
using millrace::hal::Parity;
using millrace::hal::UartSettings;
using millrace::test::Input;
using millrace::test::require;

void comes_back(const UartSettings& settings) {
  const auto text = to_text(settings);
  require(!text.truncated());
  const auto again = parse_uart_settings(text);
  require(again == settings);
}

bool is_possible(const UartSettings& settings) {
  return settings.baud > 0 && settings.data_bits >= 5 && settings.data_bits <= 8 &&
         settings.stop_bits >= 1 && settings.stop_bits <= 2;
}

void check(std::string_view text) {
  if (const auto settings = parse_uart_settings(text)) {
    require(is_possible(*settings));
    require(text.front() >= '0' && text.front() <= '9');
    comes_back(*settings);
  }
}

/// What nearly is a text of settings comes about more often this way than byte by byte.
std::string from_words(Input input) {
  constexpr std::array words = {",8N1,", ",", "rtscts", "xonxoff", "rs485", "low-latency"};
  constexpr std::string_view characters = "0123456789,NOEMS-";
  std::string text = "9600,";
  while (!input.empty()) {
    const std::size_t choice = input.below(words.size() + characters.size());
    if (choice < words.size()) {
      text += words.at(choice);
    } else {
      text += characters[choice - words.size()];
    }
  }
  return text;
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check(Input(std::span(data, size)).rest());
  check(from_words(Input(std::span(data, size))));

  Input input(std::span(data, size));
  UartSettings settings;
  settings.baud = 0;
  for (int i = 0; i < 4; ++i) {
    settings.baud = settings.baud << 8U | input.next();
  }
  settings.baud = std::max(settings.baud, 1U);
  settings.data_bits = static_cast<std::uint8_t>(5 + input.below(4));
  settings.parity = static_cast<Parity>(input.below(5));
  settings.stop_bits = static_cast<std::uint8_t>(1 + input.below(2));
  settings.flow_control =
      std::array{FlowControl::none, FlowControl::rtscts, FlowControl::xonxoff}.at(input.below(3));
  settings.rs485 = input.below(2) == 1;
  settings.low_latency = input.below(2) == 1;
  comes_back(settings);
  return 0;
}
