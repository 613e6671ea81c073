// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include "firmware/reactor/offload.hpp"
#include "hal/gpio_sim.hpp"
#include "hal/heap_trap.hpp"
#include "tests/support/descriptors.hpp"
#include "tests/support/kernel.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

constexpr OffloadLimits limits{.lanes = 2, .workers = 3, .jobs = 4, .buffer = 64};
constexpr std::size_t sd_card = 0;
constexpr std::size_t memory_disk = 1;

/// Holds those who pass until it is opened.
struct Gate {
  std::atomic<int> inside = 0;
  std::atomic<bool> open = false;

  void pass() {
    ++inside;
    while (!open) {
      std::this_thread::yield();
    }
    --inside;
  }
};

struct GateOf {
  Gate* gate;
};
void pass_gate(Work& work) { work.load<GateOf>().gate->pass(); }
void nothing(Work& /*work*/) {}

Completion completion_of(const Message& message) { return message.load<Completion>(); }

struct OffloadTest : ::testing::Test {
  Loop<Epoll> loop;
  StaticOffload<limits> offload;
  Trace trace;

  void SetUp() override { ASSERT_TRUE(offload.open(loop)); }

  JobId start(std::size_t lane, Handler done, Offload::Function run = nothing) {
    const auto job = offload.reserve(lane, done);
    EXPECT_TRUE(job);
    offload.start(*job, run);
    return *job;
  }
  JobId start(std::size_t lane, Handler done, Gate& gate) {
    const auto job = offload.reserve(lane, done);
    EXPECT_TRUE(job);
    offload.work(*job).store(GateOf{&gate});
    offload.start(*job, pass_gate);
    return *job;
  }
  /// Turns until the trace has so many words.
  void turn_until(std::size_t words) {
    const auto count = [&] {
      return trace.text().empty() ? 0 : 1 + std::ranges::count(trace.text(), ' ');
    };
    while (std::cmp_less(count(), words)) {
      ASSERT_TRUE(loop.turn());
    }
  }
  static void until(const std::atomic<int>& count, int value) {
    while (count != value) {
      std::this_thread::yield();
    }
  }
};

