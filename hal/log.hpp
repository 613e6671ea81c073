// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "hal/fixed_string.hpp"

namespace millrace::hal {

enum class LogLevel : std::uint8_t { error, warning, info, debug };

inline constexpr std::size_t max_log_line = 512;  ///< bytes of text; what is longer ends in "..."

namespace detail {
inline std::atomic<LogLevel> log_level{LogLevel::info};
void write_log_line(LogLevel level, const FixedString<max_log_line>& text);
}  // namespace detail

/// Opens /dev/null where standard input, output or error is closed. Looks what standard error is.
/// Where it is the systemd journal (JOURNAL_STREAM names it, systemd.exec(5)), lines begin with the
/// journal's own mark of their level, "<3>" to "<7>" (sd-daemon(3)), otherwise, and until this is
/// called, with the level's name: "warning: ". Call it once at start, before other threads are
/// started: it reads the environment.
void start_log();

/// Shows lines of this level and the more serious ones; at first info. Any thread.
inline void set_log_level(LogLevel level) {
  detail::log_level.store(level, std::memory_order_relaxed);
}
[[nodiscard]] inline LogLevel log_level() {
  return detail::log_level.load(std::memory_order_relaxed);
}

/// How many lines standard error has not taken, since the process started. Any thread.
[[nodiscard]] std::uint32_t log_lines_lost();

/// Writes one line to standard error, made of `parts` as FixedString::append() takes them:
/// `log(LogLevel::warning, "uart ", index, ": ", describe(error))`. Control characters in it are
/// shown as '?', so that what a peer sends can't forge a line.
///
/// Does not wait: if standard error does not take the line at once, it is lost and counted, and the
/// next line that gets through is preceded by one that says how many were. (It can wait for a
/// moment on a serial console that has room for a part of the line, or when another process fills
/// the pipe in the very same moment.) Any thread, not for signal handlers. Costs poll(2) and
/// write(2), or a compare when the level is not shown.
template <class... Parts>
void log(LogLevel level, const Parts&... parts) {
  if (level <= log_level()) {
    FixedString<max_log_line> text;
    text.append(parts...);
    detail::write_log_line(level, text);
  }
}

}  // namespace millrace::hal
