// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <asm/termbits.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hal/error_text.hpp"
#include "hal/uart.hpp"
#include "tests/support/kernel.hpp"

namespace millrace::hal {
namespace {

using enum Transfer::Status;

constexpr int patience_ms = 10'000;

bool ready(int fd, short events, int timeout_ms = patience_ms) {
  pollfd watched{.fd = fd, .events = events, .revents = 0};
  return ::poll(&watched, 1, timeout_ms) == 1 && (watched.revents & events) != 0;
}

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

template <class T>
int error_of(const Result<T>& result) {
  return result ? 0 : result.error().number;
}

/// What the port reads next, waiting for all of it.
FixedString<256> receive(Uart& uart, std::size_t count) {
  FixedString<256> text;
  std::array<char, 256> part{};
  while (text.size() < count && ready(uart.fd(), POLLIN)) {
    const auto into = std::span(part).first(count - text.size());
    const Transfer got = uart.read(std::as_writable_bytes(into));
    text.append(std::string_view(part.data(), got.count));
  }
  return text;
}

termios2 mode_of(const Uart& uart) {
  const Fd fd(
      ::open(FixedString<127>(uart.path()).c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  termios2 mode{};
  EXPECT_EQ(::ioctl(fd.get(), TCGETS2, &mode), 0);
  return mode;
}

/// A simulated port, and the same port opened as a device.
class UartTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::has_termios2()) {
      GTEST_SKIP() << test::no_termios2;
    }
    auto opened = Uart::open_simulated({});
    ASSERT_TRUE(opened) << describe(opened.error()).c_str();
    simulated = std::move(*opened);
    open_device();
  }

  void open_device(const UartSettings& settings = {}) {
    auto opened = Uart::open(path(), settings);
    ASSERT_TRUE(opened) << describe(opened.error()).c_str();
    device = std::move(*opened);
  }

  /// Of the simulated port, with a NUL.
  [[nodiscard]] const char* path() {
    path_text = FixedString<127>(simulated.path());
    return path_text.c_str();
  }

  FixedString<127> path_text;
  Uart simulated;
  Uart device;
};

TEST_F(UartTest, carries_bytes_both_ways) {
  EXPECT_TRUE(simulated.simulated());
  EXPECT_FALSE(device.simulated());
  EXPECT_EQ(device.path(), simulated.path());
  ASSERT_TRUE(simulated.write(bytes("to the device")).done());
  EXPECT_EQ(receive(device, 13).view(), "to the device");
  ASSERT_TRUE(device.write(bytes("and back")).done());
  EXPECT_EQ(receive(simulated, 8).view(), "and back");
}

TEST_F(UartTest, nothing_to_read_is_not_the_end) {
  std::array<std::byte, 8> into{};
  EXPECT_EQ(device.read(into).status, would_block);
  EXPECT_EQ(simulated.read(into).status, would_block);
  EXPECT_EQ(device.read(into, into).status, would_block);
}

TEST_F(UartTest, changes_no_byte_and_echoes_none) {
  std::array<char, 256> all{};
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = static_cast<char>(i);
  }
  const std::string_view text(all.data(), all.size());
  ASSERT_EQ(simulated.write(bytes(text)).count, text.size());
  EXPECT_EQ(receive(device, text.size()).view(), text);
  ASSERT_EQ(device.write(bytes(text)).count, text.size());
  EXPECT_EQ(receive(simulated, text.size()).view(), text);
  EXPECT_FALSE(ready(simulated.fd(), POLLIN, 20));
  EXPECT_FALSE(ready(device.fd(), POLLIN, 20));
}

TEST_F(UartTest, an_untouched_simulated_port_is_raw) {
  device.close();
  const auto fresh = Uart::open_simulated({});
  ASSERT_TRUE(fresh);
  const termios2 mode = mode_of(*fresh);
  EXPECT_EQ(mode.c_lflag & (ICANON | ECHO | ISIG | IEXTEN), 0U);
  EXPECT_EQ(mode.c_oflag & OPOST, 0U);
  EXPECT_EQ(mode.c_iflag & (ICRNL | IXON | ISTRIP), 0U);
}