TEST_F(OffloadTest, a_job_runs_in_a_thread_of_its_own_and_ends_in_the_loop) {
  struct Arguments {
    int factor;
    std::thread::id* thread;
  };
  std::thread::id worker;
  std::optional<Completion> got;
  On done{[&](const Message& message) {
    EXPECT_EQ(message.kind, MessageKind::posted);
    got = completion_of(message);
    EXPECT_EQ(offload.work(got->job).buffer[0], std::byte{7});
    loop.quit();
  }};
  const auto job = offload.reserve(sd_card, done);
  ASSERT_TRUE(job);
  EXPECT_EQ(offload.work(*job).buffer.size(), offload.buffer_size());
  offload.work(*job).store(Arguments{.factor = 6, .thread = &worker});
  offload.start(*job, [](Work& work) {
    const auto [factor, thread] = work.load<Arguments>();
    *thread = std::this_thread::get_id();
    work.buffer[0] = std::byte{7};
    work.result = factor * std::int64_t{7'000'000'000};
    work.error = EDOM;
  });
  ASSERT_TRUE(loop.run());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->job, *job);
  EXPECT_EQ(got->result, 42'000'000'000);
  EXPECT_EQ(got->error, EDOM);
  EXPECT_FALSE(got->shut_down);
  EXPECT_NE(worker, std::thread::id());
  EXPECT_NE(worker, std::this_thread::get_id());
  EXPECT_EQ(offload.statistics(sd_card).in_use, 0U);
  EXPECT_EQ(offload.statistics(sd_card).told, 1U);
}

TEST_F(OffloadTest, a_job_takes_several_steps_in_one_place_even_when_all_are_taken) {
  std::uint32_t steps = 0;
  On again{[&](const Message& message) {
    const auto [job, error, shut_down, result] = completion_of(message);
    EXPECT_EQ(result, steps);
    EXPECT_FALSE(offload.reserve(sd_card, {}));
    offload.work(job).store(++steps);
    if (steps < 5) {
      offload.start(job, [](Work& work) { work.result = work.load<std::uint32_t>(); });
    } else {
      trace.add("end");
    }
  }};
  for (std::size_t i = 1; i < limits.jobs; ++i) {
    ASSERT_TRUE(offload.reserve(sd_card, {}));
  }
  start(sd_card, again);
  turn_until(1);
  EXPECT_EQ(offload.statistics(sd_card).in_use, limits.jobs - 1);
  EXPECT_EQ(offload.statistics(sd_card).refused, 5U);
  EXPECT_EQ(offload.statistics(sd_card).told, 5U);
}

TEST_F(OffloadTest, a_lane_that_is_stuck_leaves_the_others_a_worker_and_their_places) {
  Gate gate;
  Note stuck(trace, "stuck");
  for (std::size_t i = 0; i < limits.jobs; ++i) {
    start(sd_card, stuck, gate);
  }
  const auto refused = offload.reserve(sd_card, stuck);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().number, ENOSPC);
  until(gate.inside, 2);
  EXPECT_EQ(offload.statistics(sd_card).running, limits.workers - 1);
  EXPECT_EQ(offload.statistics(sd_card).queued, limits.jobs - 2);
  EXPECT_EQ(offload.statistics(sd_card).high_water, limits.jobs);
  EXPECT_EQ(offload.workers_idle(), 1U);
  Note ram(trace, "ram");
  for (int i = 0; i < 10; ++i) {
    start(memory_disk, ram);
    start(memory_disk, ram);
    trace.clear();
    turn_until(2);
    EXPECT_EQ(trace, "ram ram");
  }
  EXPECT_EQ(gate.inside, 2);
  gate.open = true;
  trace.clear();
  turn_until(4);
  EXPECT_EQ(trace, "stuck stuck stuck stuck");
  EXPECT_EQ(offload.workers_idle(), limits.workers);
}

TEST_F(OffloadTest, one_lane_runs_in_the_order_of_its_starts) {
  Gate gate;
  Note never(trace, "gate");
  start(sd_card, never, gate);
  Gate other_gate;
  start(memory_disk, never, other_gate);
  start(memory_disk, never, other_gate);  // so that the lane has one worker
  until(gate.inside, 1);
  until(other_gate.inside, 2);
  static std::atomic<std::uint32_t> running_number;
  running_number = 0;
  std::vector<std::int64_t> order;
  On done{[&](const Message& message) {
    order.push_back(completion_of(message).result);
    trace.add("x");
  }};
  std::vector<JobId> jobs;
  for (int i = 0; i < 3; ++i) {
    jobs.push_back(start(sd_card, done, [](Work& work) { work.result = running_number++; }));
  }
  EXPECT_EQ(offload.statistics(sd_card).queued, 3U);
  EXPECT_EQ(offload.cancel(jobs[1]), Cancelled::never_ran);  // the one in the middle
  jobs[1] = start(sd_card, done, [](Work& work) { work.result = running_number++; });
  EXPECT_EQ(offload.cancel(jobs[1]), Cancelled::never_ran);  // the last
  jobs[1] = start(sd_card, done, [](Work& work) { work.result = 100 + running_number++; });
  gate.open = true;
  turn_until(4);
  other_gate.open = true;
  turn_until(6);
  EXPECT_EQ(order, (std::vector<std::int64_t>{0, 1, 102}));
  EXPECT_EQ(offload.statistics(sd_card).never_ran, 2U);
}

