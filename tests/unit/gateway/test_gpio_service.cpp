// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "firmware/gateway/gpio_service.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/gpio_sim.hpp"
#include "tests/support/descriptors.hpp"
#include "tests/support/loop.hpp"

namespace millrace {
namespace {

using hal::Bias;
using hal::Direction;
using hal::Edges;

constexpr std::size_t line_count = 20;
constexpr auto wired = board::numbered_lines<line_count>("gpio-sim");
constexpr board::Board simulated = {.name = "test",
                                    .description = "20 of the simulated lines",
                                    .gpio = board::GpioBackend::simulation,
                                    .lines = wired,
                                    .uarts = {}};

constexpr LineIndex line(std::size_t number) {
  return LineIndex(static_cast<std::uint16_t>(number));
}

LineSet set_of(std::initializer_list<std::size_t> numbers) {
  LineSet set;
  for (const std::size_t number : numbers) {
    set[number] = true;
  }
  return set;
}

/// A service in a loop, and a client that wants to know everything.
class Service : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(reactor.open());
    const auto notifier = reactor.add_notifier(Handler::to<&Service::on_changed>(*this));
    ASSERT_TRUE(notifier);
    changed = *notifier;
    log.attach(readers[0]);
    readers[0].filter = {.rising = LineSet().set(), .falling = LineSet().set()};
  }

  void on_changed(const Message& /*message*/) { ++notices; }

  /// Runs the loop until nothing is left to do.
  void run() {
    std::uint64_t before = 0;
    do {
      before = dispatched();
      ASSERT_TRUE(reactor.turn(Duration::zero()));
      ASSERT_TRUE(reactor.turn(Duration::zero()));
    } while (dispatched() != before);
  }
  [[nodiscard]] std::uint64_t dispatched() const {
    std::uint64_t sum = 0;
    for (const auto& queue : reactor.statistics().queues) {
      sum += queue.dispatched;
    }
    return sum;
  }

  /// What was logged since the last call: "edge 3 1 #7" is a rising edge of line 3, its 7th;
  /// "gap 3 0 -5" says that 5 were lost and the level is 0 now.
  std::string events() {
    std::string text;
    while (const Event* const event = log.peek(readers[0])) {
      constexpr std::array<const char*, 7> kinds = {"edge", "set",  "config", "gap",
                                                    "gone", "seen", "unseen"};
      text +=
          (text.empty() ? "" : ", ") + std::string(kinds[static_cast<std::size_t>(event->kind)]);
      text += " " + std::to_string(index(event->line));
      if (event->kind != Event::Kind::config && event->kind != Event::Kind::gone &&
          event->kind != Event::Kind::unseen) {
        text += event->level ? " 1" : " 0";
      }
      if (event->kind == Event::Kind::edge) {
        text += " #" + std::to_string(event->sequence);
      }
      if (event->kind == Event::Kind::gap) {
        text += " -" + std::to_string(event->count);
        told_lost[index(event->line)] += event->count;
      }
      log.skip(readers[0]);
    }
    return text;
  }

  // --- The service's calls with the numbers of lines; each returns the error, or "" --------------

  static std::string outcome(const LineResult<void>& result) {
    return result ? ""
                  : std::to_string(index(result.error().line)) + ": " +
                        std::to_string(result.error().error.number);
  }
  std::string read(std::initializer_list<std::size_t> numbers) {
    std::vector<LineIndex> chosen;
    for (const std::size_t number : numbers) {
      chosen.push_back(line(number));
    }
    std::array<bool, board::capacities.lines> levels{};
    const auto result = service.read(chosen, levels);
    if (!result) {
      return outcome(result);
    }
    std::string text;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      text += levels[i] ? '1' : '0';
    }
    return text;
  }
  std::string set(std::initializer_list<std::size_t> numbers, std::initializer_list<bool> levels) {
    std::vector<LineIndex> chosen;
    for (const std::size_t number : numbers) {
      chosen.push_back(line(number));
    }
    return outcome(service.set(chosen, std::span(levels.begin(), levels.size())));
  }
  std::string configure(std::initializer_list<std::size_t> numbers,
                        const hal::LineSettings& settings) {
    std::vector<GpioService::Change> changes;
    for (const std::size_t number : numbers) {
      changes.push_back({.line = line(number), .settings = settings});
    }
    return outcome(service.configure(changes));
  }
  std::string watch(std::initializer_list<std::size_t> numbers, Edges edges = Edges::both) {
    return outcome(service.watch(set_of(numbers), edges));
  }
  void unwatch(std::initializer_list<std::size_t> numbers, Edges edges = Edges::both) {
    service.unwatch(edges != Edges::falling ? set_of(numbers) : LineSet(),
                    edges != Edges::rising ? set_of(numbers) : LineSet());
  }
  int release(std::size_t number) {
    const auto released = service.release(line(number));
    return released ? 0 : released.error().number;
  }

  test::FakeClock clock;
  StaticReactor<ReactorLimits{.fds = 256}> reactor{clock};
  NotifierId changed;
  int notices = 0;
  std::array<GatewayLog::Reader, 2> readers;
  GatewayLog log{readers};
  GpioService service{reactor, log};
  std::array<std::uint64_t, board::capacities.lines> told_lost{};
};

class GpioServiceTest : public Service {
 protected:
  void SetUp() override {
    Service::SetUp();
    ASSERT_TRUE(gpio.open());
    ASSERT_TRUE(service.open(gpio, simulated, changed));
  }

