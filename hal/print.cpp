// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/print.hpp"

#include <cstddef>
#include <span>
#include <unistd.h>

#include "hal/io.hpp"

namespace millrace::hal {

void write_output(std::string_view text) {
  auto rest = std::as_bytes(std::span(text));
  while (!rest.empty()) {
    const auto transfer = write(STDOUT_FILENO, rest);
    if (!transfer.done() && transfer.status != Transfer::Status::would_block) {
      return;
    }
    rest = rest.subspan(transfer.count);
  }
}

}  // namespace millrace::hal
