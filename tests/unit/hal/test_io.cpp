// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <string_view>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "hal/fd.hpp"
#include "hal/io.hpp"

namespace millrace::hal {
namespace {

using enum Transfer::Status;

struct Pair {
  Fd a;
  Fd b;
};

Pair make_socket_pair() {
  std::array<int, 2> fds{-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

Pair make_pipe(int flags) {
  std::array<int, 2> fds{-1, -1};
  EXPECT_EQ(::pipe2(fds.data(), flags | O_CLOEXEC), 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

template <std::size_t N>
std::string_view text(const std::array<char, N>& memory, std::size_t count) {
  return {memory.data(), count};
}

TEST(Io, reads_what_was_written) {
  const auto [reader, writer] = make_pipe(O_NONBLOCK);
  const Transfer written = write(writer.get(), bytes("hello"));
  EXPECT_EQ(written.status, done);
  EXPECT_EQ(written.count, 5U);

  std::array<char, 8> into{};
  const Transfer got = read(reader.get(), std::as_writable_bytes(std::span(into)));
  EXPECT_EQ(got.status, done);
  EXPECT_EQ(text(into, got.count), "hello");
}

TEST(Io, nothing_to_read_is_no_error) {
  const auto [reader, writer] = make_pipe(O_NONBLOCK);
  std::array<std::byte, 8> into{};
  const Transfer got = read(reader.get(), into);
  EXPECT_EQ(got.status, would_block);
  EXPECT_EQ(got.error, 0);
  EXPECT_EQ(got.count, 0U);
}

TEST(Io, end_of_file_is_closed_without_error) {
  auto [reader, writer] = make_pipe(O_NONBLOCK);
  writer.reset();
  std::array<std::byte, 8> into{};
  const Transfer got = read(reader.get(), into);
  EXPECT_EQ(got.status, closed);
  EXPECT_EQ(got.error, 0);
}

TEST(Io, a_bad_descriptor_fails_with_its_errno) {
  std::array<std::byte, 8> memory{};
  for (const Transfer& got : {read(-1, memory), read(-1, memory, memory), write(-1, memory),
                              send(-1, memory), send(-1, memory, memory)}) {
    EXPECT_EQ(got.status, failed);
    EXPECT_EQ(got.error, EBADF);
    EXPECT_FALSE(got.done());
  }
}

TEST(Io, fills_the_first_piece_first) {
  const auto [a, b] = make_socket_pair();
  ASSERT_TRUE(send(a.get(), bytes("abcdef")).done());
  std::array<char, 4> first{};
  std::array<char, 4> second{};
  const Transfer got = read(b.get(), std::as_writable_bytes(std::span(first)),
                            std::as_writable_bytes(std::span(second)));
  EXPECT_EQ(got.count, 6U);
  EXPECT_EQ(text(first, 4), "abcd");
  EXPECT_EQ(text(second, 2), "ef");
}

TEST(Io, sends_two_pieces_in_order) {
  const auto [a, b] = make_socket_pair();
  EXPECT_EQ(send(a.get(), bytes("one "), bytes("two")).count, 7U);
  EXPECT_EQ(send(a.get(), bytes(" three"), {}).count, 6U);
  std::array<char, 16> into{};
  const Transfer got = read(b.get(), std::as_writable_bytes(std::span(into)), {});
  EXPECT_EQ(text(into, got.count), "one two three");
}

TEST(Io, a_full_socket_takes_a_part_and_then_nothing) {
  const auto [a, b] = make_socket_pair();
  static const std::array<std::byte, 4 << 20> much{};
  const Transfer part = send(a.get(), much);
  EXPECT_EQ(part.status, done);
  EXPECT_LT(part.count, much.size());
  Transfer rest = send(a.get(), much);
  while (rest.done()) {
    rest = send(a.get(), much);
  }
  EXPECT_EQ(rest.status, would_block);
  EXPECT_EQ(send(a.get(), much, much).status, would_block);
}

// SIGPIPE would end the test program.
TEST(Io, a_peer_that_is_gone_is_an_outcome_and_no_signal) {
  auto [a, b] = make_socket_pair();
  b.reset();
  const Transfer one = send(a.get(), bytes("x"));
  EXPECT_EQ(one.status, closed);
  EXPECT_EQ(one.error, EPIPE);
  const Transfer two = send(a.get(), bytes("x"), bytes("y"));
  EXPECT_EQ(two.status, closed);
  EXPECT_EQ(two.error, EPIPE);
}

TEST(Io, a_reset_is_closed_with_its_errno) {
  auto [a, b] = make_socket_pair();
  ASSERT_TRUE(send(a.get(), bytes("never read")).done());
  b.reset();  // with unread input: a Unix socket's way of resetting
  std::array<std::byte, 8> into{};
  const Transfer got = read(a.get(), into);
  EXPECT_EQ(got.status, closed);
  EXPECT_EQ(got.error, ECONNRESET);
}

TEST(Io, a_signal_does_not_end_a_read) {
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) {};  // and no SA_RESTART
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  const auto [reader, writer] = make_pipe(0);

  Transfer got;
  std::array<std::byte, 8> into{};
  std::thread thread([&] { got = read(reader.get(), into); });
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ::pthread_kill(thread.native_handle(), SIGUSR1);
  }
  EXPECT_TRUE(write(writer.get(), bytes("x")).done());
  thread.join();
  EXPECT_EQ(got.status, done);
  EXPECT_EQ(got.count, 1U);
  ::sigaction(SIGUSR1, &before, nullptr);
}

}  // namespace
}  // namespace millrace::hal