  static hal::LineAddress address(std::size_t number) {
    return {.chip = 0, .offset = static_cast<std::uint16_t>(number)};
  }
  void pull(std::size_t number, bool up) { ASSERT_TRUE(service.pull(line(number), up)); }
  [[nodiscard]] hal::LineSettings actual(std::size_t number) {
    return gpio.info(address(number))->settings;
  }
  [[nodiscard]] bool used(std::size_t number) { return gpio.info(address(number))->used; }
  [[nodiscard]] bool level(std::size_t number) { return *gpio.physical_level(address(number)); }

  hal::GpioSim gpio;
};

// --- The table of lines --------------------------------------------------------------------------

TEST_F(GpioServiceTest, knows_the_boards_lines_by_their_names) {
  EXPECT_EQ(service.size(), line_count);
  EXPECT_EQ(service.find("GPIO0"), line(0));
  EXPECT_EQ(service.find("GPIO19"), line(19));
  EXPECT_EQ(service.find("GPIO20"), std::nullopt);
  EXPECT_EQ(service.find("GPIO"), std::nullopt);
  EXPECT_EQ(service.find(""), std::nullopt);
  EXPECT_EQ(service.line(line(7)).name, "GPIO7");
  EXPECT_EQ(service.statistics().missing, 0U);
}

TEST_F(GpioServiceTest, requests_nothing_until_a_line_is_used) {
  for (std::size_t i = 0; i < line_count; ++i) {
    EXPECT_FALSE(used(i));
    EXPECT_EQ(service.settings(line(i)), hal::LineSettings());
  }
  pull(3, true);
  EXPECT_EQ(service.level(line(3)), true);
  EXPECT_EQ(service.level(line(4)), false);
  EXPECT_FALSE(used(3));
}

TEST_F(Service, refuses_a_board_with_more_lines_than_it_has_room_for) {
  static const auto too_many = board::numbered_lines<board::capacities.lines + 1>("gpio-sim");
  const board::Board large = {.name = "large", .description = "", .lines = too_many, .uarts = {}};
  hal::GpioSim gpio;
  ASSERT_TRUE(gpio.open());
  const auto opened = service.open(gpio, large, changed);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().number, ENOSPC);
}

TEST_F(Service, finds_a_line_by_its_label_if_the_kernel_knows_it_by_another_name) {
  static constexpr std::array<board::Line, 2> other = {{
      {.name = FixedString<15>("LED"),
       .kernel = FixedString<15>("SDA1"),
       .fallback = FixedString<31>("gpio-sim:2")},
      {.name = FixedString<15>("NONE"),
       .kernel = FixedString<15>("SCL1"),
       .fallback = FixedString<31>("gpio-sim:99")},
  }};
  const board::Board board = {.name = "other", .description = "", .lines = other, .uarts = {}};
  hal::GpioSim gpio;
  ASSERT_TRUE(gpio.open());
  ASSERT_TRUE(gpio.pull({.chip = 0, .offset = 0}, true));
  ASSERT_TRUE(service.open(gpio, board, changed));
  EXPECT_EQ(service.statistics().missing, 1U);
  EXPECT_EQ(service.line(line(0)).address.offset, 2U);
  EXPECT_EQ(set({0}, {true}), "");
  EXPECT_EQ(*gpio.physical_level({.chip = 0, .offset = 2}), true);
  // The one that is missing is not taken for the first line of the first chip.
  EXPECT_FALSE(service.line(line(1)).present);
  EXPECT_EQ(service.level(line(1)), std::nullopt);
  EXPECT_EQ(read({1}), "1: " + std::to_string(ENODEV));
  EXPECT_EQ(set({1}, {true}), "1: " + std::to_string(ENODEV));
  EXPECT_EQ(watch({1}), "1: " + std::to_string(ENODEV));
  EXPECT_EQ(configure({1}, {.direction = Direction::input}), "1: " + std::to_string(ENODEV));
  EXPECT_EQ(service.info(line(1)).error().number, ENODEV);
  EXPECT_EQ(service.pull(line(1), false).error().number, ENODEV);
  EXPECT_EQ(release(1), ENOENT);
  EXPECT_EQ(*gpio.physical_level({.chip = 0, .offset = 0}), true);
}

// --- Claims --------------------------------------------------------------------------------------

TEST_F(GpioServiceTest, claims_together_what_one_command_uses_first) {
  EXPECT_EQ(read({1, 2}), "00");
  EXPECT_EQ(read({2, 3, 4}), "000");
  for (const std::size_t number : {1U, 2U, 3U, 4U}) {
    EXPECT_EQ(gpio.info(address(number))->consumer, "millrace");
    EXPECT_TRUE(service.line(line(number)).claimed());
  }
  EXPECT_EQ(release(1), 0);
  EXPECT_FALSE(used(1) || used(2));
  EXPECT_TRUE(used(3) && used(4));
  EXPECT_EQ(release(4), 0);
  EXPECT_FALSE(used(3) || used(4));
  EXPECT_FALSE(service.line(line(3)).claimed());
}

TEST_F(GpioServiceTest, reads_across_claims_in_the_order_asked_for) {
  EXPECT_EQ(read({5}), "0");
  EXPECT_EQ(read({1, 9}), "00");
  pull(9, true);
  pull(5, true);
  EXPECT_EQ(read({9, 1, 5, 7}), "1010");
  EXPECT_EQ(read({5, 5, 1, 5}), "1101");
  EXPECT_EQ(read({8, 8, 9}), "001");
  EXPECT_TRUE(used(8));
}

