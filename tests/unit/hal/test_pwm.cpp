// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "hal/pwm.hpp"

namespace millrace::hal {
namespace {

using namespace std::chrono_literals;

/// A chip of two channels as the kernel shows it, but of files that remember all.
class PwmTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    put("npwm", "2\n");
    put("export", "");
    add_channel(0);
  }
  void TearDown() override { std::filesystem::remove_all(chip()); }

  [[nodiscard]] std::string chip() const { return directory.data(); }
  [[nodiscard]] std::string name(unsigned channel = 0) const {
    return chip() + ":" + std::to_string(channel);
  }
  void put(const std::string& file, std::string_view text) const {
    std::ofstream(chip() + "/" + file) << text;
  }
  /// The first line: what is written does not shorten a file that is one.
  [[nodiscard]] std::string get(const std::string& file) const {
    std::string line;
    std::getline(std::ifstream(chip() + "/" + file), line);
    return line;
  }
  void add_channel(unsigned channel) const {
    const std::string folder = "pwm" + std::to_string(channel);
    std::filesystem::create_directory(chip() + "/" + folder);
    for (const char* const file : {"/period", "/duty_cycle", "/enable"}) {
      put(folder + file, "0\n");
    }
    put(folder + "/polarity", "normal\n");
  }
  /// What is written to that file fails with ENOSPC.
  void break_file(const std::string& file) const {
    std::filesystem::remove(chip() + "/" + file);
    std::filesystem::create_symlink("/dev/full", chip() + "/" + file);
  }

  std::array<char, 40> directory{"/tmp/millrace-pwm-XXXXXX"};
  Pwm pwm;
};

TEST_F(PwmTest, sets_period_and_width_in_nanoseconds_and_then_starts) {
  ASSERT_TRUE(pwm.open(name()));
  EXPECT_TRUE(pwm.is_open());
  EXPECT_EQ(pwm.name(), name());
  EXPECT_FALSE(pwm.enabled());
  ASSERT_TRUE(pwm.set(1ms, 250us));
  EXPECT_EQ(get("pwm0/period"), "1000000");
  EXPECT_EQ(get("pwm0/duty_cycle"), "250000");
  EXPECT_EQ(get("pwm0/enable"), "1");
  EXPECT_EQ(pwm.period(), 1ms);
  EXPECT_EQ(pwm.width(), 250us);
  ASSERT_TRUE(pwm.stop());
  EXPECT_EQ(get("pwm0/enable"), "0");
  EXPECT_FALSE(pwm.enabled());
}

TEST_F(PwmTest, what_was_set_outlives_it_and_is_taken_over) {
  {
    Pwm earlier;
    ASSERT_TRUE(earlier.open(name()));
    ASSERT_TRUE(earlier.set(20ms, 1500us));
  }
  EXPECT_EQ(get("pwm0/enable"), "1");
  ASSERT_TRUE(pwm.open(name()));
  EXPECT_EQ(pwm.period(), 20ms);
  EXPECT_EQ(pwm.width(), 1500us);
  EXPECT_TRUE(pwm.enabled());
}

TEST_F(PwmTest, changes_both_in_any_direction) {
  ASSERT_TRUE(pwm.open(name()));
  ASSERT_TRUE(pwm.set(1ms, 800us));
  struct Change {
    Duration period;
    Duration width;
  };
  for (const Change& change : {Change{500us, 400us}, Change{2ms, 1500us}, Change{2ms, 2ms},
                               Change{1us, 1us}, Change{1s, 0ns}, Change{10ms, 10ms}}) {
    ASSERT_TRUE(pwm.set(change.period, change.width));
    EXPECT_EQ(get("pwm0/period"), std::to_string(change.period.count()));
    EXPECT_EQ(get("pwm0/duty_cycle"), std::to_string(change.width.count()));
  }
}

TEST_F(PwmTest, the_width_never_exceeds_the_period_in_between) {
  // Both are one file: it keeps what was written last.
  std::filesystem::remove(chip() + "/pwm0/duty_cycle");
  std::filesystem::create_symlink("period", chip() + "/pwm0/duty_cycle");
  put("pwm0/period", "800000\n");
  ASSERT_TRUE(pwm.open(name()));
  ASSERT_TRUE(pwm.set(2ms, 1ms));
  EXPECT_EQ(get("pwm0/period"), "1000000")
      << "the period first, as it is longer than the width was";
  ASSERT_TRUE(pwm.set(500us, 400us));
  EXPECT_EQ(get("pwm0/period"), "500000") << "the width first, as the period will be shorter";
}

