// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "firmware/gateway/event.hpp"
#include "hal/error.hpp"
#include "hal/fixed_string.hpp"
#include "hal/gpio.hpp"

namespace millrace {

class ControlSession;
struct LineError;

/// The language of the control port. A line is a command and its words, parted by blanks. Each is
/// answered once: by any number of lines that begin with the name of what they list, and then one
/// that begins with `ok`, or with `error:`, what, where, and the remedy. Lines that begin with
/// `event` stand between answers, never within one.
class ControlCommands {
 public:
  /// The longest line of an answer, without its newline.
  static constexpr std::size_t longest_row = 1023;

  explicit ControlCommands(ControlSession& session) : session_(session) {}

  /// Executes a line and puts its answer, or its beginning. To be called when not answering.
  void execute(std::string_view line);

  /// There is more to the last answer.
  [[nodiscard]] bool answering() const { return make_ != nullptr; }
  /// Puts the next line of it.
  void answer();

  void reset() { make_ = nullptr; }

 private:
  using Words = std::span<const std::string_view>;
  using Row = FixedString<longest_row>;
  /// Writes the n-th line of an answer, or returns false after the last one.
  using Make = bool (ControlCommands::*)(std::size_t n, Row& row);

  struct Command {
    std::string_view name;
    void (ControlCommands::*execute)(Words words);
    std::string_view words;  ///< what follows the name
    std::string_view help;
  };
  static const std::array<Command, 16> commands;

  void help(Words words);
  void lines(Words words);
  void read(Words words);
  void set(Words words);
  void config(Words words);
  void watch(Words words);
  void unwatch(Words words);
  void release(Words words);
  void pull(Words words);
  void wire(Words words);
  void uarts(Words words);
  void uart(Words words);
  void attach(Words words);
  void status(Words words);
  void limits(Words words);
  void quit(Words words);

  bool make_help(std::size_t n, Row& row);
  bool make_line(std::size_t n, Row& row);
  bool make_uart(std::size_t n, Row& row);
  bool make_status(std::size_t n, Row& row);
  bool make_limit(std::size_t n, Row& row);
  void make_pigpio_status(Row& row) const;
  void make_pulse_status(Row& row) const;
  /// Nothing without a record, as nothing else has tasks or files.
  void make_task_status(Row& row) const;
  void make_offload_status(Row& row) const;
  void make_record_status(Row& row) const;
  /// Of one channel of the kernel's PWM, and of one line that has pulses by timers.
  void make_channel_status(std::size_t n, Row& row) const;
  void make_train_status(std::size_t n, Row& row) const;

  void list(Make make);
  template <class... Parts>
  void ok(const Parts&... parts);
  void error(std::string_view what, std::string_view where, std::string_view remedy);
  void error(const Error& error, std::string_view where);
  void error(const LineError& error);
  void usage(std::string_view name);

  [[nodiscard]] std::optional<LineIndex> find_line(std::string_view name);
  [[nodiscard]] std::optional<LineSet> parse_lines(Words words);

  ControlSession& session_;
  Make make_ = nullptr;
  std::size_t position_ = 0;  ///< the next line of the answer
  std::size_t rows_ = 0;      ///< lines of the answer put so far
  LineSet listed_;
};

}  // namespace millrace
