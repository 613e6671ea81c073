// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "drivers/vcd_writer.hpp"

namespace millrace::vcd {
namespace {

constexpr std::size_t codes = '~' - '!' + 1;

char character(std::size_t digit) { return static_cast<char>('!' + digit); }

/// A blank would end a name, '$' could make it a keyword, and to some readers '[' begins the number
/// of a bit, and '.' another scope.
FixedString<63> one_word(std::string_view text) {
  FixedString<63> word;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    word.append(plain || c == '-' ? c : '_');
  }
  if (word.empty()) {
    word.append('_');
  }
  return word;
}

void put_padded(Piece& piece, std::int64_t number, std::int64_t place) {
  for (; place > 0; place /= 10) {
    piece.append(number / place % 10);
  }
}

constexpr std::int64_t tens = 10;
constexpr std::int64_t hundred_millions = 100'000'000;  // the first of a second's nanoseconds

}  // namespace

FixedString<2> code_of(std::size_t wire) {
  FixedString<2> code;
  if (wire >= codes) {
    code.append(character(wire / codes - 1));
  }
  return code.append(character(wire % codes));
}

Piece preamble(const About& about) {
  const auto day = std::chrono::floor<std::chrono::days>(about.date);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(about.date - day);
  const std::int64_t begin = about.begin.time_since_epoch().count();
  constexpr std::int64_t second = 1'000'000'000;
  Piece piece("$date ");
  piece.append(static_cast<int>(date.year()), '-');
  put_padded(piece, static_cast<unsigned>(date.month()), tens);
  piece.append('-');
  put_padded(piece, static_cast<unsigned>(date.day()), tens);
  piece.append(' ');
  put_padded(piece, time.hours().count(), tens);
  piece.append(':');
  put_padded(piece, time.minutes().count(), tens);
  piece.append(':');
  put_padded(piece, time.seconds().count(), tens);
  piece.append('.');
  put_padded(piece, time.subseconds().count(), hundred_millions);
  piece.append(" UTC $end\n$version ", about.version, " $end\n$comment #0 is ", begin / second,
               '.');
  put_padded(piece, begin % second, hundred_millions);
  piece.append(" s of CLOCK_MONOTONIC $end\n$timescale 1 ns $end\n$scope module ",
               one_word(about.module), " $end\n");
  return piece;
}

Piece wire(std::size_t wire, std::string_view name) {
  Piece piece("$var wire 1 ");
  piece.append(code_of(wire), ' ', one_word(name), " $end\n");
  return piece;
}

Piece counter(std::size_t wire, std::string_view name) {
  Piece piece("$var real 64 ");
  piece.append(code_of(wire), ' ', one_word(name), " $end\n");
  return piece;
}

Piece end_of_header(std::uint64_t time) {
  Piece piece("$upscope $end\n$enddefinitions $end\n#");
  piece.append(time, "\n$dumpvars\n");
  return piece;
}

Piece value(std::size_t wire, Level level) {
  Piece piece;
  piece.append(static_cast<char>(level), code_of(wire), '\n');
  return piece;
}

Piece count(std::size_t wire, std::uint64_t count) {
  Piece piece("r");
  piece.append(count, ' ', code_of(wire), '\n');
  return piece;
}

}  // namespace millrace::vcd
