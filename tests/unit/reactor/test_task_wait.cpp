// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// What tasks can wait for: each kind of it, its errors, and its deadline.

#include <array>
#include <cerrno>
#include <csignal>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

#include "firmware/reactor/task.hpp"
#include "firmware/reactor/task_channel.hpp"
#include "firmware/reactor/task_child.hpp"
#include "firmware/reactor/task_edges.hpp"
#include "firmware/reactor/task_fd.hpp"
#include "firmware/reactor/task_group.hpp"
#include "firmware/reactor/task_inbox.hpp"
#include "firmware/reactor/task_scope.hpp"
#include "firmware/reactor/task_signal.hpp"
#include "firmware/reactor/task_sleep.hpp"
#include "firmware/reactor/task_socket.hpp"
#include "firmware/reactor/task_stream.hpp"
#include "hal/gpio_sim.hpp"
#include "tests/support/descriptors.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/tasks.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

/// A word for each outcome.
std::string_view word(const Error& error) {
  switch (error.number) {
    case ETIMEDOUT:
      return "ETIMEDOUT";
    case ECANCELED:
      return "ECANCELED";
    case ENOSPC:
      return "ENOSPC";
    case EBUSY:
      return "EBUSY";
    case EBADF:
      return "EBADF";
    case ENODATA:
      return "ENODATA";
    case EMSGSIZE:
      return "EMSGSIZE";
    case EPIPE:
      return "EPIPE";
    case ECONNREFUSED:
      return "ECONNREFUSED";
    default:
      return error.what;
  }
}

// --- Descriptors -------------------------------------------------------------------------------

Task<> waits_readable(Tasks& /*tasks*/, Trace& trace, TaskFd& fd, std::string_view name,
                      Deadline deadline = {}) {
  const auto events = co_await fd.readable(deadline);
  trace.add(name, ":",
            events ? any(*events, Events::readable) ? "readable" : "else" : word(events.error()));
}
Task<> waits_writable(Tasks& /*tasks*/, Trace& trace, TaskFd& fd, std::string_view name,
                      Deadline deadline = {}) {
  const auto events = co_await fd.writable(deadline);
  trace.add(name, ":",
            events ? any(*events, Events::writable) ? "writable" : "else" : word(events.error()));
}

TEST(TaskFd, reports_readiness_to_one_reader_and_one_writer) {
  SmallTaskLoop t;
  const Pair pair = make_socket_pair();
  TaskFd fd;
  ASSERT_TRUE(fd.open(t.loop, pair.near.get()));
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(waits_readable(t.tasks, t.trace, fd, "a")));
  ASSERT_TRUE(scope.spawn(waits_readable(t.tasks, t.trace, fd, "b")));
  t.turn(2);
  EXPECT_EQ(t.trace, "b:EBUSY");
  ASSERT_TRUE(scope.spawn(waits_writable(t.tasks, t.trace, fd, "c")));
  t.turn(2);
  EXPECT_EQ(t.trace, "b:EBUSY c:writable");
  put(pair.far, "x");
  t.turn();
  EXPECT_EQ(t.trace, "b:EBUSY c:writable a:readable");
}

TEST(TaskFd, that_is_ready_for_both_serves_them_in_turn) {
  SmallTaskLoop t;
  const Pair pair = make_socket_pair();
  put(pair.far, "x");
  TaskFd fd;
  ASSERT_TRUE(fd.open(t.loop, pair.near.get()));
  TaskScope scope(t.tasks);
  const auto reads = [&](Tasks& /*tasks*/) -> Task<> {
    for (int i = 0; i < 3; ++i) {
      (void)co_await fd.readable();
      t.trace.add("r");
    }
  };
  const auto writes = [&](Tasks& /*tasks*/) -> Task<> {
    for (int i = 0; i < 3; ++i) {
      (void)co_await fd.writable();
      t.trace.add("w");
    }
  };
  ASSERT_TRUE(scope.spawn(reads(t.tasks)));
  ASSERT_TRUE(scope.spawn(writes(t.tasks)));
  t.turn(10);
  EXPECT_EQ(t.trace, "r w r w r w");
}

TEST(TaskFd, is_not_watched_by_the_kernel_while_it_is_ready_and_nobody_waits) {
  SmallTaskLoop t;
  const Pair pipe = make_pipe();
  TaskFd fd;
  ASSERT_TRUE(fd.open(t.loop, pipe.near.get()));
  t.turn();
  EXPECT_EQ(t.loop.counting().take_changes(), 0);
  TaskScope scope(t.tasks);
  const auto reads = [&](Tasks& /*tasks*/) -> Task<> {
    for (int i = 0; i < 5; ++i) {
      (void)co_await fd.readable();
      t.trace.add(get(pipe.near, 1));
    }
  };
  ASSERT_TRUE(scope.spawn(reads(t.tasks)));
  put(pipe.far, "abcdefgh");
  t.turn(6);
  EXPECT_EQ(t.trace, "a b c d e");
  EXPECT_EQ(t.loop.counting().take_changes(), 1);  // to wait once or five times is the same
  t.turn(3);
  EXPECT_EQ(t.loop.counting().take_changes(), 1);
  const auto dispatched = t.loop.statistics().queues[1].dispatched;
  t.turn(3);
  EXPECT_EQ(t.loop.statistics().queues[1].dispatched, dispatched);
  ASSERT_TRUE(scope.spawn(waits_readable(t.tasks, t.trace, fd, "f")));
  t.turn(2);
  EXPECT_EQ(t.trace, "a b c d e f:readable");
}

TEST(TaskFd, tells_hang_ups_and_errors_to_both) {
  SmallTaskLoop t;
  Pair pair = make_socket_pair();
  TaskFd fd;
  ASSERT_TRUE(fd.open(t.loop, pair.near.get()));
  put(pair.near, std::string(100, 'x'));
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(waits_readable(t.tasks, t.trace, fd, "a")));
  ASSERT_TRUE(scope.spawn(waits_writable(t.tasks, t.trace, fd, "b")));
  pair.far.reset();
  t.turn(4);
  EXPECT_EQ(t.trace, "a:readable b:writable");
  t.turn(2);
  const auto dispatched = t.loop.statistics().queues[1].dispatched;
  t.turn(3);  // it stays so, and is not reported for ever
  EXPECT_EQ(t.loop.statistics().queues[1].dispatched, dispatched);
}

