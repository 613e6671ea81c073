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
#include "tests/support/escape_definition.hpp"
#include "tests/support/fuzz.hpp"

namespace {

using millrace::control::EscapeDecoder;
using millrace::test::Cuts;
using millrace::test::escape;
using millrace::test::escapes_by_definition;
using millrace::test::in_pieces;
using millrace::test::Input;
using millrace::test::require;
using Outcome = millrace::test::EscapeOutcome;

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
  const Outcome expected = escapes_by_definition(text);
  const std::string encoded = encode(text);
  cuts.for_each([&](std::span<const std::size_t> lengths) {
    require(decode(text, lengths) == expected);
    require(decode(encoded, lengths) == Outcome{.data = text, .rest = {}, .ended = false});
  });
  return 0;
}
