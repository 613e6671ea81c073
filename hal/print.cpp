// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/print.hpp"

#include <algorithm>
#include <climits>
#include <cstddef>
#include <poll.h>
#include <span>
#include <unistd.h>

#include "hal/io.hpp"

namespace millrace::hal {

void write_output(std::string_view text) {
  auto rest = std::as_bytes(std::span(text));
  constexpr int patience = 1000;  // ms
  while (!rest.empty()) {
    pollfd output{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
    if (::poll(&output, 1, patience) != 1) {
      return;
    }
    // A pipe that is ready takes this much at once, however it is opened.
    const auto transfer =
        write(STDOUT_FILENO, rest.first(std::min<std::size_t>(rest.size(), PIPE_BUF)));
    if (!transfer.done()) {
      return;
    }
    rest = rest.subspan(transfer.count);
  }
}

}  // namespace millrace::hal
