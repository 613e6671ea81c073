// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <initializer_list>
#include <memory>
#include <poll.h>
#include <string>
#include <sys/timerfd.h>
#include <unistd.h>

#include "hal/gpio_sim.hpp"

namespace millrace::hal {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr LineSettings input{.direction = Direction::input};
constexpr LineSettings both_edges{.direction = Direction::input, .edges = Edges::both};
constexpr LineSettings output_low{.direction = Direction::output};
constexpr LineSettings output_high{.direction = Direction::output, .output_active = true};

LineSettings inverted(LineSettings settings) {
  settings.active_low = true;
  return settings;
}

LineSettings only(Edges edges) { return {.direction = Direction::input, .edges = edges}; }

LineSettings with_bias(LineSettings settings, Bias bias) {
  settings.bias = bias;
  return settings;
}

LineSettings with_debounce(LineSettings settings, microseconds period) {
  settings.debounce = period;
  return settings;
}

constexpr LineAddress line(unsigned int offset) {
  return {.chip = 0, .offset = static_cast<std::uint16_t>(offset)};
}

bool readable(int fd, milliseconds timeout = milliseconds(0)) {
  pollfd watched{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&watched, 1, static_cast<int>(timeout.count())) == 1 &&
         (watched.revents & POLLIN) != 0;
}

/// Stands still unless it is put forward.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override { return now_; }
  void advance(Duration by) { now_ += by; }

 private:
  Instant now_ = SystemClock().now();
};

class GpioSim : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(gpio.open()); }

  RequestId request(std::initializer_list<unsigned int> offsets,
                    std::initializer_list<LineSettings> settings, std::size_t event_buffer = 0) {
    const auto id = try_request(offsets, settings, event_buffer);
    EXPECT_TRUE(id) << (id ? "" : id.error().what);
    return id.value_or(RequestId{999});
  }

  Result<RequestId> try_request(std::initializer_list<unsigned int> offsets,
                                std::initializer_list<LineSettings> settings,
                                std::size_t event_buffer = 0) {
    std::array<LineAddress, 70> lines{};
    std::size_t count = 0;
    for (const unsigned int offset : offsets) {
      lines[count++] = line(offset);
    }
    return gpio.request(std::span(lines).first(count), std::span(settings.begin(), settings.size()),
                        "test", event_buffer);
  }

  int request_error(std::initializer_list<unsigned int> offsets,
                    std::initializer_list<LineSettings> settings, std::size_t event_buffer = 0) {
    const auto id = try_request(offsets, settings, event_buffer);
    return id ? 0 : id.error().number;
  }

  Result<void> reconfigure(RequestId id, std::initializer_list<LineSettings> settings) {
    return gpio.reconfigure(id, std::span(settings.begin(), settings.size()));
  }

  void pull(unsigned int offset, std::initializer_list<bool> levels) {
    for (const bool up : levels) {
      EXPECT_TRUE(gpio.pull(line(offset), up));
    }
  }

  bool level(unsigned int offset) { return *gpio.physical_level(line(offset)); }

  /// The waiting events as "+3#1/1": edge, offset, sequence, sequence of the line.
  std::string events(RequestId id) {
    std::string text;
    std::array<LineEvent, 7> batch;
    for (;;) {
      const bool waits = readable(gpio.event_fd(id));
      const auto count = gpio.read_events(id, batch);
      EXPECT_TRUE(count);
      EXPECT_EQ(*count > 0, waits);
      if (*count == 0) {
        return text;
      }
      for (const LineEvent& event : std::span(batch).first(*count)) {
        text += (text.empty() ? "" : " ") +
                std::string(event.id == LineEvent::Id::rising_edge ? "+" : "-") +
                std::to_string(event.offset) + "#" + std::to_string(event.sequence) + "/" +
                std::to_string(event.line_sequence);
        EXPECT_GE(event.timestamp(), last_timestamp);
        last_timestamp = event.timestamp();
      }
    }
  }

  /// Lets time pass, and the loop serve the simulation.
  void pass(Duration time) {
    clock.advance(time);
    gpio.service();
  }

  ManualClock clock;
  hal::GpioSim gpio{clock};
  Instant last_timestamp = Instant::min();
};

// --- Names ---

TEST_F(GpioSim, finds_lines_by_name_and_by_label_and_offset) {
  EXPECT_EQ(*gpio.find("GPIO0"), line(0));
  EXPECT_EQ(*gpio.find("GPIO31"), line(31));
  EXPECT_EQ(*gpio.find("gpio-sim:0"), line(0));
  EXPECT_EQ(*gpio.find("gpio-sim:17"), line(17));
}

TEST_F(GpioSim, finds_no_line_by_a_wrong_name) {
  for (const char* const name : {"", "GPIO", "GPIO32", "GPIO01", "GPIO1 ", "gpio1", "17",
                                 "gpio-sim", "gpio-sim:", "gpio-sim:32", "gpio-sim:-1",
                                 "gpio-sim:1x", "gpio-sim:99999999", "gpiochip0:1", ":1"}) {
    const auto found = gpio.find(name);
    ASSERT_FALSE(found) << name;
    EXPECT_EQ(found.error().number, ENOENT) << name;
  }
}