TEST_F(GpioServiceTest, leaves_a_line_as_it_is_that_is_only_read) {
  const std::array at = {address(3)};
  const std::array output = {
      hal::LineSettings{.direction = Direction::output, .output_active = true}};
  gpio.release(*gpio.request(at, output, "before"));
  const auto before = actual(3);
  ASSERT_EQ(before.direction, Direction::output);
  EXPECT_EQ(read({3, 4}).size(), 2U);
  EXPECT_EQ(actual(3), before);
  EXPECT_EQ(actual(4).direction, Direction::input);
  EXPECT_EQ(service.settings(line(3)).direction, Direction::as_is);
}

TEST_F(GpioServiceTest, sets_lines_of_several_claims_and_new_ones_at_once) {
  EXPECT_EQ(set({1, 2}, {true, false}), "");
  EXPECT_EQ(set({3}, {true}), "");
  EXPECT_EQ(set({4, 2, 3, 1}, {true, true, false, true}), "");
  EXPECT_TRUE(level(1) && level(2) && !level(3) && level(4));
  EXPECT_EQ(read({1, 2, 3, 4}), "1101");
  EXPECT_EQ(events(), "set 1 1, set 2 0, set 3 1, set 4 1, set 2 1, set 1 1, set 3 0");
}

TEST_F(GpioServiceTest, drives_a_read_line_when_it_is_set) {
  EXPECT_EQ(read({6, 7}), "00");
  EXPECT_EQ(set({6}, {true}), "");
  EXPECT_TRUE(level(6));
  EXPECT_EQ(actual(6).direction, Direction::output);
  EXPECT_EQ(actual(7).direction, Direction::input);
}

TEST_F(GpioServiceTest, refuses_to_set_an_input_and_changes_nothing) {
  EXPECT_EQ(set({1}, {false}), "");
  EXPECT_EQ(configure({2}, {.direction = Direction::input}), "");
  (void)events();
  EXPECT_EQ(set({1, 2}, {true, true}), "2: " + std::to_string(EPERM));
  EXPECT_EQ(set({3, 2}, {true, true}), "2: " + std::to_string(EPERM));
  EXPECT_FALSE(level(1));
  EXPECT_FALSE(used(3));
  EXPECT_EQ(actual(2).direction, Direction::input);
  EXPECT_EQ(events(), "");
}

TEST_F(GpioServiceTest, drives_outputs_quickly_and_tells_only_who_watches) {
  EXPECT_FALSE(service.drive(line(3), true)) << "not claimed";
  EXPECT_EQ(configure({3}, {.direction = Direction::input}), "");
  EXPECT_FALSE(service.drive(line(3), true)) << "not an output";
  EXPECT_EQ(set({4, 5}, {false, false}), "");
  (void)events();
  EXPECT_TRUE(service.drive(line(4), true));
  EXPECT_TRUE(level(4));
  EXPECT_FALSE(level(5));
  EXPECT_TRUE(service.settings(line(4)).output_active);
  EXPECT_EQ(events(), "");
  EXPECT_EQ(watch({4}), "");
  EXPECT_TRUE(service.drive(line(4), false));
  EXPECT_FALSE(level(4));
  EXPECT_EQ(events(), "set 4 0");
}

TEST_F(GpioServiceTest, knows_the_levels_of_many_lines_without_claiming_any) {
  EXPECT_EQ(read({1, 2}), "00");
  EXPECT_EQ(configure({3}, {.direction = Direction::input, .active_low = true}), "");
  EXPECT_EQ(set({4}, {true}), "");
  pull(1, true);
  pull(7, true);
  pull(8, true);
  EXPECT_EQ(service.levels(set_of({1, 2, 3, 4, 5, 7})), set_of({1, 3, 4, 7}));
  EXPECT_FALSE(used(7));
  EXPECT_EQ(service.levels({}), LineSet());
}

TEST_F(GpioServiceTest, raises_the_notifiers_of_all_who_serve_clients) {
  struct Other {
    int notices = 0;
    void on_changed(const Message& /*message*/) { ++notices; }
  } other;
  const auto notifier = reactor.add_notifier(Handler::to<&Other::on_changed>(other));
  ASSERT_TRUE(notifier);
  service.also_raise(*notifier);
  EXPECT_EQ(set({4}, {true}), "");
  run();
  EXPECT_EQ(notices, 1);
  EXPECT_EQ(other.notices, 1);
}

TEST_F(GpioServiceTest, refuses_to_set_a_line_to_two_levels) {
  EXPECT_EQ(set({1, 1}, {true, false}), "1: " + std::to_string(EINVAL));
  EXPECT_FALSE(used(1));
  EXPECT_EQ(set({1}, {true}), "");
  EXPECT_EQ(set({1, 1}, {true, false}), "1: " + std::to_string(EINVAL));
  EXPECT_TRUE(level(1));
  EXPECT_TRUE(service.settings(line(1)).output_active);
  EXPECT_EQ(configure({2, 3, 2}, {.direction = Direction::input}), "2: " + std::to_string(EINVAL));
  EXPECT_FALSE(used(2) || used(3));
}

