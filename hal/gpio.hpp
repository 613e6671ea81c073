// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "hal/error.hpp"
#include "hal/fixed_string.hpp"
#include "hal/time.hpp"

namespace millrace::hal {

enum class Direction : std::uint8_t { as_is, input, output };
enum class Bias : std::uint8_t { as_is, disabled, pull_up, pull_down };
enum class Drive : std::uint8_t { push_pull, open_drain, open_source };
enum class Edges : std::uint8_t { none = 0, rising = 1, falling = 2, both = 3 };

/// How a line is, or shall be, set up: what libgpiod's gpiod_line_settings holds.
struct LineSettings {
  Direction direction = Direction::as_is;
  Bias bias = Bias::as_is;
  Drive drive = Drive::push_pull;
  Edges edges = Edges::none;              ///< inputs only
  bool active_low = false;                ///< inverts every level and edge below
  bool output_active = false;             ///< the level that an output is given
  std::chrono::microseconds debounce{0};  ///< inputs only; 0: off

  friend bool operator==(const LineSettings&, const LineSettings&) = default;
};

/// Where a line is: which of the backend's chips, and its offset there. A chip that was unplugged
/// and comes back is another chip, so that an address never comes to mean another line. Found by
/// name with Gpio::find(); meaningless to any other Gpio object, and never shown to people.
struct LineAddress {
  std::uint16_t chip = 0;
  std::uint16_t offset = 0;

  friend bool operator==(LineAddress, LineAddress) = default;
};

/// What the kernel says of a line, requested by us or not (GPIO_V2_GET_LINEINFO_IOCTL).
struct LineInfo {
  FixedString<32> name;      ///< GPIO_MAX_NAME_SIZE; empty when the line has none
  FixedString<32> consumer;  ///< who has requested it; empty when unused or unnamed
  bool used = false;         ///< requested, by whomever: it can't be requested again
  LineSettings settings;     ///< `output_active` is not known and false
};

/// One edge, exactly as the kernel delivers it: the layout is struct gpio_v2_line_event of
/// uapi/linux/gpio.h, so that read(2) writes straight into an array of these.
struct LineEvent {
  enum class Id : std::uint32_t { rising_edge = 1, falling_edge = 2 };

  std::uint64_t timestamp_ns;   ///< CLOCK_MONOTONIC
  Id id;                        ///< in terms of the logical level: active_low inverts it
  std::uint32_t offset;         ///< of the line, on its chip
  std::uint32_t sequence;       ///< of all events of the request, from 1; a gap means loss
  std::uint32_t line_sequence;  ///< of this line's events in the request, from 1
  std::uint32_t padding[6];     // NOLINT(modernize-avoid-c-arrays): the kernel's layout

  [[nodiscard]] Instant timestamp() const {
    return Instant(Duration(static_cast<Duration::rep>(timestamp_ns)));
  }
};
static_assert(sizeof(LineEvent) == 48);

/// A set of lines of one chip that was requested in one go: one event fd, one order of events,
/// levels set and read in one instant. Index into the backend's table of requests.
enum class RequestId : std::uint16_t {};

/// The lines of one request, by position: bit n is the n-th line that was asked for.
using LineMask = std::uint64_t;

/// GPIO, by whatever backend: the kernel's character device, or lines simulated in this process.
///
/// The same rules for all: a line must be requested before it is read, driven or watched, and
/// belongs to one request at a time. Closing a request leaves to the kernel's driver what becomes
/// of its outputs; Millrace itself never resets a line.
///
/// Loop thread only. Each call costs one system call or none unless it says otherwise.
class Gpio {
 public:
  static constexpr std::size_t max_lines_per_request = 64;  ///< GPIO_V2_LINES_MAX

  Gpio() = default;
  Gpio(const Gpio&) = delete;
  Gpio& operator=(const Gpio&) = delete;

