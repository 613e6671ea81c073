// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cstddef>
#include <gtest/gtest.h>
#include <span>
#include <string>
#include <string_view>

#include "drivers/control/escape_decoder.hpp"
#include "tests/support/escape_definition.hpp"

namespace millrace::control {
namespace {

using test::escape;
using test::escapes_by_definition;
using Outcome = test::EscapeOutcome;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Once the stream has ended, what follows is not given to the decoder.
void feed(EscapeDecoder& decoder, std::string_view part, Outcome& outcome) {
  auto input = bytes(part);
  while (!input.empty() && !outcome.ended) {
    const auto before = input.size();
    const auto decoded = decoder.decode(input);
    ASSERT_LT(input.size(), before) << "no progress";
    for (const std::byte byte : decoded.data) {
      outcome.data += static_cast<char>(byte);
    }
    outcome.ended = decoded.ended;
  }
  outcome.rest += part.substr(part.size() - input.size());
}

TEST(EscapeDecoder, finds_the_same_end_however_the_bytes_arrive) {
  constexpr std::string_view alphabet = {"ab\x1d", 3};
  std::size_t ended = 0;
  for (std::size_t length = 0; length <= 7; ++length) {
    std::size_t texts = 1;
    for (std::size_t i = 0; i < length; ++i) {
      texts *= alphabet.size();
    }
    for (std::size_t number = 0; number < texts; ++number) {
      std::string text;
      for (std::size_t i = 0, rest = number; i < length; ++i, rest /= alphabet.size()) {
        text += alphabet[rest % alphabet.size()];
      }
      const Outcome wanted = escapes_by_definition(text);
      ended += wanted.ended ? 1 : 0;
      for (std::size_t at = 0; at <= text.size(); ++at) {
        EscapeDecoder decoder;
        Outcome outcome;
        feed(decoder, text.substr(0, at), outcome);
        feed(decoder, text.substr(at), outcome);
        ASSERT_EQ(outcome, wanted)
            << "text " << number << " of length " << length << " split at " << at;
      }
      EscapeDecoder decoder;
      Outcome outcome;
      for (const char c : text) {
        feed(decoder, std::string_view(&c, 1), outcome);
      }
      ASSERT_EQ(outcome, wanted) << "text " << number << " of length " << length << " byte by byte";
    }
  }
  EXPECT_GT(ended, 1000U);
}

TEST(EscapeDecoder, passes_every_other_byte_on_in_one_piece) {
  std::string all;
  for (int value = 0; value < 256; ++value) {
    if (value != escape) {
      all += static_cast<char>(value);
    }
  }
  EscapeDecoder decoder;
  auto input = bytes(all);
  const auto decoded = decoder.decode(input);
  EXPECT_EQ(decoded.data.data(), bytes(all).data());
  EXPECT_EQ(decoded.data.size(), all.size());
  EXPECT_FALSE(decoded.ended);
  EXPECT_TRUE(input.empty());
}

TEST(EscapeDecoder, drops_the_byte_after_the_escape_and_nothing_more) {
  EscapeDecoder decoder;
  Outcome outcome;
  feed(decoder, "data\x1d\nstatus\n", outcome);
  EXPECT_EQ(outcome, (Outcome{.data = "data", .rest = "status\n", .ended = true}));
}

TEST(EscapeDecoder, does_not_mind_an_empty_input) {
  EscapeDecoder decoder;
  auto escaped = bytes("\x1d");
  (void)decoder.decode(escaped);
  std::span<const std::byte> nothing;
  EXPECT_FALSE(decoder.decode(nothing).ended);
  auto other = bytes("x");
  EXPECT_TRUE(decoder.decode(other).ended);
}

TEST(EscapeDecoder, forgets_half_an_escape_when_reset) {
  EscapeDecoder decoder;
  auto escaped = bytes("\x1d");
  (void)decoder.decode(escaped);
  decoder.reset();
  Outcome outcome;
  feed(decoder, "x", outcome);
  EXPECT_EQ(outcome, (Outcome{.data = "x", .rest = {}, .ended = false}));
}

}  // namespace
}  // namespace millrace::control
