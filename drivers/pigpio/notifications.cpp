// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "drivers/pigpio/notifications.hpp"

#include <algorithm>

namespace millrace::pigpio {

Expected<std::uint8_t> Notifications::open(ClientId owner, std::uint32_t levels, Instant now) {
  const auto free = std::ranges::find(all_, Notification::State::closed, &Notification::state);
  if (free == all_.end()) {
    return std::unexpected(Code::no_handle);
  }
  *free = {
      .state = Notification::State::opened, .owner = owner, .told = levels, .last_report = now};
  return static_cast<std::uint8_t>(free - all_.begin());
}

Notification* Notifications::find_open(std::uint32_t handle) {
  return handle < count && all_[handle].is_open() ? &all_[handle] : nullptr;
}

Code Notifications::begin(std::uint32_t handle, std::uint32_t bits) {
  Notification* const notification = find_open(handle);
  if (notification == nullptr) {
    return Code::bad_handle;
  }
  notification->state = Notification::State::running;
  notification->bits = bits;
  return Code::ok;
}

Code Notifications::pause(std::uint32_t handle) {
  Notification* const notification = find_open(handle);
  if (notification == nullptr) {
    return Code::bad_handle;
  }
  notification->state = Notification::State::paused;
  notification->bits = 0;
  return Code::ok;
}

Code Notifications::close(std::uint32_t handle) {
  Notification* const notification = find_open(handle);
  if (notification == nullptr) {
    return Code::bad_handle;
  }
  *notification = {};
  return Code::ok;
}

Code Notifications::monitor_events(std::uint32_t handle, std::uint32_t events) {
  Notification* const notification = find_open(handle);
  if (notification == nullptr) {
    return Code::bad_handle;
  }
  notification->events = events;
  return Code::ok;
}

std::uint8_t Notifications::find(ClientId owner) const {
  const auto found = std::ranges::find_if(all_, [owner](const Notification& notification) {
    return notification.is_open() && notification.owner == owner;
  });
  return static_cast<std::uint8_t>(found - all_.begin());
}

std::uint8_t Notifications::open_count() const {
  return static_cast<std::uint8_t>(std::ranges::count_if(all_, &Notification::is_open));
}

std::uint32_t Notifications::watched() const {
  std::uint32_t bits = 0;
  for (const Notification& notification : all_) {
    bits |= notification.bits;
  }
  return bits;
}

std::uint32_t Notifications::watching(std::uint32_t gpios) const {
  return select(
      [gpios](const Notification& notification) { return (notification.bits & gpios) != 0; });
}

std::uint32_t Notifications::mistaken(std::uint32_t gpios, std::uint32_t levels) const {
  return select([gpios, levels](const Notification& notification) {
    return ((notification.told ^ levels) & gpios) != 0;
  });
}

std::uint32_t Notifications::awaiting_event(std::uint8_t event) const {
  return select([event](const Notification& notification) {
    return (notification.events >> event & 1U) != 0;
  });
}

std::uint32_t Notifications::silent(Instant now) const {
  return select([now](const Notification& notification) {
    return saturating_add(notification.last_report, idle) <= now;
  });
}

void Notifications::note(const Report& report, Instant now) {
  for (std::uint8_t handle = 0; handle < count; ++handle) {
    if ((report.audience >> handle & 1U) != 0) {
      all_[handle].last_report = now;
      // Of the words in other reports clients take no notice.
      if (report.kind == Report::Kind::levels) {
        all_[handle].told = report.levels;
      }
    }
  }
}

Instant Notifications::next_keep_alive() const {
  Instant next = never;
  for (const Notification& notification : all_) {
    if (notification.is_open()) {
      next = std::min(next, saturating_add(notification.last_report, idle));
    }
  }
  return next;
}

}  // namespace millrace::pigpio
