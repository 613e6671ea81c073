// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/log.hpp"

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <span>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

#include "hal/fd.hpp"
#include "hal/io.hpp"

namespace millrace::hal {
namespace {

std::atomic<bool> to_journal{false};
std::atomic<std::uint32_t> lost_total{0};
std::atomic<std::uint32_t> lost_unreported{0};

constexpr std::size_t overhead = 80;  // two marks, the line about lost lines, "..." and newlines

std::string_view mark(LogLevel level) {
  static constexpr std::array<std::string_view, 4> names{
      "error: ", "warning: ", "info: ", "debug: "};
  // SD_ERR, SD_WARNING, SD_INFO and SD_DEBUG of sd-daemon(3).
  static constexpr std::array<std::string_view, 4> journal{"<3>", "<4>", "<6>", "<7>"};
  const auto index = static_cast<std::size_t>(level);
  return to_journal.load(std::memory_order_relaxed) ? journal[index] : names[index];
}

bool takes_more(int fd) {
  pollfd stream{.fd = fd, .events = POLLOUT, .revents = 0};
  return ::poll(&stream, 1, 0) == 1 && (stream.revents & POLLOUT) != 0;
}

}  // namespace

void start_log() {
  // A program that was started without 0, 1 or 2 must not get something of its own in their place,
  // and then write its log there.
  int spare = ::open("/dev/null", O_RDWR);
  while (spare >= 0 && spare <= STDERR_FILENO) {
    spare = ::open("/dev/null", O_RDWR);
  }
  const Fd above(spare);
  FixedString<48> standard_error;
  struct stat status{};
  if (::fstat(STDERR_FILENO, &status) == 0) {
    standard_error.append(status.st_dev, ':', status.st_ino);
  }
  const char* journal = std::getenv("JOURNAL_STREAM");
  to_journal.store(journal != nullptr && standard_error == journal, std::memory_order_relaxed);
}

std::uint32_t log_lines_lost() { return lost_total.load(std::memory_order_relaxed); }

void detail::write_log_line(LogLevel level, const FixedString<max_log_line>& text) {
  const std::uint32_t lost = lost_unreported.exchange(0, std::memory_order_relaxed);
  FixedString<max_log_line + overhead> line;
  if (lost > 0) {
    line.append(mark(LogLevel::warning), lost, " log lines were lost\n");
  }
  line.append(mark(level));
  for (const char c : text.view()) {
    const auto byte = static_cast<unsigned char>(c);  // a char has a sign on x86, none on ARM
    const bool control = byte < 0x20 || byte == 0x7f;
    line.append(control ? '?' : c);
  }
  line.append(text.truncated() ? "...\n" : "\n");

  // A pipe that is ready takes all of the line: it is shorter than PIPE_BUF (pipe(7)). All others
  // may take a part of it.
  const bool written =
      takes_more(STDERR_FILENO) &&
      write(STDERR_FILENO, std::as_bytes(std::span(line.view()))).count == line.size();
  if (!written) {
    lost_total.fetch_add(1, std::memory_order_relaxed);
    lost_unreported.fetch_add(lost + 1, std::memory_order_relaxed);
  }
}

}  // namespace millrace::hal