TEST_F(GpioSim, numbers_its_lines_through) {
  EXPECT_EQ(*gpio.at(0), line(0));
  EXPECT_EQ(*gpio.at(31), line(31));
  EXPECT_EQ(gpio.at(32).error().number, ENOENT);
}

TEST_F(GpioSim, refuses_lines_that_it_does_not_have) {
  constexpr LineAddress other_chip{.chip = 1, .offset = 0};
  for (const LineAddress address : {line(32), other_chip}) {
    EXPECT_EQ(gpio.info(address).error().number, EINVAL);
    EXPECT_EQ(gpio.pull(address, true).error().number, EINVAL);
    EXPECT_EQ(gpio.physical_level(address).error().number, EINVAL);
    EXPECT_EQ(gpio.request({&address, 1}, {&input, 1}, "test").error().number, EINVAL);
  }
}

// --- What is known of a line ---

TEST_F(GpioSim, starts_with_free_inputs_pulled_down) {
  const auto info = gpio.info(line(5));
  EXPECT_EQ(info->name, "GPIO5");
  EXPECT_TRUE(info->consumer.empty());
  EXPECT_FALSE(info->used);
  EXPECT_EQ(info->settings, input);
  EXPECT_FALSE(level(5));
}

TEST_F(GpioSim, tells_who_uses_a_line_and_how) {
  const LineSettings settings =
      with_debounce(with_bias(inverted(only(Edges::rising)), Bias::pull_up), milliseconds(5));
  request({7}, {settings});
  const auto info = gpio.info(line(7));
  EXPECT_TRUE(info->used);
  EXPECT_EQ(info->consumer, "test");
  EXPECT_EQ(info->settings, settings);
}

TEST_F(GpioSim, does_not_tell_the_level_of_an_output_as_a_setting) {
  request({7}, {output_high});
  EXPECT_EQ(gpio.info(line(7))->settings, output_low);
}

TEST_F(GpioSim, cuts_a_long_consumer_as_the_kernel_does_and_takes_none_at_all) {
  const auto first = line(1);
  const auto second = line(2);
  ASSERT_TRUE(gpio.request({&first, 1}, {&input, 1}, "a consumer whose name is longer than 31"));
  ASSERT_TRUE(gpio.request({&second, 1}, {&input, 1}, nullptr));
  EXPECT_EQ(gpio.info(first)->consumer, "a consumer whose name is longer");
  EXPECT_TRUE(gpio.info(second)->used);
  EXPECT_TRUE(gpio.info(second)->consumer.empty());
}

// --- Requests ---

TEST_F(GpioSim, needs_to_be_opened_first) {
  gpio.close();
  EXPECT_EQ(request_error({1}, {input}), EBADF);
  EXPECT_EQ(gpio.service_fd(), -1);
  ASSERT_TRUE(gpio.open());
  request({1}, {input});
}

TEST_F(GpioSim, stays_as_it_is_when_opened_again) {
  const auto id = request({1}, {both_edges});
  const int timer = gpio.service_fd();
  EXPECT_TRUE(gpio.open());
  EXPECT_EQ(gpio.service_fd(), timer);
  pull(1, {true});
  EXPECT_EQ(events(id), "+1#1/1");
}

TEST_F(GpioSim, releases_everything_when_closed) {
  const auto id = request({1, 2}, {output_high, both_edges});
  const int fd = gpio.event_fd(id);
  const int timer = gpio.service_fd();
  gpio.close();
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
  EXPECT_EQ(::fcntl(timer, F_GETFD), -1);
  EXPECT_FALSE(gpio.info(line(1))->used);
}

TEST_F(GpioSim, refuses_a_line_in_use) {
  const auto id = request({11}, {input});
  EXPECT_EQ(request_error({11}, {input}), EBUSY);
  EXPECT_EQ(request_error({10, 11}, {input, input}), EBUSY);
  EXPECT_FALSE(gpio.info(line(10))->used);
  gpio.release(id);
  request({10, 11}, {input, input});
}

TEST_F(GpioSim, refuses_a_line_that_is_named_twice) {
  EXPECT_EQ(request_error({10, 10}, {input, input}), EBUSY);
  EXPECT_FALSE(gpio.info(line(10))->used);
}

TEST_F(GpioSim, refuses_no_lines_too_many_and_a_wrong_number_of_settings) {
  std::array<LineAddress, 65> lines{};
  std::array<LineSettings, 65> settings{};
  EXPECT_EQ(gpio.request(lines, settings, "test").error().number, EINVAL);
  EXPECT_EQ(request_error({}, {}), EINVAL);
  EXPECT_EQ(request_error({1, 2}, {input}), EINVAL);
  const auto id = request({1, 2}, {input, input});
  EXPECT_EQ(reconfigure(id, {input}).error().number, EINVAL);
}

