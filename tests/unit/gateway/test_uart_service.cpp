// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cstdlib>
#include <gtest/gtest.h>
#include <poll.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

#include "firmware/gateway/uart_service.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "tests/support/kernel.hpp"
#include "tests/support/loop.hpp"

namespace millrace {
namespace {

using namespace std::chrono_literals;

constexpr UartIndex first{0};
constexpr std::size_t ring = board::capacities.uart_ring;

bool ready(const hal::Uart& uart, short events, int timeout_ms) {
  pollfd watched{.fd = uart.fd(), .events = events, .revents = 0};
  return ::poll(&watched, 1, timeout_ms) == 1 && (watched.revents & events) != 0;
}

void put(hal::Uart& uart, std::string_view text) {
  const auto transfer = uart.write(std::as_bytes(std::span(text)));
  EXPECT_EQ(transfer.count, text.size());
}

/// What has come in; with `count`, as many bytes after a while.
std::string get(hal::Uart& uart, std::size_t count = 0) {
  std::string text;
  std::array<char, 4096> part{};
  while (ready(uart, POLLIN, text.size() < count ? 10'000 : 0)) {
    const auto transfer = uart.read(std::as_writable_bytes(std::span(part)));
    if (!transfer.done()) {
      break;
    }
    text.append(part.data(), transfer.count);
  }
  return text;
}

/// What one read finds, `most` bytes of it.
std::string read_some(hal::Uart& uart, std::size_t most) {
  std::string text(most, '\0');
  text.resize(uart.read(std::as_writable_bytes(std::span(text))).count);
  return text;
}

/// Bytes that repeat only after a long while.
std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t random = 1;
  for (char& c : text) {
    random = random * 1'664'525 + 1'013'904'223;
    c = static_cast<char>(random >> 24);
  }
  return text;
}

/// A directory with a link to whichever pty is "plugged in", as /dev/serial/by-id/ has them.
class UsbPort {
 public:
  UsbPort() {
    std::array<char, 32> name{"/tmp/millrace-uart-XXXXXX"};
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name.data();
  }
  ~UsbPort() {
    unplug();
    ::rmdir(directory_.c_str());
  }
  UsbPort(const UsbPort&) = delete;
  UsbPort& operator=(const UsbPort&) = delete;

  [[nodiscard]] std::string path() const { return directory_ + "/adapter"; }

  void plug() {
    auto adapter = hal::Uart::open_simulated({});
    ASSERT_TRUE(adapter);
    far_ = std::move(*adapter);
    ASSERT_EQ(::symlink(std::string(far_.path()).c_str(), path().c_str()), 0);
  }
  void unplug() {
    far_.close();
    ::unlink(path().c_str());
  }
  /// The other end of the cable.
  [[nodiscard]] hal::Uart& far() { return far_; }

 private:
  std::string directory_;
  hal::Uart far_;
};

class UartServiceTest : public testing::Test, public UartObserver {
 protected:
  void SetUp() override {
    if (!test::has_termios2()) {
      GTEST_SKIP() << test::no_termios2;
    }
    ASSERT_TRUE(reactor.open());
  }

  void on_uart_data(UartIndex uart, std::span<const std::byte> data) override {
    for (const std::byte byte : data) {
      bytes[index(uart)] += static_cast<char>(byte);
    }
  }
  void on_uart_room(UartIndex uart) override { note("room", uart); }
  void on_uart_presence(UartIndex uart, bool present) override {
    note(present ? "back" : "gone", uart);
  }
  void note(const char* what, UartIndex uart) {
    notes += (notes.empty() ? "" : " ") + std::string(what) + std::to_string(index(uart));
  }
  std::string told() { return std::exchange(notes, ""); }
  std::string received(UartIndex uart = first) { return std::exchange(bytes[index(uart)], ""); }

