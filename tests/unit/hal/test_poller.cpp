// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>
#include <gtest/gtest.h>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <sys/resource.h>
#include <sys/time.h>
#include <thread>
#include <vector>

#include "hal/clock.hpp"
#include "hal/poller.hpp"
#include "tests/support/descriptors.hpp"
#include "tests/support/loop.hpp"

namespace millrace::test {
namespace {

constexpr Events readable = Events::readable;
constexpr Events writable = Events::writable;

template <class PollerType>
class Pollers : public PollerTest<PollerType> {
 protected:
  void SetUp() override {
    PollerTest<PollerType>::SetUp();
    if (!testing::Test::IsSkipped()) {
      ASSERT_TRUE(poller.open());
    }
  }

  // "token:events" of each that is ready.
  std::string wait(Duration timeout = Duration::zero(), std::size_t most = 16) {
    std::array<hal::PollEvent, 16> ready{};
    const auto found = poller.wait(std::span(ready).first(most), timeout);
    EXPECT_TRUE(found);
    std::string text;
    for (const hal::PollEvent& event : std::span(ready).first(found.value_or(0))) {
      text += (text.empty() ? "" : " ") + std::to_string(event.token) + ":" +
              std::to_string(bits(event.events));
    }
    return text;
  }

  PollerType poller;
};
TYPED_TEST_SUITE(Pollers, AllPollers, PollerNames);

TYPED_TEST(Pollers, report_what_is_ready_under_its_token) {
  const Pair a = make_socket_pair();
  const Pair b = make_socket_pair();
  ASSERT_TRUE(this->poller.add(a.near.get(), readable, 7));
  ASSERT_TRUE(this->poller.add(b.near.get(), readable | writable, 1ULL << 40U));
  EXPECT_EQ(this->wait(), "1099511627776:4");
  put(b.far, "x");
  EXPECT_EQ(this->wait(), "1099511627776:5");
  ASSERT_TRUE(this->poller.modify(b.near.get(), readable, 8));
  EXPECT_EQ(this->wait(), "8:1");
  EXPECT_EQ(this->wait(), "8:1") << "level-triggered";
  EXPECT_EQ(get(b.near), "x");
  EXPECT_EQ(this->wait(), "");
  put(a.far, "x");
  EXPECT_EQ(this->wait(), "7:1");
  ASSERT_TRUE(this->poller.remove(a.near.get()));
  EXPECT_EQ(this->wait(), "");
}

TYPED_TEST(Pollers, refuse_what_they_cannot_do_in_the_same_words) {
  Pair pipe = make_pipe();
  const hal::Fd file = make_file();
  const int fd = pipe.near.get();
  const auto number = [](const Result<void>& result) { return result ? 0 : result.error().number; };
  EXPECT_EQ(number(this->poller.modify(fd, readable, 1)), ENOENT);
  EXPECT_EQ(number(this->poller.remove(fd)), ENOENT);
  EXPECT_EQ(number(this->poller.add(fd, readable, 1)), 0);
  EXPECT_EQ(number(this->poller.add(fd, readable, 2)), EEXIST);
  EXPECT_EQ(number(this->poller.add(-1, readable, 1)), EBADF);
  EXPECT_EQ(number(this->poller.add(file.get(), readable, 1)), EPERM);
  EXPECT_EQ(number(this->poller.remove(fd)), 0);
  EXPECT_EQ(number(this->poller.remove(fd)), ENOENT);
  pipe.near.reset();
  EXPECT_EQ(number(this->poller.add(fd, readable, 1)), EBADF);
  EXPECT_EQ(this->wait(), "");
}

TYPED_TEST(Pollers, find_out_on_modify_that_a_descriptor_was_closed_or_became_a_file) {
  const hal::Fd file = make_file();
  for (const int error : {EBADF, EPERM}) {
    Pair pipe = make_pipe();
    const int fd = pipe.near.get();
    ASSERT_TRUE(this->poller.add(fd, readable, 1));
    if (error == EBADF) {
      pipe.near.reset();
    } else {
      ASSERT_EQ(::dup2(file.get(), fd), fd);
    }
    const auto modified = this->poller.modify(fd, readable, 1);
    ASSERT_FALSE(modified);
    EXPECT_EQ(modified.error().number, error);
    EXPECT_EQ(this->wait(), "") << "forgotten";
  }
}

TYPED_TEST(Pollers, forget_everything_when_reset) {
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  ASSERT_TRUE(this->poller.add(pipe.near.get(), readable, 1));
  ASSERT_TRUE(this->poller.reset());
  EXPECT_EQ(this->wait(), "");
  EXPECT_EQ(this->poller.remove(pipe.near.get()).error().number, ENOENT);
  ASSERT_TRUE(this->poller.add(pipe.near.get(), readable, 2));
  EXPECT_EQ(this->wait(), "2:1");
  EXPECT_EQ(this->wait(1h), "2:1") << "waits still have their limit";
}

TYPED_TEST(Pollers, of_more_ready_than_fit_leave_none_out) {
  std::vector<Pair> pipes;
  for (std::uint64_t i = 0; i < 10; ++i) {
    pipes.push_back(make_pipe());
    put(pipes.back().far, "x");
    ASSERT_TRUE(this->poller.add(pipes.back().near.get(), readable, i));
  }
  for (int round = 0; round < 3; ++round) {
    std::set<std::string> seen;
    for (int i = 0; i < 4; ++i) {
      std::istringstream words(this->wait(0ns, 3));
      for (std::string word; words >> word;) {
        seen.insert(word);
      }
    }
    EXPECT_EQ(seen.size(), 10U);
  }
}

TYPED_TEST(Pollers, wait_no_shorter_than_the_limit) {
  const hal::SystemClock clock;
  for (const Duration limit : {Duration(1), Duration(1001), Duration(1'500'001)}) {
    const Instant before = clock.now();
    EXPECT_EQ(this->wait(limit), "");
    EXPECT_GE(clock.now() - before, limit);
  }
}

TYPED_TEST(Pollers, do_not_wait_for_a_limit_of_zero_or_less) {
  EXPECT_EQ(this->wait(0ns), "");
  EXPECT_EQ(this->wait(-1ns), "");
  EXPECT_EQ(this->wait(Duration::min()), "");
}

TYPED_TEST(Pollers, are_not_disturbed_by_the_limit_of_an_earlier_wait) {
  const hal::SystemClock clock;
  const Pair pipe = make_pipe();
  ASSERT_TRUE(this->poller.add(pipe.near.get(), readable, 1));
  put(pipe.far, "x");
  EXPECT_EQ(this->wait(1ms), "1:1");
  EXPECT_EQ(get(pipe.near), "x");
  std::this_thread::sleep_for(2ms);
  EXPECT_EQ(this->wait(), "");
  const Instant before = clock.now();
  EXPECT_EQ(this->wait(3ms), "");
  EXPECT_GE(clock.now() - before, 3ms);
  put(pipe.far, "x");
  EXPECT_EQ(this->wait(1ms), "1:1");
  EXPECT_EQ(get(pipe.near), "x");
  std::thread writer([&] {
    std::this_thread::sleep_for(10ms);
    put(pipe.far, "x");
  });
  EXPECT_EQ(this->wait(forever), "1:1") << "woken by the limit of the wait before";
  writer.join();
}

TYPED_TEST(Pollers, wait_for_the_longest_time_and_without_limit) {
  const Pair pipe = make_pipe();
  ASSERT_TRUE(this->poller.add(pipe.near.get(), readable, 1));
  for (const Duration limit : {forever, Duration(forever - 1ns), Duration(1LL << 48)}) {
    std::thread writer([&] {
      std::this_thread::sleep_for(1ms);
      put(pipe.far, "x");
    });
    EXPECT_EQ(this->wait(limit), "1:1");
    writer.join();
    EXPECT_EQ(get(pipe.near), "x");
  }
}

TYPED_TEST(Pollers, a_signal_ends_the_wait_with_nothing) {
  struct sigaction action{};
  struct sigaction old{};
  action.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &action, &old);
  const itimerval soon{.it_interval = {.tv_sec = 0, .tv_usec = 1000},
                       .it_value = {.tv_sec = 0, .tv_usec = 1000}};
  ::setitimer(ITIMER_REAL, &soon, nullptr);
  EXPECT_EQ(this->wait(forever), "");
  EXPECT_EQ(this->wait(1h), "");
  const itimerval off{};
  ::setitimer(ITIMER_REAL, &off, nullptr);
  ::sigaction(SIGALRM, &old, nullptr);
}

TYPED_TEST(Pollers, go_on_with_the_others_when_several_were_closed) {
  std::vector<Pair> pipes;
  for (std::uint64_t i = 0; i < 8; ++i) {
    pipes.push_back(make_pipe());
    ASSERT_TRUE(this->poller.add(pipes.back().near.get(), readable, i));
  }
  for (const std::size_t i : {1U, 2U, 7U}) {
    pipes.at(i).near.reset();
  }
  std::set<std::string> seen;
  for (int i = 0; i < 5; ++i) {
    std::istringstream words(this->wait(0ns, 2));
    for (std::string word; words >> word;) {
      EXPECT_TRUE(seen.insert(word).second) << "reported twice";
    }
  }
  if (this->poller.name() == std::string("epoll")) {
    EXPECT_TRUE(seen.empty());
  } else {
    EXPECT_EQ(seen, (std::set<std::string>{"1:8", "2:8", "7:8"}));
  }
  put(pipes[6].far, "x");
  EXPECT_EQ(this->wait(), "6:1");
}

TEST(EpollPoller, has_a_token_of_its_own_that_only_the_timerfd_uses) {
  // With the timerfd, an event under this token is not passed on.
  hal::EpollPoller poller;
  ASSERT_TRUE(poller.open(hal::EpollPoller::Wait::timerfd));
  EXPECT_EQ(poller.wait_method(), hal::EpollPoller::Wait::timerfd);
  const Pair pipe = make_pipe();
  put(pipe.far, "x");
  std::array<hal::PollEvent, 4> ready{};
  ASSERT_TRUE(poller.add(pipe.near.get(), readable, hal::Poller::reserved_token - 1));
  EXPECT_EQ(poller.wait(ready, 0ns).value(), 1U);
}

TEST(EpollPoller, finds_a_way_to_wait_by_itself) {
  hal::EpollPoller poller;
  ASSERT_TRUE(poller.open());
  EXPECT_NE(poller.wait_method(), hal::EpollPoller::Wait::best);
}

TEST(EpollPoller, out_of_descriptors_says_so) {
  hal::EpollPoller poller;
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old_limit), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = old_limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto opened = poller.open();
  ::setrlimit(RLIMIT_NOFILE, &old_limit);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().number, EMFILE);
}

TEST(PollPoller, is_full_at_its_capacity) {
  hal::PollPoller<2> poller;
  const std::array<Pair, 3> pipes = {make_pipe(), make_pipe(), make_pipe()};
  ASSERT_TRUE(poller.add(pipes[0].near.get(), readable, 0));
  ASSERT_TRUE(poller.add(pipes[1].near.get(), readable, 1));
  const auto full = poller.add(pipes[2].near.get(), readable, 2);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().number, ENOSPC);
  ASSERT_TRUE(poller.remove(pipes[0].near.get()));
  EXPECT_TRUE(poller.add(pipes[2].near.get(), readable, 2));
}

TEST(SelectPoller, refuses_numbers_past_1023_instead_of_writing_past_its_sets) {
  hal::SelectPoller poller;
  for (const int fd : {FD_SETSIZE, FD_SETSIZE + 1, INT_MAX}) {
    const auto added = poller.add(fd, readable, 1);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().number, ENOSPC);
    EXPECT_EQ(poller.remove(fd).error().number, ENOENT);
    EXPECT_EQ(poller.modify(fd, readable, 1).error().number, ENOENT);
  }
}

}  // namespace
}  // namespace millrace::test
