// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// What made event libraries stumble.

#include <array>
#include <climits>
#include <csignal>
#include <gtest/gtest.h>
#include <optional>
#include <set>
#include <string>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <thread>
#include <vector>

#include "tests/support/descriptors.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

constexpr Events readable = Events::readable;
constexpr Events writable = Events::writable;
constexpr Events read_closed = Events::read_closed;

// Events in words: "rwehc".
std::string words(Events events) {
  std::string text;
  for (const auto& [event, letter] :
       {std::pair(readable, 'r'), std::pair(writable, 'w'), std::pair(Events::error, 'e'),
        std::pair(Events::hangup, 'h'), std::pair(read_closed, 'c')}) {
    if (any(events, event)) {
      text += letter;
    }
  }
  return text;
}

template <class PollerType>
constexpr bool is_epoll =
    std::is_same_v<PollerType, EpollPwait2> || std::is_same_v<PollerType, EpollTimerfd>;

// What a descriptor reports in one turn of a loop of its own.
template <class PollerType>
std::string reported(int fd, Events interest) {
  Loop<PollerType> loop;
  std::string text = "-";
  On note{[&](const Message& message) { text = words(message.ready().events); }};
  EXPECT_TRUE(loop.watch(fd, interest, note));
  loop.turn_now();
  return text;
}

template <class PollerType>
class Torture : public PollerTest<PollerType> {};
TYPED_TEST_SUITE(Torture, AllPollers, PollerNames);

// --- Closing and reusing -----------------------------------------------------------------------

TYPED_TEST(Torture, closing_another_ready_descriptor_in_the_same_batch_takes_its_message_back) {
  Loop<TypeParam> loop;
  Trace trace;
  std::array<Pair, 2> pipes = {make_pipe(), make_pipe()};
  std::array<WatchId, 2> ids;
  On closing{[&](const Message& message) {
    const std::size_t other = message.ready().watch == ids[0] ? 1 : 0;
    trace.add("one");
    ASSERT_TRUE(loop.remove(ids.at(other)));
    pipes.at(other).near.reset();
    EXPECT_EQ(get(pipes.at(1 - other).near), "x");
  }};
  for (std::size_t i = 0; i < 2; ++i) {
    put(pipes.at(i).far, "x");
    ids.at(i) = *loop.watch(pipes.at(i).near.get(), readable, closing);
  }
  loop.turn_now(3);
  EXPECT_EQ(trace, "one");
  EXPECT_EQ(loop.statistics().stale_events, 0U);
}

TYPED_TEST(Torture, a_reused_number_does_not_get_the_event_that_was_pending_for_the_old_one) {
  Loop<TypeParam> loop;
  Trace trace;
  Pair old_pipe = make_pipe();
  Pair new_pipe = make_pipe();
  put(old_pipe.far, "old");
  Note old_note(trace, "old");
  Note new_note(trace, "new");
  const int number = old_pipe.near.get();
  const auto old_id = loop.watch(number, readable, old_note);
  std::optional<WatchId> new_id;
  On reopen{[&](const Message&) {
    ASSERT_TRUE(loop.remove(*old_id));
    old_pipe.near.reset();
    old_pipe.near = hal::Fd(::fcntl(new_pipe.near.get(), F_DUPFD_CLOEXEC, number));
    ASSERT_EQ(old_pipe.near.get(), number);
    new_id = *loop.watch(number, readable, new_note);
    EXPECT_NE(*new_id, *old_id);
    EXPECT_FALSE(loop.modify(*old_id, readable));
    EXPECT_FALSE(loop.remove(*old_id));
  }};
  ASSERT_TRUE(loop.post(reopen, at(urgent)));
  loop.turn_now(2);
  EXPECT_EQ(trace, "");
  put(new_pipe.far, "x");
  loop.turn_now();
  EXPECT_EQ(trace, "new");
  EXPECT_EQ(loop.statistics().stale_events, 0U);
}

TYPED_TEST(Torture, a_number_removed_closed_reopened_and_watched_quietly_is_heard_when_asked) {
  Loop<TypeParam> loop;
  Trace trace;
  // The kernel has forgotten the old description, and nobody told it of the new one.
  Pair pipe = make_pipe();
  Pair other = make_pipe();
  put(other.far, "x");
  Note old_note(trace, "old");
  Note new_note(trace, "new");
  const int number = pipe.near.get();
  const auto old_id = loop.watch(number, readable, old_note);
  loop.turn_now();
  ASSERT_TRUE(loop.remove(*old_id));
  ASSERT_EQ(::dup2(other.near.get(), number), number);
  const auto new_id = loop.watch(number, Events::none, new_note);
  ASSERT_TRUE(new_id);
  ASSERT_TRUE(loop.modify(*new_id, readable));
  loop.turn_now();
  EXPECT_EQ(trace, "new");
}