TEST(TaskFd, whose_descriptor_was_closed_behind_its_back_reports_an_error_each_time_it_is_asked) {
  SmallTaskLoop t;
  Pair pipe = make_pipe();
  TaskFd fd;
  ASSERT_TRUE(fd.open(t.loop, pipe.near.get()));
  pipe.near.reset();
  TaskScope scope(t.tasks);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(scope.spawn(waits_readable(t.tasks, t.trace, fd, "a")));
    t.turn(3);
  }
  EXPECT_EQ(t.trace, "a:else a:else");
}

TEST(TaskFd, closing_it_cancels_what_waits_and_opening_it_twice_is_refused) {
  SmallTaskLoop t;
  const Pair pair = make_socket_pair();
  TaskFd fd;
  TaskScope scope(t.tasks);
  fd.close();
  ASSERT_TRUE(scope.spawn(waits_readable(t.tasks, t.trace, fd, "early")));
  t.turn();
  ASSERT_TRUE(fd.open(t.loop, pair.near.get()));
  EXPECT_EQ(fd.open(t.loop, pair.near.get()).error().number, EALREADY);
  TaskFd other;
  EXPECT_EQ(other.open(t.loop, pair.near.get()).error().number, EEXIST);
  ASSERT_TRUE(scope.spawn(waits_readable(t.tasks, t.trace, fd, "a", 1s)));
  ASSERT_TRUE(scope.spawn(waits_readable(t.tasks, t.trace, fd, "c")));
  t.turn();
  EXPECT_EQ(fd.fd(), pair.near.get());
  fd.close();
  put(pair.far, "x");
  t.turn();
  EXPECT_EQ(t.trace, "early:EBADF c:EBUSY a:ECANCELED");
  EXPECT_TRUE(scope.empty());
}

TEST(TaskFd, a_handler_and_a_task_may_watch_the_same_source) {
  SmallTaskLoop t;
  const Pair pipe = make_pipe();
  const hal::Fd second(::dup(pipe.near.get()));
  Note handler(t.trace, "handler");
  const auto watch = t.loop.watch(second.get(), Events::readable, handler);
  ASSERT_TRUE(watch);
  TaskFd fd;
  ASSERT_TRUE(fd.open(t.loop, pipe.near.get()));
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(waits_readable(t.tasks, t.trace, fd, "task")));
  t.turn();
  put(pipe.far, "x");
  t.turn();
  EXPECT_EQ(t.trace, "handler task:readable");
  ASSERT_TRUE(t.loop.remove(*watch));
}

TEST(TaskFd, deadline_and_readiness_in_one_batch_whoever_comes_first_wins) {
  SmallTaskLoop t;
  const Pair pipe = make_pipe();
  TaskFd fd;
  ASSERT_TRUE(fd.open(t.loop, pipe.near.get()));
  TaskScope scope(t.tasks);
  // Expired timers are queued before ready descriptors.
  ASSERT_TRUE(scope.spawn(waits_readable(t.tasks, t.trace, fd, "a", 1ms)));
  t.turn();
  put(pipe.far, "x");
  t.turn_after(1ms, 2);
  EXPECT_EQ(t.trace, "a:ETIMEDOUT");
  // A descriptor that is more urgent than the task's timer.
  fd.close();
  ASSERT_TRUE(fd.open(t.loop, pipe.near.get(), urgent));
  (void)get(pipe.near);
  ASSERT_TRUE(scope.spawn(waits_readable(t.tasks, t.trace, fd, "b", 1ms)));
  t.turn();
  put(pipe.far, "x");
  t.turn_after(1ms, 2);
  EXPECT_EQ(t.trace, "a:ETIMEDOUT b:readable");
  EXPECT_EQ(t.loop.statistics().timers_expired, 1U);
}

// --- Streams -----------------------------------------------------------------------------------

struct StreamTest : ::testing::Test {
  StreamTest() { EXPECT_TRUE(stream.open(t.loop, pair.near.get(), TaskStream::Kind::socket)); }
  template <class F>
  void spawn(F&& task) {
    ASSERT_TRUE(scope.spawn(std::forward<F>(task)));
    t.turn(2);  // it begins, and then what is there is found
  }
  void feed(std::string_view text) {
    put(pair.far, text);
    t.turn(2);
  }

  SmallTaskLoop t;
  Pair pair = make_socket_pair();
  StaticTaskStream<16> stream;
  TaskScope scope{t.tasks};
};

Task<> reads_lines(Tasks& /*tasks*/, Trace& trace, TaskStream& stream, int count,
                   Deadline deadline = {}) {
  std::array<char, 12> into{};
  for (int i = 0; i < count; ++i) {
    const auto line = co_await stream.read_line(into, deadline);
    trace.add("<", line ? *line : word(line.error()), ">");
  }
}

Task<> reads_exactly(Tasks& /*tasks*/, Trace& trace, TaskStream& stream, std::size_t count,
                     Deadline deadline = {}) {
  std::array<std::byte, 20> into{};
  const auto got = co_await stream.read_exactly(std::span(into).first(count), deadline);
  trace.add(got ? std::string_view(std::bit_cast<const char*>(into.data()), *got)
                : word(got.error()));
}

Task<> reads_some(Tasks& /*tasks*/, Trace& trace, TaskStream& stream, std::size_t count,
                  Deadline deadline = {}) {
  std::array<std::byte, 20> into{};
  const auto got = co_await stream.read_some(std::span(into).first(count), deadline);
  trace.add(got ? std::string_view(std::bit_cast<const char*>(into.data()), *got)
                : word(got.error()));
}