  static UartService::Config config(std::string_view name, std::string_view path = "",
                                    std::string_view otherwise = "") {
    UartService::Config config;
    config.name.append(name);
    config.paths[0].append(path);
    config.paths[1].append(otherwise);
    config.open_at_start = path.empty();
    return config;
  }
  template <class T>
  static int error_of(const Result<T>& result) {
    return result ? 0 : result.error().number;
  }

  void turn() { ASSERT_TRUE(reactor.turn(Duration::zero())); }
  /// Runs the loop until `done`; ptys take a moment to pass bytes on.
  template <class Done>
  [[nodiscard]] bool run_until(Done done) {
    for (int i = 0; i < 2000; ++i) {
      turn();
      if (done()) {
        return true;
      }
      ::usleep(i < 100 ? 100 : 5000);
    }
    return false;
  }
  /// Lets time pass, a millisecond after the other.
  void pass(Duration time) {
    for (; time > Duration::zero(); time -= 1ms) {
      clock.advance(1ms);
      turn();
    }
  }

  std::size_t send(std::string_view text, UartIndex uart = first) {
    return service.send(uart, std::as_bytes(std::span(text)));
  }
  /// Sends until the port takes no more; returns how much that was.
  std::size_t fill() {
    const std::string text = pattern(10'000);
    std::size_t taken = 0;
    while (const std::size_t now = send(text)) {
      taken += now;
    }
    return taken;
  }
  [[nodiscard]] const UartService::Port& port(UartIndex uart = first) const {
    return service.port(uart);
  }

  /// Opens what somebody plugged in there sees of a simulated port.
  [[nodiscard]] hal::Uart far_of(UartIndex uart) const {
    auto far = hal::Uart::open(std::string(port(uart).uart.path()).c_str(), {});
    EXPECT_TRUE(far);
    return std::move(*far);
  }

  test::FakeClock clock;
  StaticReactor<ReactorLimits{.fds = 256}> reactor{clock};
  UartService service{reactor, *this};
  std::array<std::string, board::capacities.uarts> bytes;
  std::string notes;
};

// --- Ports ---------------------------------------------------------------------------------------

TEST_F(UartServiceTest, serves_a_port_under_its_name) {
  ASSERT_TRUE(service.add(config("uart0")));
  ASSERT_TRUE(service.add(config("gps", "/dev/no-such-port")));
  EXPECT_EQ(service.size(), 2U);
  EXPECT_EQ(service.find("uart0"), UartIndex{0});
  EXPECT_EQ(service.find("gps"), UartIndex{1});
  EXPECT_EQ(service.find("uart"), std::nullopt);
  EXPECT_TRUE(port().simulated() && port().uart.is_open());
  EXPECT_FALSE(port(UartIndex{1}).simulated() || port(UartIndex{1}).uart.is_open());
}

TEST_F(UartServiceTest, refuses_a_second_port_of_the_same_name_and_more_than_it_has_room_for) {
  ASSERT_TRUE(service.add(config("uart0")));
  EXPECT_EQ(error_of(service.add(config("uart0"))), EEXIST);
  while (service.size() < board::capacities.uarts) {
    ASSERT_TRUE(service.add(config("u" + std::to_string(service.size()))));
  }
  EXPECT_EQ(error_of(service.add(config("more"))), ENOSPC);
  EXPECT_EQ(service.size(), board::capacities.uarts);
}

TEST_F(UartServiceTest, opens_a_device_when_the_first_client_attaches) {
  UsbPort usb;
  usb.plug();
  ASSERT_TRUE(service.add(config("gps", usb.path())));
  EXPECT_FALSE(port().uart.is_open());
  ASSERT_TRUE(service.attach(first));
  EXPECT_TRUE(port().uart.is_open());
  EXPECT_EQ(port().uart.path(), usb.path());
  service.detach(first);
  EXPECT_TRUE(port().uart.is_open());
  EXPECT_EQ(told(), "");
}

TEST_F(UartServiceTest, opens_the_second_device_if_the_first_is_not_there) {
  UsbPort usb;
  usb.plug();
  ASSERT_TRUE(service.add(config("gps", "/dev/no-such-port", usb.path())));
  ASSERT_TRUE(service.attach(first));
  EXPECT_EQ(port().uart.path(), usb.path());
}

TEST_F(UartServiceTest,
       says_of_two_devices_that_will_not_do_what_is_wrong_with_the_one_that_is_there) {
  ASSERT_TRUE(service.add(config("a", "/dev/null", "/dev/no-such-port")));
  ASSERT_TRUE(service.add(config("b", "/dev/no-such-port", "/dev/null")));
  ASSERT_TRUE(service.add(config("c", "/dev/no-such-port", "/dev/no-such-port-either")));
  EXPECT_EQ(error_of(service.attach(UartIndex{0})), ENOTTY);
  EXPECT_EQ(error_of(service.attach(UartIndex{1})), ENOTTY);
  EXPECT_EQ(error_of(service.attach(UartIndex{2})), ENOENT);
}

TEST_F(UartServiceTest, counts_no_client_that_could_not_attach) {
  UsbPort usb;
  ASSERT_TRUE(service.add(config("gps", usb.path(), "/dev/no-such-port")));
  ASSERT_TRUE(service.add(config("null", "/dev/null", "/dev/no-such-port")));
  EXPECT_EQ(error_of(service.attach(first)), ENOENT);
  EXPECT_EQ(error_of(service.attach(UartIndex{1})), ENOTTY);
  EXPECT_EQ(port().attached, 0U);
  EXPECT_EQ(reactor.statistics().watches, 0U);
  // It is not looked for, either: nobody waits for it.
  EXPECT_FALSE(port().lost);
  usb.plug();
  pass(10s);
  EXPECT_FALSE(port().uart.is_open());
  EXPECT_EQ(error_of(service.attach(first)), 0);
  EXPECT_EQ(port().attached, 1U);
}

TEST_F(UartServiceTest, fails_at_start_if_a_port_that_is_to_be_open_is_not_there) {
  auto missing = config("gps", "/dev/no-such-port");
  missing.open_at_start = true;
  EXPECT_EQ(error_of(service.add(missing)), ENOENT);
}

TEST_F(UartServiceTest, sets_a_port_up_anew_or_leaves_it_as_it_was) {
  ASSERT_TRUE(service.add(config("uart0")));
  ASSERT_TRUE(service.configure(first, {.baud = 9600}));
  EXPECT_EQ(port().uart.settings().baud, 9600U);
  EXPECT_EQ(port().config.settings.baud, 9600U);
  EXPECT_EQ(error_of(service.configure(first, {.baud = 0})), EINVAL);
  EXPECT_EQ(port().uart.settings().baud, 9600U);
  EXPECT_EQ(port().config.settings.baud, 9600U);
}

TEST_F(UartServiceTest, opens_a_port_with_the_settings_that_it_was_given_while_closed) {
  UsbPort usb;
  usb.plug();
  ASSERT_TRUE(service.add(config("gps", usb.path())));
  ASSERT_TRUE(service.configure(first, {.baud = 4800}));
  ASSERT_TRUE(service.attach(first));
  EXPECT_EQ(port().uart.settings().baud, 4800U);
}

// --- Bytes ---------------------------------------------------------------------------------------

TEST_F(UartServiceTest, moves_bytes_both_ways) {
  ASSERT_TRUE(service.add(config("uart0")));
  ASSERT_TRUE(service.add(config("uart1")));
  ASSERT_TRUE(service.attach(UartIndex{1}));
  auto far = far_of(UartIndex{1});
  put(far, "hello");
  ASSERT_TRUE(run_until([&] { return port(UartIndex{1}).received == 5; }));
  EXPECT_EQ(received(UartIndex{1}), "hello");
  EXPECT_EQ(received(), "");
  EXPECT_EQ(send("world", UartIndex{1}), 5U);
  EXPECT_EQ(get(far, 5), "world");
  EXPECT_EQ(port(UartIndex{1}).sent, 5U);
  EXPECT_EQ(port().sent, 0U);
  EXPECT_EQ(told(), "");
}

TEST_F(UartServiceTest, reads_a_port_only_while_somebody_is_attached) {
  ASSERT_TRUE(service.add(config("uart0")));
  auto far = far_of(first);
  put(far, "early");
  for (int i = 0; i < 50; ++i) {
    turn();
    ::usleep(200);
  }
  EXPECT_EQ(port().received, 0U);
  ASSERT_TRUE(service.attach(first));
  ASSERT_TRUE(service.attach(first));
  EXPECT_EQ(port().attached, 2U);
  ASSERT_TRUE(run_until([&] { return port().received == 5; }));
  EXPECT_EQ(received(), "early");
  service.detach(first);
  put(far, "one");
  ASSERT_TRUE(run_until([&] { return port().received == 8; }));
  EXPECT_EQ(received(), "one");
  service.detach(first);
  EXPECT_EQ(port().attached, 0U);
  put(far, "nobody");
  for (int i = 0; i < 50; ++i) {
    turn();
    ::usleep(200);
  }
  EXPECT_EQ(port().received, 8U);
}

TEST_F(UartServiceTest, takes_no_more_than_it_has_room_for_and_tells_once_when_there_is_room) {
  ASSERT_TRUE(service.add(config("uart0")));
  ASSERT_TRUE(service.attach(first));
  auto far = far_of(first);
  const std::string all = pattern(200'000);
  std::size_t taken = 0;
  std::string arrived;
  std::size_t waits = 0;
  bool waited = false;
  while (taken < all.size()) {
    const std::size_t size = std::min(all.size() - taken, 3 * ring);
    const std::size_t now = send(std::string_view(all).substr(taken, size));
    taken += now;
    if (waited) {
      ASSERT_GE(now, ring / 2) << "was told of room that there is not";
    }
    waited = now < size;
    ASSERT_EQ(told(), "");
    if (waited) {
      ++waits;
      // The other side reads little by little, so that the ring does not become empty at once.
      ASSERT_TRUE(run_until([&] {
        arrived += read_some(far, 500);
        return !notes.empty();
      }));
      turn();
      ASSERT_EQ(told(), "room0");
    }
  }
  ASSERT_TRUE(run_until([&] {
    arrived += get(far);
    return arrived.size() >= all.size();
  }));
  EXPECT_TRUE(arrived == all);
  EXPECT_GT(waits, 3U);
  EXPECT_EQ(port().sent, all.size());
  EXPECT_EQ(port().discarded, 0U);
  turn();
  EXPECT_EQ(told(), "");
}

TEST_F(UartServiceTest, tells_of_the_room_that_another_client_has_made_by_sending) {
  ASSERT_TRUE(service.add(config("uart0")));
  ASSERT_TRUE(service.attach(first));
  auto far = far_of(first);
  const std::size_t taken = fill();
  // The port takes bytes again, but the loop has not noticed yet when somebody else sends.
  std::size_t arrived = 0;
  while (ready(far, POLLIN, 50)) {
    arrived += get(far).size();
  }
  ASSERT_TRUE(ready(port().uart, POLLOUT, 10'000));
  EXPECT_EQ(send("a few "), 6U);
  EXPECT_EQ(send("bytes"), 5U);
  ASSERT_EQ(port().sent, taken + 11) << "something is left to be sent later";
  ASSERT_TRUE(run_until([&] { return !notes.empty(); }));
  EXPECT_EQ(told(), "room0");
  arrived += get(far, taken + 11 - arrived).size();
  EXPECT_EQ(arrived, taken + 11);
}

// --- Unplugging ----------------------------------------------------------------------------------

TEST_F(UartServiceTest, tells_that_an_adapter_was_unplugged_and_that_it_is_back) {
  UsbPort usb;
  usb.plug();
  ASSERT_TRUE(service.add(config("gps", usb.path())));
  ASSERT_TRUE(service.attach(first));
  usb.unplug();
  ASSERT_TRUE(run_until([&] { return !notes.empty(); }));
  EXPECT_EQ(told(), "gone0");
  EXPECT_TRUE(port().lost);
  EXPECT_FALSE(port().uart.is_open());
  EXPECT_EQ(reactor.statistics().watches, 0U);
  usb.plug();
  pass(249ms);
  EXPECT_EQ(told(), "");
  pass(1ms);
  EXPECT_EQ(told(), "back0");
  EXPECT_FALSE(port().lost);
  EXPECT_EQ(port().reopened, 1U);
  EXPECT_EQ(port().attached, 1U);
  // As good as before.
  EXPECT_EQ(send("out"), 3U);
  EXPECT_EQ(get(usb.far(), 3), "out");
  put(usb.far(), "in");
  ASSERT_TRUE(run_until([&] { return port().received == 2; }));
  EXPECT_EQ(received(), "in");
}

TEST_F(UartServiceTest, passes_on_what_was_received_before_the_adapter_was_unplugged) {
  ASSERT_TRUE(service.add(config("uart0")));
  UsbPort usb;
  usb.plug();
  ASSERT_TRUE(service.add(config("gps", usb.path())));
  constexpr UartIndex gps{1};
  ASSERT_TRUE(service.attach(gps));
  put(usb.far(), "last words");
  ASSERT_TRUE(ready(port(gps).uart, POLLIN, 10'000));
  ASSERT_TRUE(run_until([&] { return port(gps).received == 10; }));
  usb.unplug();
  ASSERT_TRUE(run_until([&] { return !notes.empty(); }));
  EXPECT_EQ(received(gps), "last words");
  EXPECT_EQ(told(), "gone1");
  EXPECT_TRUE(port().uart.is_open());
}

TEST_F(UartServiceTest, looks_for_an_unplugged_adapter_at_growing_intervals) {
  UsbPort usb;
  usb.plug();
  ASSERT_TRUE(service.add(config("gps", usb.path())));
  ASSERT_TRUE(service.attach(first));
  for (int again = 0; again < 2; ++again) {  // from the start each time
    usb.unplug();
    ASSERT_TRUE(run_until([&] { return !notes.empty(); }));
    EXPECT_EQ(told(), "gone0");
    std::vector<std::int64_t> intervals;
    Duration last{};
    Duration now{};
    std::uint64_t looks = reactor.statistics().timers_expired;
    for (; now < 40s; now += 1ms) {
      if (reactor.statistics().timers_expired != looks) {
        looks = reactor.statistics().timers_expired;
        intervals.push_back((now - last) / 1ms);
        last = now;
      }
      clock.advance(1ms);
      turn();
    }
    EXPECT_EQ(intervals,
              (std::vector<std::int64_t>{250, 500, 1000, 2000, 4000, 8000, 8000, 8000, 8000}));
    EXPECT_EQ(told(), "");
    usb.plug();
    pass(8s);
    EXPECT_EQ(told(), "back0");
  }
  EXPECT_EQ(port().reopened, 2U);
  // Nothing goes on ticking.
  const std::uint64_t looks = reactor.statistics().timers_expired;
  pass(20s);
  EXPECT_EQ(reactor.statistics().timers_expired, looks);
}

TEST_F(UartServiceTest, counts_what_is_sent_to_an_unplugged_adapter_as_discarded) {
  UsbPort usb;
  usb.plug();
  ASSERT_TRUE(service.add(config("gps", usb.path())));
  ASSERT_TRUE(service.attach(first));
  usb.unplug();
  // It is noticed by sending, before the loop can tell.
  const std::string text = pattern(2 * ring + 10);
  EXPECT_EQ(send(text), text.size());
  EXPECT_EQ(told(), "gone0");
  EXPECT_EQ(port().discarded, text.size());
  EXPECT_EQ(send("more"), 4U);
  EXPECT_EQ(port().discarded, text.size() + 4);
  EXPECT_EQ(port().sent, 0U);
  // What was sent to nobody does not appear at the one that is plugged in later.
  usb.plug();
  pass(250ms);
  EXPECT_EQ(told(), "back0");
  EXPECT_EQ(send("fresh"), 5U);
  EXPECT_EQ(get(usb.far(), 5), "fresh");
  turn();
  EXPECT_EQ(get(usb.far()), "");
  EXPECT_EQ(port().sent, 5U);
}

TEST_F(UartServiceTest, discards_what_waited_to_be_sent_and_tells_of_the_room) {
  UsbPort usb;
  usb.plug();
  ASSERT_TRUE(service.add(config("gps", usb.path())));
  ASSERT_TRUE(service.attach(first));
  const std::size_t taken = fill();
  usb.unplug();
  ASSERT_TRUE(run_until([&] { return notes.starts_with("gone0"); }));
  EXPECT_EQ(port().sent + port().discarded, taken);
  EXPECT_GE(port().discarded, ring);
  usb.plug();
  pass(250ms);
  EXPECT_NE(told().find("room0"), std::string::npos);
  EXPECT_EQ(get(usb.far()), "");
}

TEST_F(UartServiceTest, lets_a_client_attach_while_the_adapter_is_unplugged) {
  UsbPort usb;
  usb.plug();
  ASSERT_TRUE(service.add(config("gps", usb.path())));
  ASSERT_TRUE(service.attach(first));
  usb.unplug();
  ASSERT_TRUE(run_until([&] { return !notes.empty(); }));
  service.detach(first);
  ASSERT_TRUE(service.attach(first));
  EXPECT_EQ(port().attached, 1U);
  usb.plug();
  pass(250ms);
  EXPECT_EQ(told(), "gone0 back0");
  put(usb.far(), "x");
  EXPECT_TRUE(run_until([&] { return port().received == 1; }));
}

// --- The end -------------------------------------------------------------------------------------

TEST_F(UartServiceTest, closes_all_ports_after_sending_what_they_take) {
  UsbPort usb;
  usb.plug();
  ASSERT_TRUE(service.add(config("gps", usb.path())));
  ASSERT_TRUE(service.add(config("uart1")));
  ASSERT_TRUE(service.attach(first));
  EXPECT_EQ(send("bye"), 3U);
  service.close();
  EXPECT_EQ(get(usb.far(), 3), "bye");
  EXPECT_FALSE(port().uart.is_open() || port(UartIndex{1}).uart.is_open());
  EXPECT_EQ(reactor.statistics().watches, 0U);
  pass(1s);
  EXPECT_EQ(told(), "");
}

TEST_F(UartServiceTest, sends_as_much_as_it_can_of_what_waits_before_it_closes) {
  UsbPort usb;
  usb.plug();
  ASSERT_TRUE(service.add(config("gps", usb.path())));
  ASSERT_TRUE(service.attach(first));
  const std::size_t taken = fill();
  const std::uint64_t sent = port().sent;
  ASSERT_LT(sent, taken);
  const std::string arrived = get(usb.far(), static_cast<std::size_t>(sent));
  ASSERT_TRUE(ready(port().uart, POLLOUT, 10'000));
  service.close();
  EXPECT_GT(port().sent, sent);
  const auto rest = static_cast<std::size_t>(port().sent) - arrived.size();
  EXPECT_EQ(get(usb.far(), rest).size(), rest);
}

TEST_F(UartServiceTest, looks_for_no_adapter_once_closed) {
  UsbPort usb;
  usb.plug();
  ASSERT_TRUE(service.add(config("gps", usb.path())));
  ASSERT_TRUE(service.attach(first));
  usb.unplug();
  ASSERT_TRUE(run_until([&] { return !notes.empty(); }));
  service.close();
  usb.plug();
  pass(1s);
  EXPECT_EQ(told(), "gone0");
  EXPECT_FALSE(port().uart.is_open());
}

}  // namespace
}  // namespace millrace