TYPED_TEST(Torture, a_description_that_outlives_its_number_does_not_report_to_the_next_watch) {
  Loop<TypeParam> loop;
  Trace trace;
  Pair pipe = make_pipe();
  const Pair other = make_pipe();
  Note old_note(trace, "old");
  Note new_note(trace, "new");
  const int number = pipe.near.get();
  const hal::Fd keeper(::dup(number));
  const auto old_id = loop.watch(number, readable, old_note);
  ASSERT_EQ(::dup2(other.near.get(), number), number);  // the owner's mistake: too early
  ASSERT_TRUE(loop.remove(*old_id));
  ASSERT_TRUE(loop.watch(number, readable, new_note));
  put(pipe.far, "x");
  loop.turn_now(5);
  EXPECT_EQ(trace, "");
  EXPECT_EQ(loop.statistics().stale_events, is_epoll<TypeParam> ? 1U : 0U);
  put(other.far, "x");
  loop.turn_now();
  EXPECT_EQ(trace, "new");
}

TYPED_TEST(Torture, a_watch_made_anew_with_interest_none_is_unknown_to_the_kernel) {
  Loop<TypeParam> loop;
  Trace trace;
  const Pair pipe = make_pipe();
  Note note(trace, "x");
  const auto old_id = loop.watch(pipe.near.get(), readable, note);
  ASSERT_TRUE(loop.remove(*old_id));
  ASSERT_TRUE(loop.watch(pipe.near.get(), Events::none, note));
  put(pipe.far, "x");
  loop.turn_now(3);
  EXPECT_EQ(trace, "");
  EXPECT_EQ(loop.statistics().stale_events, 0U);
}

TYPED_TEST(Torture, a_description_that_comes_back_to_its_old_number_can_be_watched_again) {
  Loop<TypeParam> loop;
  Trace trace;
  // The kernel still knows the pair of number and description, the loop does not.
  Pair pipe = make_pipe();
  Note note(trace, "x");
  const int number = pipe.near.get();
  const hal::Fd keeper(::dup(number));
  const auto id = loop.watch(number, readable, note);
  loop.turn_now();
  pipe.near.reset();  // the owner's mistake: closed before it was removed
  ASSERT_TRUE(loop.remove(*id));
  loop.turn_now();
  pipe.near = hal::Fd(::fcntl(keeper.get(), F_DUPFD_CLOEXEC, number));
  ASSERT_EQ(pipe.near.get(), number);
  ASSERT_TRUE(loop.watch(number, readable, note));
  put(pipe.far, "x");
  loop.turn_now();
  EXPECT_EQ(trace, "x");
}

TYPED_TEST(Torture, a_description_that_outlives_its_closed_number_is_counted_and_does_not_spin) {
  Loop<TypeParam> loop;
  Trace trace;
  Pair pipe = make_pipe();
  const Pair other = make_pipe();
  Note note(trace, "old");
  Note other_note(trace, "other");
  const auto id = loop.watch(pipe.near.get(), readable, note);
  ASSERT_TRUE(loop.watch(other.near.get(), readable, other_note));
  const hal::Fd keeper(::dup(pipe.near.get()));
  pipe.near.reset();  // the owner's mistake: closed before it was removed
  ASSERT_TRUE(loop.remove(*id));
  put(pipe.far, "x");  // epoll reports it under a number that is closed
  loop.turn_now(10);
  EXPECT_EQ(trace, "");
  EXPECT_EQ(loop.statistics().stale_events, is_epoll<TypeParam> ? 1U : 0U);
  EXPECT_EQ(loop.counting().resets, is_epoll<TypeParam> ? 1 : 0);
  put(other.far, "x");  // the others have survived the rebuilding
  loop.turn_now();
  EXPECT_EQ(trace, "other");
  // And so has the wake-up.
  Note mail(trace, "mail");
  std::thread poster([&] { ASSERT_TRUE(loop.post_from_any_thread(mail)); });
  poster.join();
  loop.turn_now();
  EXPECT_EQ(trace.text().substr(0, 10), "other othe");
}

TYPED_TEST(Torture, a_number_that_came_to_mean_another_description_is_told_anew_when_modified) {
  Loop<TypeParam> loop;
  Trace trace;
  const Pair pipe = make_pipe();
  const Pair other = make_pipe();
  Note note(trace, "x");
  const auto id = loop.watch(pipe.near.get(), readable, note);
  ASSERT_EQ(::dup2(other.near.get(), pipe.near.get()), pipe.near.get());  // the owner's mistake
  ASSERT_TRUE(loop.modify(*id, readable | Events::read_closed));
  put(other.far, "x");
  loop.turn_now();
  EXPECT_EQ(trace, "x");
}

TYPED_TEST(Torture, a_description_that_outlives_its_watch_is_not_reported) {
  Loop<TypeParam> loop;
  Trace trace;
  Pair pipe = make_pipe();
  Note note(trace, "x");
  const auto id = loop.watch(pipe.near.get(), readable, note);
  const hal::Fd keeper(::dup(pipe.near.get()));
  ASSERT_TRUE(loop.remove(*id));  // told to the kernel at once, while the number means that
  pipe.near.reset();
  put(pipe.far, "x");
  loop.turn_now(10);
  EXPECT_EQ(trace, "");
  EXPECT_EQ(loop.statistics().stale_events, 0U);
  EXPECT_EQ(loop.counting().resets, 0);
}

