// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <bit>

#include "firmware/reactor/reactor.hpp"
#include "hal/clock.hpp"
#include "hal/epoll_poller.hpp"

namespace millrace {

/// What a StaticReactor consists of beside the Reactor.
template <ReactorLimits Limits, class PollerType>
struct ReactorParts {
  static_assert(Limits.fds > 0 && Limits.timers > 0 && Limits.notifiers > 0);
  static_assert(Limits.poll_batch > 0 && Limits.poll_batch <= Reactor::turn_limit,
                "what is ready at once must be served in one turn");
  static_assert(std::has_single_bit(Limits.mailbox) && Limits.mailbox > 1,
                "mailbox must be a power of two, 2 at least");
  static_assert(Limits.messages > Limits.margin[0] && Limits.messages > Limits.margin[1] &&
                    Limits.messages > Limits.margin[2],
                "each margin must leave a slot to post to");

  static constexpr std::size_t message_slots = Limits.messages + 1;  // one is for that which runs
  static constexpr std::size_t links = Limits.fds + Limits.timers + Limits.notifiers + 1 +
                                       message_slots + Limits.mailbox + priority_count;

  std::array<Reactor::Watch, Limits.fds> watches;
  std::array<std::uint32_t, Limits.fds> changes;
  std::array<Reactor::Timer, Limits.timers> timers;
  alignas(
      TimerHeap::alignment) std::array<TimerHeap::Entry, Limits.timers + TimerHeap::padding> heap;
  std::array<std::uint32_t, Limits.timers> heap_positions;
  std::array<Reactor::Notifier, Limits.notifiers> notifiers;
  std::array<Message, message_slots> messages;
  std::array<Reactor::Link, links> link_memory;
  std::array<hal::MpscQueue<Message>::Cell, Limits.mailbox> mailbox;
  std::array<hal::PollEvent, Limits.poll_batch> poll_events;

  [[nodiscard]] Reactor::Memory memory() {
    return {.watches = watches,
            .changes = changes,
            .timers = timers,
            .heap = heap,
            .heap_positions = heap_positions,
            .notifiers = notifiers,
            .messages = messages,
            .links = link_memory,
            .mailbox = mailbox,
            .poll_events = poll_events};
  }

  PollerType poller;
  hal::SystemClock clock;
};

/// A base class, so that the parts exist before the Reactor that is made of them.
template <ReactorLimits Limits, class PollerType>
struct ReactorPartsHolder {
  ReactorParts<Limits, PollerType> parts;
};

/// A Reactor together with all the memory that it will ever use, its poller and its clock: make it
/// static. `PollerType` is hal::EpollPoller, hal::PollPoller<n> or hal::SelectPoller.
///
///     static StaticReactor<ReactorLimits{.fds = 32}> reactor;
///     if (auto opened = reactor.open(); !opened) …
template <ReactorLimits Limits, class PollerType = hal::EpollPoller>
class StaticReactor final : private ReactorPartsHolder<Limits, PollerType>, public Reactor {
  using Holder = ReactorPartsHolder<Limits, PollerType>;

 public:
  StaticReactor()
      : Reactor(Holder::parts.memory(), Limits, Holder::parts.poller, Holder::parts.clock) {}

  /// With a clock other than the system's: for tests. It must outlive the reactor.
  explicit StaticReactor(const hal::Clock& clock)
      : Reactor(Holder::parts.memory(), Limits, Holder::parts.poller, clock) {}

  /// Opens the poller, with what its open() takes, and the reactor: see Reactor::open().
  template <class... PollerOptions>
  [[nodiscard]] Result<void> open(PollerOptions... options) {
    if (auto opened = Holder::parts.poller.open(options...); !opened) {
      return opened;
    }
    return Reactor::open();
  }
};

}  // namespace millrace
