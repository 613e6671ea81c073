// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "firmware/reactor/channel_notifier.hpp"
#include "firmware/reactor/reactor.hpp"

namespace millrace {

/// What a channel does with an element when it has no room for it, or no need of it.
enum class Overflow : std::uint8_t {
  refuse,       ///< full: the new element is refused
  drop_oldest,  ///< full: the oldest makes room for it
  keep_latest,  ///< there is room for one, and the new one takes its place
  coalesce      ///< merged into a waiting one if that will have it; full and none will: refused
};

/// What has become of a pushed element. Also counted, each in ChannelStatistics.
enum class Pushed : std::uint8_t {
  queued,     ///< it waits
  displaced,  ///< it waits, and an older one was dropped for it
  merged,     ///< it is part of one that waits
  refused     ///< it does not wait: there was no room
};

/// A channel's history, in numbers.
struct ChannelStatistics {
  std::uint64_t pushed = 0;      ///< elements that came to wait
  std::uint64_t refused = 0;     ///< elements that found no room
  std::uint64_t dropped = 0;     ///< elements that waited, and were displaced by newer ones
  std::uint64_t merged = 0;      ///< elements that were merged into waiting ones
  std::uint32_t high_water = 0;  ///< the most that ever waited
};

/// An element that can be merged: makes `newer` part of itself and returns true, or returns false,
/// unchanged, when the two are about different things.
template <class T>
concept Mergeable = requires(T& waiting, const T& newer) {
  { waiting.merge(newer) } -> std::same_as<bool>;
};

/// Elements of type T that wait for a handler, N at the most, first in, first out. What happens
/// when there are more is part of the type. It has one notifier of the reactor: however many
/// elements are pushed, the handler is called once and pops what is there.
///
///     Channel<Edge, 256, Overflow::drop_oldest> edges;
///     if (auto opened = edges.open(reactor, Handler::to<&Log::on_edges>(log)); !opened) …
///     if (edges.push(edge) == Pushed::displaced) …
///
///     void Log::on_edges(const Message&) {
///       while (auto edge = edges.pop()) …
///
/// Loop thread only. The channel must outlive the reactor's run, or be closed before its end.
template <class T, std::size_t N, Overflow Policy = Overflow::refuse>
class Channel {
  static_assert(N > 0 && N < UINT32_MAX);
  static_assert(Policy != Overflow::keep_latest || N == 1, "the latest is one element");
  static_assert(Policy != Overflow::coalesce || Mergeable<T>, "T needs bool merge(const T& newer)");

 public:
  Channel() = default;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// Has `handler` called, with a message of kind notice, when elements wait; those that do already
  /// are announced at once. Errors: EALREADY (it is open), as of Reactor::add_notifier().
  [[nodiscard]] Result<void> open(Reactor& reactor, Handler handler,
                                  Priority priority = Priority::normal) {
    if (auto opened = notifier_.open(reactor, handler, priority); !opened) {
      return opened;
    }
    if (!empty()) {
      announce();
    }
    return {};
  }

  /// The handler is not called any more; what waits stays. Does nothing if it is not open.
  void close() { notifier_.close(); }

  /// Adds an element, or does what the policy says, and returns which. Not open: the same, but
  /// nobody is told. Coalescing looks at each that waits, newest first; otherwise O(1).
  [[nodiscard]] Pushed push(const T& element) {
    if constexpr (Policy == Overflow::coalesce) {
      for (std::uint32_t i = size_; i-- > 0;) {
        if (elements_[position(i)].merge(element)) {
          ++statistics_.merged;
          announce();
          return Pushed::merged;
        }
      }
    }
    Pushed result = Pushed::queued;
    if (size_ == N) {
      if constexpr (Policy == Overflow::refuse || Policy == Overflow::coalesce) {
        ++statistics_.refused;
        return Pushed::refused;
      }
      ++statistics_.dropped;
      discard_oldest();
      result = Pushed::displaced;
    }
    elements_[position(size_)] = element;
    ++size_;
    ++statistics_.pushed;
    statistics_.high_water = std::max(statistics_.high_water, size_);
    announce();
    return result;
  }

  /// Takes the oldest element; empty when none waits.
  [[nodiscard]] std::optional<T> pop() {
    if (empty()) {
      return std::nullopt;
    }
    const std::uint32_t oldest = first_;
    discard_oldest();
    return elements_[oldest];
  }

  /// Has the handler called again although nothing was pushed: for one that leaves elements, so
  /// that others run in between. They are not announced by themselves.
  void announce() {
    if (notifier_.is_open()) {
      notifier_.raise();
    }
  }

  /// Elements that wait.
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] static constexpr std::size_t capacity() { return N; }
  [[nodiscard]] const ChannelStatistics& statistics() const { return statistics_; }

 private:
  [[nodiscard]] std::uint32_t position(std::uint32_t index) const {
    return static_cast<std::uint32_t>((std::size_t{first_} + index) % N);
  }
  void discard_oldest() {
    first_ = position(1);
    --size_;
  }

  ChannelNotifier notifier_;
  std::uint32_t first_ = 0;
  std::uint32_t size_ = 0;
  ChannelStatistics statistics_;
  std::array<T, N> elements_{};
};

}  // namespace millrace