TYPED_TEST(Torture, a_watch_of_interest_none_whose_description_lives_on_elsewhere_does_not_spin) {
  Loop<TypeParam> loop;
  Trace trace;
  Pair pipe = make_pipe();
  Note note(trace, "x");
  const auto id = loop.watch(pipe.near.get(), readable, note);
  const hal::Fd keeper(::dup(pipe.near.get()));
  pipe.near.reset();
  ASSERT_TRUE(loop.modify(*id, Events::none));
  put(pipe.far, "x");
  loop.turn_now(10);
  EXPECT_EQ(trace, "");
  EXPECT_EQ(loop.statistics().stale_events, is_epoll<TypeParam> ? 1U : 0U);
  EXPECT_LE(loop.counting().resets, 1);
}

TEST(TortureOfEpoll, rebuilding_that_fails_ends_the_run_and_is_tried_again_by_the_next) {
  Loop<Epoll> loop;
  Trace trace;
  Pair pipe = make_pipe();
  const Pair other = make_pipe();
  Note note(trace, "other");
  const auto id = loop.watch(pipe.near.get(), readable, note);
  ASSERT_TRUE(loop.watch(other.near.get(), readable, note));
  const hal::Fd keeper(::dup(pipe.near.get()));
  pipe.near.reset();  // the owner's mistake: closed before it was removed
  ASSERT_TRUE(loop.remove(*id));
  put(pipe.far, "x");
  loop.turn_now();
  loop.counting().fail_resets = true;
  for (int i = 0; i < 2; ++i) {
    const auto run = loop.run();
    ASSERT_FALSE(run);
    EXPECT_EQ(run.error().number, EMFILE);
  }
  loop.counting().fail_resets = false;
  put(other.far, "x");
  loop.turn_now();
  EXPECT_EQ(trace, "other");
}

TEST(TortureOfEpoll, rebuilding_without_the_wake_up_fails_and_is_tried_again_by_the_next_run) {
  Loop<Epoll> loop;
  Trace trace;
  Pair pipe = make_pipe();
  Note note(trace, "x");
  const auto id = loop.watch(pipe.near.get(), readable, note);
  const hal::Fd keeper(::dup(pipe.near.get()));
  pipe.near.reset();  // the owner's mistake: closed before it was removed
  ASSERT_TRUE(loop.remove(*id));
  put(pipe.far, "x");
  loop.turn_now();
  loop.counting().fail_adds = true;
  for (int i = 0; i < 2; ++i) {
    const auto run = loop.run();
    ASSERT_FALSE(run);
    EXPECT_EQ(run.error().number, ENOMEM);
  }
  loop.counting().fail_adds = false;
  On quitting{[&](const Message&) { loop.quit(7); }};
  std::thread other([&] {
    while (!loop.counting().waiting) {
      std::this_thread::yield();
    }
    EXPECT_TRUE(loop.post_from_any_thread(quitting));
  });
  EXPECT_EQ(loop.run()->status, 7);  // woken
  other.join();
  EXPECT_EQ(trace, "");
}

TYPED_TEST(Torture, rebuilding_succeeds_although_every_descriptor_is_in_use) {
  Loop<TypeParam> loop;
  Trace trace;
  Pair pipe = make_pipe();
  const Pair other = make_pipe();
  Note note(trace, "other");
  const auto id = loop.watch(pipe.near.get(), readable, note);
  ASSERT_TRUE(loop.watch(other.near.get(), readable, note));
  const hal::Fd keeper(::dup(pipe.near.get()));
  pipe.near.reset();  // the owner's mistake: closed before it was removed
  ASSERT_TRUE(loop.remove(*id));
  put(pipe.far, "x");
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old_limit), 0);
  const rlimit low{.rlim_cur = 64, .rlim_max = old_limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  std::vector<hal::Fd> fillers;
  for (hal::Fd filler(::dup(0)); filler; filler = hal::Fd(::dup(0))) {
    fillers.push_back(std::move(filler));
  }
  loop.turn_now(3);
  ::setrlimit(RLIMIT_NOFILE, &old_limit);
  EXPECT_EQ(loop.counting().resets, is_epoll<TypeParam> ? 1 : 0);
  put(other.far, "x");
  loop.turn_now();
  EXPECT_EQ(trace, "other");
}

TYPED_TEST(Torture, a_dup_of_a_descriptor_is_watched_by_itself) {
  Loop<TypeParam> loop;
  Trace trace;
  const Pair pipe = make_pipe();
  const hal::Fd copy(::dup(pipe.near.get()));
  Note note(trace, "original");
  Note copy_note(trace, "copy");
  const auto id = loop.watch(pipe.near.get(), readable, note, urgent);
  ASSERT_TRUE(loop.watch(copy.get(), readable, copy_note));
  put(pipe.far, "x");
  loop.turn_now();
  EXPECT_EQ(trace, "original copy");
  ASSERT_TRUE(loop.remove(*id));
  loop.turn_now();
  EXPECT_EQ(trace, "original copy copy");
}