TEST_F(GpioSim, refuses_settings_that_contradict_themselves) {
  constexpr auto as_is = Direction::as_is;
  constexpr auto output = Direction::output;
  const std::initializer_list<LineSettings> wrong = {
      {.direction = output, .edges = Edges::rising},
      {.direction = output, .debounce = microseconds(1)},
      {.direction = as_is, .debounce = microseconds(1)},
      {.direction = as_is, .drive = Drive::open_drain},
      {.direction = Direction::input, .drive = Drive::open_source},
      {.direction = as_is, .bias = Bias::disabled},
      {.direction = Direction::input, .debounce = microseconds(-1)},
      {.direction = Direction::input, .debounce = microseconds(0x1'0000'0000)}};
  const auto id = request({2}, {both_edges});
  for (const LineSettings& settings : wrong) {
    EXPECT_EQ(request_error({1}, {settings}), EINVAL);
    EXPECT_EQ(reconfigure(id, {settings}).error().number, EINVAL);
  }
  EXPECT_FALSE(gpio.info(line(1))->used);
  EXPECT_EQ(gpio.info(line(2))->settings, both_edges);
}

TEST_F(GpioSim, makes_a_line_with_edges_an_input_when_its_direction_is_left_open) {
  gpio.release(request({1}, {output_low}));
  const auto id = request({1}, {{.edges = Edges::rising}});
  EXPECT_EQ(gpio.info(line(1))->settings.direction, Direction::input);
  pull(1, {true});
  EXPECT_EQ(events(id), "+1#1/1");
}

TEST_F(GpioSim, has_room_for_a_request_of_each_line_and_uses_slots_again) {
  std::array<RequestId, hal::GpioSim::line_count> ids{};
  for (int round = 0; round < 3; ++round) {
    for (unsigned int i = 0; i < ids.size(); ++i) {
      ids[i] = request({i}, {both_edges});
    }
    EXPECT_EQ(request_error({5}, {input}), EBUSY);
    for (unsigned int i = 0; i < ids.size(); ++i) {
      pull(i, {true, false});
      EXPECT_EQ(events(ids[i]), "+" + std::to_string(i) + "#1/1 -" + std::to_string(i) + "#2/2");
    }
    for (const RequestId id : ids) {
      gpio.release(id);
    }
  }
}

TEST_F(GpioSim, leaks_no_descriptor) {
  const int before = ::dup(0);
  ::close(before);
  for (int i = 0; i < 100; ++i) {
    gpio.release(request({1, 2}, {both_edges, output_high}));
    EXPECT_NE(request_error({1, 1}, {input, input}), 0);
  }
  const int after = ::dup(0);
  ::close(after);
  EXPECT_EQ(before, after);
}

TEST_F(GpioSim, knows_a_released_request_no_more) {
  const auto id = request({1}, {output_low});
  gpio.release(id);
  gpio.release(id);
  std::array<LineEvent, 1> event;
  for (const RequestId gone : {id, RequestId{32}, RequestId{65535}}) {
    EXPECT_EQ(gpio.get(gone, 1).error().number, EBADF);
    EXPECT_EQ(gpio.set(gone, 1, 1).error().number, EBADF);
    EXPECT_EQ(reconfigure(gone, {input}).error().number, EBADF);
    EXPECT_EQ(gpio.read_events(gone, event).error().number, EBADF);
    EXPECT_EQ(gpio.event_fd(gone), -1);
  }
}

// --- Inputs ---

TEST_F(GpioSim, shows_the_pull_of_unrequested_lines_and_inputs) {
  pull(1, {true});
  EXPECT_TRUE(level(1));
  const auto id = request({1, 2}, {input, inverted(input)});
  EXPECT_EQ(*gpio.get(id, 3), 3U);
  pull(1, {false});
  pull(2, {true});
  EXPECT_EQ(*gpio.get(id, 3), 0U);
  EXPECT_FALSE(level(1));
  EXPECT_TRUE(level(2));
}

TEST_F(GpioSim, reads_only_the_lines_that_are_asked_for) {
  pull(1, {true});
  pull(2, {true});
  const auto id = request({1, 2}, {input, input});
  EXPECT_EQ(*gpio.get(id, 2), 2U);
  EXPECT_EQ(*gpio.get(id, ~LineMask{0}), 3U);
  EXPECT_EQ(gpio.get(id, 0).error().number, EINVAL);
  EXPECT_EQ(gpio.get(id, 4).error().number, EINVAL);
}

TEST_F(GpioSim, sets_the_pull_by_a_requests_bias_for_good) {
  const auto id = request({1}, {with_bias(input, Bias::pull_up)});
  EXPECT_TRUE(level(1));
  ASSERT_TRUE(reconfigure(id, {with_bias(input, Bias::disabled)}));
  EXPECT_TRUE(level(1));
  gpio.release(id);
  EXPECT_TRUE(level(1));
  gpio.release(request({1}, {with_bias(input, Bias::pull_down)}));
  EXPECT_FALSE(level(1));
}

