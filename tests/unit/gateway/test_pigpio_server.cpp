// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <gtest/gtest.h>
#include <poll.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include "firmware/gateway/pigpio_server.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/gpio_sim.hpp"
#include "hal/socket.hpp"
#include "tests/support/kernel.hpp"

namespace millrace {
namespace {

using pigpio::Command;

constexpr std::size_t line_count = std::min(hal::GpioSim::line_count, board::capacities.lines);
constexpr auto numbered = board::numbered_lines<line_count>("gpio-sim");
constexpr board::Board simulated = {.name = "test",
                                    .description = "the simulated lines",
                                    .gpio = board::GpioBackend::simulation,
                                    .lines = numbered,
                                    .uarts = {}};

/// Three lines with names that have no number, and one of another board.
constexpr auto named = [] {
  std::array<board::Line, 4> lines{};
  constexpr std::array names = {"LED", "KEY", "BUZZER", "GPIO"};
  for (std::size_t i = 0; i < lines.size(); ++i) {
    lines[i].name.append(names[i]);
    lines[i].kernel.append("GPIO", i + 10);
  }
  return lines;
}();
constexpr board::Board other_names = {.name = "test",
                                      .description = "lines without numbers",
                                      .gpio = board::GpioBackend::simulation,
                                      .lines = named,
                                      .uarts = {},
                                      .pigpio_revision = 0xc03111};

class Silent final : public UartObserver {
 public:
  void on_uart_data(UartIndex /*uart*/, std::span<const std::byte> /*data*/) override {}
  void on_uart_room(UartIndex /*uart*/) override {}
  void on_uart_presence(UartIndex /*uart*/, bool /*present*/) override {}
};

/// A gateway without its process, and its clients.
class PigpioServerTest : public testing::Test {
 protected:
  void open(const board::Board& board = simulated) {
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    ASSERT_TRUE(reactor.open());
    ASSERT_TRUE(gpio_sim.open());
    ASSERT_TRUE(gpio.open(gpio_sim, board, NotifierId{}));
    ASSERT_TRUE(server.open(board));
    const auto parsed = hal::SocketAddress::parse("unix:" + std::string(directory.data()) + "/s");
    ASSERT_TRUE(parsed);
    ASSERT_TRUE(server.listen(*parsed));
    address = *parsed;
  }
  void TearDown() override {
    server.close();
    uarts.close();
    ::rmdir(directory.data());
  }

