// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/watchable.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <sys/stat.h>

namespace millrace::hal {

Result<void> check_watchable(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) {
    return fail(EBADF, "the descriptor is not open", "watch it before closing it");
  }
  if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISBLK(status.st_mode)) {
    return fail(EPERM, "a file or directory is always ready",
                "read it directly: there is nothing to wait for");
  }
  return {};
}

timespec to_timespec(Duration duration) {
  const auto limit = std::max(duration, Duration::zero());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
  constexpr std::int64_t most = std::numeric_limits<time_t>::max();  // 68 years on 32-bit targets
  return {.tv_sec = static_cast<time_t>(std::min<std::int64_t>(seconds.count(), most)),
          .tv_nsec = static_cast<long>((limit - seconds).count())};
}

}  // namespace millrace::hal