TEST_F(GpioServiceTest, says_which_line_somebody_else_uses_and_claims_none) {
  const std::array taken = {address(5)};
  const auto other = gpio.request(taken, std::array{hal::LineSettings{}}, "somebody");
  ASSERT_TRUE(other);
  EXPECT_EQ(read({4, 5, 6}), "5: " + std::to_string(EBUSY));
  EXPECT_EQ(set({4, 5}, {true, true}), "5: " + std::to_string(EBUSY));
  EXPECT_EQ(watch({4, 5, 6}), "5: " + std::to_string(EBUSY));
  for (const std::size_t number : {4U, 5U, 6U}) {
    EXPECT_FALSE(service.line(line(number)).claimed());
    EXPECT_FALSE(service.line(line(number)).watched());
  }
  EXPECT_EQ(read({4, 6}), "00");
  EXPECT_EQ(gpio.info(address(5))->consumer, "somebody");
  gpio.release(*other);
  EXPECT_EQ(read({4, 5, 6}), "000");
}

TEST_F(GpioServiceTest, releases_no_line_that_is_watched_or_shares_its_claim_with_one) {
  EXPECT_EQ(release(1), ENOENT);
  EXPECT_EQ(read({1, 2}), "00");
  EXPECT_EQ(watch({2}, Edges::falling), "");
  EXPECT_EQ(release(1), EBUSY);
  EXPECT_EQ(release(2), EBUSY);
  EXPECT_TRUE(used(1) && used(2));
  unwatch({2}, Edges::falling);
  EXPECT_EQ(watch({3}), "");  // in a claim of its own
  EXPECT_EQ(release(1), 0);
  EXPECT_EQ(release(1), ENOENT);
  EXPECT_FALSE(used(1) || used(2));
}

TEST_F(GpioServiceTest, claims_and_releases_any_number_of_times) {
  const auto watches = reactor.statistics().watches;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(read({0}), "0");
    ASSERT_EQ(set({1, 2}, {true, false}), "");
    ASSERT_EQ(release(0), 0);
    ASSERT_EQ(release(2), 0);
  }
  EXPECT_EQ(reactor.statistics().watches, watches);
  for (std::size_t i = 0; i < line_count; ++i) {
    ASSERT_EQ(read({i}).size(), 1U);  // a claim for each
  }
  EXPECT_EQ(reactor.statistics().watches, watches + line_count);
}

// --- Settings ------------------------------------------------------------------------------------

TEST_F(GpioServiceTest, sets_one_line_up_and_leaves_the_others_of_its_claim_alone) {
  EXPECT_EQ(set({1, 2, 3}, {true, false, true}), "");
  EXPECT_EQ(set({1, 2}, {false, true}), "");
  (void)events();
  EXPECT_EQ(configure({3}, {.direction = Direction::input, .bias = Bias::pull_up}), "");
  EXPECT_EQ(events(), "config 3");
  EXPECT_FALSE(level(1));
  EXPECT_TRUE(level(2) && level(3));
  EXPECT_EQ(actual(1).direction, Direction::output);
  EXPECT_EQ(actual(3).bias, Bias::pull_up);
  EXPECT_EQ(service.settings(line(3)).direction, Direction::input);
}

TEST_F(GpioServiceTest, keeps_the_old_settings_if_the_new_ones_are_refused) {
  EXPECT_EQ(configure({1}, {.direction = Direction::input, .bias = Bias::pull_up}), "");
  (void)events();
  const hal::LineSettings nonsense = {.direction = Direction::output,
                                      .debounce = std::chrono::microseconds(5)};
  EXPECT_EQ(configure({1}, nonsense), "1: " + std::to_string(EINVAL));
  EXPECT_EQ(configure({2}, nonsense), "2: " + std::to_string(EINVAL));
  EXPECT_EQ(service.settings(line(1)),
            (hal::LineSettings{.direction = Direction::input, .bias = Bias::pull_up}));
  EXPECT_FALSE(service.line(line(2)).claimed());
  EXPECT_EQ(events(), "");
}

TEST_F(GpioServiceTest, keeps_reporting_edges_of_a_watched_line_that_is_set_up_anew) {
  EXPECT_EQ(watch({1}), "");
  EXPECT_EQ(configure({1}, {.direction = Direction::input, .active_low = true}), "");
  EXPECT_EQ(actual(1).edges, Edges::both);
  EXPECT_EQ(configure({1}, {.direction = Direction::output}), "");
  EXPECT_EQ(actual(1).edges, Edges::none);
  // Who watches goes on doing so.
  EXPECT_EQ(configure({1}, {.direction = Direction::input}), "");
  EXPECT_EQ(actual(1).edges, Edges::both);
  unwatch({1});
  EXPECT_EQ(actual(1).edges, Edges::none);
}

TEST_F(GpioServiceTest, does_not_take_the_edges_of_a_configuration) {
  EXPECT_EQ(configure({1}, {.direction = Direction::input, .edges = Edges::both}), "");
  EXPECT_EQ(actual(1).edges, Edges::none);
}

// --- Watching ------------------------------------------------------------------------------------

TEST_F(GpioServiceTest, has_the_kernel_report_what_any_watcher_wants_and_no_more) {
  EXPECT_EQ(watch({1, 2}, Edges::rising), "");
  EXPECT_EQ(actual(1).edges, Edges::rising);
  EXPECT_EQ(watch({1}, Edges::falling), "");
  EXPECT_EQ(watch({1}, Edges::both), "");
  EXPECT_EQ(actual(1).edges, Edges::both);
  EXPECT_EQ(actual(2).edges, Edges::rising);
  EXPECT_EQ(service.line(line(1)).rising_watchers, 2U);
  EXPECT_EQ(service.line(line(1)).falling_watchers, 2U);
  unwatch({1}, Edges::both);
  EXPECT_EQ(actual(1).edges, Edges::both);
  unwatch({1}, Edges::rising);
  EXPECT_EQ(actual(1).edges, Edges::falling);
  EXPECT_TRUE(service.line(line(1)).watched());
  unwatch({1}, Edges::falling);
  EXPECT_EQ(actual(1).edges, Edges::none);
  EXPECT_FALSE(service.line(line(1)).watched());
  EXPECT_EQ(actual(2).edges, Edges::rising);
}

