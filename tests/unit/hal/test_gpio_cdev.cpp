// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// GpioCdev and libgpiod over a fake kernel: what they need of memory. What they do to real lines is
// seen with the kernel's gpio-sim: tests/qemu.

#include <cstddef>
#include <gtest/gtest.h>
#include <string_view>
#include <vector>

#include "hal/gpio_cdev.hpp"
#include "hal/heap_trap.hpp"
#include "hal/libgpiod_memory.hpp"
#include "tests/support/fake_gpio_kernel.hpp"
#include "tests/support/random_requests.hpp"

namespace millrace::hal {
namespace {

using test::FakeGpioKernel;

constexpr std::size_t max_lines = Gpio::max_lines_per_request;

constexpr LineSettings input{.direction = Direction::input};
constexpr LineSettings output{.direction = Direction::output};

/// A GpioCdev that is closed at the end, so that the next one begins with nothing held.
template <std::size_t Requests, std::size_t Memory>
class Opened {
 public:
  Opened() {
    const auto opened = gpio_.open();
    EXPECT_TRUE(opened) << opened.error().what;
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  ~Opened() {
    gpio_.close();
    EXPECT_EQ(libgpiod_memory::statistics().used, 0U);
    EXPECT_EQ(FakeGpioKernel::instance().requests(), 0);
  }
  GpioCdev& operator*() { return gpio_; }
  GpioCdev* operator->() { return &gpio_; }

  /// Requests `count` lines from `first` as outputs.
  Result<RequestId> take(unsigned int first, std::size_t count = 1) {
    std::vector<LineAddress> lines;
    for (std::size_t i = 0; i < count; ++i) {
      lines.push_back(*gpio_.at(first + i));
    }
    return gpio_.request(lines, std::vector<LineSettings>(count, output), "test");
  }

 private:
  StaticGpioCdev<Requests, Memory> gpio_;
};

TEST(GpioCdev, finds_lines_of_the_kernel_and_drives_them) {
  Opened<4, GpioCdev::memory_for(4, max_lines)> gpio;
  const auto named = gpio->find("LINE17");
  ASSERT_TRUE(named) << named.error().what;
  EXPECT_EQ(named->offset, 17);
  EXPECT_EQ(gpio->find("fake-gpio:17"), *named);
  EXPECT_EQ(gpio->find("LINE192").error().number, ENOENT);
  const auto pair = gpio.take(30, 2);
  ASSERT_TRUE(pair) << pair.error().what;
  ASSERT_TRUE(gpio->set(*pair, 0b10, 0b11));
  EXPECT_EQ(gpio->get(*pair, 0b11), LineMask{0b10});
  EXPECT_EQ(gpio->get(*pair, 0b01), LineMask{0});
  EXPECT_EQ(gpio->get(*pair, 0b10), LineMask{0b10});
  ASSERT_TRUE(gpio->set(*pair, 0b11, 0b01));
  EXPECT_EQ(gpio->get(*pair, ~LineMask{0}), LineMask{0b01});
  gpio->release(*pair);
}

TEST(GpioCdev, has_as_many_requests_as_it_was_given_and_then_says_what_to_do) {
  Opened<2, GpioCdev::memory_for(2, 1)> gpio;
  ASSERT_TRUE(gpio.take(0));
  const auto second = gpio.take(1);
  ASSERT_TRUE(second);
  const auto third = gpio.take(2);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().number, ENOSPC);
  EXPECT_NE(std::string_view(third.error().remedy).find("lines in the board's capacities"),
            std::string_view::npos);
  gpio->release(*second);
  EXPECT_TRUE(gpio.take(2));
}

TEST(GpioCdev, what_it_says_of_libgpiods_memory_is_enough_and_not_twice_too_much) {
  constexpr std::size_t requests = 100;
  constexpr std::size_t memory = GpioCdev::memory_for(requests, max_lines);
  Opened<requests, memory> gpio;
  for (unsigned int line = 0; line + 1 < requests; ++line) {
    ASSERT_TRUE(gpio.take(line)) << line;
  }
  const auto large = gpio.take(100, max_lines);
  ASSERT_TRUE(large) << large.error().what;
  ASSERT_TRUE(gpio->reconfigure(*large, std::vector<LineSettings>(max_lines, input)));
  ASSERT_TRUE(gpio->find("LINE191"));
  EXPECT_EQ(libgpiod_memory::statistics().refused, 0U);
  EXPECT_GT(libgpiod_memory::statistics().high_water, memory / 2);
}

TEST(GpioCdev, without_memory_one_request_fails_and_names_the_constant_and_all_else_goes_on) {
  constexpr std::size_t memory = GpioCdev::memory_for(2, 1);
  Opened<64, memory> gpio;
  std::vector<RequestId> held;
  Result<RequestId> more = gpio.take(0);
  for (unsigned int line = 1; more; ++line) {
    held.push_back(*more);
    more = gpio.take(line);
  }
  EXPECT_GE(held.size(), 2U);
  EXPECT_EQ(more.error().number, ENOBUFS);
  EXPECT_NE(std::string_view(more.error().what).find("libgpiod"), std::string_view::npos);
  EXPECT_NE(std::string_view(more.error().remedy).find("libgpiod_memory"), std::string_view::npos);
  EXPECT_GT(libgpiod_memory::statistics().refused, 0U);
  EXPECT_EQ(FakeGpioKernel::instance().requests(), static_cast<long>(held.size()));
  // Each attempt gives back what it had taken before it failed.
  const std::size_t used = libgpiod_memory::statistics().used;
  for (std::size_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(gpio.take(40, 1 + i % max_lines).error().number, ENOBUFS);
  }
  EXPECT_EQ(libgpiod_memory::statistics().used, used);
  for (const RequestId request : held) {
    EXPECT_TRUE(gpio->set(request, 1, 1));
  }
  gpio->release(held.back());
  EXPECT_TRUE(gpio.take(50));
}

TEST(GpioCdev, a_million_random_requests_releases_and_reconfigurations_need_no_more_and_no_heap) {
  constexpr std::size_t requests = 16;
  Opened<requests, GpioCdev::memory_for(requests, max_lines)> gpio;
  const std::size_t before = libgpiod_memory::statistics().used;
  heap_trap::arm(heap_trap::Action::count);
  const auto result = test::random_requests(*gpio, *gpio->at(0), max_lines, requests, 1'000'000);
  const auto heap_calls = heap_trap::calls();
  heap_trap::disarm();
  EXPECT_EQ(result.unexpected, 0U) << result.error.what;
  EXPECT_EQ(heap_calls, 0U);
  EXPECT_GT(result.requests, 200'000U);
  EXPECT_EQ(result.requests, result.releases);
  EXPECT_GT(result.changes, 200'000U);
  EXPECT_EQ(libgpiod_memory::statistics().refused, 0U);
  EXPECT_EQ(libgpiod_memory::statistics().used, before);
}

}  // namespace
}  // namespace millrace::hal