/// Moves 1 MiB, writing in pieces of changing size as the pty takes them.
void move_a_mebibyte(Uart& from, Uart& to) {
  constexpr std::size_t total = 1 << 20;
  static std::array<std::byte, total> sent;
  static std::array<std::byte, total> received;
  std::uint32_t random = 1;
  for (auto& byte : sent) {
    random = random * 1'664'525 + 1'013'904'223;
    byte = static_cast<std::byte>(random >> 24);
  }
  received.fill({});

  std::size_t written = 0;
  std::size_t got = 0;
  std::size_t refused = 0;
  while (got < total) {
    while (written < total) {
      const std::size_t piece = std::min<std::size_t>(1 + written % 8191, total - written);
      const Transfer out = from.write(std::span(sent).subspan(written, piece));
      written += out.count;
      if (!out.done()) {
        ASSERT_EQ(out.status, would_block);
        ++refused;
        break;
      }
    }
    ASSERT_TRUE(ready(to.fd(), POLLIN)) << "after " << got << " of " << written << " bytes";
    // In two pieces, as a ring that wraps around does.
    const auto room = std::span(received).subspan(got);
    const std::size_t first = std::min<std::size_t>(room.size(), 100);
    const Transfer in = to.read(room.first(first), room.subspan(first));
    ASSERT_EQ(in.status, done);
    got += in.count;
  }
  EXPECT_GT(refused, 0U) << "the pty was never full";
  EXPECT_TRUE(sent == received);
  EXPECT_FALSE(ready(to.fd(), POLLIN, 20));
}

TEST_F(UartTest, a_mebibyte_arrives_unchanged_from_the_simulated_port) {
  move_a_mebibyte(simulated, device);
}

TEST_F(UartTest, a_mebibyte_arrives_unchanged_at_the_simulated_port) {
  move_a_mebibyte(device, simulated);
}

TEST_F(UartTest, a_full_port_would_block_until_it_is_read) {
  static const std::array<std::byte, 4096> much{};
  Transfer out = simulated.write(much);
  std::size_t written = 0;
  for (; out.done() && written < (1U << 24); out = simulated.write(much)) {
    written += out.count;
  }
  EXPECT_EQ(out.status, would_block);
  EXPECT_FALSE(ready(simulated.fd(), POLLOUT, 0));

  static std::array<std::byte, 1 << 16> into;
  for (std::size_t got = 0; got < written && ready(device.fd(), POLLIN);) {
    got += device.read(into).count;
  }
  EXPECT_TRUE(ready(simulated.fd(), POLLOUT));
  EXPECT_TRUE(simulated.write(bytes("x")).done());
}

TEST_F(UartTest, takes_any_baud_rate) {
  for (const std::uint32_t baud :
       {50U, 9'600U, 31'250U, 115'200U, 250'000U, 3'000'000U, 12'345'678U}) {
    ASSERT_TRUE(simulated.configure({.baud = baud}));
    EXPECT_EQ(mode_of(simulated).c_ospeed, baud);
    EXPECT_EQ(mode_of(simulated).c_ispeed, baud);
    EXPECT_EQ(simulated.settings().baud, baud);
    open_device({.baud = baud + 1000});
    EXPECT_EQ(mode_of(simulated).c_ospeed, baud + 1000);
  }
}