TEST_F(GpioServiceTest, tells_edges_in_their_order_with_number_and_level) {
  EXPECT_EQ(watch({4, 5}), "");
  pull(5, true);
  pull(4, true);
  pull(5, false);
  pull(6, true);
  run();
  EXPECT_EQ(events(), "edge 5 1 #1, edge 4 1 #1, edge 5 0 #2");
  EXPECT_EQ(notices, 1);
  EXPECT_EQ(service.statistics().edges, 3U);
  EXPECT_EQ(service.statistics().lost, 0U);
}

TEST_F(GpioServiceTest, stamps_edges_with_the_time_of_the_kernel) {
  EXPECT_EQ(watch({4}), "");
  const Instant before = hal::SystemClock().now();
  pull(4, true);
  const Instant after = hal::SystemClock().now();
  while (hal::SystemClock().now() < after + std::chrono::milliseconds(2)) {
  }
  run();
  const Event* const event = log.peek(readers[0]);
  ASSERT_NE(event, nullptr);
  EXPECT_GE(event->time, before);
  EXPECT_LE(event->time, after);
}

TEST_F(GpioServiceTest, tells_nothing_once_nobody_watches) {
  EXPECT_EQ(watch({4}), "");
  unwatch({4});
  pull(4, true);
  run();
  EXPECT_EQ(events(), "");
  EXPECT_EQ(watch({4}), "");
  pull(4, false);
  run();
  EXPECT_EQ(events(), "edge 4 0 #1");
}

TEST_F(GpioServiceTest, numbers_the_edges_of_a_line_from_1_after_each_release) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(watch({4}), "");
    pull(4, true);
    pull(4, false);
    run();
    EXPECT_EQ(events(), "edge 4 1 #1, edge 4 0 #2");
    unwatch({4});
    EXPECT_EQ(release(4), 0);
  }
  EXPECT_EQ(service.statistics().lost, 0U);
}

TEST_F(GpioServiceTest, leaves_a_line_an_output_that_is_watched) {
  EXPECT_EQ(set({1}, {true}), "");
  const std::array at = {address(2)};
  const std::array output = {hal::LineSettings{.direction = Direction::output}};
  gpio.release(*gpio.request(at, output, "before"));
  (void)events();
  EXPECT_EQ(watch({1, 2, 3}), "");
  EXPECT_EQ(actual(1).direction, Direction::output);
  EXPECT_EQ(actual(2).direction, Direction::output);
  EXPECT_EQ(actual(3).direction, Direction::input);
  EXPECT_TRUE(level(1));
  EXPECT_EQ(set({1, 2}, {false, true}), "");
  EXPECT_EQ(events(), "set 1 0, set 2 1");
}

TEST_F(GpioServiceTest, debounces_by_the_simulations_own_timer) {
  EXPECT_EQ(
      configure({1}, {.direction = Direction::input, .debounce = std::chrono::milliseconds(1)}),
      "");
  EXPECT_EQ(watch({1}), "");
  (void)events();
  pull(1, true);
  pull(1, false);
  pull(1, true);
  for (int i = 0; i < 1000 && service.statistics().edges == 0; ++i) {
    ASSERT_TRUE(reactor.turn(std::chrono::milliseconds(10)));
  }
  EXPECT_EQ(events(), "edge 1 1 #1");
}

// --- Edges that the kernel drops -----------------------------------------------------------------

TEST_F(GpioServiceTest, tells_how_many_edges_of_a_line_were_lost_before_those_that_were_not) {
  EXPECT_EQ(watch({1}), "");
  for (int i = 1; i <= 99; ++i) {
    pull(1, i % 2 == 1);
  }
  run();
  const std::string told = events();
  EXPECT_TRUE(told.starts_with("gap 1 1 -83, edge 1 0 #84, edge 1 1 #85")) << told;
  EXPECT_TRUE(told.ends_with("edge 1 1 #99")) << told;
  EXPECT_EQ(service.statistics().edges, 16U);
  EXPECT_EQ(service.statistics().lost, 83U);
  // Once: what follows is whole.
  pull(1, false);
  run();
  EXPECT_EQ(events(), "edge 1 0 #100");
}

TEST_F(GpioServiceTest, tells_all_lines_of_a_claim_that_edges_were_lost) {
  EXPECT_EQ(watch({1, 2}), "");
  EXPECT_EQ(read({3}), "0");
  pull(2, true);
  for (int i = 1; i <= 100; ++i) {
    pull(1, i % 2 == 1);
  }
  run();
  const std::string told = events();
  EXPECT_TRUE(told.starts_with("gap 1 0 -68, gap 2 1 -0, edge 1 1 #69")) << told;
  EXPECT_EQ(told.find("edge 2"), std::string::npos);
  EXPECT_EQ(service.statistics().lost, 68U);
  // How many the other line has lost becomes known with its next edge.
  pull(2, false);
  run();
  EXPECT_EQ(events(), "gap 2 0 -1, edge 2 0 #2");
  EXPECT_EQ(service.statistics().edges + service.statistics().lost, 102U);
}