Task<> reads_until(Tasks& /*tasks*/, Trace& trace, TaskStream& stream, char delimiter,
                   std::size_t most) {
  std::array<std::byte, 20> into{};
  const auto got = co_await stream.read_until(delimiter, std::span(into).first(most));
  trace.add(got ? std::string_view(std::bit_cast<const char*>(into.data()), *got)
                : word(got.error()));
}

TEST_F(StreamTest, reads_lines_as_they_come_in_pieces_and_several_at_once) {
  spawn(reads_lines(t.tasks, t.trace, stream, 4));
  feed("on");
  feed("e\r");
  EXPECT_EQ(t.trace, "");
  feed("\ntwo\n\nth");
  EXPECT_EQ(t.trace, "<one> <two> <>");
  feed("ree\n");
  EXPECT_EQ(t.trace, "<one> <two> <> <three>");
}

TEST_F(StreamTest, reads_exactly_some_and_up_to_a_delimiter) {
  spawn(reads_exactly(t.tasks, t.trace, stream, 5));
  feed("abcd");
  EXPECT_EQ(t.trace, "");
  feed("efg");
  EXPECT_EQ(t.trace, "abcde");
  spawn(reads_some(t.tasks, t.trace, stream, 20));
  EXPECT_EQ(t.trace, "abcde fg");
  spawn(reads_until(t.tasks, t.trace, stream, ';', 20));
  feed("x=1;y");
  EXPECT_EQ(t.trace, "abcde fg x=1;");
  spawn(reads_some(t.tasks, t.trace, stream, 0));
  EXPECT_EQ(t.trace, "abcde fg x=1; ");
  EXPECT_EQ(stream.discard(), 1U);
  EXPECT_EQ(stream.size(), 0U);
}

TEST_F(StreamTest, a_deadline_takes_nothing_out_of_the_ring) {
  spawn(reads_exactly(t.tasks, t.trace, stream, 5, 1ms));
  feed("abc");
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "ETIMEDOUT");
  EXPECT_EQ(stream.size(), 3U);
  spawn(reads_exactly(t.tasks, t.trace, stream, 3));
  EXPECT_EQ(t.trace, "ETIMEDOUT abc");
}

TEST_F(StreamTest, what_does_not_fit_is_an_error_and_stays) {
  spawn(reads_exactly(t.tasks, t.trace, stream, 17));  // more than the ring
  EXPECT_EQ(t.trace, "EMSGSIZE");
  t.trace.clear();
  feed("0123456789ab\n");
  spawn(reads_lines(t.tasks, t.trace, stream, 1));  // more than `into`
  EXPECT_EQ(t.trace, "<EMSGSIZE>");
  spawn(reads_exactly(t.tasks, t.trace, stream, 13));
  t.trace.clear();
  spawn(reads_lines(t.tasks, t.trace, stream, 1));  // a line longer than the ring
  feed("0123456789abcdefghij\n");
  EXPECT_EQ(t.trace, "<EMSGSIZE>");
  EXPECT_EQ(stream.size(), 16U);
}

TEST_F(StreamTest, the_end_comes_after_what_was_sent_before_it) {
  put(pair.far, "a\nb");
  pair.far.reset();
  spawn(reads_lines(t.tasks, t.trace, stream, 3));
  t.turn(3);
  EXPECT_EQ(t.trace, "<a> <ENODATA> <ENODATA>");
  spawn(reads_some(t.tasks, t.trace, stream, 20));
  spawn(reads_some(t.tasks, t.trace, stream, 20));
  EXPECT_EQ(t.trace, "<a> <ENODATA> <ENODATA> b ENODATA");
}

TEST_F(StreamTest, one_task_reads_at_a_time_even_what_is_there_already) {
  spawn(reads_exactly(t.tasks, t.trace, stream, 5));
  feed("abc");
  spawn(reads_some(t.tasks, t.trace, stream, 2));
  EXPECT_EQ(t.trace, "EBUSY");
  feed("de");
  EXPECT_EQ(t.trace, "EBUSY abcde");
}

TEST_F(StreamTest, closed_it_gives_what_is_left_and_then_an_error) {
  spawn(reads_exactly(t.tasks, t.trace, stream, 5));
  feed("abc");
  stream.close();
  t.turn();
  spawn(reads_some(t.tasks, t.trace, stream, 20));
  spawn(reads_some(t.tasks, t.trace, stream, 20));
  EXPECT_EQ(t.trace, "ECANCELED abc EBADF");
  EXPECT_FALSE(stream.is_open());
  ASSERT_TRUE(stream.open(t.loop, pair.near.get(), TaskStream::Kind::socket));
  EXPECT_EQ(stream.open(t.loop, pair.near.get(), TaskStream::Kind::socket).error().number,
            EALREADY);
}

Task<> writes(Tasks& /*tasks*/, Trace& trace, TaskStream& stream, std::string_view text,
              Deadline deadline = {}) {
  const auto written = co_await stream.write(text, deadline);
  trace.add(written ? "written" : word(written.error()));
}

TEST_F(StreamTest, writes_at_once_what_there_is_room_for) {
  spawn(writes(t.tasks, t.trace, stream, "hello"));
  EXPECT_EQ(t.trace, "written");
  EXPECT_EQ(get(pair.far), "hello");
  spawn(writes(t.tasks, t.trace, stream, ""));
  EXPECT_EQ(t.trace, "written written");
}

TEST_F(StreamTest, writes_the_rest_as_room_comes_and_others_must_wait) {
  const std::string much(1 << 20, 'x');
  spawn(writes(t.tasks, t.trace, stream, much));
  spawn(writes(t.tasks, t.trace, stream, "y"));
  EXPECT_EQ(t.trace, "EBUSY");
  std::size_t got = 0;
  for (int i = 0; i < 100000 && got < much.size(); ++i) {
    got += get(pair.far, 65536).size();
    t.turn();
  }
  EXPECT_EQ(got, much.size());
  EXPECT_EQ(t.trace, "EBUSY written");
  spawn(writes(t.tasks, t.trace, stream, much, 1ms));
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "EBUSY written ETIMEDOUT");
}

