// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "hal/fixed_string.hpp"
#include "hal/time.hpp"

/// A value change dump, as IEEE 1364-2005 has it in 18.2: what wires of one bit were at first, and
/// each change of theirs, as text, a line for each. GTKWave and PulseView read it, also up to where
/// it was cut off.
///
///     $timescale 1 ns $end        preamble()
///     $scope module sim $end
///     $var wire 1 ! GPIO4 $end    wire(), of each
///     $var real 64 " lost $end    counter()
///     $upscope $end               end_of_header()
///     $enddefinitions $end
///     #0
///     $dumpvars
///     x!                          value(), of each
///     r0 "                        count()
///     $end                        end_of_values
///     #1500                       VcdWriter::put()
///     1!
///
/// What is missing is a number, not a $comment: viewers show it as a trace, and libsigrok 0.5.2
/// takes nothing that follows a comment amid changes (nor an integer, which it knows as wires).
namespace millrace::vcd {

enum class Level : char { low = '0', high = '1', unknown = 'x' };
[[nodiscard]] constexpr Level level_of(bool high) { return high ? Level::high : Level::low; }

/// Bytes: no piece of text here is longer.
inline constexpr std::size_t longest = 256;
using Piece = FixedString<longest>;

/// Wires that can be told apart: their codes are of two characters at the most.
inline constexpr std::size_t most_wires = 94 + 94 * 94;
/// The code of a wire, by its number from 0: the shortest first, of the characters '!' to '~'.
[[nodiscard]] FixedString<2> code_of(std::size_t wire);

/// What a dump says of itself.
struct About {
  std::string_view version;  ///< of what has written it
  std::string_view module;   ///< what the wires are parts of
  std::chrono::sys_time<Duration> date;
  Instant begin;  ///< the same moment: what the time 0 is
};
/// Names in it, here and below, are made one word of letters, digits, '_' and '-'.
[[nodiscard]] Piece preamble(const About& about);
[[nodiscard]] Piece wire(std::size_t wire, std::string_view name);
[[nodiscard]] Piece counter(std::size_t wire, std::string_view name);
/// `time`: when the wires had the values that follow, in ns.
[[nodiscard]] Piece end_of_header(std::uint64_t time);
[[nodiscard]] Piece value(std::size_t wire, Level level);
[[nodiscard]] Piece count(std::size_t wire, std::uint64_t count);
inline constexpr std::string_view end_of_values = "$end\n";

/// Puts what changes into a text that has room for `longest` more bytes at each call. Time never
/// goes back, and only what changes is put. The number behind the wires' is that of a counter, of
/// changes that are missing. No system call.
template <std::size_t Wires>
class VcdWriter {
  static_assert(Wires < most_wires);

 public:
  /// What is known at the end of what was put: at first nothing.
  struct State {
    std::uint64_t time = 0;  ///< ns
    std::uint64_t lost = 0;  ///< changes
    std::bitset<Wires> known;
    std::bitset<Wires> high;

    [[nodiscard]] Level level(std::size_t wire) const {
      return known[wire] ? level_of(high[wire]) : Level::unknown;
    }
    void set(std::size_t wire, Level level) {
      known[wire] = level != Level::unknown;
      high[wire] = level == Level::high;
    }
  };

  [[nodiscard]] const State& state() const { return state_; }
  /// Before anything is put: what the header's values are to be.
  void set(std::size_t wire, Level level) { state_.set(wire, level); }

  /// False, and nothing is put, if the wire has this level already. What has an earlier time than
  /// what was put before gets that one's.
  template <std::size_t N>
  bool put(FixedString<N>& text, std::uint64_t time, std::size_t wire, Level level) {
    if (state_.level(wire) == level) {
      return false;
    }
    put_time(text, time);
    state_.set(wire, level);
    text.append(value(wire, level));
    return true;
  }

  /// So many changes more are missing before this.
  template <std::size_t N>
  void put_lost(FixedString<N>& text, std::uint64_t time, std::uint64_t lost) {
    put_time(text, time);
    state_.lost += lost;
    text.append(count(Wires, state_.lost));
  }

 private:
  template <std::size_t N>
  void put_time(FixedString<N>& text, std::uint64_t time) {
    if (time > state_.time) {
      state_.time = time;
      text.append('#', time, '\n');
    }
  }

  State state_;
};

}  // namespace millrace::vcd