TEST_F(GpioServiceTest, counts_every_edge_as_told_or_lost_whatever_the_flood) {
  std::mt19937 random(1);  // the same each time
  EXPECT_EQ(watch({0, 1, 2}), "");
  EXPECT_EQ(watch({3}), "");
  EXPECT_EQ(watch({4, 5}, Edges::both), "");
  std::array<std::uint32_t, 6> pulls{};
  std::array<bool, 6> levels{};
  const auto toggle = [&](std::size_t number) {
    levels[number] = !levels[number];
    pull(number, levels[number]);
    ++pulls[number];
  };
  for (int round = 0; round < 200; ++round) {
    for (auto n = random() % 150; n > 0; --n) {
      toggle(random() % 6);
    }
    if (random() % 2 == 0) {
      ASSERT_TRUE(reactor.turn(Duration::zero()));
    } else {
      run();
    }
    (void)events();
  }
  run();
  for (std::size_t number = 0; number < 6; ++number) {
    toggle(number);  // whose sequence number tells what was lost last
    run();
  }
  (void)events();
  std::uint64_t all = 0;
  for (std::size_t number = 0; number < 6; ++number) {
    EXPECT_EQ(service.line(line(number)).sequence, pulls[number]);
    EXPECT_EQ(service.level(line(number)), levels[number]);
    all += pulls[number];
  }
  std::uint64_t lost = 0;
  for (const std::uint64_t of_line : told_lost) {
    lost += of_line;
  }
  EXPECT_GT(lost, 1000U);
  EXPECT_EQ(service.statistics().lost, lost);
  EXPECT_EQ(service.statistics().edges + service.statistics().lost, all);
}

// --- What only other hardware does ---------------------------------------------------------------

/// Chips that do as they are told: to vanish, and to fail.
class FakeGpio final : public hal::Gpio {
 public:
  struct FakeLine {
    std::string name;
    std::uint16_t chip = 0;
  };
  struct Request {
    std::vector<hal::LineAddress> lines;
    std::vector<hal::LineSettings> settings;
    test::Pair events;
    hal::LineMask levels = 0;
    bool gone = false;
  };

  using hal::Gpio::find;
  Result<hal::LineAddress> find(std::string_view name) override {
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].name == name && lines[i].chip != unplugged) {
        return at(i);
      }
    }
    return fail(ENOENT, "no such line");
  }
  Result<hal::LineAddress> at(std::size_t index) override {
    if (index >= lines.size()) {
      return fail(ENOENT, "no more lines");
    }
    return hal::LineAddress{.chip = lines[index].chip, .offset = static_cast<std::uint16_t>(index)};
  }
  Result<hal::LineInfo> info(hal::LineAddress line) override {
    if (line.chip == unplugged) {
      return fail(ENODEV, "the chip has vanished");
    }
    return hal::LineInfo{.name = FixedString<32>(lines[line.offset].name),
                         .consumer = {},
                         .used = false,
                         .settings = {.direction = Direction::input}};
  }
  Result<hal::RequestId> request(std::span<const hal::LineAddress> chosen,
                                 std::span<const hal::LineSettings> settings,
                                 const char* /*consumer*/, std::size_t /*event_buffer*/) override {
    if (lacks_interrupts(settings)) {
      return fail(ENXIO, "the chip has no interrupts");
    }
    Request& request = requests.emplace_back();
    request.lines.assign(chosen.begin(), chosen.end());
    request.settings.assign(settings.begin(), settings.end());
    request.events = test::make_pipe();
    for (std::size_t i = 0; i < settings.size(); ++i) {
      request.levels |= settings[i].output_active ? hal::LineMask{1} << i : 0;
    }
    return hal::RequestId(static_cast<std::uint16_t>(requests.size() - 1));
  }
  Result<void> reconfigure(hal::RequestId id,
                           std::span<const hal::LineSettings> settings) override {
    if (refuses_settings) {
      return fail(EIO, "the chip does not answer");
    }
    if (lacks_interrupts(settings)) {
      return fail(ENXIO, "the chip has no interrupts");
    }
    at(id).settings.assign(settings.begin(), settings.end());
    for (std::size_t i = 0; i < settings.size(); ++i) {
      if (settings[i].direction == Direction::output) {
        const auto bit = hal::LineMask{1} << i;
        at(id).levels = (at(id).levels & ~bit) | (settings[i].output_active ? bit : 0);
      }
    }
    return {};
  }
  Result<hal::LineMask> get(hal::RequestId id, hal::LineMask which) override {
    if (at(id).gone) {
      return fail(ENODEV, "the chip has vanished");
    }
    return at(id).levels & which;
  }
  Result<void> set(hal::RequestId id, hal::LineMask which, hal::LineMask levels) override {
    if (at(id).gone) {
      return fail(ENODEV, "the chip has vanished");
    }
    at(id).levels = (at(id).levels & ~which) | (levels & which);
    return {};
  }
  [[nodiscard]] int event_fd(hal::RequestId id) const override {
    return requests[static_cast<std::size_t>(id)].events.near.get();
  }
  Result<std::size_t> read_events(hal::RequestId id, std::span<hal::LineEvent> /*into*/) override {
    if (at(id).gone) {
      return fail(ENODEV, "the chip has vanished");
    }
    return 0;
  }
  void release(hal::RequestId id) override {
    at(id).events = {};
    ++released;
  }

  void unplug(std::size_t request) {
    requests[request].gone = true;
    requests[request].events.far.reset();  // the other end hangs up
    unplugged = requests[request].lines.front().chip;
  }
  /// The chip is back, at another place, for who looks.
  void plug_in() { plugged_in = true; }
  Result<void> refresh() override {
    for (FakeLine& line : lines) {
      line.chip = plugged_in && line.chip == unplugged ? 9 : line.chip;
    }
    return {};
  }

  std::vector<FakeLine> lines;
  std::vector<Request> requests;
  std::optional<std::uint16_t> unplugged;
  bool plugged_in = false;
  bool refuses_settings = false;
  bool has_interrupts = true;
  int released = 0;

 private:
  [[nodiscard]] bool lacks_interrupts(std::span<const hal::LineSettings> settings) const {
    return !has_interrupts && std::ranges::any_of(settings, [](const hal::LineSettings& wanted) {
      return wanted.edges != Edges::none;
    });
  }
  Request& at(hal::RequestId id) { return requests[static_cast<std::size_t>(id)]; }
};

