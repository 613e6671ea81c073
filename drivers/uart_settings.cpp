// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "drivers/uart_settings.hpp"

#include "drivers/control/words.hpp"
#include "hal/slice.hpp"

namespace millrace {
namespace {

using control::parse_number;
using control::split;
using hal::FlowControl;
using hal::Parity;
using hal::UartSettings;

constexpr std::string_view parity_letters = "NOEMS";  // in the order of hal::Parity

bool parse_frame(std::string_view text, UartSettings& settings) {
  if (text.size() != 3) {
    return false;
  }
  const auto data_bits = parse_number<std::uint8_t>(slice(text, 0, 1));
  const auto parity = parity_letters.find(text[1]);
  const auto stop_bits = parse_number<std::uint8_t>(slice(text, 2));
  if (!data_bits || *data_bits < 5 || *data_bits > 8 || parity == std::string_view::npos ||
      !stop_bits || *stop_bits < 1 || *stop_bits > 2) {
    return false;
  }
  settings.data_bits = *data_bits;
  settings.parity = static_cast<Parity>(parity);
  settings.stop_bits = *stop_bits;
  return true;
}

bool parse_word(std::string_view text, UartSettings& settings) {
  if (text == "rtscts") {
    settings.flow_control = FlowControl::rtscts;
  } else if (text == "xonxoff") {
    settings.flow_control = FlowControl::xonxoff;
  } else if (text == "rs485") {
    settings.rs485 = true;
  } else if (text == "low-latency") {
    settings.low_latency = true;
  } else {
    return parse_frame(text, settings);
  }
  return true;
}

}  // namespace

std::optional<UartSettings> parse_uart_settings(std::string_view text) {
  UartSettings settings;
  auto parts = split(text, ',');
  const auto baud = parse_number<std::uint32_t>(parts.key);
  if (!baud || *baud == 0) {
    return std::nullopt;
  }
  settings.baud = *baud;
  while (parts.found) {
    parts = split(parts.value, ',');
    if (!parse_word(parts.key, settings)) {
      return std::nullopt;
    }
  }
  return settings;
}

FixedString<63> to_text(const UartSettings& settings) {
  FixedString<63> text;
  text.append(settings.baud, ',', settings.data_bits,
              parity_letters[static_cast<std::size_t>(settings.parity)], settings.stop_bits);
  if (settings.flow_control == FlowControl::rtscts) {
    text.append(",rtscts");
  }
  if (settings.flow_control == FlowControl::xonxoff) {
    text.append(",xonxoff");
  }
  if (settings.rs485) {
    text.append(",rs485");
  }
  if (settings.low_latency) {
    text.append(",low-latency");
  }
  return text;
}

}  // namespace millrace