// --- Wires ---

TEST_F(GpioSim, an_input_follows_the_output_at_the_other_end_of_its_wire) {
  ASSERT_TRUE(gpio.wire(line(1), line(2)));
  const auto driver = request({1}, {output_low});
  const auto follower = request({2}, {both_edges});
  for (const LineMask high : {1U, 1U, 0U, 1U}) {
    ASSERT_TRUE(gpio.set(driver, 1, high));
    EXPECT_EQ(*gpio.get(follower, 1), high);
  }
  EXPECT_EQ(events(follower), "+2#1/1 -2#2/2 +2#3/3");
}

TEST_F(GpioSim, a_wire_carries_both_ways_and_from_the_moment_that_an_end_becomes_an_output) {
  const auto one = request({1}, {output_high});
  ASSERT_TRUE(gpio.wire(line(1), line(2)));
  EXPECT_TRUE(level(2));
  gpio.release(one);
  const auto other = request({2}, {output_low});
  EXPECT_FALSE(level(1));
  ASSERT_TRUE(reconfigure(other, {output_high}));
  EXPECT_TRUE(level(1));
  gpio.release(other);
  pull(1, {false});
  EXPECT_TRUE(level(2)) << "only what drives is carried";
}

TEST_F(GpioSim, a_line_has_one_wire) {
  const auto id = request({1}, {output_low});
  ASSERT_TRUE(gpio.wire(line(1), line(2)));
  ASSERT_TRUE(gpio.wire(line(3), line(1)));
  ASSERT_TRUE(gpio.set(id, 1, 1));
  EXPECT_FALSE(level(2));
  EXPECT_TRUE(level(3));
  ASSERT_TRUE(gpio.wire(line(3), line(3)));
  ASSERT_TRUE(gpio.set(id, 1, 0));
  EXPECT_TRUE(level(3));
  EXPECT_EQ(gpio.wire(line(1), line(hal::GpioSim::line_count)).error().number, EINVAL);
}

TEST_F(GpioSim, what_comes_by_a_wire_is_debounced) {
  ASSERT_TRUE(gpio.wire(line(1), line(2)));
  const auto driver = request({1}, {output_low});
  const auto follower = request({2}, {with_debounce(both_edges, milliseconds(10))});
  ASSERT_TRUE(gpio.set(driver, 1, 1));
  pass(milliseconds(9));
  EXPECT_EQ(events(follower), "");
  pass(milliseconds(1));
  EXPECT_EQ(events(follower), "+2#1/1");
}

// --- Edges ---

TEST_F(GpioSim, reports_each_change_of_level_as_an_edge) {
  const auto id = request({3}, {both_edges});
  pull(3, {true, false, false, true, true});
  EXPECT_EQ(events(id), "+3#1/1 -3#2/2 +3#3/3");
}

TEST_F(GpioSim, reports_nothing_without_edges_or_without_a_request) {
  pull(3, {true, false});
  const auto id = request({3}, {input});
  pull(3, {true, false});
  EXPECT_EQ(events(id), "");
}

TEST_F(GpioSim, numbers_events_of_the_request_and_of_the_line) {
  const auto id = request({1, 2}, {only(Edges::rising), only(Edges::falling)});
  for (const unsigned int offset : {1U, 2U, 2U, 1U}) {
    pull(offset, {true, false});
  }
  EXPECT_EQ(events(id), "+1#1/1 -2#2/1 -2#3/2 +1#4/2");
}

TEST_F(GpioSim, inverts_edges_of_active_low_lines) {
  const auto id = request({7, 8}, {inverted(both_edges), inverted(only(Edges::rising))});
  for (const unsigned int offset : {7U, 8U}) {
    pull(offset, {true, false});
  }
  EXPECT_EQ(events(id), "-7#1/1 +7#2/2 +8#3/1");
}

TEST_F(GpioSim, stamps_an_edge_with_the_time_of_the_pull) {
  const auto id = request({3}, {both_edges});
  pull(3, {true});
  const Instant first = clock.now();
  clock.advance(milliseconds(7));
  pull(3, {false});
  clock.advance(milliseconds(7));
  std::array<LineEvent, 2> read;
  ASSERT_EQ(*gpio.read_events(id, read), 2U);
  EXPECT_EQ(read[0].timestamp(), first);
  EXPECT_EQ(read[1].timestamp(), first + milliseconds(7));
}