TEST_F(OffloadTest, cancelling_takes_back_what_waits_and_orphans_what_runs) {
  Gate gate;
  On never{[&](const Message&) { ADD_FAILURE() << "it was cancelled"; }};
  const JobId reserved = *offload.reserve(sd_card, never);
  const JobId first = start(sd_card, never, gate);
  Note told(trace, "second");
  start(sd_card, told, gate);
  const JobId waiting = start(sd_card, never, gate);
  until(gate.inside, 2);
  EXPECT_EQ(offload.cancel(reserved), Cancelled::never_ran);
  EXPECT_EQ(offload.cancel(reserved), Cancelled::no_job);
  EXPECT_EQ(offload.cancel(waiting), Cancelled::never_ran);
  EXPECT_EQ(offload.cancel(first), Cancelled::runs_on);
  EXPECT_EQ(offload.cancel(first), Cancelled::no_job);
  EXPECT_EQ(offload.cancel({.index = 1000, .generation = 1}), Cancelled::no_job);
  offload.start(first, nothing);     // nor can it be started again,
  offload.start(reserved, nothing);  // nor what is gone
  offload.start(reserved, {});
  EXPECT_EQ(offload.statistics(sd_card).in_use, 2U);
  EXPECT_EQ(offload.statistics(sd_card).orphaned, 1U);
  gate.open = true;
  while (offload.statistics(sd_card).in_use > 0) {
    ASSERT_TRUE(loop.turn());
  }
  EXPECT_EQ(trace, "second");
  EXPECT_EQ(offload.statistics(sd_card).told, 1U);
}

TEST_F(OffloadTest, what_has_run_and_is_not_told_yet_can_be_cancelled) {
  // Which of two is told first, and whether the other has run by then, is up to the workers.
  bool seen = false;
  while (!seen) {
    std::array<JobId, 2> jobs{};
    int told = 0;
    On done{[&](const Message& message) {
      ++told;
      const JobId self = completion_of(message).job;
      EXPECT_EQ(offload.cancel(self), Cancelled::no_job) << "it ends anyway";
      const Cancelled other = offload.cancel(jobs[self == jobs[0] ? 1 : 0]);
      seen = other == Cancelled::has_run;
      EXPECT_TRUE(seen || other == Cancelled::runs_on);
    }};
    for (JobId& job : jobs) {
      job = start(sd_card, done);
    }
    while (offload.statistics(sd_card).in_use > 0) {
      loop.turn_now();
    }
    EXPECT_EQ(told, 1);
  }
}

TEST_F(OffloadTest, nobody_needs_to_be_told) {
  start(sd_card, {});
  while (offload.statistics(sd_card).in_use > 0) {
    ASSERT_TRUE(loop.turn());
  }
  EXPECT_EQ(offload.statistics(sd_card).told, 0U);
}

TEST_F(OffloadTest, no_completion_is_lost_while_every_queue_of_the_loop_is_full) {
  Note done(trace, "done");
  On nobody{[](const Message&) {}};
  On flood{[&](const Message& message) {
    while (loop.post(message.handler, at(urgent))) {
    }
  }};
  ASSERT_TRUE(loop.post(flood, at(urgent)));
  while (loop.post_from_any_thread(nobody)) {
  }
  Gate gate;
  start(sd_card, done, gate);
  start(sd_card, done, gate);
  start(memory_disk, done, gate);
  gate.open = true;
  turn_until(3);
  EXPECT_EQ(trace, "done done done");
}

TEST_F(OffloadTest, thousands_of_jobs_all_end_once) {
  constexpr int count = 5000;
  int ended = 0;
  int started = 0;
  static std::atomic<int> ran;
  ran = 0;
  struct Pump {
    StaticOffload<limits>& offload;
    int& started;
    int& ended;
    Loop<Epoll>& loop;

    void fill() {
      for (std::size_t lane = 0; lane < limits.lanes; ++lane) {
        while (started < count) {
          const auto job = offload.reserve(lane, Handler::to<&Pump::done>(*this));
          if (!job) {
            break;
          }
          offload.start(*job, [](Work& /*work*/) { ++ran; });
          ++started;
        }
      }
    }
    void done(const Message& /*message*/) {
      ++ended;
      fill();
      if (ended == count) {
        loop.quit();
      }
    }
  } pump{offload, started, ended, loop};
  pump.fill();
  ASSERT_TRUE(loop.run());
  EXPECT_EQ(ended, count);
  EXPECT_EQ(ran, count);
  EXPECT_EQ(offload.statistics(0).told + offload.statistics(1).told, std::uint64_t{count});
}

