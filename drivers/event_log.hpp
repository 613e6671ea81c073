// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

namespace millrace {

/// The last N events, once, for any number of readers, each at its own pace: memory does not grow
/// with the readers, and a slow one delays nobody. Who falls N events behind loses the oldest ones
/// and learns how many of those that it wanted.
///
/// `Filter` is a reader's choice: `bool operator()(const Event&) const`.
template <class Event, std::size_t N, class Filter>
class EventLog {
 public:
  class Reader {
   public:
    Filter filter;  // NOLINT(misc-non-private-member-variables-in-classes): the reader's own

    /// Events that it wanted and lost since the last take_lost().
    [[nodiscard]] std::uint32_t take_lost() { return std::exchange(lost_, 0); }
    [[nodiscard]] std::uint32_t lost() const { return lost_; }
    /// All that it has lost since attach().
    [[nodiscard]] std::uint64_t lost_in_total() const { return lost_in_total_; }

   private:
    friend class EventLog;
    std::uint64_t next_ = 0;  // position of the event that it has not seen yet
    std::uint32_t lost_ = 0;
    std::uint64_t lost_in_total_ = 0;
    bool attached_ = false;
  };

  /// `readers` are all who may ever read; they take part between attach() and detach().
  explicit EventLog(std::span<Reader> readers) : readers_(readers) {}

  /// Starts a reader afresh: it sees what is appended from now on.
  void attach(Reader& reader) const {
    reader = {};
    reader.next_ = end_;
    reader.attached_ = true;
  }
  void detach(Reader& reader) const {
    reader.attached_ = false;
    reader.filter = {};
  }

  /// Costs a comparison, and a look at each reader only when one may be N events behind.
  void append(const Event& event) {
    if (end_ >= N && slowest_ <= end_ - N) {
      push_on(end_ - N);
    }
    events_[slot(end_)] = event;
    ++end_;
  }

  /// The next event that the reader wants, or nullptr; it stays until skip().
  [[nodiscard]] const Event* peek(Reader& reader) const {
    for (; reader.next_ < end_; ++reader.next_) {
      const Event& event = events_[slot(reader.next_)];
      if (reader.filter(event)) {
        return &event;
      }
    }
    return nullptr;
  }
  /// Passes what peek() has returned.
  void skip(Reader& reader) const { ++reader.next_; }

  /// Events that the reader has not come to yet, wanted or not. From N on, each that is appended
  /// costs it one.
  [[nodiscard]] std::uint64_t behind(const Reader& reader) const { return end_ - reader.next_; }

  [[nodiscard]] std::uint64_t appended() const { return end_; }
  /// Events that readers have ever wanted and lost, all together.
  [[nodiscard]] std::uint64_t lost_in_total() const { return lost_in_total_; }

 private:
  [[nodiscard]] static constexpr std::size_t slot(std::uint64_t number) {
    return static_cast<std::size_t>(number % N);
  }

  /// The event at `oldest` is about to be overwritten: those who have not seen it lose it.
  void push_on(std::uint64_t oldest) {
    slowest_ = std::numeric_limits<std::uint64_t>::max();
    for (Reader& reader : readers_) {
      if (!reader.attached_) {
        continue;
      }
      if (reader.next_ <= oldest) {
        if (reader.filter(events_[slot(oldest)])) {
          ++reader.lost_;
          ++reader.lost_in_total_;
          ++lost_in_total_;
        }
        reader.next_ = oldest + 1;
      }
      slowest_ = std::min(slowest_, reader.next_);
    }
    // Readers who attach later start past this.
    slowest_ = std::min(slowest_, end_);
  }

  std::span<Reader> readers_;
  std::array<Event, N> events_{};
  std::uint64_t end_ = 0;
  std::uint64_t lost_in_total_ = 0;
  std::uint64_t slowest_ = 0;  ///< nobody is further behind
};

}  // namespace millrace
