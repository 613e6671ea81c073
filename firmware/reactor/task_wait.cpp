// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/task_wait.hpp"

namespace millrace {

bool TaskWait::arm() {
  const Deadline deadline = deadline_at;
  const auto timer = ready_.strand->take_timer(*this);
  if (!timer) {
    state_ |= no_timer;
    return false;
  }
  deadline_timer = *timer;
  state_ |= armed;
  deadline.arm(ready_.strand->reactor(), deadline_timer);
  return true;
}

void TaskWait::give_timer_back() {
  state_ &= static_cast<std::uint8_t>(~armed);
  ready_.strand->give_timer_back(deadline_timer);
}

std::unexpected<Error> TaskWait::error() const {
  if ((state_ & expired) != 0) {
    return fail(ETIMEDOUT, "the time is up");
  }
  if ((state_ & no_timer) != 0) {
    return fail(ENOSPC, "all timers are in use", "raise timers in the board's limits");
  }
  if ((state_ & abandoned) != 0) {
    return fail(ECANCELED, "what was waited for was closed");
  }
  return (state_ & busy) != 0
             ? fail(EBUSY, "another task waits for the same already",
                    "have one task read, and one write")
             : fail(EBADF, "the descriptor is not open for tasks", "open it first");
}

}  // namespace millrace
