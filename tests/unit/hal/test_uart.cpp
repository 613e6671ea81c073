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
    auto simulated = Uart::open_simulated({});
    ASSERT_TRUE(simulated) << describe(simulated.error()).c_str();
    simulated_ = std::move(*simulated);
    open_device();
  }

  void open_device(const UartSettings& settings = {}) {
    auto device = Uart::open(path(), settings);
    ASSERT_TRUE(device) << describe(device.error()).c_str();
    device_ = std::move(*device);
  }

  /// Of the simulated port, with a NUL.
  [[nodiscard]] const char* path() {
    path_ = FixedString<127>(simulated_.path());
    return path_.c_str();
  }

  FixedString<127> path_;
  Uart simulated_;
  Uart device_;
};

TEST_F(UartTest, CarriesBytesBothWays) {
  EXPECT_TRUE(simulated_.simulated());
  EXPECT_FALSE(device_.simulated());
  EXPECT_EQ(device_.path(), simulated_.path());
  ASSERT_TRUE(simulated_.write(bytes("to the device")).done());
  EXPECT_EQ(receive(device_, 13).view(), "to the device");
  ASSERT_TRUE(device_.write(bytes("and back")).done());
  EXPECT_EQ(receive(simulated_, 8).view(), "and back");
}

TEST_F(UartTest, NothingToReadIsNotTheEnd) {
  std::array<std::byte, 8> into{};
  EXPECT_EQ(device_.read(into).status, would_block);
  EXPECT_EQ(simulated_.read(into).status, would_block);
  EXPECT_EQ(device_.read(into, into).status, would_block);
}

TEST_F(UartTest, ChangesNoByteAndEchoesNone) {
  std::array<char, 256> all{};
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = static_cast<char>(i);
  }
  const std::string_view text(all.data(), all.size());
  ASSERT_EQ(simulated_.write(bytes(text)).count, text.size());
  EXPECT_EQ(receive(device_, text.size()).view(), text);
  ASSERT_EQ(device_.write(bytes(text)).count, text.size());
  EXPECT_EQ(receive(simulated_, text.size()).view(), text);
  EXPECT_FALSE(ready(simulated_.fd(), POLLIN, 20));
  EXPECT_FALSE(ready(device_.fd(), POLLIN, 20));
}