TEST_F(StreamTest, writing_to_nobody_is_an_error) {
  pair.far.reset();
  spawn(writes(t.tasks, t.trace, stream, "x"));
  EXPECT_EQ(t.trace, "EPIPE");
  stream.close();
  spawn(writes(t.tasks, t.trace, stream, "x"));
  EXPECT_EQ(t.trace, "EPIPE EBADF");
}

TEST_F(StreamTest, tells_readiness_without_reading) {
  const auto body = [&](Tasks& /*tasks*/) -> Task<> {
    (void)co_await stream.writable();
    t.trace.add("writable");
    (void)co_await stream.readable();
    t.trace.add("readable", stream.size());
  };
  spawn(body(t.tasks));
  t.turn(2);
  feed("x");
  EXPECT_EQ(t.trace, "writable readable0");
}

TEST(TaskStream, of_a_pipe_writes_and_reads_and_tells_what_read_fails_with) {
  SmallTaskLoop t;
  const Pair pipe = make_pipe();
  StaticTaskStream<16> in;
  StaticTaskStream<1> out;
  ASSERT_TRUE(in.open(t.loop, pipe.near.get(), TaskStream::Kind::file));
  ASSERT_TRUE(out.open(t.loop, pipe.far.get(), TaskStream::Kind::file));
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(reads_lines(t.tasks, t.trace, in, 1)));
  ASSERT_TRUE(scope.spawn(writes(t.tasks, t.trace, out, "abc\n")));
  t.turn(3);
  EXPECT_EQ(t.trace, "written <abc>");
  // A listener is readable, but can't be read.
  const Listener listener = listen_on_loopback();
  StaticTaskStream<16> wrong;
  ASSERT_TRUE(wrong.open(t.loop, listener.fd.get(), TaskStream::Kind::file));
  const hal::Fd client = make_tcp_socket();
  (void)connect_to(client, listener.address);
  t.trace.clear();
  ASSERT_TRUE(scope.spawn(reads_some(t.tasks, t.trace, wrong, 1)));
  t.turn(3);
  EXPECT_EQ(t.trace, "cannot read");
}

// --- Sockets -----------------------------------------------------------------------------------

Task<> accepts(Tasks& /*tasks*/, Trace& trace, TaskFd& listener, Deadline deadline = {}) {
  auto accepted = co_await accept(listener, deadline);
  trace.add(accepted ? "accepted" : word(accepted.error()));
}
Task<> connects(Tasks& /*tasks*/, Trace& trace, hal::SocketAddress address,
                Deadline deadline = {}) {
  auto connected = co_await connect(address, deadline);
  trace.add(connected ? "connected" : word(connected.error()));
}

struct SocketTest : ::testing::Test {
  SocketTest() {
    EXPECT_TRUE(listener.open(t.loop, socket.get()));
    address = *hal::local_address(socket.get());
  }
  SmallTaskLoop t;
  hal::Fd socket = *hal::listen(*hal::SocketAddress::parse("127.0.0.1:0"), 4);
  hal::SocketAddress address;
  TaskFd listener;
  TaskScope scope{t.tasks};
};

TEST_F(SocketTest, accepts_and_connects) {
  ASSERT_TRUE(scope.spawn(accepts(t.tasks, t.trace, listener)));
  ASSERT_TRUE(scope.spawn(connects(t.tasks, t.trace, address)));
  t.turn(5);
  EXPECT_TRUE(t.trace == "accepted connected" || t.trace == "connected accepted") << t.trace.text();
}

TEST_F(SocketTest, somebody_else_was_faster_to_accept) {
  ASSERT_TRUE(scope.spawn(accepts(t.tasks, t.trace, listener)));
  t.turn();
  hal::Fd first = *hal::connect(address);
  On takes{[&](const Message&) { EXPECT_TRUE(*hal::accept(socket.get())); }};
  ASSERT_TRUE(t.loop.post(takes, at(urgent)));
  t.turn(2);
  EXPECT_EQ(t.trace, "");
  const hal::Fd second = *hal::connect(address);
  t.turn(2);
  EXPECT_EQ(t.trace, "accepted");
}

TEST_F(SocketTest, nobody_comes_and_nobody_is_there) {
  ASSERT_TRUE(scope.spawn(accepts(t.tasks, t.trace, listener, 1ms)));
  t.turn();
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "ETIMEDOUT");
  listener.close();
  socket.reset();
  ASSERT_TRUE(scope.spawn(connects(t.tasks, t.trace, address)));
  t.turn(5);
  EXPECT_EQ(t.trace, "ETIMEDOUT ECONNREFUSED");
  ASSERT_TRUE(scope.spawn(connects(t.tasks, t.trace, hal::SocketAddress())));
  t.turn();
  EXPECT_TRUE(scope.empty());
}

TEST_F(SocketTest, accept_tells_what_the_kernel_fails_with) {
  listener.close();
  const Pair pair = make_socket_pair();  // no listener
  put(pair.far, "x");
  ASSERT_TRUE(listener.open(t.loop, pair.near.get()));
  const auto body = [&](Tasks& /*tasks*/) -> Task<> {
    const auto accepted = co_await accept(listener);
    t.trace.add(accepted ? 0 : accepted.error().number);
  };
  ASSERT_TRUE(scope.spawn(body(t.tasks)));
  t.turn(2);
  EXPECT_EQ(t.trace, std::to_string(EINVAL));
}

TEST(TaskConnect, in_a_loop_without_room_for_its_watch_is_refused) {
  TaskLoop<4096, ReactorLimits{.fds = 8}> t;
  std::array<hal::Fd, 8> fds;
  for (hal::Fd& fd : fds) {
    fd = make_file();
  }
  const hal::Fd socket = *hal::listen(*hal::SocketAddress::parse("127.0.0.1:0"), 4);
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(connects(t.tasks, t.trace, *hal::local_address(socket.get()))));
  t.turn();
  EXPECT_EQ(t.trace, "ENOSPC");
}

