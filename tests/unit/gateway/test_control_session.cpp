// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <cstdlib>
#include <gtest/gtest.h>
#include <poll.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include "firmware/gateway/control_server.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/gpio_sim.hpp"
#include "hal/socket.hpp"
#include "tests/support/kernel.hpp"

namespace millrace {
namespace {

constexpr std::size_t line_count = std::min(hal::GpioSim::line_count, board::capacities.lines);
constexpr auto wired = board::numbered_lines<line_count>("gpio-sim");
constexpr board::Board simulated = {
    .name = "test",
    .description = "the simulated lines, as many as there is room for",
    .gpio = board::GpioBackend::simulation,
    .lines = wired,
    .uarts = {}};
constexpr UartIndex first{0};

/// A gateway without its process, and its clients.
class ControlSessionTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::has_termios2()) {
      GTEST_SKIP() << test::no_termios2;
    }
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    ASSERT_TRUE(reactor.open());
    ASSERT_TRUE(gpio_sim.open());
    ASSERT_TRUE(server.open(gpio, uarts, simulated));
    ASSERT_TRUE(gpio.open(gpio_sim, simulated, server.changed()));
    UartService::Config config;
    config.name.append("uart0");
    config.open_at_start = true;
    ASSERT_TRUE(uarts.add(config));
    const auto parsed = hal::SocketAddress::parse("unix:" + path("control"));
    ASSERT_TRUE(parsed);
    ASSERT_TRUE(server.listen(*parsed));
    address = *parsed;
    const auto tcp = server.listen(*hal::SocketAddress::parse("0"));
    ASSERT_TRUE(tcp);
    tcp_address = *tcp;
  }
  void TearDown() override {
    server.close();
    uarts.close();
    ::rmdir(directory.data());
  }
  [[nodiscard]] std::string path(const char* name) const {
    return std::string(directory.data()) + "/" + name;
  }

  struct Client {
    hal::Fd fd;
    std::string text;  ///< received and not yet looked at
  };
  Client connect() { return connect(address); }
  static Client connect(const hal::SocketAddress& to) {
    auto fd = hal::connect(to);
    EXPECT_TRUE(fd);
    return {.fd = std::move(*fd), .text = {}};
  }
  static void put(Client& client, std::string_view text) {
    EXPECT_EQ(::write(client.fd.get(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  static void get(Client& client) {
    std::array<char, 4096> part{};
    for (;;) {
      const ssize_t count = ::read(client.fd.get(), part.data(), part.size());
      if (count <= 0) {
        return;
      }
      client.text.append(part.data(), static_cast<std::size_t>(count));
    }
  }
  /// Runs the loop, the client reading, until it has received `end`; returns all up to it.
  std::string receive(Client& client, std::string_view end) {
    for (int i = 0; i < 2000; ++i) {
      const auto more = reactor.turn(Duration::zero());
      EXPECT_TRUE(more);
      get(client);
      if (const auto at = client.text.find(end); at != std::string::npos) {
        std::string text = client.text.substr(0, at + end.size());
        client.text.erase(0, at + end.size());
        return text;
      }
      ::usleep(i < 100 ? 100 : 2000);
    }
    return "never: " + client.text.substr(0, 1000);
  }
  void turn(int count = 3) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(reactor.turn(Duration::zero()));
    }
  }

  hal::Uart far_of(UartIndex uart) {
    auto far = hal::Uart::open(std::string(uarts.port(uart).uart.path()).c_str(), {});
    EXPECT_TRUE(far);
    return std::move(*far);
  }
  static std::size_t write(hal::Uart& uart, std::string_view text) {
    return uart.write(std::as_bytes(std::span(text))).count;
  }
  static std::string read(hal::Uart& uart, std::size_t count) {
    std::string text;
    pollfd watched{.fd = uart.fd(), .events = POLLIN, .revents = 0};
    std::array<char, 4096> part{};
    while (text.size() < count && ::poll(&watched, 1, 10'000) == 1) {
      text.append(part.data(), uart.read(std::as_writable_bytes(std::span(part))).count);
    }
    return text;
  }

  std::array<char, 40> directory{"/tmp/millrace-session-XXXXXX"};
  hal::SocketAddress address;
  hal::SocketAddress tcp_address;
  StaticReactor<ReactorLimits{.fds = 256}> reactor;
  std::array<GatewayLog::Reader, board::capacities.connections> readers{};
  GatewayLog log{readers};
  ControlServer server{reactor, log, readers};
  hal::GpioSim gpio_sim;
  GpioService gpio{reactor, log};
  UartService uarts{reactor, server};
};

TEST_F(ControlSessionTest, answers_every_command_of_a_packet_however_long_the_answers_are) {
  // TCP takes more at a time than a session does in one go.
  auto client = connect(tcp_address);
  constexpr int commands = 170;  // as many as its ring holds
  std::string text;
  for (int i = 0; i < commands; ++i) {
    text += "lines\n";
  }
  ASSERT_LE(text.size(), board::capacities.receive_ring);
  put(client, text);
  turn(20);
  const std::string end = "\nok " + std::to_string(line_count) + "\n";
  for (int i = 0; i < commands; ++i) {
    ASSERT_TRUE(receive(client, end).ends_with(end)) << "answer " << i;
  }
}

TEST_F(ControlSessionTest, passes_what_follows_attach_in_the_same_packet_to_the_port) {
  auto client = connect();
  auto far = far_of(first);
  put(client, "attach uart0\nhello\x1d\x1d\n");
  EXPECT_TRUE(receive(client, "\n").starts_with("ok attached uart0"));
  EXPECT_EQ(read(far, 7), "hello\x1d\n");
}

TEST_F(ControlSessionTest, takes_what_follows_the_escape_in_the_same_packet_as_commands) {
  auto client = connect();
  auto far = far_of(first);
  put(client, "attach uart0\nabc\x1d\nread GPIO1\nattach uart0\ndef\x1d\nread GPIO2\n");
  EXPECT_EQ(receive(client, "GPIO2=0\n"),
            "ok attached uart0 115200,8N1 Ctrl-] Enter detaches\n"
            "\nok detached uart0 received=0 sent=3 dropped=0\n"
            "ok GPIO1=0\n"
            "ok attached uart0 115200,8N1 Ctrl-] Enter detaches\n"
            "\nok detached uart0 received=0 sent=3 dropped=0\n"
            "ok GPIO2=0\n");
  EXPECT_EQ(read(far, 6), "abcdef");
  EXPECT_EQ(uarts.port(first).attached, 0U);
}

TEST_F(ControlSessionTest, detaches_from_a_port_whose_bytes_the_client_was_too_slow_for) {
  auto client = connect();
  auto far = far_of(first);
  put(client, "attach uart0\n");
  EXPECT_TRUE(receive(client, "\n").starts_with("ok attached uart0"));
  // More than the client's socket and its ring hold.
  const std::string flood(4096, '#');
  for (std::size_t sent = 0; sent < 2'000'000;) {
    sent += write(far, flood);
    turn(1);
  }
  put(client, "\x1d\n");
  turn();
  // The port's bytes and the room for them become known in the same turn, and in this order.
  ASSERT_GT(write(far, "!"), 0U);
  pollfd watched{.fd = uarts.port(first).uart.fd(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&watched, 1, 10'000), 1);
  get(client);
  EXPECT_TRUE(receive(client, "\nok detached uart0").ends_with("\nok detached uart0"));
}

TEST_F(ControlSessionTest, remembers_an_escape_while_the_port_has_no_room) {
  auto client = connect();
  auto far = far_of(first);
  put(client, "attach uart0\n");
  EXPECT_TRUE(receive(client, "\n").starts_with("ok attached uart0"));
  const std::string flood(10'000, '#');
  std::size_t sent = 0;
  for (int i = 0; i < 10; ++i) {  // until the kernel takes no more, either
    while (const auto taken = uarts.send(first, std::as_bytes(std::span(flood)))) {
      sent += taken;
    }
    ::usleep(1000);
    turn();
  }
  put(client, "\x1d");
  turn();
  put(client, "\x1dx\x1d");
  turn();
  put(client, "\x1d.");
  turn();
  std::string arrived;
  while (arrived.size() < sent + 4) {
    const auto size = arrived.size();
    arrived += read(far, 1);
    turn();
    ASSERT_GT(arrived.size(), size) << "nothing more comes";
  }
  EXPECT_EQ(arrived.substr(sent), "\x1dx\x1d.");
  EXPECT_EQ(uarts.port(first).attached, 1U);
}

TEST_F(ControlSessionTest, tells_who_attaches_to_an_unplugged_port_that_it_is_gone) {
  auto adapter = hal::Uart::open_simulated({});
  ASSERT_TRUE(adapter);
  UartService::Config config;
  config.name.append("gps");
  config.paths[0].append(path("adapter"));
  ASSERT_EQ(::symlink(std::string(adapter->path()).c_str(), path("adapter").c_str()), 0);
  ASSERT_TRUE(uarts.add(config));
  auto present = connect();
  put(present, "attach gps\n");
  EXPECT_TRUE(receive(present, "\n").starts_with("ok attached gps"));
  ::unlink(path("adapter").c_str());
  adapter->close();
  EXPECT_EQ(receive(present, "gone gps\n"), "\nevent gone gps\n");
  auto late = connect();
  put(late, "attach gps\n");
  EXPECT_TRUE(receive(late, "\n").starts_with("ok attached gps"));
  EXPECT_EQ(receive(late, "gone gps\n"), "\nevent gone gps\n");
}

TEST_F(ControlSessionTest, leaves_nothing_behind_for_the_next_client) {
  const auto watches = reactor.statistics().watches;
  for (int i = 0; i < 200; ++i) {
    auto client = connect();
    put(client, "watch GPIO1 GPIO2\nattach uart0\n");
    ASSERT_TRUE(receive(client, "detaches\n").starts_with("ok 2\nok attached")) << i;
    ASSERT_EQ(uarts.port(first).attached, 1U);
    client.fd.reset();
    for (int n = 0; n < 1000 && server.statistics().open > 0; ++n) {
      turn(1);
    }
    ASSERT_EQ(server.statistics().open, 0U);
    ASSERT_EQ(uarts.port(first).attached, 0U);
    ASSERT_FALSE(gpio.line(LineIndex{1}).watched());
  }
  EXPECT_EQ(reactor.statistics().watches, watches + 1) << "the claim of the two lines";
  // One leaves without reading its answer, which resets the connection, in the middle of a command.
  auto client = connect();
  put(client, "read GPIO3\nwatch GPIO1 ");
  turn();
  client.fd.reset();
  turn();
  ASSERT_EQ(server.statistics().open, 0U);
  auto next = connect();
  put(next, "read GPIO3\n");
  EXPECT_EQ(receive(next, "\n"), "ok GPIO3=0\n");
  put(next, "unwatch\n");
  EXPECT_EQ(receive(next, "\n"), "ok 0\n");
}

}  // namespace
}  // namespace millrace