TEST_F(OffloadTest, nothing_is_allocated_once_it_is_open) {
  Note done(trace, "done");
  hal::heap_trap::arm(hal::heap_trap::Action::count);
  for (int i = 0; i < 3; ++i) {
    start(sd_card, done);
  }
  turn_until(3);
  EXPECT_EQ(hal::heap_trap::calls(), 0U);
  hal::heap_trap::disarm();
}

TEST_F(OffloadTest, the_file_system_is_called_by_a_worker) {
  std::int64_t fd = -1;
  On opened{[&](const Message& message) {
    fd = completion_of(message).result;
    EXPECT_EQ(completion_of(message).error, 0);
    trace.add("opened");
  }};
  const auto job = offload.reserve(sd_card, opened);
  ASSERT_TRUE(job);
  auto& work = offload.work(*job);
  constexpr std::string_view path("/dev/null\0", 10);
  std::memcpy(work.buffer.data(), path.data(), path.size());
  offload.start(*job, {.call = hal::FileCall::open, .bytes = work.buffer});
  turn_until(1);
  EXPECT_GE(fd, 0);
  ::close(static_cast<int>(fd));
}

// --- Going on meanwhile ---

TEST_F(OffloadTest, the_loop_does_not_stall_while_a_file_system_takes_its_time) {
  // To open a FIFO takes until somebody opens its other end. Meanwhile echoes go back and forth,
  // each with an edge of a line, timers expire, and jobs of the other lane are done; the call is
  // under way all that time.
  const auto folder =
      std::filesystem::temp_directory_path() / ("millrace_offload_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const std::string fifo = folder / "slow";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  bool opened = false;
  int fd = -1;
  On on_opened{[&](const Message& message) {
    opened = true;
    fd = static_cast<int>(completion_of(message).result);
    loop.quit();
  }};
  const auto job = offload.reserve(sd_card, on_opened);
  ASSERT_TRUE(job);
  auto& work = offload.work(*job);
  ASSERT_LT(fifo.size(), work.buffer.size());
  std::memcpy(work.buffer.data(), fifo.c_str(), fifo.size() + 1);
  offload.start(*job, {.call = hal::FileCall::open, .bytes = work.buffer});

  constexpr int rounds = 2000;
  const Pair wire = make_socket_pair();
  int echoes = 0;
  int ticks = 0;
  int others = 0;
  int edges = 0;
  hal::GpioSim gpio;
  ASSERT_TRUE(gpio.open());
  const auto line = *gpio.find("gpio-sim:4");
  const hal::LineSettings input{.direction = hal::Direction::input, .edges = hal::Edges::both};
  const auto request = *gpio.request({&line, 1}, {&input, 1}, "test");
  On edge{[&](const Message&) {
    std::array<hal::LineEvent, 4> events{};
    edges += static_cast<int>(*gpio.read_events(request, events));
  }};
  ASSERT_TRUE(loop.watch(gpio.event_fd(request), Events::readable, edge));
  On echo{[&](const Message&) {
    std::array<char, 1> byte{};
    ASSERT_EQ(::recv(wire.near.get(), byte.data(), 1, 0), 1);
    ASSERT_EQ(::send(wire.near.get(), byte.data(), 1, MSG_NOSIGNAL), 1);
  }};
  On tick{[&](const Message&) { ++ticks; }};
  On other{[&](const Message& message) {
    ++others;
    if (!opened) {
      offload.start(completion_of(message).job, nothing);
    }
  }};
  On client{[&](const Message&) {
    std::array<char, 1> byte{};
    ASSERT_EQ(::recv(wire.far.get(), byte.data(), 1, 0), 1);
    ++echoes;
    EXPECT_GE(edges, echoes - 2) << "each is told in the turn after it, or in the same";
    ASSERT_TRUE(gpio.pull(line, echoes % 2 != 0));
    if (echoes < rounds || ticks == 0 || others == 0) {
      put(wire.far, "x");
      return;
    }
    EXPECT_FALSE(opened);
    EXPECT_EQ(offload.statistics(sd_card).running, 1U);
    const hal::Fd peer(::open(fifo.c_str(), O_WRONLY | O_CLOEXEC));  // it has a reader by now
    EXPECT_TRUE(peer);
  }};
  ASSERT_TRUE(loop.watch(wire.near.get(), Events::readable, echo));
  ASSERT_TRUE(loop.watch(wire.far.get(), Events::readable, client));
  loop.arm_every(*loop.add_timer(tick), 1ms);
  start(memory_disk, other);
  put(wire.far, "x");
  ASSERT_TRUE(loop.run());
  EXPECT_TRUE(opened);
  EXPECT_GE(echoes, rounds);
  EXPECT_GE(edges, rounds - 1);
  EXPECT_GT(ticks, 0);
  EXPECT_GT(others, 0);
  ::close(fd);
  std::filesystem::remove_all(folder);
}

// --- The end ---

TEST_F(OffloadTest, quitting_carries_out_what_was_started_and_what_follows_from_it) {
  Gate gate;
  On last{[&](const Message& message) {
    trace.add("last");
    EXPECT_EQ(completion_of(message).error, 0);
    EXPECT_EQ(offload.reserve(sd_card, {}).error().number, ESHUTDOWN);
  }};
  int steps = 0;
  On step{[&](const Message& message) {
    trace.add("step");
    if (++steps < 3) {
      offload.start(completion_of(message).job, nothing);
    } else {
      EXPECT_EQ(offload.reserve(sd_card, {}).error().number, ESHUTDOWN);
    }
  }};
  start(sd_card, step, gate);
  for (std::size_t i = 1; i < limits.jobs; ++i) {
    start(sd_card, last, gate);
  }
  loop.quit(3);
  std::thread opener([&] {
    until(gate.inside, 2);
    gate.open = true;
  });
  const auto exit = loop.run();
  opener.join();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->status, 3);
  EXPECT_EQ(std::ranges::count(trace.text(), 't'), 3 + 3);
  EXPECT_EQ(steps, 3);
  EXPECT_EQ(offload.statistics(sd_card).in_use, 0U);
  EXPECT_EQ(offload.statistics(sd_card).abandoned, 0U);
}