TEST(TaskConnect, a_deadline_closes_the_socket) {
  SmallTaskLoop t;
  // Nobody accepts, so a TCP connection of a full backlog is never decided.
  const hal::Fd tcp = *hal::listen(*hal::SocketAddress::parse("127.0.0.1:0"), 0);
  const auto tcp_address = *hal::local_address(tcp.get());
  std::array<hal::Fd, 4> fill;
  for (hal::Fd& fd : fill) {
    fd = *hal::connect(tcp_address);
  }
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(connects(t.tasks, t.trace, tcp_address, 1ms)));
  t.turn(2);
  EXPECT_EQ(t.trace, "");
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "ETIMEDOUT");
}

// --- Signals, children, lines ------------------------------------------------------------------

Task<> takes_signals(Tasks& /*tasks*/, Trace& trace, TaskSignals& signals, Deadline deadline = {}) {
  for (int i = 0; i < 2; ++i) {
    const auto received = co_await signals.next(deadline);
    trace.add(received ? received->signal == SIGUSR2 ? "USR2" : "?" : word(received.error()));
  }
}

TEST(TaskSignals, reports_signals_also_those_that_came_before) {
  SmallTaskLoop t;
  TaskSignals signals;
  constexpr std::array wanted = {SIGUSR2};
  ASSERT_TRUE(signals.open(t.loop, wanted));
  ASSERT_EQ(::raise(SIGUSR2), 0);
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(takes_signals(t.tasks, t.trace, signals, 1ms)));
  t.turn(3);
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "USR2 ETIMEDOUT");
  signals.close();
  ASSERT_TRUE(scope.spawn(takes_signals(t.tasks, t.trace, signals)));
  t.turn();
  EXPECT_EQ(t.trace, "USR2 ETIMEDOUT EBADF EBADF");
  constexpr std::array none = {-1};
  EXPECT_FALSE(signals.open(t.loop, none));
}

/// A child that waits until its descriptor ends, and then ends as told; 0 if it can't be watched.
pid_t make_child(int status, hal::Fd& until) {
  Pair pipe = make_pipe();
  until = std::move(pipe.far);
  const pid_t pid = ::fork();
  if (pid == 0) {
    until.reset();
    char byte = 0;
    while (::read(pipe.near.get(), &byte, 1) < 0) {
      ::usleep(100);
    }
    status < 0 ? ::raise(-status) : 0;
    ::_exit(status);
  }
  return pid;
}

Task<> waits_for_child(Tasks& /*tasks*/, Trace& trace, pid_t pid, Deadline deadline = {}) {
  const auto exit = co_await child_exit(pid, deadline);
  trace.add(exit ? exit->killed ? "killed" : "exited" : word(exit.error()),
            exit ? exit->status : 0);
}

void turn_until_empty(SmallTaskLoop& t, TaskScope& scope) {
  for (int i = 0; i < 10000 && !scope.empty(); ++i) {
    t.turn();
    ::usleep(1000);
  }
}

TEST(TaskChildExit, tells_how_a_child_has_ended) {
  if (const auto probe = hal::open_child(::getpid()); !probe && probe.error().number == ENOSYS) {
    GTEST_SKIP() << "this kernel has no pidfd_open";
  }
  SmallTaskLoop t;
  TaskScope scope(t.tasks);
  hal::Fd until;
  const pid_t first = make_child(3, until);
  ASSERT_TRUE(scope.spawn(waits_for_child(t.tasks, t.trace, first, 1ms)));
  t.turn();
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "ETIMEDOUT0");  // it is left alone
  ASSERT_TRUE(scope.spawn(waits_for_child(t.tasks, t.trace, first)));
  t.turn();
  until.reset();
  turn_until_empty(t, scope);
  EXPECT_EQ(t.trace, "ETIMEDOUT0 exited3");
  t.trace.clear();
  const pid_t second = make_child(-SIGKILL, until);
  until.reset();
  ASSERT_TRUE(scope.spawn(waits_for_child(t.tasks, t.trace, second)));
  turn_until_empty(t, scope);
  EXPECT_EQ(t.trace, "killed9");
  EXPECT_EQ(::waitpid(second, nullptr, WNOHANG), -1);  // it was reaped
  EXPECT_FALSE(hal::open_child(second));
  const auto self = hal::open_child(::getpid());
  EXPECT_EQ(hal::reap_child(self->get()).error().number, ECHILD);
}

TEST(TaskChildExit, a_child_that_still_runs_is_not_reaped) {
  hal::Fd until;
  const pid_t pid = make_child(0, until);
  const auto child = hal::open_child(pid);
  if (!child && child.error().number == ENOSYS) {
    until.reset();
    (void)::waitpid(pid, nullptr, 0);
    GTEST_SKIP() << "this kernel has no pidfd_open";
  }
  EXPECT_EQ(hal::reap_child(child->get()).error().number, EAGAIN);
  {
    TaskLoop<4096, ReactorLimits{.fds = 4}> t;  // no room for its descriptor
    TaskScope scope(t.tasks);
    ASSERT_TRUE(scope.spawn(waits_for_child(t.tasks, t.trace, pid)));
    t.turn();
    EXPECT_EQ(t.trace, "ENOSPC0");
  }
  until.reset();
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

Task<> takes_edges(Tasks& /*tasks*/, Trace& trace, TaskEdges& edges, int count,
                   Deadline deadline = {}) {
  for (int i = 0; i < count; ++i) {
    const auto edge = co_await edges.next(deadline);
    trace.add(edge ? edge->id == hal::LineEvent::Id::rising_edge ? "up" : "down"
                   : word(edge.error()));
  }
}

TEST(TaskEdges, reports_edges_also_those_that_came_before) {
  SmallTaskLoop t;
  hal::GpioSim gpio;
  ASSERT_TRUE(gpio.open());
  const auto line = *gpio.find("gpio-sim:4");
  const hal::LineSettings input{.direction = hal::Direction::input, .edges = hal::Edges::both};
  const auto request = *gpio.request({&line, 1}, {&input, 1}, "test");
  TaskEdges edges;
  ASSERT_TRUE(edges.open(t.loop, gpio, request));
  EXPECT_EQ(edges.open(t.loop, gpio, request).error().number, EALREADY);
  TaskScope scope(t.tasks);
  ASSERT_TRUE(gpio.pull(line, true));
  ASSERT_TRUE(gpio.pull(line, false));
  ASSERT_TRUE(scope.spawn(takes_edges(t.tasks, t.trace, edges, 4, 1ms)));
  t.turn(2);
  EXPECT_EQ(t.trace, "up down");
  ASSERT_TRUE(gpio.pull(line, true));
  t.turn();
  EXPECT_EQ(t.trace, "up down up");
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "up down up ETIMEDOUT");
  ASSERT_TRUE(scope.spawn(takes_edges(t.tasks, t.trace, edges, 1)));
  t.turn();
  edges.close();
  t.turn();
  EXPECT_EQ(t.trace, "up down up ETIMEDOUT ECANCELED");
}

