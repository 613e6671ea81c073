// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <span>
#include <string>
#include <vector>

#include "drivers/pigpio/decoder.hpp"

namespace millrace::pigpio {
namespace {

using Bytes = std::vector<std::byte>;
constexpr std::size_t kept = 8;
using TestDecoder = Decoder<kept>;
using Status = TestDecoder::Status;

void add_word(Bytes& bytes, std::uint32_t word) {
  for (unsigned shift = 0; shift < 32; shift += 8) {
    bytes.push_back(static_cast<std::byte>(word >> shift & 0xff));
  }
}

Bytes frame(std::uint32_t command, std::uint32_t p1, std::uint32_t p2, const std::string& text) {
  Bytes bytes;
  add_word(bytes, command);
  add_word(bytes, p1);
  add_word(bytes, p2);
  add_word(bytes, static_cast<std::uint32_t>(text.size()));
  for (const char c : text) {
    bytes.push_back(static_cast<std::byte>(c));
  }
  return bytes;
}

std::string text_of(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text.push_back(static_cast<char>(byte));
  }
  return text;
}

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

TEST(PigpioDecoder, reads_pipelined_requests_however_they_are_cut) {
  const Bytes stream = frame(4, 17, 1, "") + frame(37, 17, 50, "abcd") + frame(16, 0, 0, "");
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    TestDecoder decoder;
    std::vector<Request> requests;
    std::string extension;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      auto input = std::span<const std::byte>(stream).subspan(at);
      input = input.first(std::min(piece, input.size()));
      while (decoder.decode(input) == Status::request) {
        requests.push_back(decoder.request());
        extension += text_of(decoder.request().extension);
        EXPECT_FALSE(decoder.oversize());
      }
      EXPECT_TRUE(input.empty());
    }
    ASSERT_EQ(requests.size(), 3U) << piece;
    EXPECT_EQ(requests[0].command, Command::write);
    EXPECT_EQ(requests[0].p1, 17U);
    EXPECT_EQ(requests[0].p2, 1U);
    EXPECT_EQ(requests[1].command, Command::trig);
    EXPECT_EQ(requests[1].extension_size, 4U);
    EXPECT_EQ(extension, "abcd");
    EXPECT_EQ(requests[2].command, Command::tick);
  }
}

TEST(PigpioDecoder, passes_over_what_it_cannot_keep_and_stays_in_step) {
  const Bytes stream = frame(28, 0, 0, std::string(1000, 'x')) + frame(3, 4, 0, "");
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, stream.size()}) {
    TestDecoder decoder;
    int oversize = 0;
    int requests = 0;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      auto input = std::span<const std::byte>(stream).subspan(at);
      input = input.first(std::min(piece, input.size()));
      while (decoder.decode(input) == Status::request) {
        ++requests;
        oversize += decoder.oversize() ? 1 : 0;
        EXPECT_EQ(decoder.request().extension.size(), decoder.oversize() ? kept : 0U);
      }
    }
    EXPECT_EQ(requests, 2) << piece;
    EXPECT_EQ(oversize, 1) << piece;
    EXPECT_EQ(decoder.request().command, Command::read);
  }
}

TEST(PigpioDecoder, leaves_the_bytes_for_a_serial_port_in_the_stream) {
  const Bytes stream = frame(81, 0, 0, std::string(100, 'y')) + frame(16, 0, 0, "");
  TestDecoder decoder;
  std::span<const std::byte> input(stream);
  ASSERT_EQ(decoder.decode(input), Status::request);
  EXPECT_EQ(decoder.request().command, Command::serw);
  EXPECT_EQ(decoder.streaming(), 100U);
  EXPECT_FALSE(decoder.oversize());
  EXPECT_EQ(input.size(), 100 + header_size);
  decoder.streamed(60);
  EXPECT_EQ(decoder.streaming(), 40U);
  decoder.streamed(40);
  input = input.subspan(100);
  ASSERT_EQ(decoder.decode(input), Status::request);
  EXPECT_EQ(decoder.request().command, Command::tick);
}

TEST(PigpioDecoder, gives_up_on_an_extension_that_pigpiod_would_not_take) {
  Bytes header = frame(28, 0, 0, "");
  header.resize(12);
  add_word(header, TestDecoder::most_extension);
  TestDecoder decoder;
  std::span<const std::byte> input(header);
  EXPECT_EQ(decoder.decode(input), Status::hopeless);
  decoder.reset();
  const Bytes next = frame(16, 0, 0, "");
  input = next;
  EXPECT_EQ(decoder.decode(input), Status::request);
}

TEST(PigpioFrame, is_little_endian_and_echoes_the_request) {
  const Header header =
      encode_answer({.command = Command::write, .p1 = 0x01020304, .p2 = 5, .extension = {}}, -3);
  EXPECT_EQ(text_of(header),
            std::string("\x04\0\0\0\x04\x03\x02\x01\x05\0\0\0\xfd\xff\xff\xff", 16));
}

}  // namespace
}  // namespace millrace::pigpio
