// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cstddef>
#include <gtest/gtest.h>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/control/line_decoder.hpp"

namespace millrace::control {
namespace {

const std::string too_long = "(too long)";

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

struct Outcome {
  std::vector<std::string> lines;
  bool pending = false;

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

/// What the whole text is by definition.
Outcome expected(std::string_view text, std::size_t most) {
  Outcome outcome;
  for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    line.remove_suffix(line.ends_with('\r') ? 1 : 0);
    outcome.lines.emplace_back(line.size() > most ? too_long : line);
  }
  outcome.pending = !text.empty();
  return outcome;
}

template <std::size_t N>
void feed(LineDecoder<N>& decoder, std::string_view part, Outcome& outcome) {
  using Status = LineDecoder<N>::Status;
  auto input = bytes(part);
  for (;;) {
    const Status status = decoder.decode(input);
    if (status == Status::incomplete) {
      ASSERT_TRUE(input.empty());
      break;
    }
    outcome.lines.emplace_back(status == Status::line ? decoder.line() : too_long);
  }
  outcome.pending = decoder.pending();
}

/// All texts of `length` that consist of `alphabet`.
template <class Function>
void for_each_text(std::string_view alphabet, std::size_t length, Function function) {
  std::string text(length, alphabet[0]);
  std::vector<std::size_t> letters(length);
  for (;;) {
    function(std::string_view(text));
    std::size_t i = 0;
    while (i < length && ++letters[i] == alphabet.size()) {
      letters[i] = 0;
      text[i] = alphabet[0];
      ++i;
    }
    if (i == length) {
      return;
    }
    text[i] = alphabet[letters[i]];
  }
}

std::string visible(std::string_view text) {
  std::string result;
  for (const char c : text) {
    result += c == '\r' ? "\\r" : c == '\n' ? "\\n" : std::string(1, c);
  }
  return result;
}

template <std::size_t N>
void agrees_however_it_is_split() {
  for (std::size_t length = 0; length <= N + 5; ++length) {
    for_each_text("a\r\n", length, [](std::string_view text) {
      const Outcome wanted = expected(text, N);
      for (std::size_t at = 0; at <= text.size(); ++at) {
        LineDecoder<N> decoder;
        Outcome outcome;
        feed(decoder, text.substr(0, at), outcome);
        feed(decoder, text.substr(at), outcome);
        ASSERT_EQ(outcome, wanted) << visible(text) << " split at " << at;
      }
      LineDecoder<N> decoder;
      Outcome outcome;
      for (std::size_t at = 0; at < text.size(); ++at) {
        feed(decoder, text.substr(at, 1), outcome);
      }
      ASSERT_EQ(outcome, wanted) << visible(text) << " byte by byte";
    });
  }
}

TEST(LineDecoder, finds_the_same_lines_however_the_bytes_arrive) {
  agrees_however_it_is_split<1>();
  agrees_however_it_is_split<2>();
  agrees_however_it_is_split<4>();
}

TEST(LineDecoder, takes_lines_up_to_its_length_and_skips_longer_ones_whole) {
  constexpr std::size_t n = 512;
  for (const std::string_view end : {"\n", "\r\n"}) {
    for (std::size_t length = n - 2; length <= n + 3; ++length) {
      const std::string line(length, 'x');
      LineDecoder<n> decoder;
      Outcome outcome;
      feed(decoder, line + std::string(end) + "next\n", outcome);
      ASSERT_EQ(outcome.lines.size(), 2U);
      EXPECT_EQ(outcome.lines[0], length <= n ? line : too_long) << length;
      EXPECT_EQ(outcome.lines[1], "next");
    }
  }
}

TEST(LineDecoder, counts_a_carriage_return_within_a_line_as_any_other_byte) {
  LineDecoder<3> decoder;
  Outcome outcome;
  feed(decoder, "a\rb\nab\r\r\nabc\r\r\n\r\r\n", outcome);
  EXPECT_EQ(outcome.lines, (std::vector<std::string>{"a\rb", "ab\r", too_long, "\r"}));
}

TEST(LineDecoder, passes_every_byte_on_but_the_newline) {
  LineDecoder<1> decoder;
  for (int value = 0; value < 256; ++value) {
    const char byte = static_cast<char>(value);
    if (byte == '\n' || byte == '\r') {
      continue;
    }
    Outcome outcome;
    feed(decoder, std::string{byte, '\n'}, outcome);
    ASSERT_EQ(outcome.lines, std::vector<std::string>{std::string(1, byte)});
  }
}

TEST(LineDecoder, leaves_what_follows_the_line_in_the_input) {
  LineDecoder<8> decoder;
  auto input = bytes("attach\nraw\n bytes");
  ASSERT_EQ(decoder.decode(input), LineDecoder<8>::Status::line);
  EXPECT_EQ(decoder.line(), "attach");
  EXPECT_EQ(input.size(), 10U);
  EXPECT_FALSE(decoder.pending());
}

TEST(LineDecoder, waits_for_the_rest_of_a_line_that_is_too_long_already) {
  LineDecoder<2> decoder;
  Outcome outcome;
  feed(decoder, "abcdefgh", outcome);
  EXPECT_TRUE(outcome.pending);
  feed(decoder, "\r\nok\n", outcome);
  EXPECT_FALSE(outcome.pending);
  EXPECT_EQ(outcome.lines, (std::vector<std::string>{too_long, "ok"}));
}

TEST(LineDecoder, forgets_half_a_line_when_reset) {
  for (const std::string_view half : {"ab", "abcdefgh"}) {
    LineDecoder<4> decoder;
    Outcome outcome;
    feed(decoder, half, outcome);
    EXPECT_TRUE(decoder.pending());
    decoder.reset();
    EXPECT_FALSE(decoder.pending());
    feed(decoder, "cd\n", outcome);
    EXPECT_EQ(outcome.lines, std::vector<std::string>{"cd"});
  }
}

}  // namespace
}  // namespace millrace::control
