// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// However a stream arrives, its lines are what they are by definition.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/control/line_decoder.hpp"
#include "tests/support/fuzz.hpp"

namespace {

using millrace::control::LineDecoder;
using millrace::test::Cuts;
using millrace::test::in_pieces;
using millrace::test::Input;
using millrace::test::require;

struct Line {
  std::string text;  ///< empty if it is oversize
  bool oversize;

  friend bool operator==(const Line&, const Line&) = default;
};

struct Outcome {
  std::vector<Line> lines;
  bool pending = false;

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome by_definition(std::string_view text, std::size_t most) {
  Outcome outcome;
  for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    line.remove_suffix(line.ends_with('\r') ? 1 : 0);
    const bool oversize = line.size() > most;
    outcome.lines.push_back({std::string(oversize ? "" : line), oversize});
  }
  outcome.pending = !text.empty();
  return outcome;
}

template <std::size_t N>
void check(std::string_view text, const Cuts& cuts) {
  using Status = LineDecoder<N>::Status;
  const Outcome expected = by_definition(text, N);
  cuts.for_each([&](std::span<const std::size_t> lengths) {
    LineDecoder<N> decoder;
    Outcome outcome;
    in_pieces(text, lengths, [&](std::string_view piece) {
      auto bytes = std::as_bytes(std::span(piece));
      while (true) {
        const std::size_t before = bytes.size();
        const Status status = decoder.decode(bytes);
        if (status == Status::incomplete) {
          require(bytes.empty());
          break;
        }
        require(bytes.size() < before);
        const bool oversize = status == Status::oversize;
        outcome.lines.push_back({std::string(oversize ? "" : decoder.line()), oversize});
      }
      outcome.pending = decoder.pending();
    });
    require(outcome == expected);
    decoder.reset();
    require(!decoder.pending());
  });
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(std::span(data, size));
  const Cuts cuts(input);
  const std::string text = input.rest();
  check<1>(text, cuts);
  check<7>(text, cuts);
  check<64>(text, cuts);
  return 0;
}
