// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "hal/clock.hpp"
#include "hal/error.hpp"
#include "hal/fd.hpp"
#include "hal/fixed_string.hpp"
#include "hal/gpio.hpp"
#include "hal/time.hpp"

namespace millrace::hal {

/// One chip of simulated lines in this process, for machines without GPIO and for tests.
///
/// It does what Linux's own simulator does (drivers/gpio/gpio-sim.c behind gpiolib-cdev.c, 6.12),
/// event for event; tests/qemu/gpio_scenario.cpp runs on both. Every line is an input pulled down
/// at first. Where it is unrequested or an input, it has the level of its pull; where it is an
/// output, the level that is driven, or that of its pull when open drain or open source leave it
/// alone. A request's bias sets the pull for good, and a released output goes back to its pull;
/// only its direction stays. Outputs are not wired to inputs until wire() does that, which
/// gpio-sim lacks.
///
/// It differs from the kernel on purpose in three things. An edge is in the FIFO when pull()
/// returns, whereas two quick ones may be told as one by the kernel. Debouncing takes exactly its
/// period, whereas the kernel rounds up to its ticks (4 ms at 250 Hz). And an output that becomes
/// an input, or that open drain or open source lets go, is at its pull at once; gpio-sim shows the
/// driven level until the next pull.
///
/// Each request's FIFO is a pipe of whose both ends are held here. So the events need no memory of
/// ours (1024 of them would be 48 KiB a request), the descriptor is readable exactly while events
/// wait, and dropping the oldest is reading it. read_events() is the only other reader it may have.
/// Two descriptors a request, plus a timer.
class GpioSim final : public Gpio {
 public:
  /// Named "GPIO0" to "GPIO31", or "gpio-sim:0" to "gpio-sim:31".
  static constexpr std::size_t line_count = 32;
  static constexpr std::string_view label = "gpio-sim";

  /// What the kernel allows a FIFO at most, in events: 16 times GPIO_V2_LINES_MAX. All of them fit
  /// into a pipe of the default 64 KiB. A smaller one (the user is over the limit of
  /// /proc/sys/fs/pipe-user-pages-soft) holds fewer, and still drops the oldest.
  static constexpr std::size_t max_event_buffer = 1024;

  /// With the system's clock, or with one that must outlive the simulation: it tells the time of
  /// events and how long a level has been stable. The timer always goes by the system's, so with
  /// another clock service() is to be called whenever that has been put forward.
  GpioSim();
  explicit GpioSim(const Clock& clock) : clock_(clock) {}

  /// Creates the timer for debouncing; to be called before request(); again is harmless.
  /// Errors: EMFILE.
  [[nodiscard]] Result<void> open();

  /// Releases all requests and the timer. The lines keep their pulls.
  void close();

  using Gpio::find;
  [[nodiscard]] Result<LineAddress> find(std::string_view name) override;
  [[nodiscard]] Result<LineAddress> at(std::size_t index) override;
  [[nodiscard]] Result<LineInfo> info(LineAddress line) override;

  /// As the kernel does, rounds `event_buffer` up to a power of two and refuses 1 on inputs with
  /// edges. EINVAL, too, for what contradicts itself: edges, or a debounce period, on an output; a
  /// drive on an input; a bias on a line whose direction is as it is. Edges make such a line an
  /// input. EBUSY when a line is named twice. When a line is in use, those named before it have
  /// been set up, and released again. Two system calls.
  [[nodiscard]] Result<RequestId> request(std::span<const LineAddress> lines,
                                          std::span<const LineSettings> settings,
                                          const char* consumer,
                                          std::size_t event_buffer = 0) override;

  /// Lines whose direction shall be as it is are left alone altogether. Otherwise, what a changed
  /// bias does to an input's level is an edge if the settings until then report it; nothing else
  /// is, even if it inverts the logical level. A debounce that is pending goes on with its old
  /// period if the line stays debounced, and is forgotten otherwise.
  [[nodiscard]] Result<void> reconfigure(RequestId request,
                                         std::span<const LineSettings> settings) override;

  /// EINVAL when `which` has none of the request's lines, as in the kernel; so does set().
  [[nodiscard]] Result<LineMask> get(RequestId request, LineMask which) override;
  [[nodiscard]] Result<void> set(RequestId request, LineMask which, LineMask levels) override;

  [[nodiscard]] int event_fd(RequestId request) const override;
  [[nodiscard]] Result<std::size_t> read_events(RequestId request,
                                                std::span<LineEvent> events) override;
  void release(RequestId request) override;

  /// A timerfd, armed only while a debounce is pending.
  [[nodiscard]] int service_fd() const override { return timer_.get(); }
  void service() override { settle(); }

  [[nodiscard]] Result<void> pull(LineAddress line, bool up) override;
  [[nodiscard]] Result<void> wire(LineAddress one, LineAddress other) override;
  [[nodiscard]] Result<bool> physical_level(LineAddress line) override;

 private:
  static constexpr std::uint8_t unrequested = 0xff;
  static constexpr std::uint8_t unwired = 0xff;

  struct Line {
    LineSettings settings{.direction = Direction::input};  // never as_is
    bool pulled_up = false;
    bool driven_high = false;      // as an output
    bool debounced_level = false;  // electrical, as the debouncer last saw it stable
    Instant due = never;           // when the debouncer looks again
    std::uint32_t sequence = 0;
    std::uint8_t request = unrequested;
    std::uint8_t wired_to = unwired;

    [[nodiscard]] bool level() const;
    [[nodiscard]] bool is_output() const { return settings.direction == Direction::output; }
    [[nodiscard]] bool is_debounced() const { return settings.debounce.count() > 0; }
  };

  struct Request {
    FixedString<32> consumer;
    std::array<std::uint8_t, line_count> offsets{};
    std::size_t size = 0;  // lines; 0: the slot is free
    Fd read_end;
    Fd write_end;
    std::size_t capacity = 0;  // of the FIFO, in events
    std::size_t queued = 0;
    std::uint32_t sequence = 0;

    void drop_oldest();
    void push(const LineEvent& event);
  };

  [[nodiscard]] Request* slot(RequestId id);
  [[nodiscard]] static bool valid(LineAddress line) {
    return line.chip == 0 && line.offset < line_count;
  }
  void release(Request& request);
  void configure(Line& line, const LineSettings& settings);
  void set_pull(Line& line, bool up);
  void carry(const Line& from);
  void edge(Line& line, bool level, Instant at);
  void settle();
  void arm_timer();

  const Clock& clock_;
  Fd timer_;
  Instant armed_for_ = never;
  std::array<Line, line_count> lines_{};
  std::array<Request, line_count> requests_{};
};

}  // namespace millrace::hal