/// One whose workers may be in a call when it ends: it stays.
struct Kept {
  Loop<Epoll> loop;
  StaticOffload<limits> offload;
  Gate gate;
};

TEST(Offload, a_call_that_does_not_end_does_not_keep_the_loop_from_ending) {
  static Kept kept;
  auto& [loop, offload, gate] = kept;
  ASSERT_TRUE(offload.open(loop));
  offload.set_patience(Duration(1));
  Trace trace;
  On stuck{[&](const Message& message) {
    EXPECT_EQ(completion_of(message).error, ECANCELED);
    EXPECT_TRUE(completion_of(message).shut_down);
    trace.add("stuck");
    offload.start(completion_of(message).job, nothing);  // does nothing
  }};
  On never_ran{[&](const Message& message) {
    EXPECT_EQ(completion_of(message).error, ECANCELED);
    EXPECT_TRUE(completion_of(message).shut_down);
    trace.add("never_ran");
  }};
  On cancelled{[&](const Message&) { ADD_FAILURE(); }};
  std::vector<JobId> jobs;
  for (const auto& handler : {Handler(stuck), Handler(cancelled), Handler(never_ran)}) {
    const auto job = offload.reserve(sd_card, handler);
    ASSERT_TRUE(job);
    offload.work(*job).store(GateOf{&gate});
    offload.start(*job, pass_gate);
    jobs.push_back(*job);
  }
  const JobId too_late = *offload.reserve(sd_card, never_ran);
  On at_end{[&](const Message&) { offload.start(too_late, nothing); }};
  while (gate.inside != 2) {
    std::this_thread::yield();
  }
  EXPECT_EQ(offload.cancel(jobs[1]), Cancelled::runs_on);
  ASSERT_TRUE(loop.post(at_end, at(background)));  // when the workers are gone
  loop.quit();
  ASSERT_TRUE(loop.run());
  EXPECT_EQ(trace, "never_ran stuck never_ran");
  EXPECT_EQ(offload.statistics(sd_card).abandoned, 2U);
  EXPECT_EQ(offload.statistics(sd_card).never_ran, 1U);
  EXPECT_EQ(offload.cancel(jobs[0]), Cancelled::runs_on);
  gate.open = true;  // whatever they do now, nobody is told
  while (gate.inside != 0) {
    std::this_thread::yield();
  }
}

