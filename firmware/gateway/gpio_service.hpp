// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "board/boards.hpp"
#include "firmware/gateway/event.hpp"
#include "firmware/reactor/reactor.hpp"
#include "hal/gpio.hpp"

namespace millrace {

/// An error and the line that it is about.
struct LineError {
  LineIndex line{};
  Error error;
};
template <class T>
using LineResult = std::expected<T, LineError>;

/// The board's lines, shared by all clients. A line is requested from the kernel when it is first
/// used and kept until release(); lines that are first used by one command are requested together:
/// they are then driven in one instant, and their edges come through one queue (in the order of
/// their time stamps on one processor; on several, neighbours within microseconds may change
/// places).
///
/// A line whose chip has vanished is looked for again when somebody next uses it, once a second.
///
/// Every edge and change goes into the log, and the notifiers given to open() and also_raise() are
/// raised: whoever serves clients takes it from there. Loop thread only.
class GpioService {
 public:
  struct Line {
    FixedString<31> name;
    hal::LineAddress address;
    bool present = false;        ///< the kernel knows it
    hal::LineSettings settings;  ///< while claimed
    std::uint32_t sequence = 0;  ///< of its last edge
    std::uint16_t claim = unclaimed;
    std::uint32_t rising_watchers = 0;
    std::uint32_t falling_watchers = 0;
    std::uint8_t position = 0;  ///< in its claim
    bool given_away = false;

    [[nodiscard]] bool claimed() const { return claim != unclaimed; }
    [[nodiscard]] bool watched() const { return rising_watchers > 0 || falling_watchers > 0; }
    /// Each change of its level is known here: an output is ours, an input reports both edges.
    [[nodiscard]] bool seen() const {
      return claimed() &&
             (settings.direction == hal::Direction::output ||
              (settings.direction == hal::Direction::input && settings.edges == hal::Edges::both));
    }
  };
  /// A line's settings to be.
  struct Change {
    LineIndex line{};
    hal::LineSettings settings;
  };

  struct Statistics {
    std::uint64_t edges = 0;    ///< read from the kernel
    std::uint64_t lost = 0;     ///< dropped by the kernel, as its numbers tell
    std::uint32_t missing = 0;  ///< lines of the board that the kernel does not know
  };

  GpioService(Reactor& reactor, GatewayLog& log) : reactor_(reactor), log_(log) {}

  /// Finds the board's lines. Lines that are not there are reported in the log, not as an error.
  /// Errors: ENOSPC (more lines than Capacities::lines).
  [[nodiscard]] Result<void> open(hal::Gpio& gpio, const board::Board& board, NotifierId changed);

  /// One more who takes events: two at the most.
  void also_raise(NotifierId changed) {
    (also_changed_[0].generation == 0 ? also_changed_[0] : also_changed_[1]) = changed;
  }

  /// From now on every line that is claimed is seen as far as it can be: inputs report both edges,
  /// watched or not, if their chip can; outputs each change; and Event::Kind::seen and unseen are
  /// told. For start-up.
  void see_all() { sees_all_ = true; }

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] const Line& line(LineIndex line) const { return lines_[index(line)]; }
  [[nodiscard]] std::optional<LineIndex> find(std::string_view name) const;
  [[nodiscard]] Result<hal::LineInfo> info(LineIndex line);

  /// Has the line never be requested: something else of the gateway's drives its pin, which a
  /// request could take from it. Whoever asks for it is told EBUSY. For start-up.
  void give_away(LineIndex line) { at(line).given_away = true; }

  /// Whether the line is the gateway's already, or could be: nobody else uses it.
  [[nodiscard]] bool available(LineIndex which);

  /// The level, without claiming the line: nothing if it would have to be.
  [[nodiscard]] std::optional<bool> level(LineIndex which);

  /// The same of many: 0 where the level would cost claiming the line. One system call for all
  /// lines of a claim; none for outputs.
  [[nodiscard]] LineSet levels(const LineSet& lines);

  /// Reads the levels of `lines` into `levels`, claiming as they are those not claimed yet.
  [[nodiscard]] LineResult<void> read(std::span<const LineIndex> lines, std::span<bool> levels);

  /// Drives the lines. A line that nobody has set up yet becomes an output; one that is an input
  /// stays one: EPERM, and nothing has changed.
  [[nodiscard]] LineResult<void> set(std::span<const LineIndex> lines,
                                     std::span<const bool> levels);

