// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <csignal>
#include <cstdlib>
#include <gtest/gtest.h>
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

TEST(System, ignores_sigpipe) {
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  ignore_sigpipe();
  EXPECT_EQ(std::raise(SIGPIPE), 0);  // would end the test program
  EXPECT_EQ(std::signal(SIGPIPE, before), SIG_IGN);
}

}  // namespace
}  // namespace millrace::hal