TYPED_TEST(Torture, two_watches_of_one_descriptor_are_refused) {
  Loop<TypeParam> loop;
  Trace trace;
  const Pair pipe = make_pipe();
  Note first(trace, "first");
  Note second(trace, "second");
  const auto id = loop.watch(pipe.near.get(), readable, first);
  ASSERT_TRUE(id);
  for (const Events interest : {readable, Events::none}) {
    const auto again = loop.watch(pipe.near.get(), interest, second);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().number, EEXIST);
  }
  put(pipe.far, "x");
  loop.turn_now();
  EXPECT_EQ(trace, "first");
  EXPECT_EQ(loop.statistics().watches, 1U);
}

TYPED_TEST(Torture, a_watch_removed_in_its_own_handler_is_not_called_again) {
  Loop<TypeParam> loop;
  Trace trace;
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  On once{[&](const Message& message) {
    trace.add("once");
    ASSERT_TRUE(loop.remove(message.ready().watch));
    EXPECT_FALSE(loop.remove(message.ready().watch));
    EXPECT_FALSE(loop.modify(message.ready().watch, readable));
  }};
  ASSERT_TRUE(loop.watch(pipe.near.get(), readable, once));
  loop.turn_now(3);
  EXPECT_EQ(trace, "once");
  EXPECT_EQ(loop.statistics().watches, 0U);
}

TYPED_TEST(Torture, remove_watch_remove_in_one_handler_costs_few_calls_and_does_not_spin) {
  Loop<TypeParam> loop;
  Trace trace;
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  Note again(trace, "again");
  const int fd = pipe.near.get();
  On churn{[&](const Message& message) {
    trace.add("churn");
    ASSERT_TRUE(loop.remove(message.ready().watch));
    const auto second = loop.watch(fd, readable, again);
    ASSERT_TRUE(second);
    ASSERT_TRUE(loop.remove(*second));
  }};
  ASSERT_TRUE(loop.watch(fd, readable, churn));
  (void)loop.counting().take_changes();
  loop.turn_now(3);
  EXPECT_EQ(trace, "churn");
  EXPECT_EQ(loop.counting().take_changes(), 3);
  EXPECT_EQ(loop.statistics().stale_events, 0U);
}

TYPED_TEST(Torture, an_interest_that_is_back_where_it_was_is_not_told_to_the_kernel) {
  Loop<TypeParam> loop;
  Trace trace;
  const Pair pair = make_socket_pair();
  Note note(trace, "x");
  const auto id = loop.watch(pair.near.get(), readable, note);
  (void)loop.counting().take_changes();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(loop.modify(*id, readable | writable));
    ASSERT_TRUE(loop.modify(*id, readable));
  }
  loop.turn_now();
  EXPECT_EQ(loop.counting().take_changes(), 0);
  ASSERT_TRUE(loop.modify(*id, writable));
  ASSERT_TRUE(loop.modify(*id, Events::none));
  ASSERT_TRUE(loop.modify(*id, readable | writable));
  loop.turn_now(5);
  EXPECT_EQ(loop.counting().take_changes(), 1);
}

TYPED_TEST(Torture, a_hundred_thousand_watches_timers_and_notifiers_leave_no_slot_behind) {
  Loop<TypeParam> loop;
  Trace trace;
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  Note note(trace, "x");
  for (int i = 0; i < 100'000; ++i) {
    const auto watch = loop.watch(pipe.near.get(), readable, note);
    const auto timer = loop.add_timer(note);
    const auto notifier = loop.add_notifier(note);
    ASSERT_TRUE(watch && timer && notifier);
    loop.arm_after(*timer, 0ns);
    loop.raise(*notifier);
    if (i % 1000 == 0) {
      loop.turn_now();
      ASSERT_EQ(trace, "x x x");
      trace.clear();
    }
    ASSERT_TRUE(loop.remove(*watch));
    loop.remove_timer(*timer);
    loop.remove_notifier(*notifier);
  }
  loop.turn_now(2);
  EXPECT_EQ(trace, "");
  const ReactorStatistics statistics = loop.statistics();
  EXPECT_EQ(statistics.watches, 0U);
  EXPECT_EQ(statistics.timers, 0U);
  EXPECT_EQ(statistics.notifiers, 0U);
  EXPECT_EQ(statistics.stale_events, 0U);
  for (const QueueStatistics& queue : statistics.queues) {
    EXPECT_EQ(queue.depth, 0U);
  }
  for (std::size_t i = 0; i < test_limits.timers; ++i) {
    EXPECT_TRUE(loop.add_timer(note));
  }
  for (std::size_t i = 0; i < test_limits.notifiers; ++i) {
    EXPECT_TRUE(loop.add_notifier(note));
  }
  EXPECT_TRUE(loop.watch(pipe.near.get(), readable, note));
}

// --- What cannot be watched --------------------------------------------------------------------

