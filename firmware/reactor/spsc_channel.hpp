// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "firmware/reactor/channel_notifier.hpp"
#include "firmware/reactor/reactor.hpp"
#include "hal/spsc_queue.hpp"

namespace millrace {

/// Elements of type T from one thread to the handler of another's reactor, N at the most, first in,
/// first out, without locks: what a Channel is within one thread. However many elements are pushed,
/// the handler is called once, and a system call is made only if its loop sleeps. Two of them, one
/// for each direction, are how reactors that run on processors of their own talk to each other.
///
///     SpscChannel<Edge, 256> edges;
///     reader   if (auto opened = edges.open(reactor, Handler::to<&Log::on_edges>(log)); !opened) …
///     writer   if (!edges.push(edge)) …                                  // full: counted
///     reader   void Log::on_edges(const Message&) { while (auto edge = edges.pop()) … }
///
/// T is trivially copyable; it is quickest if N is a power of two. Open it before the writer
/// starts; close it when the writer has ended.
template <class T, std::size_t N>
class SpscChannel {
 public:
  SpscChannel() = default;
  SpscChannel(const SpscChannel&) = delete;
  SpscChannel& operator=(const SpscChannel&) = delete;
  ~SpscChannel() = default;

  /// Has `handler` called, with a message of kind notice, when elements wait; those that do already
  /// are announced at once. Reader only, while nobody writes.
  /// Errors: EALREADY (it is open), as of Reactor::add_notifier().
  [[nodiscard]] Result<void> open(Reactor& reactor, Handler handler,
                                  Priority priority = Priority::normal) {
    if (auto opened = notifier_.open(reactor, handler, priority); !opened) {
      return opened;
    }
    announced_.store(!queue_.empty(), std::memory_order_relaxed);
    if (!queue_.empty()) {
      announce();
    }
    return {};
  }

  /// The handler is not called any more. Reader only.
  void close() { notifier_.close(); }

  /// Appends an element; false, and counted, when N wait already. Writer only, once it is open.
  [[nodiscard]] bool push(const T& element) {
    if (!queue_.push(element)) {
      refused_.store(refused_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      return false;
    }
    // In one order with pop(): either it finds the element, or this finds its announcement gone.
    if (!announced_.exchange(true, std::memory_order_seq_cst)) {
      notifier_.raise_from_any_thread();
    }
    return true;
  }

  /// Takes the oldest element; empty when none waits. The handler is called again for elements that
  /// come after that; one that leaves elements has to call announce(). Reader only.
  [[nodiscard]] std::optional<T> pop() {
    T element;
    if (queue_.pop(element)) {
      return element;
    }
    announced_.exchange(false, std::memory_order_seq_cst);
    if (queue_.pop(element)) {
      announced_.exchange(true, std::memory_order_seq_cst);
      return element;
    }
    return std::nullopt;
  }

  /// Has the handler called again, so that others run in between. Reader only.
  void announce() { notifier_.raise(); }

  /// Elements that wait: a snapshot. Any thread.
  [[nodiscard]] std::size_t size() const { return queue_.size(); }
  [[nodiscard]] static constexpr std::size_t capacity() { return N; }
  /// Elements that found no room. Any thread.
  [[nodiscard]] std::uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  ChannelNotifier notifier_;
  std::atomic<bool> announced_ = false;  ///< the handler has been or will be called for what waits
  std::atomic<std::uint64_t> refused_ = 0;
  SpscQueue<T, N> queue_;
};

}  // namespace millrace
