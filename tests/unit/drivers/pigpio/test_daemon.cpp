// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "drivers/pigpio/daemon.hpp"
#include "tests/support/pigpio_host.hpp"

namespace millrace::pigpio {
namespace {

using namespace std::chrono_literals;

constexpr ClientId alice = 1;
constexpr ClientId bob = 2;
constexpr unsigned lines = 40;  // some of bank 2, too

/// A daemon, its host and a time that stands still until it is told otherwise.
class PigpioDaemonTest : public testing::Test {
 protected:
  void SetUp() override { daemon.open({.revision = 0x902120}); }

  Answer ask(Command command, std::uint32_t p1 = 0, std::uint32_t p2 = 0,
             std::string_view extension = {}, ClientId client = alice) {
    return daemon.execute({.command = command,
                           .p1 = p1,
                           .p2 = p2,
                           .extension_size = static_cast<std::uint32_t>(extension.size()),
                           .extension = std::as_bytes(std::span(extension))},
                          client, data, now);
  }
  /// The result as Python's clients see it.
  std::int32_t run(Command command, std::uint32_t p1 = 0, std::uint32_t p2 = 0,
                   std::string_view extension = {}, ClientId client = alice) {
    return ask(command, p1, p2, extension, client).result;
  }
  static std::string word(std::uint32_t value) {
    std::array<std::byte, 4> bytes{};
    store32(value, bytes);
    std::string text;
    for (const std::byte byte : bytes) {
      text.push_back(static_cast<char>(byte));
    }
    return text;
  }
  /// Time passes, and the daemon is woken for each of its deadlines.
  void pass(Duration by) {
    const Instant end = now + by;
    for (;;) {
      now = std::min({end, daemon.next_edge(), daemon.next_deadline()});
      if (daemon.next_edge() <= now) {
        daemon.advance_pulses(now);
      }
      if (daemon.next_deadline() <= now) {
        daemon.advance(now);
      }
      if (now == end) {
        return;
      }
    }
  }
  /// The line has another level, and the daemon is told if it asked for it.
  void change(unsigned gpio, bool level) {
    host.lines.at(gpio).level = level;
    if ((host.watched >> gpio & 1U) != 0) {
      daemon.refresh_unwatched();
      daemon.on_level(gpio, level, now);
    }
  }
  /// The reports since the last call: kind, number or levels, and to whom.
  std::string reports() {
    std::string text;
    for (const Report& report : std::exchange(host.reports, {})) {
      text += text.empty() ? "" : " ";
      switch (report.kind) {
        case Report::Kind::levels:
          text += "levels " + std::to_string(report.levels);
          break;
        case Report::Kind::watchdog:
          text += "watchdog " + std::to_string(report.number);
          break;
        case Report::Kind::event:
          text += "event " + std::to_string(report.number);
          break;
        case Report::Kind::keep_alive:
          text += "alive";
          break;
      }
      text += " to " + std::to_string(report.audience);
    }
    return text;
  }
  std::string driven() { return std::exchange(host.driven, {}); }