TEST_F(GpioSim, has_the_system_tell_the_time_by_default) {
  hal::GpioSim timed;
  ASSERT_TRUE(timed.open());
  const auto address = line(3);
  const auto id = timed.request({&address, 1}, {&both_edges, 1}, "test");
  const Instant before = SystemClock().now();
  ASSERT_TRUE(timed.pull(address, true));
  const Instant after = SystemClock().now();
  std::array<LineEvent, 2> read;
  ASSERT_EQ(*timed.read_events(*id, read), 1U);
  EXPECT_GE(read[0].timestamp(), before);
  EXPECT_LE(read[0].timestamp(), after);
}

TEST_F(GpioSim, is_readable_exactly_while_events_wait) {
  const auto id = request({3}, {both_edges});
  const int fd = gpio.event_fd(id);
  EXPECT_FALSE(readable(fd));
  pull(3, {true, false});
  EXPECT_TRUE(readable(fd));
  std::array<LineEvent, 1> event;
  EXPECT_EQ(*gpio.read_events(id, std::span<LineEvent>()), 0U);
  EXPECT_EQ(*gpio.read_events(id, event), 1U);
  EXPECT_TRUE(readable(fd));
  EXPECT_EQ(*gpio.read_events(id, event), 1U);
  EXPECT_FALSE(readable(fd));
  EXPECT_EQ(*gpio.read_events(id, event), 0U);
}

TEST_F(GpioSim, delivers_the_kernels_own_structure_over_its_descriptor) {
  const auto id = request({3}, {both_edges});
  pull(3, {true});
  LineEvent event{};
  ASSERT_EQ(::read(gpio.event_fd(id), &event, sizeof(event)), 48);
  EXPECT_EQ(event.id, LineEvent::Id::rising_edge);
  EXPECT_EQ(event.offset, 3U);
  for (const std::uint32_t word : event.padding) {
    EXPECT_EQ(word, 0U);
  }
}

// --- The FIFO ---

TEST_F(GpioSim, drops_the_oldest_event_when_the_fifo_is_full_and_the_sequence_shows_the_gap) {
  const auto id = request({4}, {both_edges}, 2);
  pull(4, {true, false, true, false, true});
  EXPECT_EQ(events(id), "-4#4/4 +4#5/5");
  pull(4, {false});
  EXPECT_EQ(events(id), "-4#6/6");
}

struct Fifo {
  std::size_t asked_for;
  unsigned int lines;
  std::size_t kept;
};

class GpioSimFifo : public GpioSim, public testing::WithParamInterface<Fifo> {};

TEST_P(GpioSimFifo, keeps_as_many_events_as_the_kernels) {
  const Fifo fifo = GetParam();
  const auto id = fifo.lines == 1
                      ? request({0}, {both_edges}, fifo.asked_for)
                      : request({0, 1, 2}, {both_edges, both_edges, both_edges}, fifo.asked_for);
  constexpr unsigned int total = 1100;
  for (unsigned int i = 0; i < total; ++i) {
    pull(i % fifo.lines, {i / fifo.lines % 2 == 0});
  }
  auto read = std::make_unique<std::array<LineEvent, total>>();
  ASSERT_EQ(*gpio.read_events(id, *read), fifo.kept);
  for (std::size_t i = 0; i < fifo.kept; ++i) {
    EXPECT_EQ((*read)[i].sequence, total - fifo.kept + i + 1);
  }
  EXPECT_FALSE(readable(gpio.event_fd(id)));
}

// Sixteen a line by default; a power of two, as the kernel's kfifo is; no more than 1024.
INSTANTIATE_TEST_SUITE_P(Sizes, GpioSimFifo,
                         testing::Values(Fifo{0, 1, 16}, Fifo{0, 3, 64}, Fifo{2, 1, 2},
                                         Fifo{5, 1, 8}, Fifo{1000, 1, 1024}, Fifo{5000, 1, 1024}));

TEST_F(GpioSim, keeps_the_fifo_exact_while_it_is_read_in_small_pieces) {
  const auto id = request({4}, {both_edges}, 1024);
  std::array<LineEvent, 5> read;
  std::uint32_t written = 0;
  std::uint32_t expected = 1;
  for (int round = 0; round < 3000; ++round) {
    for (int i = 0; i < 6; ++i) {
      pull(4, {++written % 2 == 1});
    }
    expected = std::max(expected, written > 1024 ? written - 1023 : 1);
    ASSERT_EQ(*gpio.read_events(id, read), 5U);
    for (const LineEvent& event : read) {
      ASSERT_EQ(event.sequence, expected++);
    }
  }
}

TEST_F(GpioSim, goes_on_dropping_the_oldest_when_the_pipe_is_smaller_than_the_fifo) {
  const auto id = request({4}, {both_edges}, 1024);
  ASSERT_GT(::fcntl(gpio.event_fd(id), F_SETPIPE_SZ, 4096), 0);
  for (std::uint32_t i = 1; i <= 500; ++i) {
    pull(4, {i % 2 == 1});
  }
  std::array<LineEvent, 200> read;
  const std::size_t count = *gpio.read_events(id, read);
  ASSERT_GT(count, 0U);
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_EQ(read[i].sequence, 500 - count + i + 1);
  }
  EXPECT_FALSE(readable(gpio.event_fd(id)));
}

