// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstdint>
#include <sys/prctl.h>
#include <utility>
#include <vector>

#include "tests/bench/support.hpp"

namespace millrace::bench {

/// What the bare loops give their callbacks: nothing.
struct NoEvent {};

/// A function and what it is called on.
struct Callback {
  void (*function)(void* object) = [](void*) {};
  void* object = nullptr;

  template <auto Method, class Object>
  static Callback to(Object& object) {
    return {.function = [](void* self) { (static_cast<Object*>(self)->*Method)({}); },
            .object = &object};
  }
  void operator()() const { function(object); }
};

/// The timers of the bare loops: a heap of four children a node, as cheap as timers get.
class Heap {
 public:
  static constexpr std::size_t absent = SIZE_MAX;

  struct Item {
    Callback callback;
    std::size_t position = absent;
  };

  [[nodiscard]] bool empty() const { return entries_.empty(); }
  /// Of the earliest; not to be asked when empty.
  [[nodiscard]] Nanoseconds deadline() const { return entries_.front().deadline; }

  void arm(Item& item, Nanoseconds deadline) {
    if (item.position == absent) {
      entries_.emplace_back();
      sift_up(entries_.size() - 1, {.deadline = deadline, .item = &item});
    } else if (deadline < entries_[item.position].deadline) {
      sift_up(item.position, {.deadline = deadline, .item = &item});
    } else {
      sift_down(item.position, {.deadline = deadline, .item = &item});
    }
  }
  void cancel(Item& item) {
    if (item.position == absent) {
      return;
    }
    const std::size_t position = std::exchange(item.position, absent);
    const Entry last = entries_.back();
    entries_.pop_back();
    if (position == entries_.size()) {
      return;
    }
    if (position > 0 && last.deadline < entries_[(position - 1) / 4].deadline) {
      sift_up(position, last);
    } else {
      sift_down(position, last);
    }
  }
  void expire(Nanoseconds time) {
    while (!entries_.empty() && entries_.front().deadline <= time) {
      Item& item = *entries_.front().item;
      cancel(item);
      item.callback();
    }
  }

 private:
  struct Entry {
    Nanoseconds deadline = 0;
    Item* item = nullptr;
  };

  void place(std::size_t position, const Entry& entry) {
    entries_[position] = entry;
    entry.item->position = position;
  }
  void sift_up(std::size_t position, const Entry& entry) {
    while (position > 0 && entry.deadline < entries_[(position - 1) / 4].deadline) {
      place(position, entries_[(position - 1) / 4]);
      position = (position - 1) / 4;
    }
    place(position, entry);
  }
  void sift_down(std::size_t position, const Entry& entry) {
    for (;;) {
      const std::size_t first = 4 * position + 1;
      if (first >= entries_.size()) {
        break;
      }
      std::size_t least = first;
      for (std::size_t child = first + 1; child < std::min(first + 4, entries_.size()); ++child) {
        if (entries_[child].deadline < entries_[least].deadline) {
          least = child;
        }
      }
      if (entry.deadline <= entries_[least].deadline) {
        break;
      }
      place(position, entries_[least]);
      position = least;
    }
    place(position, entry);
  }

  std::vector<Entry> entries_;
};

/// Timers and posts of the bare loops, which differ in how they wait for descriptors only.
/// `Waiter` has: void wait(Nanoseconds timeout): −1: no limit; calls what is ready.
template <class Waiter>
class BareLoop : public Waiter {
 public:
  using Event = NoEvent;

  class Timer {
   public:
    template <auto Method, class Object>
    void open(BareLoop& loop, Object& object) {
      loop_ = &loop;
      item_.callback = Callback::to<Method>(object);
    }
    void arm(Nanoseconds time, Nanoseconds delay) { loop_->heap_.arm(item_, time + delay); }
    void cancel() { loop_->heap_.cancel(item_); }

   private:
    BareLoop* loop_ = nullptr;
    Heap::Item item_;
  };

  /// To be called once, in the next turn.
  class Post {
   public:
    template <auto Method, class Object>
    void open(BareLoop& loop, Object& object) {
      loop_ = &loop;
      callback_ = Callback::to<Method>(object);
    }
    void post() { loop_->posts_.push_back(callback_); }

   private:
    BareLoop* loop_ = nullptr;
    Callback callback_;
  };

  // Without that, the kernel would wait for up to 50 µs longer than told.
  BareLoop() { checked(::prctl(PR_SET_TIMERSLACK, 1), "PR_SET_TIMERSLACK"); }

  void run() {
    stopped_ = false;
    while (!stopped_) {
      turn_for(-1);
    }
  }
  void stop() { stopped_ = true; }
  /// Whatever is due or ready now.
  void turn() { turn_for(0); }

 private:
  [[gnu::always_inline]] void turn_for(Nanoseconds timeout) {
    if (!posts_.empty()) {
      timeout = 0;
    } else if (timeout != 0 && !heap_.empty()) {
      timeout = std::max<Nanoseconds>(heap_.deadline() - now(), 0);
    }
    Waiter::wait(timeout);
    if (!heap_.empty()) {
      heap_.expire(now());
    }
    if (!posts_.empty()) {
      running_.swap(posts_);
      for (const Callback& callback : running_) {
        callback();
      }
      running_.clear();
    }
  }

  Heap heap_;
  std::vector<Callback> posts_;
  std::vector<Callback> running_;
  bool stopped_ = false;
};

}  // namespace millrace::bench
