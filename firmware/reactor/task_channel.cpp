// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/task_channel.hpp"

namespace millrace {

void TaskQueueEnd::serve(std::uint32_t available) {
  for (; available > 0 && !waiting_.alone(); --available) {
    Place& place = *static_cast<Place::Link&>(waiting_.first()).wait;
    place.place_.unlink();
    place.promised_ = true;
    ++promised_;
    place.schedule();
  }
}

void TaskQueueEnd::abandon() {
  while (!waiting_.alone()) {
    Place& place = *static_cast<Place::Link&>(waiting_.first()).wait;
    place.place_.unlink();
    place.abandon();
  }
}

}  // namespace millrace