TEST_F(GpioSim, refuses_a_fifo_of_one_event_as_the_kernel_does_but_only_with_edges) {
  EXPECT_EQ(request_error({4}, {both_edges}, 1), EINVAL);
  request({4}, {input}, 1);
}

// --- Outputs ---

TEST_F(GpioSim, drives_outputs) {
  const auto id = request({12, 13}, {output_high, output_low});
  EXPECT_TRUE(level(12));
  EXPECT_FALSE(level(13));
  ASSERT_TRUE(gpio.set(id, 3, 2));
  EXPECT_FALSE(level(12));
  EXPECT_TRUE(level(13));
  EXPECT_EQ(*gpio.get(id, 3), 2U);
  ASSERT_TRUE(gpio.set(id, 1, 3));
  EXPECT_EQ(*gpio.get(id, 3), 3U);
}

TEST_F(GpioSim, inverts_active_low_outputs) {
  const auto id = request({12, 13}, {inverted(output_high), inverted(output_low)});
  EXPECT_FALSE(level(12));
  EXPECT_TRUE(level(13));
  ASSERT_TRUE(gpio.set(id, 3, 2));
  EXPECT_TRUE(level(12));
  EXPECT_FALSE(level(13));
  EXPECT_EQ(*gpio.get(id, 3), 2U);
}

TEST_F(GpioSim, does_not_let_a_pull_win_over_an_output) {
  request({12}, {with_bias(output_low, Bias::pull_up)});
  EXPECT_FALSE(level(12));
  pull(12, {false, true});
  EXPECT_FALSE(level(12));
}

TEST_F(GpioSim, changes_nothing_when_one_of_the_lines_is_not_an_output) {
  const auto id = request({10, 11, 12}, {output_low, input, output_low});
  EXPECT_EQ(gpio.set(id, 7, 7).error().number, EPERM);
  EXPECT_EQ(gpio.set(id, 2, 2).error().number, EPERM);
  EXPECT_EQ(*gpio.get(id, 7), 0U);
  EXPECT_EQ(gpio.set(id, 0, 0).error().number, EINVAL);
  EXPECT_EQ(gpio.set(id, 8, 8).error().number, EINVAL);
  EXPECT_TRUE(gpio.set(id, ~LineMask{2}, ~LineMask{0}));
  EXPECT_EQ(*gpio.get(id, 7), 5U);
}

TEST_F(GpioSim, lets_go_of_an_open_drain_that_is_driven_high) {
  const auto id = request({14}, {{.direction = Direction::output, .drive = Drive::open_drain}});
  pull(14, {true});
  EXPECT_FALSE(level(14));
  ASSERT_TRUE(gpio.set(id, 1, 1));
  EXPECT_TRUE(level(14));
  EXPECT_EQ(*gpio.get(id, 1), 1U);
  pull(14, {false});
  EXPECT_FALSE(level(14));
  EXPECT_EQ(*gpio.get(id, 1), 0U);
}

TEST_F(GpioSim, lets_go_of_an_open_source_that_is_driven_low) {
  const auto id = request(
      {15}, {{.direction = Direction::output, .drive = Drive::open_source, .output_active = true}});
  EXPECT_TRUE(level(15));
  ASSERT_TRUE(gpio.set(id, 1, 0));
  EXPECT_FALSE(level(15));
  pull(15, {true});
  EXPECT_TRUE(level(15));
}

// --- Reconfiguring ---

TEST_F(GpioSim, keeps_pending_events_when_reconfigured) {
  const auto id = request({16}, {both_edges});
  pull(16, {true});
  ASSERT_TRUE(reconfigure(id, {output_low}));
  EXPECT_EQ(events(id), "+16#1/1");
}

TEST_F(GpioSim, does_not_take_a_flip_of_the_logical_level_for_an_edge) {
  const auto id = request({16}, {both_edges});
  pull(16, {true});
  ASSERT_TRUE(reconfigure(id, {inverted(both_edges)}));
  EXPECT_EQ(*gpio.get(id, 1), 0U);
  EXPECT_EQ(events(id), "+16#1/1");
  pull(16, {false});
  EXPECT_EQ(events(id), "+16#2/2");
}

TEST_F(GpioSim, reports_the_edge_that_a_changed_bias_makes) {
  const auto id = request({16}, {both_edges});
  ASSERT_TRUE(reconfigure(id, {with_bias(both_edges, Bias::pull_up)}));
  EXPECT_EQ(events(id), "+16#1/1");
  ASSERT_TRUE(reconfigure(id, {with_bias(input, Bias::pull_down)}));
  EXPECT_EQ(events(id), "-16#2/2");
  ASSERT_TRUE(reconfigure(id, {with_bias(both_edges, Bias::pull_up)}));
  EXPECT_EQ(events(id), "");
}