class OtherHardware : public Service {
 protected:
  void open(std::initializer_list<FakeGpio::FakeLine> lines) {
    gpio.lines = lines;
    ASSERT_TRUE(service.open(gpio, any, changed));
  }

  const board::Board any = {.name = "any", .description = "", .lines = {}, .uarts = {}};
  FakeGpio gpio;
};

TEST_F(OtherHardware, without_a_table_has_the_lines_that_the_kernel_has_a_name_for) {
  open({{"LED"}, {""}, {"BUTTON"}, {"LED"}, {"RELAY", 1}});
  ASSERT_EQ(service.size(), 3U);
  EXPECT_EQ(service.find("BUTTON"), line(1));
  EXPECT_EQ(service.line(line(0)).address.offset, 0U);
  EXPECT_EQ(service.line(line(1)).address.offset, 2U);
  EXPECT_EQ(service.line(line(2)).address, (hal::LineAddress{.chip = 1, .offset = 4}));
}

TEST_F(OtherHardware, has_names_that_are_one_word_each) {
  open({{"7J1 Header Pin15"}, {"A=B"}, {"TAB\tNAME"}, {"7J1_Header_Pin15"}});
  ASSERT_EQ(service.size(), 3U);
  EXPECT_EQ(service.find("7J1_Header_Pin15"), line(0));
  EXPECT_EQ(service.find("A_B"), line(1));
  EXPECT_EQ(service.find("TAB_NAME"), line(2));
  EXPECT_EQ(service.line(line(0)).address.offset, 0U);
}

TEST_F(OtherHardware, with_more_lines_than_there_is_room_for_has_as_many_as_fit) {
  for (std::size_t i = 0; i < board::capacities.lines + 5; ++i) {
    gpio.lines.push_back({"L" + std::to_string(i)});
  }
  ASSERT_TRUE(service.open(gpio, any, changed));
  EXPECT_EQ(service.size(), board::capacities.lines);
  std::vector<LineIndex> all;
  std::array<bool, board::capacities.lines> levels{};
  for (std::size_t i = 0; i < service.size(); ++i) {
    all.push_back(line(i));
  }
  EXPECT_EQ(outcome(service.read(all, levels)), "");
  EXPECT_EQ(outcome(service.set(all, levels)), "");
  EXPECT_EQ(outcome(service.watch(LineSet().set(), Edges::both)), "");
}

TEST_F(OtherHardware, is_requested_chip_by_chip) {
  open({{"A", 0}, {"B", 1}, {"C", 0}, {"D", 1}});
  EXPECT_EQ(set({0, 1, 2, 3}, {true, false, false, true}), "");
  ASSERT_EQ(gpio.requests.size(), 2U);
  EXPECT_EQ(gpio.requests[0].lines, (std::vector<hal::LineAddress>{{0, 0}, {0, 2}}));
  EXPECT_EQ(gpio.requests[1].lines, (std::vector<hal::LineAddress>{{1, 1}, {1, 3}}));
  EXPECT_EQ(read({0, 1, 2, 3}), "1001");
}

TEST_F(OtherHardware, that_vanishes_is_told_and_leaves_the_rest_usable) {
  open({{"A", 0}, {"B", 1}, {"C", 0}, {"D", 1}});
  EXPECT_EQ(watch({0, 1, 2}), "");
  EXPECT_EQ(set({3}, {true}), "");
  (void)events();
  ASSERT_EQ(gpio.requests.size(), 3U);
  gpio.unplug(0);
  run();
  EXPECT_EQ(events(), "gone 0, gone 2");
  EXPECT_EQ(gpio.released, 1);
  for (const std::size_t number : {0U, 2U}) {
    EXPECT_FALSE(service.line(line(number)).present);
    EXPECT_FALSE(service.line(line(number)).claimed());
    EXPECT_EQ(service.level(line(number)), std::nullopt);
  }
  EXPECT_EQ(read({0}), "0: " + std::to_string(ENODEV));
  EXPECT_EQ(read({1, 3}), "01");
  // Those who watched it leave without harm, and without a request for it.
  unwatch({0, 1, 2});
  EXPECT_FALSE(service.line(line(0)).watched());
  EXPECT_EQ(gpio.requests.size(), 3U);
  EXPECT_EQ(gpio.requests[1].settings[0].edges, Edges::none);
}