TEST(Offload, one_that_is_destroyed_without_the_loop_having_quit_tells_nobody) {
  static Loop<Epoll> loop;
  static std::optional<StaticOffload<limits>> offload(std::in_place);  // its memory stays
  static Gate gate;
  On never{[&](const Message&) { ADD_FAILURE(); }};
  ASSERT_TRUE(offload->open(loop));
  for (std::size_t i = 0; i < limits.jobs; ++i) {
    const auto job = offload->reserve(sd_card, never);
    ASSERT_TRUE(job);
    offload->work(*job).store(GateOf{&gate});
    offload->start(*job, pass_gate);
  }
  const auto job = offload->reserve(memory_disk, never);
  ASSERT_TRUE(job);
  offload->start(*job, nothing);  // it has run by then, or not
  while (gate.inside != 2) {
    std::this_thread::yield();
  }
  offload.reset();
  gate.open = true;
  while (gate.inside != 0) {
    std::this_thread::yield();
  }
  loop.turn_now(3);
  EXPECT_EQ(loop.statistics().watches, 0U);
  EXPECT_EQ(loop.statistics().notifiers, 0U);
}

TEST(Offload, without_io_uring_the_workers_do_it_all) {
  Loop<Epoll> loop;
  int told = 0;
  On done{[&](const Message& message) {
    EXPECT_EQ(completion_of(message).error, EBADF);
    ++told;
  }};
  const bool refused = while_refused(SYS_io_uring_setup, ENOSYS, [&] {
    const auto offload = std::make_unique<StaticOffload<limits>>();
    ASSERT_TRUE(offload->open(loop));
    EXPECT_FALSE(offload->uses_ring());
    const auto job = offload->reserve(sd_card, done);
    offload->start(*job, {.call = hal::FileCall::sync, .fd = -1});
    while (told == 0) {
      ASSERT_TRUE(loop.turn());
    }
    EXPECT_EQ(offload->statistics(sd_card).ringed, 0U);
  });
  if (!refused) {
    GTEST_SKIP() << "system calls can't be refused here";
  }
  EXPECT_EQ(told, 1);
}

TEST(Offload, with_io_uring_a_file_is_written_while_every_worker_is_busy) {
  Loop<Epoll> loop;
  Trace trace;
  Note gate_done(trace, "gate");
  On synced{[&](const Message& message) {
    EXPECT_EQ(completion_of(message).error, EBADF);
    trace.add("synced");
  }};
  Gate gate;
  const auto offload = std::make_unique<StaticOffload<limits>>();
  ASSERT_TRUE(offload->open(loop));
  if (!offload->uses_ring()) {
    GTEST_SKIP() << "the kernel has no io_uring";
  }
  for (const std::size_t lane : {sd_card, sd_card, memory_disk}) {
    const auto job = offload->reserve(lane, gate_done);
    offload->work(*job).store(GateOf{&gate});
    offload->start(*job, pass_gate);
  }
  while (gate.inside != 3) {
    std::this_thread::yield();
  }
  const auto job = offload->reserve(sd_card, synced);
  offload->start(*job, {.call = hal::FileCall::sync, .fd = -1});
  while (trace.text().empty()) {
    ASSERT_TRUE(loop.turn());
  }
  EXPECT_EQ(trace, "synced");
  EXPECT_EQ(offload->statistics(sd_card).ringed, 1U);
  gate.open = true;
  while (offload->workers_idle() < limits.workers) {
    ASSERT_TRUE(loop.turn());
  }
}

