// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include "firmware/reactor/reactor.hpp"

namespace millrace {

/// The notifier of a channel, from open() to close(): of interest to Channel and SpscChannel only.
class ChannelNotifier {
 public:
  /// Loop thread only. Errors: EALREADY (it is open), as of Reactor::add_notifier().
  [[nodiscard]] Result<void> open(Reactor& reactor, Handler handler, Priority priority) {
    if (is_open()) {
      return fail(EALREADY, "the channel is open already", "close it first");
    }
    const auto notifier = reactor.add_notifier(handler, priority);
    if (!notifier) {
      return std::unexpected(notifier.error());
    }
    reactor_ = &reactor;
    notifier_ = *notifier;
    return {};
  }

  /// Loop thread only. Does nothing if it is not open.
  void close() {
    if (is_open()) {
      reactor_->remove_notifier(notifier_);
      reactor_ = nullptr;
    }
  }

  [[nodiscard]] bool is_open() const { return reactor_ != nullptr; }

  /// While it is open: see Reactor.
  void raise() { reactor_->raise(notifier_); }
  void raise_from_any_thread() { reactor_->raise_from_any_thread(notifier_); }

 private:
  Reactor* reactor_ = nullptr;
  NotifierId notifier_;
};

}  // namespace millrace