TEST_F(GpioSim, names_the_edge_of_a_changed_bias_by_the_new_polarity) {
  const auto id = request({16}, {inverted(both_edges)});
  ASSERT_TRUE(reconfigure(id, {with_bias(both_edges, Bias::pull_up)}));
  EXPECT_EQ(events(id), "+16#1/1");
}

TEST_F(GpioSim, turns_an_input_into_an_output_and_back) {
  const auto id = request({16}, {both_edges});
  ASSERT_TRUE(reconfigure(id, {output_high}));
  EXPECT_TRUE(level(16));
  EXPECT_TRUE(gpio.set(id, 1, 0));
  pull(16, {true});
  EXPECT_FALSE(level(16));
  ASSERT_TRUE(reconfigure(id, {both_edges}));
  EXPECT_TRUE(level(16));
  EXPECT_EQ(gpio.set(id, 1, 0).error().number, EPERM);
  EXPECT_EQ(events(id), "");
  pull(16, {false});
  EXPECT_EQ(events(id), "-16#1/1");
}

TEST_F(GpioSim, leaves_lines_alone_whose_direction_shall_be_as_it_is) {
  const auto id = request({16, 17}, {both_edges, output_high});
  ASSERT_TRUE(reconfigure(id, {{.active_low = true}, {}}));
  EXPECT_EQ(gpio.info(line(16))->settings, both_edges);
  EXPECT_TRUE(level(17));
}

// --- Debouncing ---

constexpr milliseconds period(20);
const LineSettings debounced = with_debounce(both_edges, period);

TEST_F(GpioSim, reports_one_edge_once_a_bouncing_line_has_been_stable) {
  const auto id = request({20}, {debounced});
  for (const bool up : {true, false, true, false, true}) {
    pull(20, {up});
    pass(period - microseconds(1));
  }
  EXPECT_TRUE(level(20));
  EXPECT_EQ(*gpio.get(id, 1), 0U);
  EXPECT_FALSE(readable(gpio.event_fd(id)));
  pass(microseconds(1));
  EXPECT_EQ(*gpio.get(id, 1), 1U);
  std::array<LineEvent, 2> read;
  ASSERT_EQ(*gpio.read_events(id, read), 1U);
  EXPECT_EQ(read[0].id, LineEvent::Id::rising_edge);
  EXPECT_EQ(read[0].sequence, 1U);
  EXPECT_EQ(read[0].timestamp(), clock.now());
}

TEST_F(GpioSim, ignores_a_pulse_that_is_shorter_than_the_period) {
  const auto id = request({20}, {debounced});
  pull(20, {true, false});
  pass(period);
  EXPECT_EQ(events(id), "");
}

TEST_F(GpioSim, wakes_the_loop_when_a_debounce_is_over_and_never_else) {
  hal::GpioSim timed;
  ASSERT_TRUE(timed.open());
  const auto armed = [&timed] {
    itimerspec left{};
    EXPECT_EQ(::timerfd_gettime(timed.service_fd(), &left), 0);
    return left.it_value.tv_sec != 0 || left.it_value.tv_nsec != 0;
  };
  const auto address = line(20);
  const auto id = timed.request({&address, 1}, {&debounced, 1}, "test");
  EXPECT_FALSE(armed());
  ASSERT_TRUE(timed.pull(address, true));
  const Instant pulled = SystemClock().now();
  EXPECT_TRUE(readable(timed.service_fd(), milliseconds(2000)));
  EXPECT_GE(SystemClock().now(), pulled + period - milliseconds(1));
  timed.service();
  EXPECT_TRUE(readable(timed.event_fd(*id)));
  EXPECT_FALSE(readable(timed.service_fd()));
  EXPECT_FALSE(armed());
  const LineSettings long_period = with_debounce(both_edges, std::chrono::seconds(3600));
  ASSERT_TRUE(timed.reconfigure(*id, {&long_period, 1}));
  ASSERT_TRUE(timed.pull(address, false));
  EXPECT_TRUE(armed());
  timed.release(*id);
  EXPECT_FALSE(armed());
}

TEST_F(GpioSim, tells_the_same_events_however_late_it_is_served) {
  const auto id = request({20, 21}, {debounced, debounced});
  const Instant start = clock.now();
  pull(20, {true});
  pull(21, {true});
  clock.advance(10 * period);
  pull(20, {false});
  clock.advance(10 * period);
  gpio.service();
  std::array<LineEvent, 4> read;
  ASSERT_EQ(*gpio.read_events(id, read), 3U);
  EXPECT_EQ(read[0].timestamp(), start + period);
  EXPECT_EQ(read[1].timestamp(), start + period);
  EXPECT_EQ(read[1].offset, 21U);
  EXPECT_EQ(read[2].timestamp(), start + 11 * period);
  EXPECT_EQ(read[2].id, LineEvent::Id::falling_edge);
}