TEST(Offload, one_that_is_not_open_takes_nothing) {
  const auto offload = std::make_unique<StaticOffload<limits>>();
  EXPECT_EQ(offload->reserve(sd_card, {}).error().number, ESHUTDOWN);
  EXPECT_EQ(offload->reserve(2, {}).error().number, EINVAL);
  EXPECT_EQ(offload->lanes(), 2U);
  EXPECT_EQ(offload->workers(), 3U);
}

TEST(Offload, what_it_needs_of_the_loop_can_be_missing) {
  constexpr ReactorLimits least{
      .fds = 4, .timers = 1, .notifiers = 1, .messages = 10, .mailbox = 2};
  {
    Loop<Epoll, least> loop;
    const auto offload = std::make_unique<StaticOffload<limits>>();
    EXPECT_EQ(offload->open(loop).error().number, ENOSPC) << "descriptor 4 is past the loop's";
    EXPECT_EQ(loop.statistics().notifiers, 0U);
    ASSERT_TRUE(loop.add_notifier(Handler()));
    const auto other = std::make_unique<StaticOffload<limits>>();
    EXPECT_EQ(other->open(loop).error().number, ENOSPC) << "no notifier";
  }
  Loop<Epoll> loop;
  On nothing_to_do{[](const Message&) {}};
  while (loop.at_quit(nothing_to_do)) {
  }
  const auto offload = std::make_unique<StaticOffload<limits>>();
  EXPECT_EQ(offload->open(loop).error().number, ENOSPC) << "no at_quit";
  EXPECT_EQ(offload->open(loop).error().number, EALREADY);
  EXPECT_EQ(offload->reserve(sd_card, {}).error().number, ESHUTDOWN);
}

TEST(Offload, what_it_needs_of_the_kernel_can_be_missing) {
  Loop<Epoll> loop;
  const bool refused = while_refused(SYS_eventfd2, EMFILE, [&] {
    const auto offload = std::make_unique<StaticOffload<limits>>();
    EXPECT_EQ(offload->open(loop).error().number, EMFILE);
  });
  if (!refused) {
    GTEST_SKIP() << "system calls can't be refused here";
  }
  (void)while_refused(SYS_mprotect, ENOMEM, [&] {
    const auto offload = std::make_unique<StaticOffload<limits>>();
    EXPECT_EQ(offload->open(loop).error().number, ENOMEM);
  });
}

TEST(Offload, a_call_that_ends_after_it_was_given_up_is_told_once) {
  static Kept kept;
  auto& [loop, offload, gate] = kept;
  Trace trace;
  On lets_go{[&](const Message&) {  // when the offload has given up
    gate.open = true;
    while (gate.inside != 0) {
      std::this_thread::yield();
    }
    std::this_thread::sleep_for(20ms);  // for the worker to tell of it, if it did
  }};
  ASSERT_TRUE(loop.at_quit(lets_go));
  ASSERT_TRUE(offload.open(loop, background));
  offload.set_patience(20ms);
  Note stuck(trace, "stuck");
  Note quick(trace, "quick");
  const auto job = offload.reserve(sd_card, stuck);
  ASSERT_TRUE(job);
  offload.work(*job).store(GateOf{&gate});
  offload.start(*job, pass_gate);
  while (gate.inside != 1) {
    std::this_thread::yield();
  }
  const auto other = offload.reserve(1 - sd_card, quick);
  ASSERT_TRUE(other);
  offload.start(*other, nothing);
  std::this_thread::sleep_for(20ms);
  On ending{[&](const Message&) {  // in one batch with its wake-up
    std::this_thread::sleep_for(20ms);
    loop.quit();
  }};
  ASSERT_TRUE(loop.post(ending));
  ASSERT_TRUE(loop.run());
  loop.turn_now(3);
  EXPECT_EQ(trace.text().find("stuck"), trace.text().rfind("stuck")) << trace.text();
  EXPECT_NE(trace.text().find("stuck"), std::string_view::npos);
}

}  // namespace
}  // namespace millrace::test