// stty(1) shows the speed of these only.
TEST_F(UartTest, usual_baud_rates_have_their_old_name) {
  ASSERT_TRUE(simulated.configure({.baud = 115'200}));
  EXPECT_EQ(mode_of(simulated).c_cflag & CBAUD, tcflag_t{B115200});
  ASSERT_TRUE(simulated.configure({.baud = 250'000}));
  EXPECT_EQ(mode_of(simulated).c_cflag & CBAUD, tcflag_t{BOTHER});
}

TEST_F(UartTest, sets_stop_bits_and_flow_control) {
  open_device({.stop_bits = 2, .flow_control = FlowControl::rtscts});
  EXPECT_NE(mode_of(simulated).c_cflag & CSTOPB, 0U);
  EXPECT_NE(mode_of(simulated).c_cflag & CRTSCTS, 0U);
  open_device({.flow_control = FlowControl::xonxoff});
  EXPECT_EQ(mode_of(simulated).c_cflag & (CSTOPB | CRTSCTS), 0U);
  EXPECT_EQ(mode_of(simulated).c_iflag, tcflag_t{IXON | IXOFF});
  EXPECT_EQ(mode_of(simulated).c_cc[VSTART], 0x11);
  EXPECT_EQ(mode_of(simulated).c_cc[VSTOP], 0x13);
}

// All of its bytes have 8 bits and no parity, whatever it is told.
TEST_F(UartTest, a_pty_tolerates_what_it_cannot_do) {
  const UartSettings settings{
      .data_bits = 7, .parity = Parity::even, .rs485 = true, .low_latency = true};
  EXPECT_TRUE(simulated.configure(settings));
  EXPECT_EQ(simulated.settings(), settings);
  for (const auto parity : {Parity::none, Parity::odd, Parity::even, Parity::mark, Parity::space}) {
    for (std::uint8_t bits = 5; bits <= 8; ++bits) {
      EXPECT_TRUE(device.configure({.data_bits = bits, .parity = parity}));
    }
  }
}

TEST_F(UartTest, a_device_without_rs485_says_so_and_keeps_its_settings) {
  for (const UartSettings& settings : {UartSettings{.baud = 9600, .rs485 = true},
                                       UartSettings{.baud = 9600, .low_latency = true}}) {
    const auto configured = device.configure(settings);
    ASSERT_FALSE(configured);
    EXPECT_NE(configured.error().number, 0);
    EXPECT_EQ(device.settings(), UartSettings{});
    EXPECT_EQ(mode_of(simulated).c_ospeed, 115'200U);
  }
}

TEST_F(UartTest, settings_out_of_range_change_nothing) {
  for (const UartSettings& wrong :
       {UartSettings{.baud = 0}, UartSettings{.data_bits = 4}, UartSettings{.data_bits = 9},
        UartSettings{.stop_bits = 0}, UartSettings{.stop_bits = 3},
        UartSettings{.flow_control = FlowControl::rtscts, .rs485 = true}}) {
    const auto configured = simulated.configure(wrong);
    ASSERT_FALSE(configured);
    EXPECT_EQ(configured.error().number, EINVAL);
    EXPECT_EQ(simulated.settings(), UartSettings{});
  }
  EXPECT_EQ(mode_of(simulated).c_ospeed, 115'200U);
}

TEST_F(UartTest, a_simulated_port_outlives_its_users) {
  device.close();
  EXPECT_FALSE(device.is_open());
  EXPECT_FALSE(ready(simulated.fd(), POLLHUP, 0));
  for (int i = 0; i < 50; ++i) {
    open_device();
    ASSERT_TRUE(device.write(bytes("ping")).done());
    device.close();
    ASSERT_EQ(receive(simulated, 4).view(), "ping");
    ASSERT_FALSE(ready(simulated.fd(), POLLHUP, 0));
    std::array<std::byte, 8> into{};
    ASSERT_EQ(simulated.read(into).status, would_block);
  }
}

TEST_F(UartTest, an_unplugged_port_is_seen_by_readers_and_writers) {
  simulated.close();
  EXPECT_TRUE(ready(device.fd(), POLLHUP));
  std::array<std::byte, 8> into{};
  const Transfer got = device.read(into);
  EXPECT_TRUE(got.status == closed || got.status == failed);
  const Transfer out = device.write(into);
  EXPECT_TRUE(out.status == closed || out.status == failed);
  EXPECT_FALSE(device.configure({}));
}

TEST_F(UartTest, only_one_program_gets_the_port) {
  ASSERT_EQ(::ioctl(device.fd(), TIOCEXCL), 0);
  const auto second = Uart::open(path(), {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().number, EBUSY);
  ASSERT_EQ(::ioctl(device.fd(), TIOCNXCL), 0);
  EXPECT_TRUE(Uart::open(path(), {}));
}

TEST(Uart, what_is_no_serial_port_is_refused) {
  if (!test::has_termios2()) {
    GTEST_SKIP() << test::no_termios2;
  }
  const auto missing = Uart::open("/dev/serial/by-id/no-such-adapter", {});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().number, ENOENT);
  const auto file = Uart::open("/dev/null", {});
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().number, ENOTTY);
  std::array<char, 200> path{};
  path.fill('x');
  path.back() = '\0';
  const auto lengthy = Uart::open(path.data(), {});
  ASSERT_FALSE(lengthy);
  EXPECT_EQ(lengthy.error().number, ENAMETOOLONG);
}

TEST_F(UartTest, what_a_pty_has_not_fails_and_harms_nothing) {
  for (Uart* uart : {&simulated, &device}) {
    for (const int error :
         {error_of(uart->counters()), error_of(uart->modem_lines()), error_of(uart->set_dtr(true)),
          error_of(uart->set_rts(false)), error_of(uart->set_break(true))}) {
      EXPECT_TRUE(error == ENOTTY || error == ENOTSUP) << error;
    }
  }
  ASSERT_TRUE(device.write(bytes("alive")).done());
  EXPECT_EQ(receive(simulated, 5).view(), "alive");
}

TEST_F(UartTest, flush_throws_away_what_was_received) {
  ASSERT_TRUE(simulated.write(bytes("old")).done());
  ASSERT_TRUE(ready(device.fd(), POLLIN));
  EXPECT_TRUE(device.flush(false, false));
  ASSERT_TRUE(ready(device.fd(), POLLIN));
  EXPECT_TRUE(device.flush(true, false));
  std::array<std::byte, 8> into{};
  EXPECT_EQ(device.read(into).status, would_block);
  EXPECT_TRUE(device.flush(true, true));
  ASSERT_TRUE(simulated.write(bytes("new")).done());
  EXPECT_EQ(receive(device, 3).view(), "new");
}

TEST_F(UartTest, the_group_may_use_a_simulated_port) {
  struct stat status{};
  ASSERT_EQ(::stat(path(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0660U);
}

}  // namespace
}  // namespace millrace::hal