TEST_F(GpioSim, debounces_lines_independently_and_in_order_of_time) {
  const auto id = request({20, 21, 22}, {with_debounce(both_edges, 3 * period),
                                         with_debounce(both_edges, period), both_edges});
  for (const unsigned int offset : {20U, 21U, 22U}) {
    pull(offset, {true});
  }
  EXPECT_EQ(events(id), "+22#1/1");
  pass(period);
  EXPECT_EQ(events(id), "+21#2/1");
  pull(21, {false});
  pass(5 * period);
  EXPECT_EQ(events(id), "-21#3/2 +20#4/1");
}

TEST_F(GpioSim, debounces_the_level_of_lines_that_report_one_edge_or_none) {
  const auto id =
      request({20, 21}, {with_debounce(only(Edges::rising), period), with_debounce(input, period)});
  for (const bool up : {true, false, true}) {
    pull(20, {up});
    pull(21, {up});
    EXPECT_EQ(*gpio.get(id, 3), up ? 0U : 3U);
    clock.advance(period);
    EXPECT_EQ(*gpio.get(id, 3), up ? 3U : 0U);
  }
  EXPECT_EQ(events(id), "+20#1/1 +20#2/2");
}

TEST_F(GpioSim, inverts_what_a_debounced_active_low_line_reports) {
  const auto id = request({20}, {inverted(debounced)});
  EXPECT_EQ(*gpio.get(id, 1), 1U);
  pull(20, {true});
  pass(period);
  EXPECT_EQ(*gpio.get(id, 1), 0U);
  EXPECT_EQ(events(id), "-20#1/1");
}

TEST_F(GpioSim, takes_the_level_as_stable_where_debouncing_begins) {
  const auto id = request({20}, {both_edges});
  pull(20, {true});
  ASSERT_TRUE(reconfigure(id, {debounced}));
  EXPECT_EQ(*gpio.get(id, 1), 1U);
  EXPECT_EQ(events(id), "+20#1/1");
}

TEST_F(GpioSim, goes_on_with_a_pending_debounce_if_the_line_stays_debounced) {
  const auto id = request({20}, {debounced});
  pull(20, {true});
  ASSERT_TRUE(reconfigure(id, {inverted(with_debounce(both_edges, 10 * period))}));
  EXPECT_EQ(*gpio.get(id, 1), 1U);
  EXPECT_EQ(events(id), "");
  clock.advance(period);
  EXPECT_EQ(*gpio.get(id, 1), 0U);
  EXPECT_EQ(events(id), "-20#1/1");
}

TEST_F(GpioSim, debounces_the_edge_that_a_changed_bias_makes) {
  const auto id = request({20}, {debounced});
  ASSERT_TRUE(reconfigure(id, {with_bias(debounced, Bias::pull_up)}));
  EXPECT_EQ(events(id), "");
  pass(period);
  EXPECT_EQ(events(id), "+20#1/1");
}

TEST_F(GpioSim, forgets_a_pending_debounce_with_the_debouncing) {
  for (const LineSettings& settings : {both_edges, output_low}) {
    const auto id = request({20}, {with_bias(debounced, Bias::pull_down)});
    pull(20, {true});
    ASSERT_TRUE(reconfigure(id, {settings}));
    pass(2 * period);
    EXPECT_EQ(events(id), "");
    gpio.release(id);
  }
}

// --- Releasing ---

TEST_F(GpioSim, leaves_only_direction_and_pull_when_released) {
  const auto id =
      request({24, 25},
              {output_high, with_debounce(with_bias(inverted(both_edges), Bias::pull_up), period)});
  gpio.release(id);
  EXPECT_FALSE(gpio.info(line(24))->used);
  EXPECT_TRUE(gpio.info(line(24))->consumer.empty());
  EXPECT_EQ(gpio.info(line(24))->settings, output_low);
  EXPECT_EQ(gpio.info(line(25))->settings, input);
  EXPECT_FALSE(level(24));
  EXPECT_TRUE(level(25));
}

TEST_F(GpioSim, requests_a_line_as_it_was_left) {
  gpio.release(request({24, 25}, {output_high, input}));
  pull(24, {true});
  const auto id = request({24, 25}, {{}, {.active_low = true}});
  EXPECT_EQ(gpio.info(line(24))->settings.direction, Direction::output);
  EXPECT_TRUE(level(24));
  EXPECT_EQ(*gpio.get(id, 3), 3U);
  EXPECT_TRUE(gpio.set(id, 1, 0));
  EXPECT_FALSE(level(24));
  EXPECT_EQ(gpio.set(id, 2, 0).error().number, EPERM);
}

TEST_F(GpioSim, starts_each_request_with_an_empty_fifo_and_the_first_sequence_number) {
  auto id = request({25}, {both_edges});
  pull(25, {true, false, true});
  gpio.release(id);
  id = request({25}, {both_edges});
  EXPECT_EQ(events(id), "");
  pull(25, {false});
  EXPECT_EQ(events(id), "-25#1/1");
}

}  // namespace
}  // namespace millrace::hal