TYPED_TEST(Torture, what_cannot_be_watched_is_refused_with_a_reason) {
  Loop<TypeParam> loop;
  Trace trace;
  Note note(trace, "x");
  const hal::Fd file = make_file();
  const hal::Fd directory(::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Pair pipe = make_pipe();
  const int closed = pipe.near.get();
  pipe.near.reset();
  for (const Events interest : {readable, Events::none}) {
    const auto error_of = [&](int fd) {
      const auto watched = loop.watch(fd, interest, note);
      EXPECT_FALSE(watched) << fd;
      EXPECT_STRNE(watched.error().what, "");
      EXPECT_STRNE(watched.error().remedy, "");
      return watched.error().number;
    };
    EXPECT_EQ(error_of(file.get()), EPERM);
    EXPECT_EQ(error_of(directory.get()), EPERM);
    EXPECT_EQ(error_of(closed), EBADF);
    EXPECT_EQ(error_of(-1), EBADF);
    EXPECT_EQ(error_of(INT_MIN), EBADF);
    EXPECT_EQ(error_of(INT_MAX), ENOSPC);
    EXPECT_EQ(error_of(256), ENOSPC);
  }
  EXPECT_EQ(loop.statistics().watches, 0U);
  loop.turn_now();
  EXPECT_EQ(trace, "");
}

TYPED_TEST(Torture, a_regular_file_at_the_number_of_a_watch_just_removed_is_refused_too) {
  Loop<TypeParam> loop;
  Trace trace;
  Pair pipe = make_pipe();
  Note note(trace, "x");
  const int number = pipe.near.get();
  const auto id = loop.watch(number, readable, note);
  ASSERT_TRUE(loop.remove(*id));
  const hal::Fd file = make_file();
  ASSERT_EQ(::dup2(file.get(), number), number);
  const auto watched = loop.watch(number, readable, note);
  ASSERT_FALSE(watched);
  EXPECT_EQ(watched.error().number, EPERM);
  pipe.near.reset();
  const auto closed = loop.watch(number, readable, note);
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().number, EBADF);
  loop.turn_now(2);
  EXPECT_EQ(trace, "");
}

TYPED_TEST(Torture, modifying_a_watch_whose_descriptor_was_closed_gives_one_error_and_no_spin) {
  Loop<TypeParam> loop;
  Trace trace;
  Pair pipe = make_pipe();
  On note{[&](const Message& message) { trace.add(words(message.ready().events)); }};
  const auto id = loop.watch(pipe.near.get(), readable, note);
  pipe.near.reset();
  ASSERT_TRUE(loop.modify(*id, readable | writable));
  loop.turn_now(5);
  EXPECT_EQ(trace, "e");
  ASSERT_TRUE(loop.remove(*id));
}

TYPED_TEST(Torture, modifying_it_gives_one_error_even_if_a_dup_keeps_the_description_alive) {
  Loop<TypeParam> loop;
  Trace trace;
  Pair pipe = make_pipe();
  const hal::Fd keeper(::dup(pipe.near.get()));
  On note{[&](const Message& message) { trace.add(words(message.ready().events)); }};
  const auto id = loop.watch(pipe.near.get(), readable, note);
  pipe.near.reset();
  put(pipe.far, "x");
  ASSERT_TRUE(loop.modify(*id, readable | Events::read_closed));
  loop.turn_now(5);
  EXPECT_EQ(trace, "e");
  EXPECT_EQ(loop.statistics().stale_events, is_epoll<TypeParam> ? 1U : 0U);
  // To ask again is to be told again; and once it is open again, it is heard.
  ASSERT_TRUE(loop.modify(*id, readable));
  loop.turn_now(5);
  EXPECT_EQ(trace, "e e");
  pipe.near = hal::Fd(::fcntl(keeper.get(), F_DUPFD_CLOEXEC, id->fd));
  ASSERT_EQ(pipe.near.get(), id->fd);
  ASSERT_TRUE(loop.modify(*id, readable));
  loop.turn_now();
  EXPECT_EQ(trace, "e e r");
}

TYPED_TEST(Torture, a_watch_whose_descriptor_was_closed_does_not_spin_nor_disturb_the_others) {
  Loop<TypeParam> loop;
  Trace trace;
  Pair pipe = make_pipe();
  const Pair other = make_pipe();
  On note{[&](const Message& message) { trace.add(words(message.ready().events)); }};
  Note other_note(trace, "other");
  const auto id = loop.watch(pipe.near.get(), readable, note);
  ASSERT_TRUE(loop.watch(other.near.get(), readable, other_note));
  pipe.near.reset();
  loop.turn_now(5);
  EXPECT_EQ(trace, is_epoll<TypeParam> ? "" : "e");  // epoll has no way to know
  trace.clear();
  put(other.far, "x");
  loop.turn_now();
  EXPECT_EQ(trace, "other");
  EXPECT_TRUE(loop.remove(*id));
}