TEST(TaskEdges, that_somebody_else_was_faster_to_read_are_waited_for_again) {
  SmallTaskLoop t;
  hal::GpioSim gpio;
  ASSERT_TRUE(gpio.open());
  const auto line = *gpio.find("gpio-sim:4");
  const hal::LineSettings input{.direction = hal::Direction::input, .edges = hal::Edges::both};
  const auto request = *gpio.request({&line, 1}, {&input, 1}, "test");
  TaskEdges edges;
  ASSERT_TRUE(edges.open(t.loop, gpio, request));
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(takes_edges(t.tasks, t.trace, edges, 1)));
  t.turn();
  On reads{[&](const Message&) {
    std::array<hal::LineEvent, 4> events;
    EXPECT_EQ(*gpio.read_events(request, events), 1U);
  }};
  ASSERT_TRUE(gpio.pull(line, true));
  ASSERT_TRUE(t.loop.post(reads, at(urgent)));
  t.turn(2);
  EXPECT_EQ(t.trace, "");
  ASSERT_TRUE(gpio.pull(line, false));
  t.turn(2);
  EXPECT_EQ(t.trace, "down");
}

/// Lines whose chip is gone.
class GoneGpio final : public hal::Gpio {
 public:
  explicit GoneGpio(int fd) : fd_(fd) {}
  [[nodiscard]] Result<hal::LineAddress> find(std::string_view /*name*/) override { return gone(); }
  [[nodiscard]] Result<hal::LineAddress> at(std::size_t /*index*/) override { return gone(); }
  [[nodiscard]] Result<hal::LineInfo> info(hal::LineAddress /*line*/) override { return gone(); }
  [[nodiscard]] Result<hal::RequestId> request(std::span<const hal::LineAddress> /*lines*/,
                                               std::span<const hal::LineSettings> /*settings*/,
                                               const char* /*consumer*/,
                                               std::size_t /*event_buffer*/) override {
    return gone();
  }
  [[nodiscard]] Result<void> reconfigure(hal::RequestId /*request*/,
                                         std::span<const hal::LineSettings> /*settings*/) override {
    return gone();
  }
  [[nodiscard]] Result<hal::LineMask> get(hal::RequestId /*request*/,
                                          hal::LineMask /*which*/) override {
    return gone();
  }
  [[nodiscard]] Result<void> set(hal::RequestId /*request*/, hal::LineMask /*which*/,
                                 hal::LineMask /*levels*/) override {
    return gone();
  }
  [[nodiscard]] int event_fd(hal::RequestId /*request*/) const override { return fd_; }
  [[nodiscard]] Result<std::size_t> read_events(hal::RequestId /*request*/,
                                                std::span<hal::LineEvent> /*events*/) override {
    return gone();
  }
  void release(hal::RequestId /*request*/) override {}

 private:
  static std::unexpected<Error> gone() { return fail(ENODEV, "the chip has vanished"); }
  int fd_;
};

TEST(TaskEdges, of_a_chip_that_has_vanished_are_an_error) {
  SmallTaskLoop t;
  Pair pipe = make_pipe();
  pipe.far.reset();
  GoneGpio gpio(pipe.near.get());
  TaskEdges edges;
  ASSERT_TRUE(edges.open(t.loop, gpio, hal::RequestId{}));
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(takes_edges(t.tasks, t.trace, edges, 1)));
  t.turn(2);
  EXPECT_EQ(t.trace, "the chip has vanished");
}

// --- Messages ----------------------------------------------------------------------------------

Task<> receives(Tasks& /*tasks*/, Trace& trace, TaskInbox& inbox, std::string_view name, int code,
                Deadline deadline = {}) {
  const auto message = code < 0
                           ? co_await inbox.receive(deadline)
                           : co_await inbox.receive(static_cast<std::uint16_t>(code), deadline);
  if (message) {
    trace.add(name, message->code, "=", message->value);
  } else {
    trace.add(name, word(message.error()));
  }
}

Message of(std::uint16_t code, std::uint32_t value) {
  Message message;
  message.code = code;
  message.value = value;
  return message;
}

TEST(TaskInbox, gives_each_message_to_the_first_that_waits_for_its_kind) {
  SmallTaskLoop t;
  StaticTaskInbox<2> inbox;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(receives(t.tasks, t.trace, inbox, "a", 1)));
  ASSERT_TRUE(scope.spawn(receives(t.tasks, t.trace, inbox, "b", -1)));
  t.turn();
  ASSERT_TRUE(t.loop.post(inbox.handler(), of(2, 20)));
  ASSERT_TRUE(t.loop.post_from_any_thread(inbox.handler(), of(3, 30)));
  ASSERT_TRUE(t.loop.post(inbox.handler(), of(1, 10)));
  t.turn();
  EXPECT_EQ(t.trace, "b2=20 a1=10");
  EXPECT_EQ(inbox.size(), 1U);
  ASSERT_TRUE(scope.spawn(receives(t.tasks, t.trace, inbox, "c", 4, 1ms)));
  t.turn();
  t.turn_after(1ms);
  ASSERT_TRUE(scope.spawn(receives(t.tasks, t.trace, inbox, "d", 3)));
  t.turn();
  EXPECT_EQ(t.trace, "b2=20 a1=10 cETIMEDOUT d3=30");
}