  Instant now{1000s};
  test::PigpioHost host{lines};
  Daemon daemon{host, host, host};
  std::array<std::byte, 64> data{};
};

// --- Arguments ---------------------------------------------------------------------------------

TEST_F(PigpioDaemonTest, refuses_what_it_has_not_with_the_protocols_own_error) {
  for (std::uint32_t command = 0; command < 130; ++command) {
    if (!Daemon::serves(Command{command})) {
      EXPECT_EQ(run(Command{command}), -88) << command;
    }
  }
  for (const std::uint32_t waves : {27U, 28U, 49U, 51U, 53U, 93U}) {
    EXPECT_EQ(run(Command{waves}), -88);
  }
  for (const std::uint32_t forever : {104U, 105U, 106U, 107U, 108U, 109U, 110U}) {
    EXPECT_EQ(run(Command{forever}), -88);  // files and the shell
  }
  EXPECT_EQ(run(Command{UINT32_MAX}), -88);
}

TEST_F(PigpioDaemonTest, checks_gpio_numbers_as_pigpiod_does) {
  for (const Command command : {Command::modes, Command::pud, Command::write}) {
    EXPECT_EQ(run(command, lines), -41) << "not a line here";
    EXPECT_EQ(run(command, 53), -41);
    EXPECT_EQ(run(command, 54), -3);
    EXPECT_EQ(run(command, UINT32_MAX), -3);
  }
  for (const Command command : {Command::modeg, Command::read}) {
    EXPECT_EQ(run(command, lines - 1), 0);
    EXPECT_EQ(run(command, lines), -3);
    EXPECT_EQ(run(command, 54), -3);
  }
  for (const Command command : {Command::wdog, Command::fg, Command::fn, Command::prg, Command::pfg,
                                Command::prrg, Command::gdc, Command::gpw}) {
    EXPECT_EQ(run(command, 32, 0, word(0)), -2);
  }
  for (const Command command : {Command::pwm, Command::prs, Command::pfs, Command::servo}) {
    EXPECT_EQ(run(command, 32), -2) << "a line, but not of bank 1";
    EXPECT_EQ(run(command, lines), -41);
    EXPECT_EQ(run(command, 54), -2);
  }
  EXPECT_EQ(run(Command::trig, 32, 10, word(1)), -2);
}

TEST_F(PigpioDaemonTest, checks_what_comes_second_as_pigpiod_does) {
  EXPECT_EQ(run(Command::modes, 4, 8), -4);
  for (const std::uint32_t function : {2U, 3U, 4U, 5U, 6U, 7U}) {
    EXPECT_EQ(run(Command::modes, 4, function), -41) << "the device tree's to say";
  }
  EXPECT_EQ(run(Command::pud, 4, 3), -6);
  EXPECT_EQ(run(Command::write, 4, 2), -5);
  EXPECT_EQ(run(Command::pwm, 4, 256), -8);
  EXPECT_EQ(run(Command::prs, 4, 24), -21);
  EXPECT_EQ(run(Command::prs, 4, 40'001), -21);
  for (const std::uint32_t width : {1U, 499U, 2501U, UINT32_MAX}) {
    EXPECT_EQ(run(Command::servo, 4, width), -7);
  }
  EXPECT_EQ(run(Command::wdog, 4, 60'001), -15);
  EXPECT_EQ(run(Command::fg, 4, 300'001), -125);
  EXPECT_EQ(run(Command::fn, 4, 300'001, word(0)), -125);
  EXPECT_EQ(run(Command::fn, 4, 0, word(1'000'001)), -125);
  EXPECT_EQ(run(Command::fn, 4, 0), -81) << "nothing follows";
  EXPECT_EQ(run(Command::trig, 4, 0, word(1)), -46);
  EXPECT_EQ(run(Command::trig, 4, 101, word(1)), -46);
  EXPECT_EQ(run(Command::trig, 4, 10, word(2)), -5);
  EXPECT_EQ(run(Command::trig, 4, 10, "abc"), -81);
  EXPECT_EQ(run(Command::evt, 32), -143);
}

TEST_F(PigpioDaemonTest, says_who_it_is) {
  EXPECT_EQ(run(Command::hwver), 0x902120);
  EXPECT_EQ(run(Command::pigpv), 79);
  now = Instant(3s);
  EXPECT_EQ(run(Command::tick), 3'000'000);
}

// --- Lines -------------------------------------------------------------------------------------

TEST_F(PigpioDaemonTest, write_makes_an_output) {
  EXPECT_EQ(run(Command::modeg, 17), 0);
  EXPECT_EQ(run(Command::write, 17, 1), 0);
  EXPECT_EQ(run(Command::modeg, 17), 1);
  EXPECT_EQ(driven(), "") << "it has its level from the start";
  EXPECT_EQ(run(Command::read, 17), 1);
  EXPECT_EQ(run(Command::write, 17, 0), 0);
  EXPECT_EQ(driven(), "17_");
  EXPECT_EQ(run(Command::read, 17), 0);
}

TEST_F(PigpioDaemonTest, an_output_that_was_an_input_has_the_level_last_written) {
  (void)run(Command::write, 17, 1);
  EXPECT_EQ(run(Command::modes, 17, 0), 0);
  EXPECT_FALSE(host.lines[17].output);
  host.lines[17].level = false;
  EXPECT_EQ(run(Command::modes, 17, 1), 0);
  EXPECT_TRUE(host.lines[17].level);
  host.lines[5].output = true;
  host.lines[5].level = true;
  EXPECT_EQ(run(Command::modes, 5, 1), 0);
  EXPECT_TRUE(host.lines[5].level) << "one that is an output already is left as it is";
}

TEST_F(PigpioDaemonTest, passes_on_why_a_line_can_not_be_used) {
  host.lines[4].fails = Code::gpio_in_use;
  EXPECT_EQ(run(Command::modes, 4, 1), -50);
  EXPECT_EQ(run(Command::modes, 4, 0), -50);
  EXPECT_EQ(run(Command::pud, 4, 2), -50);
  EXPECT_EQ(run(Command::read, 4), -50);
  EXPECT_EQ(run(Command::write, 4, 1), -50);
  EXPECT_EQ(run(Command::pwm, 4, 100), -50);
  host.lines[4].output = true;
  EXPECT_EQ(run(Command::trig, 4, 10, word(1)), -41);
  EXPECT_EQ(run(Command::bs1, 1U << 4U), -50);
}

TEST_F(PigpioDaemonTest, banks_drive_outputs_and_remember_for_inputs) {
  (void)run(Command::write, 4, 0);
  (void)run(Command::write, 5, 0);
  EXPECT_EQ(run(Command::bs1, 0b111'0000), 0);
  EXPECT_EQ(driven(), "4^ 5^");
  EXPECT_EQ(run(Command::br1), 0b011'0000);
  (void)run(Command::modes, 6, 1);
  EXPECT_TRUE(host.lines[6].level) << "as was written while it was an input";
  EXPECT_EQ(run(Command::bc1, 0b001'0000), 0);
  EXPECT_EQ(driven(), "4_");
  EXPECT_EQ(run(Command::br1), 0b110'0000);
}

TEST_F(PigpioDaemonTest, bank_2_has_the_numbers_from_32) {
  (void)run(Command::write, 33, 0);
  EXPECT_EQ(run(Command::bs2, 0b10), 0);
  EXPECT_EQ(driven(), "33^");
  EXPECT_EQ(run(Command::br2), 0b10);
  EXPECT_EQ(run(Command::bc2, 0b10), 0);
  EXPECT_EQ(run(Command::br2), 0);
  EXPECT_EQ(run(Command::bs2, 1U << 8U), -42) << "40 is no line";
  EXPECT_EQ(run(Command::bs2, UINT32_MAX), -42);
  EXPECT_EQ(driven(), "33_ 33^");
}

TEST_F(PigpioDaemonTest, all_of_bank_1_may_be_written_where_all_are_lines) {
  EXPECT_EQ(run(Command::bs1, UINT32_MAX), 0);
  EXPECT_EQ(run(Command::bc1, UINT32_MAX), 0);
  host.line_count = 28;
  EXPECT_EQ(run(Command::bs1, UINT32_MAX), -42);
}

// --- Notifications -----------------------------------------------------------------------------

TEST_F(PigpioDaemonTest, reports_changes_of_what_is_watched_with_all_levels) {
  host.lines[9].level = true;
  EXPECT_EQ(run(Command::noib), 0);
  EXPECT_EQ(host.channels, 1U);
  EXPECT_EQ(run(Command::nb, 0, 1U << 4U), 0);
  EXPECT_EQ(host.watched, 1U << 4U);
  EXPECT_EQ(reports(), "");
  change(4, true);
  EXPECT_EQ(reports(), "levels 528 to 1");
  change(9, false);
  EXPECT_EQ(reports(), "") << "nobody watches it";
  change(4, false);
  EXPECT_EQ(reports(), "levels 0 to 1") << "but its level is told";
  daemon.on_level(4, false, now);
  EXPECT_EQ(reports(), "") << "no change";
}

TEST_F(PigpioDaemonTest, each_channel_has_what_it_watches) {
  EXPECT_EQ(run(Command::noib, 0, 0, {}, alice), 0);
  EXPECT_EQ(run(Command::noib, 0, 0, {}, bob), 1);
  EXPECT_EQ(run(Command::nb, 0, 0b001'0000), 0);
  EXPECT_EQ(run(Command::nb, 1, 0b011'0000), 0) << "any client may name any handle";
  change(5, true);
  EXPECT_EQ(reports(), "levels 32 to 2");
  change(4, true);
  EXPECT_EQ(reports(), "levels 48 to 3");
  EXPECT_EQ(run(Command::np, 1), 0);
  EXPECT_EQ(host.watched, 0b001'0000U) << "no more than anybody wants";
  change(4, false);
  EXPECT_EQ(reports(), "levels 32 to 1");
  EXPECT_EQ(run(Command::nc, 0), 0);
  EXPECT_EQ(host.watched, 0U);
  EXPECT_EQ(host.channels, 2U);
  EXPECT_EQ(run(Command::nc, 0), -25);
  EXPECT_EQ(run(Command::np, 0), -25);
  EXPECT_EQ(run(Command::nb, 0, 1), -25);
  EXPECT_EQ(run(Command::evm, 0, 1), -25);
}

TEST_F(PigpioDaemonTest, a_handle_dies_with_its_connection) {
  EXPECT_EQ(run(Command::noib, 0, 0, {}, alice), 0);
  EXPECT_EQ(run(Command::noib, 0, 0, {}, bob), 1);
  (void)run(Command::nb, 0, 1);
  daemon.on_hang_up(alice);
  EXPECT_EQ(host.channels, 2U);
  EXPECT_EQ(host.watched, 0U);
  daemon.on_hang_up(alice);
  EXPECT_EQ(run(Command::nb, 0, 1), -25);
  EXPECT_EQ(run(Command::noib, 0, 0, {}, bob), 0) << "a connection has one, the last";
  EXPECT_EQ(host.channels, 1U);
}

TEST_F(PigpioDaemonTest, a_handle_with_a_channel_of_its_own_outlives_the_connection) {
  EXPECT_EQ(run(Command::no), 0);
  daemon.on_hang_up(alice);
  EXPECT_EQ(run(Command::nb, 0, 1), 0);
  EXPECT_EQ(run(Command::nc, 0), 0);
  host.fifos = false;
  EXPECT_EQ(run(Command::no), -23);
  EXPECT_EQ(daemon.notifications().open_count(), 0);
}

TEST_F(PigpioDaemonTest, handles_can_run_out) {
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(run(Command::no), i);
  }
  EXPECT_EQ(run(Command::noib), -24);
  EXPECT_EQ(run(Command::nc, 31), 0);
  EXPECT_EQ(run(Command::noib), 31);
}

TEST_F(PigpioDaemonTest, who_begins_to_watch_is_told_first_if_it_has_missed_a_change) {
  (void)run(Command::noib);
  change(4, true);
  EXPECT_EQ(run(Command::nb, 0, 1U << 4U), 0);
  EXPECT_EQ(reports(), "levels 16 to 1") << "or it would take the fall for no change";
  EXPECT_EQ(run(Command::nb, 0, 1U << 4U), 0);
  EXPECT_EQ(reports(), "");
}

TEST_F(PigpioDaemonTest, a_pull_that_changes_a_level_is_told_to_all_who_compare) {
  (void)run(Command::noib, 0, 0, {}, alice);
  (void)run(Command::noib, 0, 0, {}, bob);
  EXPECT_EQ(run(Command::pud, 4, 2), 0);
  EXPECT_EQ(reports(), "levels 16 to 3") << "though nobody watches it yet";
  EXPECT_EQ(run(Command::nb, 0, 1U << 4U), 0);
  EXPECT_EQ(reports(), "");
  change(4, false);
  EXPECT_EQ(reports(), "levels 0 to 1");
  EXPECT_EQ(run(Command::pud, 4, 1), 0);
  EXPECT_EQ(reports(), "levels 0 to 2") << "it was told nothing since";
}

TEST_F(PigpioDaemonTest, lines_that_can_not_be_watched_are_told_and_the_others_are) {
  host.lines[5].fails = Code::gpio_in_use;
  (void)run(Command::noib);
  EXPECT_EQ(run(Command::nb, 0, 0b011'0000), -42);
  change(4, true);
  EXPECT_EQ(reports(), "levels 16 to 1");
  host.line_count = 3;
  EXPECT_EQ(run(Command::nb, 0, UINT32_MAX), 0) << "numbers without a line are no error";
  EXPECT_EQ(host.watched, 0b111U);
}

TEST_F(PigpioDaemonTest, events_go_to_those_who_asked) {
  (void)run(Command::noib, 0, 0, {}, alice);
  (void)run(Command::noib, 0, 0, {}, bob);
  EXPECT_EQ(run(Command::evm, 1, 1U << 7U), 0);
  EXPECT_EQ(run(Command::evt, 7), 0);
  EXPECT_EQ(reports(), "event 7 to 2");
  EXPECT_EQ(run(Command::evt, 8), 0);
  EXPECT_EQ(reports(), "");
}

TEST_F(PigpioDaemonTest, a_silent_channel_is_kept_alive_once_a_minute) {
  (void)run(Command::noib);
  pass(59s);
  EXPECT_EQ(reports(), "");
  pass(1s);
  EXPECT_EQ(reports(), "alive to 1");
  pass(180s);
  EXPECT_EQ(reports(), "alive to 1 alive to 1 alive to 1");
  daemon.on_hang_up(alice);
  EXPECT_EQ(daemon.next_deadline(), never) << "nobody is there: nothing to wake up for";
}

// --- Watchdogs and filters ---------------------------------------------------------------------

TEST_F(PigpioDaemonTest, a_watchdog_barks_when_nothing_changes) {
  EXPECT_EQ(run(Command::wdog, 4, 100), 0);
  EXPECT_EQ(daemon.next_deadline(), never) << "nobody watches";
  (void)run(Command::noib);
  (void)run(Command::nb, 0, 1U << 4U);
  pass(99ms);
  EXPECT_EQ(reports(), "");
  pass(1ms);
  EXPECT_EQ(reports(), "watchdog 4 to 1");
  pass(50ms);
  change(4, true);
  EXPECT_EQ(reports(), "levels 16 to 1");
  pass(99ms);
  EXPECT_EQ(reports(), "") << "counted from the change on";
  pass(101ms);
  EXPECT_EQ(reports(), "watchdog 4 to 1 watchdog 4 to 1");
  EXPECT_EQ(run(Command::wdog, 4, 0), 0);
  pass(1s);
  EXPECT_EQ(reports(), "");
}

TEST_F(PigpioDaemonTest, long_glitches_are_filtered_by_the_kernel) {
  EXPECT_EQ(run(Command::fg, 4, 300'000), 0);
  EXPECT_EQ(host.lines[4].debounce, 300ms);
  EXPECT_EQ(run(Command::fg, 4, 10'000), 0);
  EXPECT_EQ(host.lines[4].debounce, 10ms);
  EXPECT_EQ(run(Command::fg, 4, 0), 0);
  EXPECT_EQ(host.lines[4].debounce, 0ms);
}

TEST_F(PigpioDaemonTest, short_glitches_are_filtered_here) {
  EXPECT_EQ(run(Command::fg, 4, 500), 0);
  EXPECT_EQ(host.lines[4].debounce, 0us) << "the kernel's ticks are longer";
  (void)run(Command::noib);
  (void)run(Command::nb, 0, 1U << 4U);
  change(4, true);
  pass(499us);
  change(4, false);
  pass(10ms);
  EXPECT_EQ(reports(), "");
  change(4, true);
  const Instant changed = now;
  pass(10ms);
  ASSERT_EQ(host.reports.size(), 1U);
  EXPECT_EQ(host.reports[0].tick, pigpio::tick(changed + 500us));
  EXPECT_EQ(reports(), "levels 16 to 1");
  EXPECT_EQ(run(Command::fg, 4, 0), 0);
  change(4, false);
  EXPECT_EQ(reports(), "levels 0 to 1");
}

TEST_F(PigpioDaemonTest, noise_is_filtered_here_and_glitches_before_it) {
  (void)run(Command::noib);
  (void)run(Command::nb, 0, 1U << 4U);
  EXPECT_EQ(run(Command::fg, 4, 20'000), 0);
  EXPECT_EQ(run(Command::fn, 4, 50'000, word(30'000)), 0);
  EXPECT_EQ(host.lines[4].debounce, 0us) << "all filtering of a GPIO is in one place";
  pass(60ms);
  change(4, true);
  pass(20ms);
  EXPECT_EQ(reports(), "levels 16 to 1");
  change(4, false);
  pass(20ms);
  EXPECT_EQ(reports(), "levels 0 to 1") << "20 ms after the first";
  change(4, true);
  pass(20ms);
  EXPECT_EQ(reports(), "") << "the 30 ms are over";
  EXPECT_EQ(run(Command::fn, 4, 0, word(0)), 0);
  EXPECT_EQ(host.lines[4].debounce, 20ms) << "the kernel's again";
}

TEST_F(PigpioDaemonTest, filters_begin_with_the_level_of_when_a_line_is_first_watched) {
  (void)run(Command::fg, 4, 500);
  (void)run(Command::fn, 5, 50'000, word(1000));
  change(4, true);
  (void)run(Command::noib);
  (void)run(Command::nb, 0, 0b011'0000);
  EXPECT_EQ(reports(), "");
  pass(1s);
  change(4, false);
  pass(1ms);
  EXPECT_EQ(reports(), "levels 0 to 1");
  change(5, true);
  EXPECT_EQ(reports(), "levels 32 to 1");
}

// --- Pulses ------------------------------------------------------------------------------------

TEST_F(PigpioDaemonTest, pwm_has_pulses_of_its_frequency_and_duty_cycle) {
  EXPECT_EQ(run(Command::gdc, 17), -92);
  EXPECT_EQ(run(Command::pfg, 17), 800);
  EXPECT_EQ(run(Command::prrg, 17), 250);
  EXPECT_EQ(run(Command::pfs, 17, 100), 100);
  EXPECT_EQ(run(Command::prs, 17, 1000), 2000);
  EXPECT_EQ(run(Command::prg, 17), 1000);
  EXPECT_EQ(run(Command::pwm, 17, 250), 0);
  EXPECT_EQ(run(Command::gdc, 17), 250);
  EXPECT_EQ(run(Command::gpw, 17), -93);
  EXPECT_EQ(daemon.pulse_count(), 1U);
  EXPECT_EQ(driven(), "17^");
  EXPECT_EQ(daemon.next_edge(), now + 2500us);
  pass(10ms);
  EXPECT_EQ(driven(), "17_ 17^");
  pass(1s);
  EXPECT_EQ(daemon.pulses().edges, 2U + 200);
}

TEST_F(PigpioDaemonTest, tells_how_long_pulses_are_and_how_often_they_come) {
  (void)run(Command::pfs, 17, 100);
  (void)run(Command::pwm, 17, 51);  // of 255: a fifth
  EXPECT_EQ(daemon.period_of(17), 10ms);
  EXPECT_EQ(daemon.width_of(17), 2ms);
  (void)run(Command::pfs, 17, 50);
  EXPECT_EQ(daemon.period_of(17), 20ms);
  EXPECT_EQ(daemon.width_of(17), 4ms);
  (void)run(Command::pfs, 17, 800);
  (void)run(Command::servo, 17, 1500);
  EXPECT_EQ(daemon.period_of(17), 20ms) << "a servo's, whatever PWM has";
  EXPECT_EQ(daemon.width_of(17), 1500us);
}

TEST_F(PigpioDaemonTest, pwm_can_be_nothing_and_all) {
  (void)run(Command::pwm, 17, 0);
  EXPECT_EQ(driven(), "17_");
  EXPECT_EQ(daemon.next_edge(), never);
  EXPECT_EQ(run(Command::gdc, 17), 0) << "PWM all the same";
  (void)run(Command::pwm, 17, 255);
  EXPECT_EQ(driven(), "17^");
  EXPECT_EQ(daemon.next_edge(), never);
  EXPECT_EQ(daemon.pulse_count(), 0U);
}

TEST_F(PigpioDaemonTest, range_and_frequency_can_change_while_pwm_runs) {
  (void)run(Command::pfs, 17, 100);
  (void)run(Command::pwm, 17, 51);  // of 255: a fifth
  EXPECT_EQ(run(Command::prs, 17, 1000), 2000);
  EXPECT_EQ(run(Command::gdc, 17), 200);
  EXPECT_EQ(daemon.next_edge(), now + 2ms);
  EXPECT_EQ(run(Command::pfs, 17, 50), 50);
  EXPECT_EQ(daemon.next_edge(), now + 4ms);
}

TEST_F(PigpioDaemonTest, servos_have_a_pulse_each_20_ms) {
  EXPECT_EQ(run(Command::gpw, 18), -93);
  EXPECT_EQ(run(Command::servo, 18, 1500), 0);
  EXPECT_EQ(run(Command::gpw, 18), 1500);
  EXPECT_EQ(run(Command::gdc, 18), -92);
  EXPECT_EQ(daemon.next_edge(), now + 1500us);
  pass(20ms);
  EXPECT_EQ(driven(), "18^ 18_ 18^");
  EXPECT_EQ(run(Command::servo, 18, 0), 0);
  EXPECT_EQ(driven(), "18_");
  EXPECT_EQ(daemon.next_edge(), never);
  EXPECT_EQ(run(Command::gpw, 18), 0);
}

TEST_F(PigpioDaemonTest, writing_a_level_or_making_an_input_ends_pulses) {
  (void)run(Command::pwm, 17, 100);
  EXPECT_EQ(run(Command::modes, 17, 1), 0);
  EXPECT_EQ(daemon.pulse_count(), 1U) << "it is an output already";
  EXPECT_EQ(run(Command::write, 17, 0), 0);
  EXPECT_EQ(daemon.next_edge(), never);
  EXPECT_EQ(run(Command::gdc, 17), -92);
  (void)run(Command::servo, 17, 1000);
  EXPECT_EQ(run(Command::pwm, 17, 100), 0) << "one use at a time";
  EXPECT_EQ(run(Command::gpw, 17), -93);
  EXPECT_EQ(run(Command::modes, 17, 0), 0);
  EXPECT_EQ(daemon.next_edge(), never);
  (void)driven();
  pass(1s);
  EXPECT_EQ(driven(), "");
}

TEST_F(PigpioDaemonTest, pulses_end_when_somebody_makes_an_input_of_the_line) {
  (void)run(Command::pwm, 17, 100);
  host.lines[17].output = false;
  pass(10ms);
  EXPECT_EQ(daemon.next_edge(), never);
}

TEST_F(PigpioDaemonTest, a_trigger_is_over_when_its_pulse_is) {
  (void)run(Command::write, 17, 0);
  const Answer answer = ask(Command::trig, 17, 50, word(1));
  EXPECT_EQ(answer.result, 0);
  EXPECT_EQ(answer.when, Answer::When::after_pulse);
  EXPECT_EQ(driven(), "17^");
  EXPECT_TRUE(daemon.pulsing(17));
  pass(49us);
  EXPECT_TRUE(daemon.pulsing(17));
  pass(1us);
  EXPECT_FALSE(daemon.pulsing(17));
  EXPECT_EQ(driven(), "17_");
  (void)ask(Command::trig, 17, 50, word(0));
  EXPECT_EQ(driven(), "17_");
  pass(1ms);
  EXPECT_EQ(driven(), "17^");
}

TEST_F(PigpioDaemonTest, a_write_ends_a_triggers_pulse_and_holds) {
  (void)run(Command::write, 17, 0);
  (void)ask(Command::trig, 17, 100, word(1));
  (void)run(Command::write, 17, 1, {}, bob);
  EXPECT_FALSE(daemon.pulsing(17));
  (void)driven();
  pass(1ms);
  EXPECT_EQ(driven(), "");
}

TEST_F(PigpioDaemonTest, a_trigger_of_an_input_drives_nothing) {
  const Answer answer = ask(Command::trig, 17, 50, word(0));
  EXPECT_EQ(answer.result, 0);
  EXPECT_EQ(answer.when, Answer::When::now);
  EXPECT_FALSE(host.lines[17].output);
  (void)run(Command::modes, 17, 1);
  EXPECT_TRUE(host.lines[17].level) << "its latch has the level after the pulse";
}

// --- The kernel's PWM ----------------------------------------------------------------------------

/// GPIO18 and 12 have a channel.
class PigpioKernelPwm : public PigpioDaemonTest {
 protected:
  void SetUp() override {
    PigpioDaemonTest::SetUp();
    host.pwm = std::uint64_t{1} << 18 | std::uint64_t{1} << 12;
  }
  [[nodiscard]] Duration period(unsigned gpio = 18) const { return host.lines.at(gpio).period; }
  [[nodiscard]] Duration width(unsigned gpio = 18) const { return host.lines.at(gpio).width; }
  /// HP and what it answers.
  std::int32_t hardware(unsigned gpio, std::uint32_t hertz, std::uint32_t duty) {
    return run(Command::hp, gpio, hertz, word(duty));
  }
};

TEST_F(PigpioKernelPwm, makes_pwm_without_a_timer) {
  EXPECT_EQ(run(Command::pwm, 18, 64), 0);
  EXPECT_EQ(period(), 1'250'000ns) << "800 Hz";
  EXPECT_EQ(width(), 1'250'000ns * 64 / 255);
  EXPECT_EQ(daemon.next_edge(), never);
  EXPECT_EQ(daemon.pulse_count(), 0U);
  EXPECT_EQ(daemon.pulses_of(18), nullptr);
  EXPECT_EQ(run(Command::gdc, 18), 64);
  EXPECT_EQ(run(Command::modeg, 18), 1);
  EXPECT_EQ(driven(), "");
  EXPECT_EQ(run(Command::pwm, 17, 64), 0) << "one without a channel has a timer";
  EXPECT_NE(daemon.next_edge(), never);
  EXPECT_NE(daemon.pulses_of(17), nullptr);
}

TEST_F(PigpioKernelPwm, has_any_frequency_exactly) {
  EXPECT_EQ(run(Command::pfs, 18, 25'000), 25'000) << "no step of pigpiod's";
  EXPECT_EQ(run(Command::pwm, 18, 51), 0);
  EXPECT_EQ(period(), 40us);
  EXPECT_EQ(width(), 8us);
  EXPECT_EQ(run(Command::pfs, 18, 440), 440) << "while it runs";
  EXPECT_EQ(period(), 2'272'727ns);
  EXPECT_EQ(width(), 2'272'727ns * 51 / 255);
  EXPECT_EQ(run(Command::pfg, 18), 440);
  EXPECT_EQ(run(Command::prrg, 18), 2'272'727);
  EXPECT_EQ(run(Command::pfs, 18, 0), 1);
  EXPECT_EQ(period(), 1s);
  EXPECT_EQ(run(Command::pfs, 18, UINT32_MAX), 1) << "not possible here, so it stays";
  EXPECT_EQ(period(), 1s);
  EXPECT_EQ(run(Command::pfs, 17, 25'000), 1000) << "by a timer: pigpiod's steps";
}

TEST_F(PigpioKernelPwm, keeps_its_duty_when_the_range_changes) {
  EXPECT_EQ(run(Command::prs, 18, 1000), 1'250'000);
  EXPECT_EQ(run(Command::pwm, 18, 1001), -8);
  EXPECT_EQ(run(Command::pwm, 18, 500), 0);
  EXPECT_EQ(run(Command::prs, 18, 40'000), 1'250'000);
  EXPECT_EQ(run(Command::gdc, 18), 20'000);
  EXPECT_EQ(width(), period() / 2);
  EXPECT_EQ(run(Command::prg, 18), 40'000);
}

TEST_F(PigpioKernelPwm, has_its_old_range_if_the_kernel_refuses_a_new_one) {
  EXPECT_EQ(run(Command::pwm, 18, 51), 0);
  host.lines[18].fails = Code::not_permitted;  // somebody else's by now
  EXPECT_EQ(run(Command::prs, 18, 1000), -41);
  EXPECT_EQ(run(Command::prg, 18), 255);
  EXPECT_EQ(run(Command::gdc, 18), 51);
  EXPECT_EQ(width(), period() / 5);
  host.lines[18].fails = Code::ok;
  EXPECT_EQ(run(Command::prs, 18, 1000), 1'250'000);
  EXPECT_EQ(run(Command::gdc, 18), 200) << "of what it was all along";
}

TEST_F(PigpioKernelPwm, moves_servos) {
  EXPECT_EQ(run(Command::servo, 18, 1500), 0);
  EXPECT_EQ(period(), 20ms);
  EXPECT_EQ(width(), 1500us);
  EXPECT_EQ(run(Command::gpw, 18), 1500);
  EXPECT_EQ(run(Command::gdc, 18), -92);
  EXPECT_EQ(run(Command::servo, 18, 0), 0);
  EXPECT_EQ(width(), 0ns);
  EXPECT_EQ(run(Command::pwm, 18, 255), 0);
  EXPECT_EQ(width(), period());
  EXPECT_EQ(run(Command::gpw, 18), -93);
}

TEST_F(PigpioKernelPwm, hardware_pwm_is_the_channels) {
  EXPECT_EQ(hardware(18, 1'000'000, 250'000), 0);
  EXPECT_EQ(period(), 1us);
  EXPECT_EQ(width(), 250ns);
  EXPECT_EQ(run(Command::gdc, 18), 250'000);
  EXPECT_EQ(run(Command::pfg, 18), 1'000'000);
  EXPECT_EQ(run(Command::prg, 18), 1'000'000);
  EXPECT_EQ(run(Command::prrg, 18), 1000);
  EXPECT_EQ(run(Command::gpw, 18), -93);
  EXPECT_EQ(run(Command::modeg, 18), 2) << "ALT5";
  EXPECT_EQ(hardware(12, 3, 1'000'000), 0);
  EXPECT_EQ(run(Command::modeg, 12), 4) << "ALT0";
  EXPECT_EQ(width(12), 333'333'333ns);
  EXPECT_EQ(hardware(18, 0, 0), 0) << "off";
  EXPECT_EQ(driven(), "18_");
  EXPECT_EQ(run(Command::gdc, 18), -92);
  EXPECT_EQ(run(Command::modeg, 18), 1);
  EXPECT_EQ(run(Command::pfg, 18), 800) << "of PWM, as it was";
}

TEST_F(PigpioKernelPwm, hardware_pwm_is_refused_as_pigpiod_does) {
  EXPECT_EQ(hardware(17, 800, 0), -95) << "no channel";
  EXPECT_EQ(hardware(39, 800, 0), -95);
  EXPECT_EQ(hardware(40, 800, 0), -41) << "no line";
  EXPECT_EQ(hardware(54, 800, 0), -3);
  EXPECT_EQ(hardware(18, 800, 1'000'001), -97);
  EXPECT_EQ(hardware(18, 125'000'001, 0), -96);
  EXPECT_EQ(run(Command::hp, 18, 800), -81) << "without a duty cycle";
  EXPECT_EQ(hardware(18, 1000, 500'000), 0);
  EXPECT_EQ(hardware(18, 125'000'000, 0), -96) << "not for this hardware";
  EXPECT_EQ(period(), 1ms) << "it goes on";
  EXPECT_EQ(run(Command::gdc, 18), 500'000);
  EXPECT_EQ(run(Command::pfg, 18), 1000);
  host.lines.at(18).fails = Code::not_permitted;
  EXPECT_EQ(hardware(18, 2000, 0), -41);
  EXPECT_EQ(run(Command::pfg, 18), 1000);
}

TEST_F(PigpioKernelPwm, the_hardware_clock_is_half_of_its_period_high) {
  EXPECT_EQ(run(Command::hc, 18, 10'000'000), 0);
  EXPECT_EQ(period(), 100ns);
  EXPECT_EQ(width(), 50ns);
  EXPECT_EQ(run(Command::gdc, 18), 500'000);
  EXPECT_EQ(run(Command::pfg, 18), 10'000'000);
  EXPECT_EQ(run(Command::prg, 18), 1'000'000);
  EXPECT_EQ(run(Command::prrg, 18), 1'000'000);
  EXPECT_EQ(run(Command::hc, 0x5a000012, 20'000), 0) << "pigpiod's password is not asked for";
  EXPECT_EQ(period(), 50us);
  EXPECT_EQ(run(Command::hc, 18, 4688), -98);
  EXPECT_EQ(run(Command::hc, 18, 250'000'001), -98);
  EXPECT_EQ(run(Command::hc, 18, 200'000'000), -98) << "not for this hardware";
  EXPECT_EQ(run(Command::hc, 17, 10'000), -94);
  EXPECT_EQ(run(Command::hc, 40, 10'000), -41);
  EXPECT_EQ(run(Command::hc, 54, 10'000), -3);
  EXPECT_EQ(hardware(18, 0, 0), 0);
  EXPECT_EQ(period(), 50us) << "which ends PWM, and not the clock";
  EXPECT_EQ(run(Command::gdc, 18), 500'000);
  EXPECT_EQ(driven(), "");
  EXPECT_EQ(run(Command::hc, 18, 0), 0);
  EXPECT_EQ(driven(), "18_");
  EXPECT_EQ(run(Command::gdc, 18), -92);
}

TEST_F(PigpioKernelPwm, writing_and_modes_end_it) {
  for (const bool by_hardware : {false, true}) {
    const auto start = [&] {
      EXPECT_EQ(by_hardware ? hardware(18, 800, 500'000) : run(Command::pwm, 18, 128), 0);
    };
    start();
    EXPECT_EQ(run(Command::write, 18, 1), 0);
    EXPECT_EQ(run(Command::gdc, 18), -92);
    EXPECT_EQ(driven(), "18^");
    start();
    EXPECT_EQ(run(Command::modes, 18, 0), 0);
    EXPECT_EQ(run(Command::gdc, 18), -92);
    EXPECT_EQ(run(Command::modeg, 18), 0);
    start();
    EXPECT_EQ(run(Command::modes, 18, 1), 0);
    EXPECT_EQ(run(Command::gdc, 18), by_hardware ? -92 : 128) << "an output already, for pigpiod";
    EXPECT_EQ(run(Command::modes, 18, 0), 0);
  }
}

TEST_F(PigpioKernelPwm, banks_leave_its_pulses_alone) {
  EXPECT_EQ(run(Command::pwm, 18, 128), 0);
  EXPECT_EQ(run(Command::modes, 17, 1), 0);
  EXPECT_EQ(run(Command::bs1, 3U << 17U), 0);
  EXPECT_EQ(driven(), "17^");
  EXPECT_EQ(run(Command::gdc, 18), 128);
  EXPECT_EQ(run(Command::write, 18, 0), 0);
  EXPECT_EQ(driven(), "18_");
  EXPECT_EQ(run(Command::bs1, 3U << 17U), 0);
  EXPECT_EQ(driven(), "17^ 18^") << "never or always high, it is like any output";
}

TEST_F(PigpioKernelPwm, has_no_single_pulses) {
  EXPECT_EQ(run(Command::pwm, 18, 128), 0);
  EXPECT_EQ(run(Command::trig, 18, 10, word(1)), -41);
  EXPECT_EQ(run(Command::gdc, 18), 128);
}

// --- Serial ports ------------------------------------------------------------------------------

TEST_F(PigpioDaemonTest, opens_serial_ports_as_pigpiod_does) {
  EXPECT_EQ(run(Command::sero, 12'345, 0, "/dev/serial0"), -80);
  EXPECT_EQ(run(Command::sero, 9600, 1, "/dev/serial0"), -77);
  EXPECT_EQ(run(Command::sero, 9600, 0, "/etc/passwd"), -79);
  EXPECT_EQ(run(Command::sero, 9600, 0, "/dev/serial0"), 0);
  EXPECT_EQ(run(Command::sero, 230'400, 0, "/dev/serial0"), 1);
  EXPECT_EQ(host.bauds, (std::vector<std::uint32_t>{9600, 230'400}));
  daemon.on_hang_up(alice);
  EXPECT_EQ(run(Command::serc, 1, 0, {}, bob), 0) << "pigs has a connection for each command";
}

TEST_F(PigpioDaemonTest, reads_what_has_come_in) {
  (void)run(Command::sero, 9600, 0, "/dev/serial0");
  EXPECT_EQ(run(Command::serda, 0), 0);
  EXPECT_EQ(run(Command::serrb, 0), -87);
  const Answer nothing = ask(Command::serr, 0, 10);
  EXPECT_EQ(nothing.result, 0);
  EXPECT_EQ(nothing.data, 0U);
  host.received[0] = "\xffhello" + std::string(100, '.');
  EXPECT_EQ(run(Command::serda, 0), 106);
  EXPECT_EQ(run(Command::serrb, 0), 255);
  const Answer answer = ask(Command::serr, 0, 5);
  EXPECT_EQ(answer.result, 5);
  EXPECT_EQ(answer.data, 5U);
  EXPECT_EQ(std::to_integer<char>(data[0]), 'h');
  EXPECT_EQ(run(Command::serr, 0, 1000), static_cast<int>(data.size()))
      << "as much as there is room";
  EXPECT_EQ(run(Command::serr, 0, 0), -81);
}

TEST_F(PigpioDaemonTest, sends_bytes) {
  (void)run(Command::sero, 9600, 0, "/dev/serial0");
  EXPECT_EQ(run(Command::serwb, 0, 'x'), 0);
  EXPECT_EQ(host.sent, "x");
  EXPECT_EQ(run(Command::serwb, 0, 256), -81);
  host.serial_room = 0;
  EXPECT_EQ(run(Command::serwb, 0, 'y'), -85);
  EXPECT_EQ(run(Command::serw, 0), -81) << "nothing follows";
  EXPECT_EQ(ask(Command::serw, 0, 0, "hello").when, Answer::When::after_stream);
}

TEST_F(PigpioDaemonTest, knows_only_serial_handles_that_are_open) {
  for (const Command command : {Command::serc, Command::serrb, Command::serwb, Command::serr,
                                Command::serw, Command::serda}) {
    EXPECT_EQ(run(command, 0, 1, "x"), -25);
  }
}

}  // namespace
}  // namespace millrace::pigpio