TEST_F(OtherHardware, that_is_back_is_found_when_it_is_next_used) {
  open({{"A", 0}, {"B", 1}, {"C", 0}});
  EXPECT_EQ(watch({0}), "");
  gpio.unplug(0);
  run();
  EXPECT_EQ(read({0}), "0: " + std::to_string(ENODEV));
  EXPECT_EQ(read({2}), "2: " + std::to_string(ENODEV));  // never claimed: not told, but found out
  gpio.plug_in();
  EXPECT_EQ(read({0}), "0: " + std::to_string(ENODEV));  // chips are looked for once a second
  clock.advance(std::chrono::seconds(1));
  run();
  EXPECT_EQ(read({0, 2}), "00");
  EXPECT_TRUE(service.line(line(0)).present);
  EXPECT_EQ(service.line(line(0)).address.chip, 9);
}

TEST_F(OtherHardware,
       that_is_back_is_found_by_the_name_that_was_made_one_word_and_the_first_of_two) {
  open({{"HDR PIN 1", 0}, {"TWICE", 0}, {"TWICE", 1}, {"OTHER", 1}});
  ASSERT_EQ(service.size(), 3U);
  EXPECT_EQ(watch({0, 1}), "");
  gpio.unplug(0);
  run();
  gpio.plug_in();
  EXPECT_EQ(read({0, 1}), "00");
  EXPECT_EQ(service.line(line(0)).address, (hal::LineAddress{.chip = 9, .offset = 0}));
  EXPECT_EQ(service.line(line(1)).address, (hal::LineAddress{.chip = 9, .offset = 1}));
}

TEST_F(OtherHardware, that_fails_halfway_leaves_the_other_claims_as_they_were_set) {
  open({{"A", 0}, {"B", 0}, {"C", 1}});
  EXPECT_EQ(set({0, 1, 2}, {false, false, false}), "");
  (void)events();
  gpio.requests[1].gone = true;
  EXPECT_EQ(set({0, 2}, {true, true}), "2: " + std::to_string(ENODEV));
  EXPECT_EQ(events(), "set 0 1");
  // A later change to the claim does not undo what was set.
  EXPECT_EQ(configure({1}, {.direction = Direction::input}), "");
  EXPECT_EQ(gpio.requests[0].levels & 1U, 1U);
}

TEST_F(GpioServiceTest, tells_a_record_all_that_it_sees_and_what_it_does_not) {
  service.see_all();
  readers[0].filter.record = true;
  log.attach(readers[1]);
  readers[1].filter = {.rising = LineSet().set(), .falling = LineSet().set()};
  EXPECT_EQ(set({4}, {true}), "");
  EXPECT_EQ(events(), "seen 4 1, set 4 1");
  EXPECT_TRUE(service.drive(line(4), false)) << "which nobody watches";
  EXPECT_EQ(events(), "set 4 0");
  pull(5, true);
  EXPECT_EQ(configure({5}, {.direction = Direction::input}), "");
  EXPECT_EQ(events(), "seen 5 1, config 5");
  EXPECT_EQ(actual(5).edges, Edges::both);
  pull(5, false);
  run();
  EXPECT_EQ(events(), "edge 5 0 #1");
  EXPECT_EQ(watch({5}, Edges::rising), "");
  unwatch({5}, Edges::rising);
  EXPECT_EQ(actual(5).edges, Edges::both) << "still";
  EXPECT_EQ(read({6}), "0");
  EXPECT_EQ(events(), "unseen 6") << "as it is, which may be anything";
  EXPECT_EQ(watch({7}), "");
  EXPECT_EQ(events(), "seen 7 0");
  EXPECT_EQ(release(4), 0);
  EXPECT_EQ(events(), "unseen 4");
  std::string others;
  while (const Event* const event = log.peek(readers[1])) {
    others += std::to_string(static_cast<int>(event->kind));
    log.skip(readers[1]);
  }
  EXPECT_EQ(others, "1120") << "set, set, config, edge";
}

TEST_F(OtherHardware, without_interrupts_is_set_up_all_the_same_when_all_is_to_be_seen) {
  open({{"A", 0}});
  service.see_all();
  readers[0].filter.record = true;
  gpio.has_interrupts = false;
  EXPECT_EQ(configure({0}, {.direction = Direction::input}), "");
  EXPECT_EQ(events(), "unseen 0, config 0");
  EXPECT_EQ(watch({0}), "0: " + std::to_string(ENXIO)) << "which is asked for";
}

TEST_F(OtherHardware, that_refuses_new_edges_has_no_watchers_more_and_no_watchers_less) {
  open({{"A", 0}, {"B", 0}});
  EXPECT_EQ(read({0, 1}), "00");
  gpio.refuses_settings = true;
  EXPECT_EQ(watch({0, 1}), "0: " + std::to_string(EIO));
  EXPECT_FALSE(service.line(line(0)).watched() || service.line(line(1)).watched());
  gpio.refuses_settings = false;
  EXPECT_EQ(watch({0}, Edges::rising), "");
  gpio.refuses_settings = true;
  EXPECT_EQ(watch({0}, Edges::falling), "0: " + std::to_string(EIO));
  EXPECT_EQ(service.line(line(0)).rising_watchers, 1U);
  EXPECT_EQ(service.line(line(0)).falling_watchers, 0U);
  // Nobody waits for an answer of this one: it goes through, and the next change makes up for it.
  unwatch({0}, Edges::rising);
  EXPECT_FALSE(service.line(line(0)).watched());
  gpio.refuses_settings = false;
  EXPECT_EQ(configure({0}, {.direction = Direction::input}), "");
  EXPECT_EQ(gpio.requests[0].settings[0].edges, Edges::none);
}

}  // namespace
}  // namespace millrace