TEST_F(PwmTest, goes_on_with_what_it_had_when_the_driver_refuses) {
  ASSERT_TRUE(pwm.open(name()));
  ASSERT_TRUE(pwm.set(1ms, 500us));
  break_file("pwm0/duty_cycle");
  Pwm broken;
  ASSERT_TRUE(broken.open(name()));
  const auto refused = broken.set(4ms, 1ms);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().number, ENOSPC);
  EXPECT_EQ(get("pwm0/period"), "1000000") << "the period is taken back";
  EXPECT_EQ(broken.period(), 1ms);
}

TEST_F(PwmTest, a_channel_that_is_off_is_told_to_make_high_pulses) {
  put("pwm0/polarity", "inversed\n");
  ASSERT_TRUE(pwm.open(name()));
  EXPECT_EQ(get("pwm0/polarity"), "normal");
}

TEST_F(PwmTest, a_channel_that_runs_keeps_its_polarity) {
  put("pwm0/polarity", "inversed\n");
  put("pwm0/enable", "1\n");
  ASSERT_TRUE(pwm.open(name()));
  EXPECT_EQ(get("pwm0/polarity"), "inversed");
}

TEST_F(PwmTest, does_without_a_polarity) {
  std::filesystem::remove(chip() + "/pwm0/polarity");
  ASSERT_TRUE(pwm.open(name()));
  EXPECT_TRUE(pwm.set(1ms, 1ms));
}

TEST_F(PwmTest, asks_the_kernel_for_a_channel_that_is_not_there) {
  const auto opened = pwm.open(name(1));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().number, EBUSY) << "asked for, and did not come";
  EXPECT_EQ(get("export"), "1");
  EXPECT_FALSE(pwm.is_open());
}

TEST_F(PwmTest, an_export_that_fails_is_told) {
  break_file("export");
  const auto opened = pwm.open(name(1));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().number, ENOSPC);
}

TEST_F(PwmTest, names_what_is_missing) {
  for (const char* const nonsense : {"", ":", "0", ":0", "chip", "chip:", "chip:x", "chip:-1",
                                     "chip:0x1", "chip:65536", "chip: 0"}) {
    const auto opened = pwm.open(nonsense);
    ASSERT_FALSE(opened) << nonsense;
    EXPECT_EQ(opened.error().number, EINVAL) << nonsense;
  }
  EXPECT_EQ(pwm.open(std::string(200, 'x') + ":0").error().number, EINVAL);
  EXPECT_EQ(pwm.open("/nowhere/pwmchip0:0").error().number, ENODEV);
  EXPECT_EQ(pwm.open("no-such-chip.pwm:0").error().number, ENODEV);
  const auto beyond = pwm.open(name(2));
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().number, ENODEV);
  EXPECT_EQ(std::string_view(beyond.error().what), "the PWM chip has no such channel");
}

TEST_F(PwmTest, waits_until_udev_has_given_it_the_files) {
  constexpr uid_t nobody = 65534;
  if (::geteuid() == 0) {
    for (const char* const file : {"", "/npwm", "/export", "/pwm0", "/pwm0/period",
                                   "/pwm0/duty_cycle", "/pwm0/enable", "/pwm0/polarity"}) {
      ASSERT_EQ(::chown((chip() + file).c_str(), nobody, nobody), 0);
    }
    ASSERT_EQ(::seteuid(nobody), 0);
  }
  const std::string file = chip() + "/pwm0/enable";
  ASSERT_EQ(::chmod(file.c_str(), 0), 0);
  std::thread udev([&] {
    std::this_thread::sleep_for(30ms);
    EXPECT_EQ(::chmod(file.c_str(), 0600), 0);
  });
  EXPECT_TRUE(pwm.open(name()));
  udev.join();
  ASSERT_EQ(::chmod(file.c_str(), 0), 0);
  const auto never = Pwm().open(name());
  (void)::seteuid(::getuid());
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().number, EACCES);
  EXPECT_NE(std::string_view(never.error().remedy).find("group gpio"), std::string_view::npos);
}

}  // namespace
}  // namespace millrace::hal
