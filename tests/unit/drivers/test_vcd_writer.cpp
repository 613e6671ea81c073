// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <string>
#include <string_view>
#include <unistd.h>

#include "drivers/vcd_writer.hpp"

namespace millrace::vcd {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(VcdWriter, codes_are_of_printable_characters_the_shortest_first_and_all_different) {
  EXPECT_EQ(code_of(0).view(), "!");
  EXPECT_EQ(code_of(93).view(), "~");
  EXPECT_EQ(code_of(94).view(), "!!");
  EXPECT_EQ(code_of(most_wires - 1).view(), "~~");
  std::set<std::string> codes;
  for (std::size_t wire = 0; wire < most_wires; ++wire) {
    const auto code = code_of(wire);
    EXPECT_FALSE(code.truncated());
    EXPECT_TRUE(codes.emplace(code.view()).second) << wire;
    EXPECT_EQ(std::string(code.view())
                  .find_first_not_of("!\"#$%&'()*+,-./0123456789:;<=>?@"
                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
                                     "abcdefghijklmnopqrstuvwxyz{|}~"),
              std::string::npos);
  }
}

TEST(VcdWriter, a_preamble_says_when_by_what_and_of_what) {
  const About about{.version = "Millrace 0.1.0",
                    .module = "rpi-zero2w",
                    .date = std::chrono::sys_days(std::chrono::year(2026) / 3 / 4) + seconds(3723) +
                            nanoseconds(50),
                    .begin = Instant(seconds(4242) + nanoseconds(123456))};
  EXPECT_EQ(preamble(about).view(),
            "$date 2026-03-04 01:02:03.000000050 UTC $end\n"
            "$version Millrace 0.1.0 $end\n"
            "$comment #0 is 4242.000123456 s of CLOCK_MONOTONIC $end\n"
            "$timescale 1 ns $end\n"
            "$scope module rpi-zero2w $end\n");
}

TEST(VcdWriter, no_piece_is_longer_than_is_said) {
  const std::string name(100, 'x');
  const About about{.version = "Millrace 999.999.999",
                    .module = name,
                    .date = std::chrono::sys_time<Duration>(Duration::max()),
                    .begin = never};
  for (const Piece& piece : {preamble(about), wire(most_wires - 1, name), end_of_header(UINT64_MAX),
                             value(most_wires - 1, Level::unknown), counter(most_wires - 1, name),
                             count(most_wires - 1, UINT64_MAX)}) {
    EXPECT_FALSE(piece.truncated());
    EXPECT_TRUE(piece.view().ends_with('\n'));
  }
}

TEST(VcdWriter, names_are_one_word_without_what_means_something_to_a_reader) {
  EXPECT_EQ(wire(0, "GPIO17").view(), "$var wire 1 ! GPIO17 $end\n");
  EXPECT_EQ(wire(4, "7J1 Header [3].x").view(), "$var wire 1 % 7J1_Header__3__x $end\n");
  EXPECT_EQ(wire(4, "$end").view(), "$var wire 1 % _end $end\n");
  EXPECT_EQ(wire(4, "").view(), "$var wire 1 % _ $end\n");
}

TEST(VcdWriter, puts_each_time_once_and_only_what_changes) {
  VcdWriter<3> writer;
  FixedString<2 * longest> text;
  writer.set(0, Level::low);
  EXPECT_FALSE(writer.put(text, 5, 0, Level::low));
  EXPECT_FALSE(writer.put(text, 5, 2, Level::unknown));
  EXPECT_TRUE(text.empty());
  EXPECT_TRUE(writer.put(text, 10, 0, Level::high));
  EXPECT_TRUE(writer.put(text, 10, 1, Level::low));
  EXPECT_TRUE(writer.put(text, 12, 0, Level::unknown));
  EXPECT_FALSE(writer.put(text, 13, 0, Level::unknown));
  EXPECT_EQ(text.view(), "#10\n1!\n0\"\n#12\nx!\n");
  EXPECT_EQ(writer.state().level(0), Level::unknown);
  EXPECT_EQ(writer.state().level(1), Level::low);
  EXPECT_EQ(writer.state().level(2), Level::unknown);
}

TEST(VcdWriter, time_never_goes_back) {
  VcdWriter<2> writer;
  FixedString<2 * longest> text;
  EXPECT_TRUE(writer.put(text, 100, 0, Level::high));
  EXPECT_TRUE(writer.put(text, 99, 1, Level::high));
  writer.put_lost(text, 0, 7);
  EXPECT_TRUE(writer.put(text, 101, 1, Level::low));
  writer.put_lost(text, 102, 3);
  EXPECT_EQ(text.view(), "#100\n1!\n1\"\nr7 #\n#101\n0\"\n#102\nr10 #\n");
  EXPECT_EQ(writer.state().lost, 10U);
}

/// What a command prints, each line.
std::string output_of(const std::string& command) {
  std::string text;
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe != nullptr) {
    std::array<char, 4096> part{};
    while (const std::size_t size = std::fread(part.data(), 1, part.size(), pipe)) {
      text.append(part.data(), size);
    }
    ::pclose(pipe);
  }
  return text;
}

// libsigrok is what PulseView reads it with. It takes x for 0, and makes a row of each nanosecond.
TEST(VcdWriter, sigrok_reads_what_it_has_put) {
  if (std::system("command -v sigrok-cli >/dev/null") != 0) {
    GTEST_SKIP() << "sigrok-cli is not installed";
  }
  constexpr std::size_t wires = 100;  // some have codes of two characters
  VcdWriter<wires> writer;
  FixedString<4096> text;
  text.append(preamble({.version = "1", .module = "test", .date = {}, .begin = {}}));
  for (std::size_t i = 0; i < wires; ++i) {
    text.append(wire(i, "W" + std::to_string(i)));
  }
  writer.set(98, Level::high);
  text.append(counter(wires, "lost"));
  text.append(end_of_header(0));
  for (const std::size_t i : {0UL, 97UL, 98UL}) {
    text.append(value(i, writer.state().level(i)));
  }
  text.append(count(wires, 0));
  text.append(end_of_values);
  (void)writer.put(text, 2, 0, Level::high);
  (void)writer.put(text, 3, 97, Level::high);
  writer.put_lost(text, 4, 12);
  (void)writer.put(text, 4, 97, Level::unknown);
  (void)writer.put(text, 6, 98, Level::low);
  (void)writer.put(text, 6, 0, Level::low);
  (void)writer.put(text, 8, 97, Level::high);
  ASSERT_FALSE(text.truncated());
  const std::string path =
      std::filesystem::temp_directory_path() / ("millrace_vcd_" + std::to_string(::getpid()));
  std::ofstream(path) << text.view();
  EXPECT_EQ(output_of("sigrok-cli -I vcd -i " + path +
                      " -C W0,W97,W98 -O csv:header=false:label=off 2>&1 | grep -v META"),
            "0,0,1\n0,0,1\n1,0,1\n1,1,1\n1,0,1\n1,0,1\n0,0,0\n0,0,0\n")
      << "up to the last time";
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace millrace::vcd
