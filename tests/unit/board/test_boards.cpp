// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <set>
#include <string>
#include <string_view>

#include "board/boards.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/epoll_poller.hpp"
#include "hal/gpio_sim.hpp"

namespace millrace::board {
namespace {

struct Header {
  const Board* board;
  const Capacities* capacities;
};
constexpr std::array headers = {
    Header{&sim::board, &sim::capacities},
    Header{&rpi3::board, &rpi3::capacities},
    Header{&rpi4::board, &rpi4::capacities},
    Header{&rpi5::board, &rpi5::capacities},
    Header{&rpi_zero2w::board, &rpi_zero2w::capacities},
    Header{&qemu_virt::board, &qemu_virt::capacities},
    Header{&qemu_imx8mp::board, &qemu_imx8mp::capacities},
    Header{&generic::board, &generic::capacities},
};
static_assert(headers.size() == all.size());

// What StaticReactor asserts of its limits holds for every board.
template <const Capacities& Of>
constexpr std::size_t reactor_size =
    sizeof(ReactorParts<
           ReactorLimits{
               .fds = Of.fds, .timers = Of.timers, .messages = Of.messages, .mailbox = Of.mailbox},
           hal::EpollPoller>);
static_assert(reactor_size<sim::capacities> > 0 && reactor_size<rpi3::capacities> > 0 &&
              reactor_size<rpi4::capacities> > 0 && reactor_size<rpi5::capacities> > 0 &&
              reactor_size<rpi_zero2w::capacities> > 0 && reactor_size<qemu_virt::capacities> > 0 &&
              reactor_size<qemu_imx8mp::capacities> > 0 && reactor_size<generic::capacities> > 0);

TEST(Boards, have_a_name_each_and_are_found_by_it) {
  std::set<std::string_view> names;
  for (const Board* const board : all) {
    EXPECT_TRUE(names.insert(board->name).second) << board->name;
    EXPECT_EQ(find(board->name), board);
    EXPECT_FALSE(board->name.empty());
    EXPECT_FALSE(board->description.empty());
  }
  for (const std::string_view name : {"", "si", "sims", "SIM", "rpi"}) {
    EXPECT_EQ(find(name), nullptr) << name;
  }
  EXPECT_EQ(find(selected::board.name), &selected::board);
  EXPECT_EQ(capacities, selected::capacities);
}

TEST(Boards, are_found_by_the_device_trees_model) {
  EXPECT_EQ(find_by_model("Raspberry Pi Compute Module 4 Rev 1.1"), &rpi4::board);
  EXPECT_EQ(find_by_model("Raspberry Pi Zero 2 W Rev 1.0"), &rpi_zero2w::board);
  for (const std::string_view model : {"", "Raspberry Pi", "Radxa ROCK 5B", "A Raspberry Pi 4"}) {
    EXPECT_EQ(find_by_model(model), nullptr) << model;
  }
  for (const Board* const board : all) {
    for (const std::string_view model : board->models) {
      EXPECT_TRUE(model.empty() || find_by_model(model) == board) << model;
    }
  }
}

TEST(Boards, are_all_in_the_list) {
  for (const Header& header : headers) {
    EXPECT_NE(std::ranges::find(all, header.board), all.end()) << header.board->name;
  }
}

/// A word of the control port's language that parts nothing.
bool is_word(std::string_view text) {
  return !text.empty() && text.find_first_of(" \t\r\n=,") == std::string_view::npos;
}

TEST(Boards, name_each_of_their_lines_and_serial_ports_once) {
  for (const Board* const board : all) {
    std::set<std::string_view> names;
    for (const Line& line : board->lines) {
      EXPECT_TRUE(names.insert(line.name).second) << board->name << ' ' << line.name.view();
      EXPECT_TRUE(is_word(line.name)) << board->name;
      EXPECT_FALSE(line.name.truncated() || line.kernel.truncated() || line.fallback.truncated());
      EXPECT_NE(line.fallback.view().find(':'), std::string_view::npos) << line.fallback.view();
      EXPECT_NE(line.name, "all") << "means every line";
    }
    std::set<std::string_view> ports;
    for (const Uart& uart : board->uarts) {
      EXPECT_TRUE(ports.insert(uart.name).second) << board->name << ' ' << uart.name;
      EXPECT_TRUE(is_word(uart.name)) << board->name;
      EXPECT_TRUE(uart.paths[0] != nullptr || uart.paths[1] == nullptr) << uart.name;
      for (const char* const path : uart.paths) {
        EXPECT_TRUE(path == nullptr || std::string_view(path).starts_with("/dev/")) << path;
        EXPECT_TRUE(path == nullptr || std::string_view(path).size() <= 127) << path;
      }
    }
  }
}

TEST(Boards, fit_into_a_firmware_built_for_them) {
  for (const Header& header : headers) {
    const Capacities& most = *header.capacities;
    EXPECT_LE(header.board->lines.size(), most.lines) << header.board->name;
    EXPECT_LE(header.board->uarts.size(), most.uarts) << header.board->name;
    EXPECT_LE(header.board->pwms.size(), most.pwms) << header.board->name;
    for (const Pwm& pwm : header.board->pwms) {
      const auto wired = [&](const Line& line) { return line.name == pwm.line; };
      EXPECT_TRUE(std::ranges::any_of(header.board->lines, wired)) << pwm.line;
    }
    EXPECT_GE(most.listeners, 2U) << header.board->name << ": TCP and Unix by default";
    // A timer for each serial port, and one to accept clients again.
    EXPECT_GE(most.timers, most.uarts + 1) << header.board->name;
    // A client can name every line in one command.
    EXPECT_GE(most.line_length, header.board->lines.size() * 8) << header.board->name;
    EXPECT_LE(most.line_length, most.receive_ring) << header.board->name;
  }
}

TEST(Boards, have_a_descriptor_for_all_that_can_be_open_at_once) {
  for (const Header& header : headers) {
    const Capacities& most = *header.capacities;
    // Each line may be a request of its own: a descriptor, two in the simulation.
    const std::size_t lines =
        header.board->gpio == GpioBackend::simulation ? 2 * hal::GpioSim::line_count : most.lines;
    constexpr std::size_t of_the_loop = 12;  // standard ones, epoll, wake-up, signals, spare …
    EXPECT_GE(most.fds, lines + most.connections + most.listeners + 2 * most.uarts + 3 * most.pwms +
                            of_the_loop)
        << header.board->name;
  }
}

TEST(Boards, of_the_raspberry_pi_have_the_28_lines_of_its_header) {
  struct Pi {
    const Board* board;
    std::string label;
  };
  for (const auto& [pi, label] :
       {Pi{&rpi3::board, "pinctrl-bcm2835"}, Pi{&rpi_zero2w::board, "pinctrl-bcm2835"},
        Pi{&rpi4::board, "pinctrl-bcm2711"}, Pi{&rpi5::board, "pinctrl-rp1"}}) {
    EXPECT_EQ(pi->gpio, GpioBackend::kernel);
    ASSERT_EQ(pi->lines.size(), 28U) << pi->name;
    for (std::size_t i = 0; i < 28; ++i) {
      EXPECT_EQ(pi->lines[i].name.view(), "GPIO" + std::to_string(i));
      EXPECT_EQ(pi->lines[i].kernel.view(), "GPIO" + std::to_string(i));
      EXPECT_EQ(pi->lines[i].fallback.view(), label + ":" + std::to_string(i));
    }
  }
}

TEST(Boards, that_are_simulated_need_no_hardware) {
  EXPECT_EQ(sim::board.gpio, GpioBackend::simulation);
  EXPECT_EQ(sim::board.lines.size(), 32U);
  EXPECT_EQ(sim::board.uarts.size(), 2U);
  for (const Uart& uart : sim::board.uarts) {
    EXPECT_EQ(uart.paths[0], nullptr);
  }
  hal::GpioSim gpio;
  for (const Line& line : sim::board.lines) {
    const auto by_name = gpio.find(std::string_view(line.kernel));
    const auto by_label = gpio.find(std::string_view(line.fallback));
    ASSERT_TRUE(by_name && by_label) << line.name.view();
    EXPECT_EQ(*by_name, *by_label);
  }
}

}  // namespace
}  // namespace millrace::board
