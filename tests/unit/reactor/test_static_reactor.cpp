// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cerrno>
#include <gtest/gtest.h>
#include <string_view>
#include <sys/resource.h>

#include "firmware/reactor/static_reactor.hpp"
#include "hal/poll_poller.hpp"
#include "hal/select_poller.hpp"
#include "tests/support/descriptors.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

constexpr ReactorLimits small{
    .fds = 64, .timers = 2, .notifiers = 3, .messages = 12, .mailbox = 4, .margin = {0, 1, 2}};

/// As long as it lives, no descriptor can be opened.
class NoDescriptors {
 public:
  NoDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

template <class PollerType>
void fails_to_open_without_descriptors_and_opens_later() {
  StaticReactor<small, PollerType> reactor;
  {
    const NoDescriptors none;
    const auto opened = reactor.open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().number, EMFILE);
  }
  ASSERT_TRUE(reactor.open());
  reactor.quit(3);
  EXPECT_EQ(reactor.run()->status, 3);
}

/// Opens as it is told to.
struct ObedientPoller final : CountingPoller<hal::SelectPoller> {
  [[nodiscard]] static Result<void> open(int error) {
    return error == 0 ? Result<void>() : fail(error, "as told");
  }
};

TEST(StaticReactor, opens_its_poller_with_what_it_is_given_and_fails_as_that_does) {
  StaticReactor<small, ObedientPoller> reactor;
  EXPECT_EQ(reactor.open(ENOSYS).error().number, ENOSYS);
  EXPECT_TRUE(reactor.open(0));
}

TEST(StaticReactor, that_can_not_be_opened_says_why_and_may_be_tried_again) {
  fails_to_open_without_descriptors_and_opens_later<hal::EpollPoller>();
  fails_to_open_without_descriptors_and_opens_later<hal::PollPoller<64>>();
  fails_to_open_without_descriptors_and_opens_later<hal::SelectPoller>();
}

TEST(StaticReactor, tells_what_it_was_made_with) {
  const StaticReactor<small, hal::SelectPoller> reactor;
  EXPECT_EQ(reactor.limits().timers, 2U);
  EXPECT_EQ(reactor.limits().notifiers, 3U);
  EXPECT_EQ(reactor.limits().mailbox, 4U);
  EXPECT_EQ(std::string_view(reactor.poller().name()), "select");
}

TEST(StaticReactor, has_as_many_timers_notifiers_and_posts_as_its_limits_say) {
  StaticReactor<small> reactor;
  Trace trace;
  Note note(trace, "x");
  const auto count = [](auto make) {
    std::size_t made = 0;
    for (; made < 100; ++made) {
      const auto result = make();
      if (!result) {
        EXPECT_EQ(result.error().number, ENOSPC);
        break;
      }
    }
    return made;
  };
  EXPECT_EQ(count([&] { return reactor.add_timer(note); }), 2U);
  EXPECT_EQ(count([&] { return reactor.add_notifier(note); }), 3U);
  EXPECT_EQ(count([&] { return reactor.post_from_any_thread(note); }), 4U);
  EXPECT_EQ(count([&] { return reactor.post(note, at(background)); }), 10U);
  EXPECT_EQ(count([&] { return reactor.post(note, at(normal)); }), 1U);
  EXPECT_EQ(count([&] { return reactor.post(note, at(urgent)); }), 1U);
}

// The ids of a reactor with more of everything: what they name is past the end of this one.
TEST(StaticReactor, refuses_or_ignores_ids_of_what_it_does_not_have) {
  StaticReactor<small> reactor;
  ASSERT_TRUE(reactor.open());
  Trace trace;
  Note note(trace, "x");
  constexpr std::uint32_t far = 1U << 30U;
  for (const WatchId id : {WatchId(), WatchId{.fd = 64}, WatchId{.fd = 1 << 30}, WatchId{.fd = 0},
                           WatchId{.fd = 0, .generation = 1}}) {
    EXPECT_EQ(reactor.modify(id, Events::readable).error().number, ENOENT) << id.fd;
    EXPECT_EQ(reactor.remove(id).error().number, ENOENT) << id.fd;
  }
  const auto timer = reactor.add_timer(note);
  for (const TimerId id :
       {TimerId(), TimerId{.index = 2, .generation = 1}, TimerId{.index = far, .generation = 1},
        TimerId{.index = 1}, TimerId{.index = timer->index, .generation = timer->generation + 1}}) {
    reactor.arm_after(id, Duration::zero());
    EXPECT_FALSE(reactor.armed(id)) << id.index;
    reactor.cancel(id);
    reactor.remove_timer(id);
  }
  const auto notifier = reactor.add_notifier(note);
  for (const NotifierId id :
       {NotifierId(), NotifierId{.index = 3, .generation = 1},
        NotifierId{.index = far, .generation = 1}, NotifierId{.index = 1},
        NotifierId{.index = notifier->index, .generation = notifier->generation + 1}}) {
    reactor.raise(id);
    reactor.remove_notifier(id);
  }
  ASSERT_TRUE(reactor.turn(Duration::zero()));
  EXPECT_EQ(trace, "");
  EXPECT_EQ(reactor.statistics().timers, 1U);
  EXPECT_EQ(reactor.statistics().notifiers, 1U);
  reactor.raise(*notifier);
  reactor.arm_after(*timer, Duration::zero());
  ASSERT_TRUE(reactor.turn(Duration::zero()));
  EXPECT_EQ(trace, "x x");
}

}  // namespace
}  // namespace millrace::test