TEST_F(UartTest, AnUntouchedSimulatedPortIsRaw) {
  device_.close();
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

TEST_F(UartTest, AMebibyteArrivesUnchangedFromTheSimulatedPort) {
  move_a_mebibyte(simulated_, device_);
}

TEST_F(UartTest, AMebibyteArrivesUnchangedAtTheSimulatedPort) {
  move_a_mebibyte(device_, simulated_);
}

TEST_F(UartTest, AFullPortWouldBlockUntilItIsRead) {
  static const std::array<std::byte, 4096> much{};
  Transfer out = simulated_.write(much);
  std::size_t written = 0;
  for (; out.done() && written < (1U << 24); out = simulated_.write(much)) {
    written += out.count;
  }
  EXPECT_EQ(out.status, would_block);
  EXPECT_FALSE(ready(simulated_.fd(), POLLOUT, 0));

  static std::array<std::byte, 1 << 16> into;
  for (std::size_t got = 0; got < written && ready(device_.fd(), POLLIN);) {
    got += device_.read(into).count;
  }
  EXPECT_TRUE(ready(simulated_.fd(), POLLOUT));
  EXPECT_TRUE(simulated_.write(bytes("x")).done());
}

TEST_F(UartTest, TakesAnyBaudRate) {
  for (const std::uint32_t baud :
       {50U, 9'600U, 31'250U, 115'200U, 250'000U, 3'000'000U, 12'345'678U}) {
    ASSERT_TRUE(simulated_.configure({.baud = baud}));
    EXPECT_EQ(mode_of(simulated_).c_ospeed, baud);
    EXPECT_EQ(mode_of(simulated_).c_ispeed, baud);
    EXPECT_EQ(simulated_.settings().baud, baud);
    open_device({.baud = baud + 1000});
    EXPECT_EQ(mode_of(simulated_).c_ospeed, baud + 1000);
  }
}

// stty(1) shows the speed of these only.
TEST_F(UartTest, UsualBaudRatesHaveTheirOldName) {
  ASSERT_TRUE(simulated_.configure({.baud = 115'200}));
  EXPECT_EQ(mode_of(simulated_).c_cflag & CBAUD, tcflag_t{B115200});
  ASSERT_TRUE(simulated_.configure({.baud = 250'000}));
  EXPECT_EQ(mode_of(simulated_).c_cflag & CBAUD, tcflag_t{BOTHER});
}

TEST_F(UartTest, SetsStopBitsAndFlowControl) {
  open_device({.stop_bits = 2, .flow_control = FlowControl::rtscts});
  EXPECT_NE(mode_of(simulated_).c_cflag & CSTOPB, 0U);
  EXPECT_NE(mode_of(simulated_).c_cflag & CRTSCTS, 0U);
  open_device({.flow_control = FlowControl::xonxoff});
  EXPECT_EQ(mode_of(simulated_).c_cflag & (CSTOPB | CRTSCTS), 0U);
  EXPECT_EQ(mode_of(simulated_).c_iflag, tcflag_t{IXON | IXOFF});
  EXPECT_EQ(mode_of(simulated_).c_cc[VSTART], 0x11);
  EXPECT_EQ(mode_of(simulated_).c_cc[VSTOP], 0x13);
}

// All of its bytes have 8 bits and no parity, whatever it is told.
TEST_F(UartTest, APtyToleratesWhatItCannotDo) {
  const UartSettings settings{
      .data_bits = 7, .parity = Parity::even, .rs485 = true, .low_latency = true};
  EXPECT_TRUE(simulated_.configure(settings));
  EXPECT_EQ(simulated_.settings(), settings);
  for (const auto parity : {Parity::none, Parity::odd, Parity::even, Parity::mark, Parity::space}) {
    for (std::uint8_t bits = 5; bits <= 8; ++bits) {
      EXPECT_TRUE(device_.configure({.data_bits = bits, .parity = parity}));
    }
  }
}

TEST_F(UartTest, ADeviceWithoutRs485SaysSoAndKeepsItsSettings) {
  for (const UartSettings& settings : {UartSettings{.baud = 9600, .rs485 = true},
                                       UartSettings{.baud = 9600, .low_latency = true}}) {
    const auto configured = device_.configure(settings);
    ASSERT_FALSE(configured);
    EXPECT_NE(configured.error().number, 0);
    EXPECT_EQ(device_.settings(), UartSettings{});
    EXPECT_EQ(mode_of(simulated_).c_ospeed, 115'200U);
  }
}

TEST_F(UartTest, SettingsOutOfRangeChangeNothing) {
  for (const UartSettings& wrong :
       {UartSettings{.baud = 0}, UartSettings{.data_bits = 4}, UartSettings{.data_bits = 9},
        UartSettings{.stop_bits = 0}, UartSettings{.stop_bits = 3},
        UartSettings{.flow_control = FlowControl::rtscts, .rs485 = true}}) {
    const auto configured = simulated_.configure(wrong);
    ASSERT_FALSE(configured);
    EXPECT_EQ(configured.error().number, EINVAL);
    EXPECT_EQ(simulated_.settings(), UartSettings{});
  }
  EXPECT_EQ(mode_of(simulated_).c_ospeed, 115'200U);
}

TEST_F(UartTest, ASimulatedPortOutlivesItsUsers) {
  device_.close();
  EXPECT_FALSE(device_.is_open());
  EXPECT_FALSE(ready(simulated_.fd(), POLLHUP, 0));
  for (int i = 0; i < 50; ++i) {
    open_device();
    ASSERT_TRUE(device_.write(bytes("ping")).done());
    device_.close();
    ASSERT_EQ(receive(simulated_, 4).view(), "ping");
    ASSERT_FALSE(ready(simulated_.fd(), POLLHUP, 0));
    std::array<std::byte, 8> into{};
    ASSERT_EQ(simulated_.read(into).status, would_block);
  }
}

TEST_F(UartTest, AnUnpluggedPortIsSeenByReadersAndWriters) {
  simulated_.close();
  EXPECT_TRUE(ready(device_.fd(), POLLHUP));
  std::array<std::byte, 8> into{};
  const Transfer got = device_.read(into);
  EXPECT_TRUE(got.status == closed || got.status == failed);
  const Transfer out = device_.write(into);
  EXPECT_TRUE(out.status == closed || out.status == failed);
  EXPECT_FALSE(device_.configure({}));
}

TEST_F(UartTest, OnlyOneProgramGetsThePort) {
  ASSERT_EQ(::ioctl(device_.fd(), TIOCEXCL), 0);
  const auto second = Uart::open(path(), {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().number, EBUSY);
  ASSERT_EQ(::ioctl(device_.fd(), TIOCNXCL), 0);
  EXPECT_TRUE(Uart::open(path(), {}));
}

TEST(Uart, WhatIsNoSerialPortIsRefused) {
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

TEST_F(UartTest, WhatAPtyHasNotFailsAndHarmsNothing) {
  for (Uart* uart : {&simulated_, &device_}) {
    for (const int error :
         {error_of(uart->counters()), error_of(uart->modem_lines()), error_of(uart->set_dtr(true)),
          error_of(uart->set_rts(false)), error_of(uart->set_break(true))}) {
      EXPECT_TRUE(error == ENOTTY || error == ENOTSUP) << error;
    }
  }
  ASSERT_TRUE(device_.write(bytes("alive")).done());
  EXPECT_EQ(receive(simulated_, 5).view(), "alive");
}

TEST_F(UartTest, FlushThrowsAwayWhatWasReceived) {
  ASSERT_TRUE(simulated_.write(bytes("old")).done());
  ASSERT_TRUE(ready(device_.fd(), POLLIN));
  EXPECT_TRUE(device_.flush(false, false));
  ASSERT_TRUE(ready(device_.fd(), POLLIN));
  EXPECT_TRUE(device_.flush(true, false));
  std::array<std::byte, 8> into{};
  EXPECT_EQ(device_.read(into).status, would_block);
  EXPECT_TRUE(device_.flush(true, true));
  ASSERT_TRUE(simulated_.write(bytes("new")).done());
  EXPECT_EQ(receive(device_, 3).view(), "new");
}

TEST_F(UartTest, TheGroupMayUseASimulatedPort) {
  struct stat status{};
  ASSERT_EQ(::stat(path(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0660U);
}

}  // namespace
}  // namespace millrace::hal
