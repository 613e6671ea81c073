// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/fifo.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace millrace::hal {

void remove_fifo(const char* path) {
  struct stat found{};
  if (::lstat(path, &found) == 0 && S_ISFIFO(found.st_mode)) {
    ::unlink(path);
  }
}

Result<Fd> make_fifo(const char* path) {
  constexpr mode_t mode = 0664;  // less what the umask takes
  remove_fifo(path);
  if (::mkfifo(path, mode) != 0) {
    return fail_errno("cannot make a FIFO");
  }
  Fd fifo(::open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fifo) {
    return fail_errno("cannot open the FIFO");
  }
  return fifo;
}

}  // namespace millrace::hal