  /// Finds a line by its name ("GPIO17"), or by its chip's label and its offset there
  /// ("pinctrl-bcm2711:17"). Chip numbers are not accepted: they moved between Pi generations.
  /// Errors: ENOENT; EEXIST when several lines have that name (use label:offset).
  /// Costs an ioctl a line of every chip: for start-up.
  [[nodiscard]] virtual Result<LineAddress> find(std::string_view name) = 0;

  /// The same by the first of two names that finds a line.
  [[nodiscard]] Result<LineAddress> find(std::string_view name, std::string_view otherwise);

  /// Looks for chips that have come since (an adapter that was plugged in). What is requested
  /// stays; the addresses of lines on chips that have vanished become invalid. For lines that are
  /// missed.
  [[nodiscard]] virtual Result<void> refresh() { return {}; }

  /// The `index`-th line of all, chip after chip; ENOENT past the last. For boards without a table.
  [[nodiscard]] virtual Result<LineAddress> at(std::size_t index) = 0;

  /// What is known of a line. Errors: ENODEV (its chip has vanished).
  [[nodiscard]] virtual Result<LineInfo> info(LineAddress line) = 0;

  /// Requests `lines`, all of one chip, each with the settings of the same position. `consumer` is
  /// what others see as the user of the line. `event_buffer` is the kernel's FIFO for the request
  /// in events; 0 is the kernel's default, 16 a line. When it is full, the oldest event is dropped.
  /// Errors: EBUSY (used by somebody else), EINVAL, ENODEV, EACCES, ENOTSUP (the chip can't do it),
  /// ENOSPC (all requests of this backend in use).
  [[nodiscard]] virtual Result<RequestId> request(std::span<const LineAddress> lines,
                                                  std::span<const LineSettings> settings,
                                                  const char* consumer,
                                                  std::size_t event_buffer = 0) = 0;

  /// Sets up all lines of a request anew, without releasing them: `settings` as many as requested.
  /// Pending events stay. Errors as of request().
  [[nodiscard]] virtual Result<void> reconfigure(RequestId request,
                                                 std::span<const LineSettings> settings) = 0;

  /// The logical levels (1: active) of the lines in `which`, read in one instant.
  [[nodiscard]] virtual Result<LineMask> get(RequestId request, LineMask which) = 0;

  /// Drives the outputs in `which` to the logical levels in `levels`, in one instant.
  /// Errors: EPERM when one of them is not an output (nothing has changed then).
  [[nodiscard]] virtual Result<void> set(RequestId request, LineMask which, LineMask levels) = 0;

  /// Readable when events wait; hangs up or errs when the chip has vanished. Owned by the request.
  [[nodiscard]] virtual int event_fd(RequestId request) const = 0;

  /// Reads as many events as wait and fit: the count, 0 when none waits. Errors: ENODEV (vanished).
  [[nodiscard]] virtual Result<std::size_t> read_events(RequestId request,
                                                        std::span<LineEvent> events) = 0;

  /// Gives the lines back. The id is invalid from then on.
  virtual void release(RequestId request) = 0;

  /// A descriptor to watch for readable on the backend's behalf, and the call to make when it is;
  /// −1 when there is none. (The simulation's debounce timers.)
  [[nodiscard]] virtual int service_fd() const { return -1; }
  virtual void service() {}

  /// What an unconnected input of the simulation floats to: as if wired to a supply by a resistor.
  /// Errors: ENOTSUP on real lines.
  [[nodiscard]] virtual Result<void> pull(LineAddress line, bool up);

  /// Connects two lines of the simulation by a wire: what one drives as an output, the other is
  /// pulled to, until it is pulled otherwise. A line has one wire, so this takes off any that
  /// either had; one with itself only does that. Errors: ENOTSUP on real lines.
  [[nodiscard]] virtual Result<void> wire(LineAddress one, LineAddress other);

  /// The electrical level of a simulated line, whoever drives it. Errors: ENOTSUP on real lines.
  [[nodiscard]] virtual Result<bool> physical_level(LineAddress line);

 protected:
  ~Gpio() = default;  // nobody owns one through this interface
};

}  // namespace millrace::hal