TYPED_TEST(Torture, interest_none_reports_nothing_not_even_a_hang_up) {
  Loop<TypeParam> loop;
  Trace trace;
  Pair pair = make_socket_pair();
  On note{[&](const Message& message) { trace.add(words(message.ready().events)); }};
  const auto id = loop.watch(pair.near.get(), Events::none, note);
  ASSERT_TRUE(id);
  EXPECT_EQ(loop.counting().take_changes(), 0);
  put(pair.far, "x");
  pair.far.reset();
  loop.turn_now(2);
  EXPECT_EQ(trace, "");
  ASSERT_TRUE(loop.modify(*id, readable));
  loop.turn_now();
  EXPECT_EQ(trace, TypeParam::says_why ? "rh" : "r");
  ASSERT_TRUE(loop.modify(*id, Events::none));
  loop.turn_now(2);
  EXPECT_EQ(trace, TypeParam::says_why ? "rh" : "r");
}

TYPED_TEST(Torture, what_is_no_longer_of_interest_when_its_turn_comes_is_not_reported) {
  Loop<TypeParam> loop;
  Trace trace;
  const Pair pair = make_socket_pair();
  put(pair.far, "x");
  On note{[&](const Message& message) { trace.add(words(message.ready().events)); }};
  const auto id = loop.watch(pair.near.get(), readable | writable, note);
  On change{[&](const Message&) { ASSERT_TRUE(loop.modify(*id, writable)); }};
  ASSERT_TRUE(loop.post(change, at(urgent)));
  loop.turn_now();
  EXPECT_EQ(trace, "w");
  On stop{[&](const Message&) {
    ASSERT_TRUE(loop.modify(*id, Events::none));
    ASSERT_TRUE(loop.modify(*id, readable));  // heard in the next turn
  }};
  ASSERT_TRUE(loop.post(stop, at(urgent)));
  loop.turn_now();
  EXPECT_EQ(trace, "w");
  loop.turn_now();
  EXPECT_EQ(trace, "w r");
}

TYPED_TEST(Torture, a_watch_made_anew_at_another_priority_takes_its_own_place) {
  Loop<TypeParam> loop;
  Trace trace;
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  Note ready(trace, "ready");
  Note post(trace, "post");
  const auto id = loop.watch(pipe.near.get(), readable, ready, background);
  On change{[&](const Message&) {
    ASSERT_TRUE(loop.remove(*id));
    ASSERT_TRUE(loop.watch(pipe.near.get(), readable, ready, urgent));
    ASSERT_TRUE(loop.post(post));
  }};
  ASSERT_TRUE(loop.post(change, at(urgent)));
  loop.turn_now();
  EXPECT_EQ(trace, "post");
  ASSERT_TRUE(loop.post(post));
  loop.turn_now();
  EXPECT_EQ(trace, "post ready post");
}

// --- Ends of connections -----------------------------------------------------------------------

TYPED_TEST(Torture, a_hang_up_with_data_still_to_read_reports_both_and_the_data_is_there) {
  Pair pipe = make_pipe();
  put(pipe.far, "last words");
  pipe.far.reset();
  EXPECT_EQ(reported<TypeParam>(pipe.near.get(), readable), TypeParam::says_why ? "rh" : "r");
  EXPECT_EQ(get(pipe.near), "last words");
  EXPECT_EQ(get(pipe.near), "");
}

TYPED_TEST(Torture, a_peer_that_shuts_down_with_data_still_to_read_reports_both) {
  const Pair pair = make_tcp_pair();
  put(pair.far, "last words");
  ASSERT_EQ(::shutdown(pair.far.get(), SHUT_WR), 0);
  EXPECT_EQ(reported<TypeParam>(pair.near.get(), readable | read_closed),
            TypeParam::says_why ? "rc" : "r");
  EXPECT_EQ(get(pair.near, 4), "last");
  EXPECT_EQ(reported<TypeParam>(pair.near.get(), readable | read_closed),
            TypeParam::says_why ? "rc" : "r");
  EXPECT_EQ(get(pair.near), " words");
}

TYPED_TEST(Torture, a_connection_closed_half_by_half_works_in_the_other_direction_until_the_end) {
  const Pair pair = make_tcp_pair();
  constexpr Events all = readable | writable | read_closed;
  ASSERT_EQ(::shutdown(pair.far.get(), SHUT_WR), 0);
  EXPECT_EQ(reported<TypeParam>(pair.near.get(), all), TypeParam::says_why ? "rwc" : "rw");
  EXPECT_EQ(get(pair.near), "");
  put(pair.near, "still here");
  EXPECT_EQ(get(pair.far), "still here");
  ASSERT_EQ(::shutdown(pair.near.get(), SHUT_WR), 0);
  EXPECT_EQ(reported<TypeParam>(pair.near.get(), all), TypeParam::says_why ? "rwhc" : "rw");
  EXPECT_EQ(reported<TypeParam>(pair.far.get(), all), TypeParam::says_why ? "rwhc" : "rw");
}

TYPED_TEST(Torture, half_closing_one_s_own_writing_side_leaves_reading_alone) {
  const Pair pair = make_tcp_pair();
  ASSERT_EQ(::shutdown(pair.near.get(), SHUT_WR), 0);
  EXPECT_EQ(reported<TypeParam>(pair.near.get(), readable | read_closed), "-");
  put(pair.far, "x");
  EXPECT_EQ(reported<TypeParam>(pair.near.get(), readable | read_closed), "r");
}

