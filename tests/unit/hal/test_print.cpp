// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <climits>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <unistd.h>

#include "hal/print.hpp"
#include "tests/mocks/mock_io.hpp"

namespace millrace::test {
namespace {

using hal::Transfer;
using testing::_;
using testing::InSequence;
using testing::Return;

constexpr Transfer written(std::size_t count) {
  return {.status = Transfer::Status::done, .count = count};
}

/// Matches the bytes of a text.
MATCHER_P(are_bytes, text, "") {
  return std::string_view(reinterpret_cast<const char*>(arg.data()), arg.size()) == text;
}

TEST(Print, one_line_is_one_write) {
  MockIo io;
  EXPECT_CALL(io, write(STDOUT_FILENO, are_bytes("line 7\n"))).WillOnce(Return(written(7)));
  hal::print("line ", 7);
}

TEST(Print, what_was_written_in_part_goes_on_where_it_stopped) {
  MockIo io;
  const InSequence in_this_order;
  EXPECT_CALL(io, write(STDOUT_FILENO, are_bytes("abcdef"))).WillOnce(Return(written(2)));
  EXPECT_CALL(io, write(STDOUT_FILENO, are_bytes("cdef"))).WillOnce(Return(written(3)));
  EXPECT_CALL(io, write(STDOUT_FILENO, are_bytes("f"))).WillOnce(Return(written(1)));
  hal::write_output("abcdef");
}

TEST(Print, never_more_at_once_than_a_pipe_takes) {
  MockIo io;
  const std::string text(PIPE_BUF + 1, 'x');
  const InSequence in_this_order;
  EXPECT_CALL(io, write(_, are_bytes(text.substr(1)))).WillOnce(Return(written(PIPE_BUF)));
  EXPECT_CALL(io, write(_, are_bytes("x"))).WillOnce(Return(written(1)));
  hal::write_output(text);
}

TEST(Print, the_rest_is_dropped_when_nobody_reads_any_more) {
  MockIo io;
  EXPECT_CALL(io, write(_, _)).WillOnce(Return(Transfer{.status = Transfer::Status::closed}));
  hal::write_output("abc");
}

TEST(Print, nothing_is_nothing) {
  const MockIo io;
  hal::write_output("");
}

}  // namespace
}  // namespace millrace::test