  hal::Fd connect() {
    auto fd = hal::connect(address);
    EXPECT_TRUE(fd);
    return std::move(*fd);
  }
  static void put(const hal::Fd& client, Command command, std::uint32_t p1 = 0,
                  std::uint32_t p2 = 0, std::string_view extension = {}) {
    std::string text(16, '\0');
    const std::array words = {static_cast<std::uint32_t>(command), p1, p2,
                              static_cast<std::uint32_t>(extension.size())};
    for (std::size_t i = 0; i < words.size(); ++i) {
      pigpio::store32(words[i], std::as_writable_bytes(std::span(text)).subspan(4 * i));
    }
    text += extension;
    EXPECT_EQ(::write(client.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  /// So many bytes, the loop running until they are there; fewer at the connection's end.
  std::string get(const hal::Fd& client, std::size_t count) {
    std::string text;
    for (int i = 0; text.size() < count && i < 2000; ++i) {
      EXPECT_TRUE(reactor.turn(Duration::zero()));
      std::array<char, 4096> part{};
      const ssize_t size =
          ::read(client.get(), part.data(), std::min(part.size(), count - text.size()));
      if (size == 0) {
        break;
      }
      text.append(part.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
      ::usleep(size > 0 || i < 100 ? 0 : 1000);
    }
    return text;
  }
  std::int32_t ask(const hal::Fd& client, Command command, std::uint32_t p1 = 0,
                   std::uint32_t p2 = 0, std::string_view extension = {}) {
    put(client, command, p1, p2, extension);
    const std::string answer = get(client, 16);
    EXPECT_EQ(answer.size(), 16U);
    return static_cast<std::int32_t>(pigpio::load32(std::as_bytes(std::span(answer)).last(4)));
  }
  void turn(int count = 3) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(reactor.turn(Duration::zero()));
    }
  }
  void pull(unsigned gpio_number, bool up) {
    ASSERT_TRUE(gpio.pull(LineIndex{static_cast<std::uint16_t>(gpio_number)}, up));
  }

  std::array<char, 40> directory{"/tmp/millrace-pigpio-XXXXXX"};
  hal::SocketAddress address;
  StaticReactor<ReactorLimits{.fds = 256}> reactor;
  std::array<GatewayLog::Reader, 2> readers{};
  GatewayLog log{readers};
  hal::GpioSim gpio_sim;
  GpioService gpio{reactor, log};
  PwmService pwms{gpio};
  Silent silent;
  UartService uarts{reactor, silent};
  PigpioServer server{reactor, log, readers[1], gpio, pwms, uarts};
};

TEST_F(PigpioServerTest, numbers_lines_by_their_names) {
  open();
  const auto client = connect();
  EXPECT_EQ(ask(client, Command::write, 17, 1), 0);
  EXPECT_EQ(gpio.settings(*gpio.find("GPIO17")).output_active, true);
  EXPECT_EQ(ask(client, Command::write, line_count, 1), -41);
  EXPECT_EQ(ask(client, Command::hwver), 0xa02082);
}

TEST_F(PigpioServerTest, numbers_lines_in_their_order_where_no_name_has_a_number) {
  open(other_names);
  const auto client = connect();
  EXPECT_EQ(ask(client, Command::write, 2, 1), 0);
  EXPECT_TRUE(gpio.line(*gpio.find("BUZZER")).claimed());
  EXPECT_EQ(ask(client, Command::write, 4, 1), -41);
  EXPECT_EQ(ask(client, Command::hwver), 0xc03111);
}

TEST_F(PigpioServerTest, tells_who_has_a_line_that_it_can_not_have) {
  open();
  const std::array address_of_4 = {hal::LineAddress{.offset = 4}};
  const std::array input = {hal::LineSettings{.direction = hal::Direction::input}};
  const auto taken = gpio_sim.request(address_of_4, input, "somebody");
  ASSERT_TRUE(taken);
  const auto client = connect();
  for (const Command command : {Command::modes, Command::write, Command::pud, Command::read}) {
    EXPECT_EQ(ask(client, command, 4, 1), -50);
  }
  EXPECT_EQ(ask(client, Command::noib), 0);
  EXPECT_EQ(ask(client, Command::nb, 0, 0b110'0000), 0);
  EXPECT_EQ(ask(client, Command::nb, 0, 0b111'0000), -42);
  EXPECT_TRUE(gpio.line(LineIndex{5}).watched()) << "the others are watched all the same";
  gpio_sim.release(*taken);
}

TEST_F(PigpioServerTest, leaves_lines_alone_that_no_command_names) {
  open();
  const auto client = connect();
  pull(9, true);
  EXPECT_EQ(ask(client, Command::noib), 0);
  EXPECT_EQ(ask(client, Command::br1), 1 << 9);
  EXPECT_EQ(ask(client, Command::modeg, 9), 0);
  EXPECT_EQ(ask(client, Command::fg, 9, 20'000), 0);
  EXPECT_FALSE(gpio.line(LineIndex{9}).claimed());
  EXPECT_EQ(ask(client, Command::modes, 9, 0), 0);
  EXPECT_EQ(gpio.settings(LineIndex{9}).debounce.count(), 20'000) << "as was asked before";
}

TEST_F(PigpioServerTest, keeps_a_pull_for_when_an_output_becomes_an_input) {
  open();
  const auto client = connect();
  EXPECT_EQ(ask(client, Command::write, 4, 0), 0);
  EXPECT_EQ(ask(client, Command::pud, 4, 2), 0);
  EXPECT_EQ(gpio.settings(LineIndex{4}).direction, hal::Direction::output);
  EXPECT_EQ(ask(client, Command::modes, 4, 0), 0);
  EXPECT_EQ(gpio.settings(LineIndex{4}).bias, hal::Bias::pull_up);
  EXPECT_EQ(ask(client, Command::read, 4), 1);
}

TEST_F(PigpioServerTest, reports_an_edge_in_the_turn_that_reads_it) {
  open();
  const auto client = connect();
  const auto channel = connect();
  EXPECT_EQ(ask(channel, Command::noib), 0);
  EXPECT_EQ(ask(client, Command::nb, 0, 1U << 4U), 0);
  turn();
  pull(4, true);
  ASSERT_TRUE(reactor.turn(Duration::zero()));
  pollfd watched{.fd = channel.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&watched, 1, 0), 1) << "one turn is enough";
  EXPECT_EQ(get(channel, 12).size(), 12U);
  EXPECT_EQ(server.reports(), 1U);
}

TEST_F(PigpioServerTest, changes_by_clients_of_the_control_port_are_told) {
  open();
  const auto client = connect();
  EXPECT_EQ(ask(client, Command::write, 17, 0), 0);
  EXPECT_EQ(ask(client, Command::noib), 0);
  EXPECT_EQ(ask(client, Command::nb, 0, 1U << 17U), 0);
  const std::array which = {LineIndex{17}};
  ASSERT_TRUE(gpio.set(which, std::array{true}));
  EXPECT_EQ(get(client, 12).size(), 12U);
  // Whoever makes an input of it has it pulled down, which no edge tells.
  const GpioService::Change change{.line = which[0],
                                   .settings = {.direction = hal::Direction::input}};
  ASSERT_TRUE(gpio.configure({&change, 1}));
  EXPECT_EQ(get(client, 12).size(), 12U);
}

TEST_F(PigpioServerTest, closes_what_its_client_has_closed_for_sending_once_all_is_answered) {
  open();
  const auto client = connect();
  for (int i = 0; i < 200; ++i) {
    put(client, Command::pigpv);
  }
  ASSERT_TRUE(hal::shutdown_write(client.get()));
  EXPECT_EQ(get(client, 200 * 16 + 1).size(), 200U * 16U);
  EXPECT_EQ(server.statistics().open, 0U);
}

TEST_F(PigpioServerTest, turns_away_who_finds_no_session) {
  open();
  std::array<hal::Fd, board::capacities.pigpio_connections> clients;
  for (auto& client : clients) {
    client = connect();
    turn(1);
  }
  const auto late = connect();
  EXPECT_EQ(get(late, 1), "");
  EXPECT_EQ(server.statistics().refused, 1U);
  clients[0].reset();
  turn();
  EXPECT_EQ(ask(connect(), Command::pigpv), 79);
}

TEST_F(PigpioServerTest, a_pulse_of_a_trigger_ends_by_itself_and_answers_then) {
  open();
  const auto client = connect();
  EXPECT_EQ(ask(client, Command::write, 17, 0), 0);
  EXPECT_EQ(ask(client, Command::trig, 17, 100, std::string_view("\1\0\0\0", 4)), 0);
  EXPECT_FALSE(gpio.settings(LineIndex{17}).output_active);
  EXPECT_EQ(server.daemon().pulses().edges, 1U);
}

TEST_F(PigpioServerTest, serves_a_serial_port_that_is_not_read_faster_than_its_client) {
  if (!test::has_termios2()) {
    GTEST_SKIP() << test::no_termios2;
  }
  open();
  UartService::Config config;
  config.name.append("uart0");
  config.open_at_start = true;
  ASSERT_TRUE(uarts.add(config));
  const UartIndex uart{0};
  auto far = hal::Uart::open(std::string(uarts.port(uart).uart.path()).c_str(), {});
  ASSERT_TRUE(far);
  const auto client = connect();
  EXPECT_EQ(ask(client, Command::sero, 9600, 0, uarts.port(uart).uart.path()), 0);
  EXPECT_EQ(uarts.port(uart).config.settings.baud, 9600U);
  EXPECT_EQ(uarts.port(uart).attached, 1U);
  const std::string hello = "hello";
  EXPECT_EQ(far->write(std::as_bytes(std::span(hello))).count, 5U);
  for (int i = 0; i < 1000 && ask(client, Command::serda, 0) == 0; ++i) {
    ::usleep(1000);
  }
  turn();
  EXPECT_EQ(uarts.port(uart).attached, 0U) << "the rest waits in the kernel";
  EXPECT_EQ(ask(client, Command::serr, 0, 100), 5);
  EXPECT_EQ(get(client, 5), "hello");
  EXPECT_EQ(uarts.port(uart).attached, 1U);
  EXPECT_EQ(ask(client, Command::sero, 9600, 0, "/dev/serial0"),
            board::capacities.pigpio_serials > 1 ? 1 : -24);
  EXPECT_EQ(ask(client, Command::serc, 0), 0);
  EXPECT_EQ(uarts.port(uart).attached, board::capacities.pigpio_serials > 1 ? 1U : 0U);
}

}  // namespace
}  // namespace millrace