TYPED_TEST(Torture, a_peer_that_resets_is_reported_as_an_error) {
  Pair pair = make_tcp_pair();
  const linger hard{.l_onoff = 1, .l_linger = 0};
  ASSERT_EQ(::setsockopt(pair.far.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
  pair.far.reset();
  EXPECT_EQ(reported<TypeParam>(pair.near.get(), readable | read_closed),
            TypeParam::says_why ? "rehc" : "r");
  std::array<char, 8> buffer{};
  EXPECT_EQ(::recv(pair.near.get(), buffer.data(), buffer.size(), 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

TYPED_TEST(Torture, a_connect_that_is_refused_is_reported_to_who_waits_for_writable) {
  Listener listener = listen_on_loopback();
  listener.fd.reset();
  const hal::Fd socket = make_tcp_socket();
  ASSERT_EQ(connect_to(socket, listener.address), EINPROGRESS);
  EXPECT_EQ(reported<TypeParam>(socket.get(), writable), TypeParam::says_why ? "weh" : "w");
  int error = 0;
  socklen_t size = sizeof error;
  ASSERT_EQ(::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size), 0);
  EXPECT_EQ(error, ECONNREFUSED);
}

TYPED_TEST(Torture, accept_without_a_free_descriptor_does_not_spin_if_the_handler_pauses) {
  Loop<TypeParam> loop;
  Trace trace;
  const Listener listener = listen_on_loopback();
  const hal::Fd client = make_tcp_socket();
  ASSERT_EQ(connect_to(client, listener.address), EINPROGRESS);
  std::optional<WatchId> id;
  std::optional<TimerId> retry;
  hal::Fd accepted;
  On accepting{[&](const Message&) {
    accepted = hal::Fd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    trace.add(accepted ? "accepted" : "EMFILE");
    if (accepted) {
      loop.quit();
      return;
    }
    EXPECT_EQ(errno, EMFILE);
    ASSERT_TRUE(loop.modify(*id, Events::none));
    loop.arm_after(*retry, 1ms);
  }};
  std::vector<hal::Fd> fillers;
  On retrying{[&](const Message&) {
    trace.add("retry");
    fillers.clear();
    ASSERT_TRUE(loop.modify(*id, readable));
  }};
  id = *loop.watch(listener.fd.get(), readable, accepting);
  retry = *loop.add_timer(retrying);
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old_limit), 0);
  const rlimit low{.rlim_cur = 64, .rlim_max = old_limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  for (hal::Fd filler(::dup(0)); filler; filler = hal::Fd(::dup(0))) {
    fillers.push_back(std::move(filler));
  }
  ASSERT_TRUE(loop.run());
  ::setrlimit(RLIMIT_NOFILE, &old_limit);
  EXPECT_EQ(trace, "EMFILE retry accepted");
}

TYPED_TEST(Torture, writing_and_reading_one_byte_at_a_time_keeps_every_byte_in_order) {
  Loop<TypeParam> loop;
  const Pair pair = make_socket_pair();
  const int smallest = 1;
  ::setsockopt(pair.near.get(), SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest);
  std::string sent;
  std::string received;
  const std::size_t total = 2000;
  On write{[&](const Message& message) {
    const char byte = static_cast<char>('a' + sent.size() % 26);
    if (::send(pair.near.get(), &byte, 1, MSG_NOSIGNAL) == 1) {
      sent += byte;
    }
    if (sent.size() == total) {
      ASSERT_TRUE(loop.modify(message.ready().watch, Events::none));
    }
  }};
  On read{[&](const Message&) {
    received += get(pair.far, 1);
    if (received.size() == total) {
      loop.quit();
    }
  }};
  ASSERT_TRUE(loop.watch(pair.near.get(), writable, write));
  ASSERT_TRUE(loop.watch(pair.far.get(), readable, read));
  ASSERT_TRUE(loop.run());
  EXPECT_EQ(received, sent);
  EXPECT_EQ(sent.size(), total);
}

TYPED_TEST(Torture, more_ready_descriptors_than_a_batch_holds_are_all_served) {
  Loop<TypeParam> loop;
  std::vector<Pair> pipes;
  std::set<int> served;
  On note{[&](const Message& message) { served.insert(message.ready().watch.fd); }};
  for (int i = 0; i < 100; ++i) {
    pipes.push_back(make_pipe());
    put(pipes.back().far, "x");
    ASSERT_TRUE(loop.watch(pipes.back().near.get(), readable, note));
  }
  loop.turn_now(4);  // 32 in each
  EXPECT_EQ(served.size(), 100U);
}

// --- Signals and processes ---------------------------------------------------------------------

int signals = 0;
void count_signal(int /*signal*/) { ++signals; }

class SignalStorm {
 public:
  explicit SignalStorm(long microseconds) {
    struct sigaction action{};
    action.sa_handler = count_signal;  // without SA_RESTART: every wait is interrupted
    ::sigaction(SIGALRM, &action, &old_);
    const itimerval interval{.it_interval = {.tv_sec = 0, .tv_usec = microseconds},
                             .it_value = {.tv_sec = 0, .tv_usec = microseconds}};
    ::setitimer(ITIMER_REAL, &interval, nullptr);
  }
  SignalStorm(const SignalStorm&) = delete;
  SignalStorm& operator=(const SignalStorm&) = delete;
  ~SignalStorm() {
    const itimerval off{};
    ::setitimer(ITIMER_REAL, &off, nullptr);
    ::sigaction(SIGALRM, &old_, nullptr);
  }

 private:
  struct sigaction old_{};
};

TYPED_TEST(Torture, a_storm_of_signals_loses_nothing_and_makes_no_timer_early) {
  Loop<TypeParam> loop;
  signals = 0;
  const Pair pipe = make_pipe();
  const hal::SystemClock clock;
  std::string received;
  int ticks = 0;
  On tick{[&](const Message& message) {
    EXPECT_GE(clock.now(), message.expiry().deadline);
    put(pipe.far, "x");
    if (++ticks < 50) {
      loop.arm_after(message.expiry().timer, 1ms);
    }
  }};
  On read{[&](const Message&) {
    received += get(pipe.near);
    if (received.size() == 50) {
      loop.quit();
    }
  }};
  ASSERT_TRUE(loop.watch(pipe.near.get(), readable, read));
  loop.arm_after(*loop.add_timer(tick), 1ms);
  {
    const SignalStorm storm(300);
    ASSERT_TRUE(loop.run());
  }
  EXPECT_EQ(ticks, 50);
  EXPECT_EQ(received.size(), 50U);
  EXPECT_GT(signals, 10);
}

TYPED_TEST(Torture, a_signal_during_a_handler_disturbs_nothing) {
  Loop<TypeParam> loop;
  Trace trace;
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  std::signal(SIGUSR1, count_signal);
  signals = 0;
  On raising{[&](const Message&) {
    std::raise(SIGUSR1);
    trace.add("ready");
  }};
  ASSERT_TRUE(loop.watch(pipe.near.get(), readable, raising));
  loop.turn_now(2);
  std::signal(SIGUSR1, SIG_DFL);
  EXPECT_EQ(trace, "ready ready");
  EXPECT_EQ(signals, 2);
}

TYPED_TEST(Torture, a_signal_pending_when_its_descriptor_closes_is_kept_for_the_next_one) {
  Loop<TypeParam> loop;
  Trace trace;
  sigset_t set;
  sigset_t old_set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &set, &old_set), 0);
  hal::Fd signal_fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  Note note(trace, "signal");
  const auto id = loop.watch(signal_fd.get(), readable, note);
  On closing{[&](const Message&) {
    trace.add("close");
    ASSERT_TRUE(loop.remove(*id));
    signal_fd.reset();
  }};
  ASSERT_TRUE(loop.post(closing, at(urgent)));
  ::raise(SIGUSR2);
  loop.turn_now(2);
  EXPECT_EQ(trace, "close");
  signal_fd = hal::Fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  ASSERT_TRUE(loop.watch(signal_fd.get(), readable, note));
  loop.turn_now();
  EXPECT_EQ(trace, "close signal");
  EXPECT_EQ(get(signal_fd).size(), sizeof(signalfd_siginfo));
  ::pthread_sigmask(SIG_SETMASK, &old_set, nullptr);
}

TYPED_TEST(Torture, a_fork_in_a_handler_leaves_the_parent_s_loop_alone) {
  Loop<TypeParam> loop;
  Trace trace;
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  On forking{[&](const Message& message) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::_exit(7);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(WEXITSTATUS(status), 7);
    trace.add("forked");
    EXPECT_EQ(get(pipe.near), "x");
    EXPECT_TRUE(loop.modify(message.ready().watch, readable));
  }};
  ASSERT_TRUE(loop.watch(pipe.near.get(), readable, forking));
  loop.turn_now(2);
  EXPECT_EQ(trace, "forked");
  put(pipe.far, "x");
  loop.turn_now();
  EXPECT_EQ(trace, "forked forked");
}

TYPED_TEST(Torture, a_child_that_keeps_a_closed_descriptor_open_does_not_make_the_loop_spin) {
  Loop<TypeParam> loop;
  Trace trace;
  Pair pipe = make_pipe();
  const Pair until = make_pipe();
  Note note(trace, "x");
  const auto id = loop.watch(pipe.near.get(), readable, note);
  pid_t child = -1;
  On forking{[&](const Message&) {
    child = ::fork();
    if (child == 0) {
      ::close(until.far.get());
      ::fcntl(until.near.get(), F_SETFL, 0);
      char byte = 0;
      (void)!::read(until.near.get(), &byte, 1);  // until the parent closes its end
      ::_exit(0);
    }
    ASSERT_TRUE(loop.remove(*id));
    pipe.near.reset();
  }};
  ASSERT_TRUE(loop.post(forking));
  loop.turn_now();
  put(pipe.far, "x");
  loop.turn_now(10);
  EXPECT_EQ(trace, "");
  EXPECT_EQ(loop.statistics().stale_events, 0U);
  put(until.far, "x");
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

}  // namespace
}  // namespace millrace::test
