// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Prints what a GPIO backend does in all situations that Millrace relies on. The two traces, of the
// simulation and of the kernel's own gpio-sim, must not differ:
//
//   gpio_scenario                     the simulation in this process
//   gpio_scenario /sys/devices/...    the kernel's gpio-sim of that folder, whose label is
//                                     gpio-sim, and whose 32 lines are named GPIO0 to GPIO31

#include <array>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <poll.h>
#include <string_view>
#include <unistd.h>

#include "hal/gpio_cdev.hpp"
#include "hal/gpio_sim.hpp"

namespace {

using namespace millrace;
using namespace millrace::hal;
using std::chrono::microseconds;

constexpr LineSettings input{.direction = Direction::input};
constexpr LineSettings edges{.direction = Direction::input, .edges = Edges::both};
constexpr LineSettings debounced{
    .direction = Direction::input, .edges = Edges::both, .debounce = microseconds(40'000)};
constexpr LineSettings low{.direction = Direction::output};
constexpr LineSettings high{.direction = Direction::output, .output_active = true};

// How to wait for what has been set off: enough for the kernel under emulation.
constexpr unsigned int settle_us = 3'000;
constexpr unsigned int debounce_us = 120'000;

class Scenario {
 public:
  Scenario(Gpio& gpio, const char* sysfs) : gpio_(gpio), sysfs_(sysfs) {}

  void run() {
    names();
    edges_and_sequences();
    fifo();
    refusals();
    outputs();
    reconfiguring();
    debouncing();
    releasing();
  }

 private:
  void names() {
    title("names");
    for (const char* name : {"GPIO0", "GPIO31", "GPIO32", "gpio-sim:17", "gpio-sim:32", "gpio-sim:",
                             "gpio-sim:-1", "gpio-sim:1x", "GPIO", "GPIO01", "", "sim:1"}) {
      const auto found = gpio_.find(name);
      std::printf("find '%s': %d\n", name, found ? found->offset : -found.error().number);
    }
    info(5);
  }

  void edges_and_sequences() {
    title("both edges");
    auto id = request({3}, {edges});
    for (const bool up : {true, false, false, true, true}) {
      pull(3, up);
    }
    events(id);
    pull(3, false);
    release(id);

    title("rising, falling");
    LineSettings rising = edges;
    LineSettings falling = edges;
    rising.edges = Edges::rising;
    falling.edges = Edges::falling;
    id = request({1, 2}, {rising, falling});
    for (const unsigned int offset : {1U, 2U, 1U, 2U}) {
      pull(offset, true);
      pull(offset, false);
    }
    events(id);
    release(id);

    title("active low, three lines, out of order");
    LineSettings inverted = edges;
    inverted.active_low = true;
    LineSettings inverted_rising = inverted;
    inverted_rising.edges = Edges::rising;
    id = request({9, 7, 8}, {edges, inverted, inverted_rising});
    get(id, 7);
    for (const unsigned int offset : {7U, 8U, 9U, 8U, 7U}) {
      pull(offset, true);
      pull(offset, false);
    }
    get(id, 6);
    get(id, 0);
    get(id, ~LineMask{0});
    events(id);
    release(id);
  }

  void fifo() {
    title("FIFO");
    overflow({4}, 0, 20);
    overflow({4}, 5, 20);
    overflow({4}, 2, 5);
    overflow({4}, 1, 5);
    overflow({4, 5, 6}, 0, 70);
    overflow({4}, 5000, 1030);
    release(request({4}, {input}, "one", 1));
  }

  void refusals() {
    title("refusals");
    for (const Direction direction : {Direction::as_is, Direction::input, Direction::output}) {
      release(request({10}, {{.direction = direction, .edges = Edges::rising}}));
      release(request({10}, {{.direction = direction, .drive = Drive::open_drain}}));
      release(request({10}, {{.direction = direction, .bias = Bias::disabled}}));
      release(request({10}, {{.direction = direction, .debounce = microseconds(1)}}));
    }
    release(request({10, 10}, {input, input}));
    release(request({10, 40}, {input, input}));
    const auto first = request({11}, {input});
    release(request({10, 11}, {input, input}));
    info(10);
    release(first);

    const auto mixed = request({10, 11, 12}, {low, input, low});
    set(mixed, 7, 7);
    set(mixed, 2, 2);
    set(mixed, 0, 0);
    set(mixed, 8, 8);
    levels({10, 11, 12});
    set(mixed, 5, 4);
    levels({10, 11, 12});
    set(mixed, ~LineMask{2}, ~LineMask{0});
    levels({10, 11, 12});
    get(mixed, 7);
    release(mixed);
  }

  void outputs() {
    title("outputs");
    auto id = request({12, 13}, {high, {.direction = Direction::output, .active_low = true}});
    levels({12, 13});
    get(id, 3);
    set(id, 3, 2);
    levels({12, 13});
    pull(12, true);
    levels({12, 13});
    info(13);
    release(id);
    levels({12, 13});
    pull(12, false);

    title("open drain, open source");
    id = request(
        {14, 15},
        {{.direction = Direction::output, .drive = Drive::open_drain},
         {.direction = Direction::output, .drive = Drive::open_source, .output_active = true}});
    levels({14, 15});
    pull(14, true);
    levels({14, 15});
    set(id, 3, 1);
    pull(14, false);
    pull(15, true);
    levels({14, 15});
    pull(14, true);
    pull(15, false);
    levels({14, 15});
    get(id, 3);
    info(14);
    info(15);
    set(id, 3, 2);
    levels({14, 15});
    release(id);
    pull(14, false);
  }

  void reconfiguring() {
    title("pending events stay; the logical level flips");
    auto id = request({16}, {edges});
    pull(16, true);
    LineSettings settings = edges;
    settings.active_low = true;
    reconfigure(id, {settings});
    get(id, 1);
    pull(16, false);
    events(id);

    title("bias");
    settings = edges;
    settings.bias = Bias::pull_up;
    reconfigure(id, {settings});
    levels({16});
    events(id);
    info(16);
    settings.bias = Bias::disabled;
    reconfigure(id, {settings});
    levels({16});
    settings.bias = Bias::pull_down;
    settings.edges = Edges::none;
    reconfigure(id, {settings});
    events(id);
    pull(16, true);
    events(id);
    reconfigure(id, {edges});
    pull(16, false);
    events(id);

    title("to output and back");
    reconfigure(id, {high});
    set(id, 1, 0);
    pull(16, true);
    levels({16});
    events(id);
    set(id, 1, 1);
    reconfigure(id, {edges});
    levels({16});
    pull(16, false);
    events(id);
    reconfigure(id, {{.direction = Direction::output, .edges = Edges::rising}});
    info(16);
    reconfigure(id, {{.active_low = true}});
    info(16);
    pull(16, true);
    events(id);
    release(id);
    pull(16, false);
  }

  void debouncing() {
    title("debounce");
    auto id = request({20}, {debounced});
    info(20);
    for (int i = 0; i < 3; ++i) {
      pull(20, true);
      pull(20, false);
    }
    pull(20, true);
    get(id, 1);
    events(id);
    wait(debounce_us);
    get(id, 1);
    events(id);
    pull(20, false);
    pull(20, true);
    wait(debounce_us);
    events(id);

    title("a pending debounce");
    pull(20, false);
    reconfigure(id, {edges});
    get(id, 1);
    wait(debounce_us);
    events(id);
    reconfigure(id, {debounced});
    pull(20, true);
    LineSettings inverted = debounced;
    inverted.active_low = true;
    reconfigure(id, {inverted});
    get(id, 1);
    wait(debounce_us);
    get(id, 1);
    events(id);
    LineSettings biased = debounced;
    biased.bias = Bias::pull_down;
    reconfigure(id, {biased});
    get(id, 1);
    events(id);
    wait(debounce_us);
    events(id);
    pull(20, true);
    reconfigure(id, {low});
    wait(debounce_us);
    events(id);
    release(id);
    pull(20, false);

    title("debounce without edges, and with rising ones");
    LineSettings rising = debounced;
    LineSettings none = debounced;
    rising.edges = Edges::rising;
    none.edges = Edges::none;
    id = request({20, 21, 22}, {rising, none, edges});
    for (const bool up : {true, false}) {
      for (const unsigned int offset : {20U, 21U, 22U}) {
        pull(offset, up);
      }
      get(id, 7);
      wait(debounce_us);
      get(id, 7);
    }
    events(id);
    release(id);
  }

  void releasing() {
    title("release");
    auto id = request({24, 25},
                      {high,
                       {.direction = Direction::input,
                        .bias = Bias::pull_up,
                        .edges = Edges::rising,
                        .active_low = true,
                        .debounce = microseconds(1000)}},
                      "a consumer whose name is longer than what the kernel keeps");
    info(24);
    info(25);
    release(id);
    levels({24, 25});
    info(24);
    info(25);
    id = request({24, 25}, {{}, {.active_low = true}}, "");
    levels({24, 25});
    info(24);
    info(25);
    set(id, 1, 1);
    levels({24, 25});
    get(id, 3);
    release(id);
    id = request({25}, {edges}, nullptr);
    info(25);
    pull(25, false);
    events(id);
    release(id);
    release(request({24}, {input}));
    info(24);
  }

  void overflow(std::initializer_list<unsigned int> offsets, std::size_t event_buffer, int count) {
    std::array<LineSettings, 3> settings;
    settings.fill(edges);
    const auto id =
        request(offsets, std::span(settings).first(offsets.size()), "fifo", event_buffer);
    if (!id) {
      return;
    }
    for (int i = 0; i < count; ++i) {
      pull(offsets.begin()[static_cast<std::size_t>(i) % offsets.size()],
           i / static_cast<int>(offsets.size()) % 2 == 0);
    }
    std::array<LineEvent, 1100> read{};
    const auto first = gpio_.read_events(*id, std::span(read).first(1));
    const auto rest = gpio_.read_events(*id, std::span(read).subspan(1));
    const std::size_t total = *first + *rest;
    std::printf("%d edges, %zu events, %u (%u) to %u (%u)\n", count, total, read[0].sequence,
                read[0].line_sequence, read[total - 1].sequence, read[total - 1].line_sequence);
    release(id);
    for (const unsigned int offset : offsets) {
      pull(offset, false);
    }
  }

  static void title(const char* text) { std::printf("--- %s\n", text); }

  static void outcome(const Result<void>& result) {
    std::printf("%s", result ? "ok\n" : "");
    if (!result) {
      std::printf("error %d\n", result.error().number);
    }
  }

  Result<RequestId> request(std::initializer_list<unsigned int> offsets,
                            std::initializer_list<LineSettings> settings,
                            const char* consumer = "scenario", std::size_t event_buffer = 0) {
    return request(offsets, std::span(settings.begin(), settings.size()), consumer, event_buffer);
  }

  Result<RequestId> request(std::initializer_list<unsigned int> offsets,
                            std::span<const LineSettings> settings, const char* consumer,
                            std::size_t event_buffer) {
    std::array<LineAddress, 4> lines;
    std::size_t count = 0;
    std::printf("request");
    for (const unsigned int offset : offsets) {
      lines[count++] = address(offset);
      std::printf(" %u", offset);
    }
    std::printf(": ");
    auto id = gpio_.request(std::span(lines).first(count), settings, consumer, event_buffer);
    outcome(id ? Result<void>() : std::unexpected(id.error()));
    return id;
  }

  void release(const Result<RequestId>& id) {
    if (id) {
      gpio_.release(*id);
    }
  }

  void reconfigure(const Result<RequestId>& id, std::initializer_list<LineSettings> settings) {
    std::printf("reconfigure: ");
    outcome(gpio_.reconfigure(*id, std::span(settings.begin(), settings.size())));
    wait(settle_us);
  }

  void get(const Result<RequestId>& id, LineMask which) {
    const auto result = gpio_.get(*id, which);
    std::printf("get %llx: %lld\n", static_cast<unsigned long long>(which),
                result ? static_cast<long long>(*result) : -result.error().number);
  }

  void set(const Result<RequestId>& id, LineMask which, LineMask to) {
    std::printf("set %llx: ", static_cast<unsigned long long>(which));
    outcome(gpio_.set(*id, which, to));
  }

  void events(const Result<RequestId>& id) {
    pollfd readable{.fd = gpio_.event_fd(*id), .events = POLLIN, .revents = 0};
    ::poll(&readable, 1, 0);
    std::array<LineEvent, 64> read{};
    const auto count = gpio_.read_events(*id, read);
    std::printf("events%s:", (readable.revents & POLLIN) != 0 ? ", readable" : "");
    for (const LineEvent& event : std::span(read).first(count.value_or(0))) {
      std::printf(" %s%u#%u/%u", event.id == LineEvent::Id::rising_edge ? "+" : "-", event.offset,
                  event.sequence, event.line_sequence);
    }
    std::printf("\n");
  }

  void info(unsigned int offset) {
    const auto known = gpio_.info(address(offset));
    const LineSettings& s = known->settings;
    std::printf("info %u: %s '%s' %s direction %u bias %u drive %u edges %u%s%s debounce %lld\n",
                offset, known->name.c_str(), known->consumer.c_str(), known->used ? "used" : "free",
                static_cast<unsigned int>(s.direction), static_cast<unsigned int>(s.bias),
                static_cast<unsigned int>(s.drive), static_cast<unsigned int>(s.edges),
                s.active_low ? " active low" : "", s.output_active ? " active" : "",
                static_cast<long long>(s.debounce.count()));
  }

  void levels(std::initializer_list<unsigned int> offsets) {
    std::printf("levels");
    for (const unsigned int offset : offsets) {
      std::printf(" %u=%d", offset, level(offset) ? 1 : 0);
    }
    std::printf("\n");
  }

  LineAddress address(unsigned int offset) {
    auto line = *gpio_.find("GPIO0");
    line.offset = static_cast<std::uint16_t>(offset);
    return line;
  }

  void wait(unsigned int us) {
    ::usleep(us);
    gpio_.service();
  }

  void pull(unsigned int offset, bool up) {
    if (sysfs_ == nullptr) {
      static_cast<void>(gpio_.pull(address(offset), up));
      return;
    }
    if (std::FILE* const file = attribute(offset, "pull", "w"); file != nullptr) {
      static_cast<void>(std::fputs(up ? "pull-up" : "pull-down", file));
      static_cast<void>(std::fclose(file));
    }
    wait(settle_us);
  }

  bool level(unsigned int offset) {
    if (sysfs_ == nullptr) {
      return gpio_.physical_level(address(offset)).value_or(false);
    }
    int value = 0;
    if (std::FILE* const file = attribute(offset, "value", "r"); file != nullptr) {
      value = std::fgetc(file);
      static_cast<void>(std::fclose(file));
    }
    return value == '1';
  }

  std::FILE* attribute(unsigned int offset, const char* name, const char* mode) const {
    FixedString<200> path(sysfs_);
    path.append("/sim_gpio", offset, "/", name);
    return std::fopen(path.c_str(), mode);
  }

  Gpio& gpio_;
  const char* sysfs_;  // of the kernel's simulator; null: ours
};

GpioSim sim;
StaticGpioCdev<32, 16384> cdev;

}  // namespace

int main(int argc, char** argv) {
  const char* const sysfs = argc > 1 ? argv[1] : nullptr;
  const auto opened = sysfs != nullptr ? cdev.open() : sim.open();
  if (!opened) {
    std::printf("%s: %s\n", opened.error().what, std::strerror(opened.error().number));
    return 1;
  }
  Gpio& gpio = sysfs != nullptr ? static_cast<Gpio&>(cdev) : static_cast<Gpio&>(sim);
  Scenario(gpio, sysfs).run();
  return 0;
}
