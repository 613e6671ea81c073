// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <csignal>
#include <cstdlib>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "hal/system.hpp"

namespace millrace::hal {
namespace {

TEST(System, knows_its_process) {
  EXPECT_EQ(process_id(), static_cast<std::uint64_t>(::getpid()));
  EXPECT_EQ(is_root(), ::geteuid() == 0);
}

TEST(System, reads_the_environment) {
  ::setenv("MILLRACE_TEST", "value", 1);
  EXPECT_STREQ(environment_variable("MILLRACE_TEST"), "value");
  ::unsetenv("MILLRACE_TEST");
  EXPECT_EQ(environment_variable("MILLRACE_TEST"), nullptr);
}

TEST(System, sets_the_timer_slack) {
  const int before = ::prctl(PR_GET_TIMERSLACK);
  ASSERT_TRUE(set_timer_slack(std::chrono::microseconds(7)));
  EXPECT_EQ(::prctl(PR_GET_TIMERSLACK), 7000);
  for (const Duration wrong : {Duration(0), Duration(-1)}) {
    const auto set = set_timer_slack(wrong);
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().number, EINVAL);
  }
  EXPECT_EQ(::prctl(PR_GET_TIMERSLACK), 7000);
  ASSERT_TRUE(set_timer_slack(Duration(before)));
}

TEST(System, the_model_is_text_or_missing) {
  const auto model = device_tree_model();
  EXPECT_EQ(model.has_value(), ::access("/proc/device-tree/model", R_OK) == 0);
  if (model) {
    EXPECT_FALSE(model->empty());
    EXPECT_EQ(model->view().find('\0'), std::string_view::npos);
  }
}

TEST(System, a_thread_stays_on_the_processor_that_it_is_given) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  std::size_t number = 0;
  while (!CPU_ISSET(number, &before)) {
    ++number;
  }
  EXPECT_TRUE(run_on_processor(number));
  cpu_set_t after;
  ASSERT_EQ(::sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_EQ(CPU_COUNT(&after), 1);
  EXPECT_TRUE(CPU_ISSET(number, &after));
  for (const std::size_t none : {std::size_t{CPU_SETSIZE - 1}, std::size_t{CPU_SETSIZE}}) {
    const auto refused = run_on_processor(none);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().number, EINVAL);
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
}

TEST(System, ignores_sigpipe) {
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  ignore_sigpipe();
  EXPECT_EQ(std::raise(SIGPIPE), 0);  // would end the test program
  EXPECT_EQ(std::signal(SIGPIPE, before), SIG_IGN);
}

}  // namespace
}  // namespace millrace::hal