  /// Drives a claimed output, for those who do it often: one system call, and it is told only if
  /// the line is watched, or all are seen. False, and nothing has changed, if the line is not one.
  [[nodiscard]] bool drive(LineIndex which, bool level);

  /// The settings that a change starts from: the claimed line's, else the defaults.
  [[nodiscard]] hal::LineSettings settings(LineIndex line) const;

  /// Sets lines up. Edges are chosen here, by who watches; those in `changes` are ignored.
  [[nodiscard]] LineResult<void> configure(std::span<const Change> changes);

  /// Counts one more, or one less, who wants these edges of each of `lines`, and has the kernel
  /// report what anybody wants. An output can be watched: it has no edges, but is set by others.
  [[nodiscard]] LineResult<void> watch(const LineSet& lines, hal::Edges edges);
  void unwatch(const LineSet& rising, const LineSet& falling);

  /// Gives the line, and those claimed together with it, back to the kernel.
  /// Errors: EBUSY (watched), ENOENT (not claimed).
  [[nodiscard]] Result<void> release(LineIndex which);

  /// See hal::Gpio::pull().
  [[nodiscard]] Result<void> pull(LineIndex line, bool up);

  /// See hal::Gpio::wire().
  [[nodiscard]] Result<void> wire(LineIndex one, LineIndex other);

  [[nodiscard]] Statistics statistics() const;

 private:
  static constexpr std::uint16_t unclaimed = UINT16_MAX;
  static constexpr std::size_t batch = 64;                            ///< edges read at once
  static constexpr Duration look_interval = std::chrono::seconds(1);  ///< between looks for chips

  struct Claim {
    GpioService* service = nullptr;
    hal::RequestId request{};
    WatchId watch;
    std::uint32_t sequence = 0;  ///< of its last edge
    std::uint16_t lines = 0;     ///< how many; 0: free
    LineIndex first{};

    void on_ready(const Message& message);
  };

  [[nodiscard]] Line& at(LineIndex line) { return lines_[index(line)]; }
  [[nodiscard]] LineIndex add(std::string_view name);
  bool look_for(LineIndex which);
  [[nodiscard]] bool look_again_for(LineIndex which);
  [[nodiscard]] hal::LineSettings first_settings(const Line& line) const;
  /// Finds a line by the name that add_named_lines() has made of the kernel's. An info() per line.
  [[nodiscard]] Result<hal::LineAddress> find_named(std::string_view name);
  [[nodiscard]] Result<void> add_named_lines();
  [[nodiscard]] hal::Edges wanted_edges(const Line& line) const;
  [[nodiscard]] static hal::Edges watched_edges(const Line& line);
  [[nodiscard]] LineResult<void> apply(std::span<const Change> changes);
  [[nodiscard]] Result<void> claim(std::span<const Change> changes);
  /// Whose fault it is that `changes` could not be claimed together, as far as the kernel tells.
  [[nodiscard]] LineIndex culprit(std::span<const Change> changes, const Error& error);
  [[nodiscard]] Result<void> reconfigure(std::uint16_t claim, std::span<const Change> changes);
  [[nodiscard]] LineResult<void> refresh_edges(const LineSet& lines);
  [[nodiscard]] std::optional<LineIndex> line_of(std::uint16_t claim, std::uint32_t offset) const;
  void on_service(const Message& message);
  void read_edges(std::uint16_t claim);
  void take_edge(std::uint16_t claim, const hal::LineEvent& edge);
  void tell_level(LineIndex line, std::uint32_t lost);
  void vanish(std::uint16_t claim);
  void drop(std::uint16_t claim);
  void tell(const Event& event);
  void tell_seen(LineIndex which);

  Reactor& reactor_;
  GatewayLog& log_;
  hal::Gpio* gpio_ = nullptr;
  board::Board board_;
  NotifierId changed_;
  std::array<NotifierId, 2> also_changed_;
  bool sees_all_ = false;
  Statistics statistics_;
  Instant next_look_ = Instant::min();
  std::size_t count_ = 0;
  std::array<Line, board::capacities.lines> lines_{};
  std::array<Claim, board::capacities.lines> claims_{};
  std::array<hal::LineEvent, batch> edges_{};
};

}  // namespace millrace