TEST(TaskInbox, keeps_what_nobody_waits_for_and_counts_what_it_can_not_keep) {
  SmallTaskLoop t;
  StaticTaskInbox<2> inbox;
  TaskScope scope(t.tasks);
  for (std::uint16_t code = 1; code <= 4; ++code) {
    ASSERT_TRUE(t.loop.post(inbox.handler(), of(code, 0)));
  }
  t.turn();
  EXPECT_EQ(inbox.size(), 2U);
  EXPECT_EQ(inbox.refused(), 2U);
  ASSERT_TRUE(scope.spawn(receives(t.tasks, t.trace, inbox, "a", 2)));
  ASSERT_TRUE(scope.spawn(receives(t.tasks, t.trace, inbox, "b", -1)));
  t.turn();
  EXPECT_EQ(t.trace, "a2=0 b1=0");
  EXPECT_EQ(inbox.size(), 0U);
}

TEST(TaskInbox, goes_on_within_the_dispatch_of_the_message) {
  SmallTaskLoop t;
  StaticTaskInbox<2> inbox;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(receives(t.tasks, t.trace, inbox, "a", 1)));
  t.turn();
  Note note(t.trace, "post");
  ASSERT_TRUE(t.loop.post(note));
  ASSERT_TRUE(t.loop.post(inbox.handler(), of(1, 1)));
  ASSERT_TRUE(t.loop.post(note));
  t.turn();
  EXPECT_EQ(t.trace, "post a1=1 post");
}

// --- Channels ----------------------------------------------------------------------------------

using Numbers = TaskChannel<int, 2>;

Task<> sends(Tasks& /*tasks*/, Trace& trace, Numbers& numbers, int from, int to,
             Deadline deadline = {}) {
  for (int i = from; i <= to; ++i) {
    const auto sent = co_await numbers.send(i, deadline);
    trace.add("+", sent ? "" : word(sent.error()), i);
  }
}
Task<> receives_all(Tasks& /*tasks*/, Trace& trace, Numbers& numbers, std::string_view name,
                    Deadline deadline = {}) {
  while (const auto number = co_await numbers.receive(deadline)) {
    trace.add(name, *number);
  }
  trace.add(name, "end");
}

TEST(TaskChannel, passes_all_in_order_and_makes_senders_wait) {
  SmallTaskLoop t;
  Numbers numbers;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(sends(t.tasks, t.trace, numbers, 1, 4)));
  t.turn();
  EXPECT_EQ(t.trace, "+1 +2");
  ASSERT_TRUE(scope.spawn(receives_all(t.tasks, t.trace, numbers, "-")));
  t.turn();
  EXPECT_EQ(t.trace, "+1 +2 -1 -2 +3 +4 -3 -4");
  numbers.close();
  t.turn();
  EXPECT_EQ(t.trace, "+1 +2 -1 -2 +3 +4 -3 -4 -end");
  EXPECT_FALSE(numbers.try_send(5));
}

TEST(TaskChannel, serves_receivers_in_the_order_in_which_they_wait) {
  SmallTaskLoop t;
  Numbers numbers;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(receives_all(t.tasks, t.trace, numbers, "a")));
  ASSERT_TRUE(scope.spawn(receives_all(t.tasks, t.trace, numbers, "b")));
  t.turn();
  EXPECT_TRUE(numbers.try_send(1));
  EXPECT_TRUE(numbers.try_send(2));
  EXPECT_FALSE(numbers.try_send(3));
  EXPECT_FALSE(numbers.try_receive());  // both are promised
  t.turn();
  EXPECT_EQ(t.trace, "a1 b2");
  EXPECT_TRUE(numbers.empty());
  EXPECT_FALSE(numbers.try_receive());
  scope.cancel();
  EXPECT_TRUE(numbers.try_send(4));
  EXPECT_EQ(numbers.try_receive(), 4);
}

TEST(TaskChannel, what_a_cancelled_receiver_was_promised_goes_to_the_next) {
  SmallTaskLoop t;
  Numbers numbers;
  TaskScope scope(t.tasks);
  const auto a = scope.spawn(receives_all(t.tasks, t.trace, numbers, "a"));
  ASSERT_TRUE(scope.spawn(receives_all(t.tasks, t.trace, numbers, "b")));
  t.turn();
  EXPECT_TRUE(numbers.try_send(1));
  EXPECT_TRUE(scope.cancel(*a));
  t.turn();
  EXPECT_EQ(t.trace, "b1");
  scope.cancel();
}

TEST(TaskChannel, room_that_a_cancelled_sender_was_promised_goes_to_the_next) {
  SmallTaskLoop t;
  Numbers numbers;
  TaskScope scope(t.tasks);
  EXPECT_TRUE(numbers.try_send(1));
  EXPECT_TRUE(numbers.try_send(2));
  const auto a = scope.spawn(sends(t.tasks, t.trace, numbers, 3, 3));
  ASSERT_TRUE(scope.spawn(sends(t.tasks, t.trace, numbers, 4, 4)));
  t.turn();
  EXPECT_EQ(numbers.try_receive(), 1);
  EXPECT_FALSE(numbers.try_send(9));  // the room is promised
  EXPECT_TRUE(scope.cancel(*a));
  t.turn();
  EXPECT_EQ(t.trace, "+4");
  EXPECT_EQ(numbers.try_receive(), 2);
  EXPECT_EQ(numbers.try_receive(), 4);
}

TEST(TaskChannel, deadlines_and_closing_end_both_kinds_of_waiting) {
  SmallTaskLoop t;
  Numbers numbers;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(receives_all(t.tasks, t.trace, numbers, "a", 1ms)));
  t.turn();
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "aend");
  ASSERT_TRUE(scope.spawn(sends(t.tasks, t.trace, numbers, 1, 3, 1ms)));
  t.turn();
  t.turn_after(1ms);
  EXPECT_EQ(t.trace, "aend +1 +2 +ETIMEDOUT3");
  ASSERT_TRUE(scope.spawn(sends(t.tasks, t.trace, numbers, 4, 5)));
  t.turn();
  numbers.close();
  t.turn();
  EXPECT_EQ(t.trace, "aend +1 +2 +ETIMEDOUT3 +ECANCELED4 +ECANCELED5");
  ASSERT_TRUE(scope.spawn(receives_all(t.tasks, t.trace, numbers, "b")));
  t.turn();
  EXPECT_EQ(t.trace, "aend +1 +2 +ETIMEDOUT3 +ECANCELED4 +ECANCELED5 b1 b2 bend");
}

