// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// However a stream arrives, its end is found where it is by definition; and any bytes come through
// if each escape among them is sent twice.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "drivers/control/escape_decoder.hpp"
#include "tests/support/fuzz.hpp"

namespace {

using millrace::control::EscapeDecoder;
using millrace::test::Cuts;
using millrace::test::in_pieces;
using millrace::test::Input;
using millrace::test::require;

constexpr char escape = '\x1d';

struct Outcome {
  std::string data;
  std::string rest;  ///< after the end of the stream
  bool ended = false;

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome by_definition(std::string_view text) {
  Outcome outcome;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != escape) {
      outcome.data += text[i];
    } else if (++i < text.size()) {
      if (text[i] != escape) {
        return {.data = outcome.data, .rest = std::string(text.substr(i + 1)), .ended = true};
      }
      outcome.data += escape;
    }
  }
  return outcome;
}

Outcome decode(std::string_view text, std::span<const std::size_t> lengths) {
  EscapeDecoder decoder;
  Outcome outcome;
  in_pieces(text, lengths, [&](std::string_view piece) {
    auto bytes = std::as_bytes(std::span(piece));
    while (!bytes.empty() && !outcome.ended) {
      const std::size_t before = bytes.size();
      const auto decoded = decoder.decode(bytes);
      require(bytes.size() < before);
      std::ranges::transform(decoded.data, std::back_inserter(outcome.data),
                             [](std::byte byte) { return static_cast<char>(byte); });
      outcome.ended = decoded.ended;
    }
    outcome.rest += piece.substr(piece.size() - bytes.size());
  });
  return outcome;
}

std::string encode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    encoded.append(c == escape ? 2 : 1, c);
  }
  return encoded;
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(std::span(data, size));
  const Cuts cuts(input);
  const std::string text = input.rest();
  const Outcome expected = by_definition(text);
  const std::string encoded = encode(text);
  cuts.for_each([&](std::span<const std::size_t> lengths) {
    require(decode(text, lengths) == expected);
    require(decode(encoded, lengths) == Outcome{.data = text, .rest = {}, .ended = false});
  });
  return 0;
}