TEST(TaskChannel, a_promise_holds_although_it_is_closed_or_the_deadline_passes_meanwhile) {
  SmallTaskLoop t;
  Numbers numbers;
  TaskScope scope(t.tasks);
  ASSERT_TRUE(scope.spawn(receives_all(t.tasks, t.trace, numbers, "a", 1ms)));
  t.turn();
  On sender{[&](const Message&) {
    EXPECT_TRUE(numbers.try_send(1));
    numbers.close();
    t.clock.advance(2ms);
  }};
  ASSERT_TRUE(t.loop.post(sender));
  t.turn(2);
  EXPECT_EQ(t.trace, "a1 aend");
}

TEST(TaskChannel, who_was_promised_room_in_one_that_is_closed_meanwhile_is_refused) {
  SmallTaskLoop t;
  TaskChannel<int, 1> numbers;
  TaskScope scope(t.tasks);
  const auto sends = [](Tasks&, Trace& trace, TaskChannel<int, 1>& into) -> Task<> {
    for (int i = 1; i <= 2; ++i) {
      const auto sent = co_await into.send(i);
      trace.add(sent ? "sent" : "refused");
    }
  };
  ASSERT_TRUE(scope.spawn(sends(t.tasks, t.trace, numbers)));
  t.turn();
  On taker{[&](const Message&) {
    EXPECT_EQ(numbers.try_receive(), 1);  // there is room for the second
    numbers.close();
  }};
  ASSERT_TRUE(t.loop.post(taker, at(urgent)));
  t.turn(2);
  EXPECT_EQ(t.trace, "sent refused");
  EXPECT_EQ(numbers.size(), 0U);
}

TEST(TaskFd, an_error_that_passes_leaves_nobody_waiting_in_vain) {
  // A connected UDP socket whose peer's port is closed: ECONNREFUSED once, and then all is well.
  SmallTaskLoop t;
  const hal::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  hal::Fd closed(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto size = static_cast<socklen_t>(sizeof peer);
  ASSERT_EQ(::bind(closed.get(), reinterpret_cast<sockaddr*>(&peer), size), 0);
  ASSERT_EQ(::getsockname(closed.get(), reinterpret_cast<sockaddr*>(&peer), &size), 0);
  ASSERT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&peer), size), 0);
  closed.reset();
  TaskFd fd;
  ASSERT_TRUE(fd.open(t.loop, socket.get()));
  TaskScope scope(t.tasks);
  const auto reads = [](Tasks&, Trace& trace, TaskFd& from) -> Task<> {
    for (;;) {
      const auto events = co_await from.readable();
      if (!events) {
        co_return;
      }
      std::array<char, 1> byte{};
      (void)::recv(from.fd(), byte.data(), 1, MSG_DONTWAIT);
      trace.add("read");
    }
  };
  const auto writes = [](Tasks&, Trace& trace, TaskFd& to) -> Task<> {
    const auto events = co_await to.writable();
    trace.add(events ? "written" : "failed");
  };
  ASSERT_TRUE(scope.spawn(reads(t.tasks, t.trace, fd)));
  t.turn(2);
  ASSERT_EQ(::send(socket.get(), "x", 1, 0), 1);
  ASSERT_TRUE(scope.spawn(writes(t.tasks, t.trace, fd)));
  t.turn(10);
  EXPECT_NE(t.trace.text().find("written"), std::string_view::npos) << t.trace.text();
  scope.cancel();
  fd.close();
}

// --- No timer for a deadline -------------------------------------------------------------------

TEST(TaskWait, each_wait_without_a_timer_for_its_deadline_is_an_ordinary_error) {
  TaskLoop<16384, ReactorLimits{.fds = 256, .timers = 1}> t;
  const Pair pair = make_socket_pair();
  StaticTaskStream<16> stream;
  ASSERT_TRUE(stream.open(t.loop, pair.near.get(), TaskStream::Kind::socket));
  const Listener socket = listen_on_loopback();
  TaskFd listener;
  ASSERT_TRUE(listener.open(t.loop, socket.fd.get()));
  StaticTaskInbox<1> inbox;
  Numbers numbers;
  TaskScope scope(t.tasks);
  const auto hold = t.loop.add_timer(inbox.handler());
  ASSERT_TRUE(scope.spawn(reads_lines(t.tasks, t.trace, stream, 1, 1s)));
  ASSERT_TRUE(scope.spawn(accepts(t.tasks, t.trace, listener, 1s)));
  ASSERT_TRUE(scope.spawn(receives(t.tasks, t.trace, inbox, "", -1, 1s)));
  ASSERT_TRUE(scope.spawn(sends(t.tasks, t.trace, numbers, 1, 3, 1s)));
  const auto others = [&](Tasks& tasks) -> Task<> {
    const auto timed = co_await within(1s, reads_lines(tasks, t.trace, stream, 1));
    t.trace.add(word(timed.error()));
    TaskScope inner(tasks);
    (void)inner.spawn(reads_lines(tasks, t.trace, stream, 1));
    const auto joined = co_await inner.join(1s);
    t.trace.add(word(joined.error()));
  };
  ASSERT_TRUE(scope.spawn(others(t.tasks)));
  t.turn();
  EXPECT_EQ(t.trace, "<ENOSPC> ENOSPC ENOSPC +1 +2 +ENOSPC3 ENOSPC ENOSPC");
  EXPECT_TRUE(scope.empty());
  t.loop.remove_timer(*hold);
}

}  // namespace
}  // namespace millrace::test
