// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

namespace millrace {

/// A place in a list, in which what it is part of waits for something; and the list itself, whose
/// first and last it then refers to. It takes itself out of the list when it ends: so nothing that
/// was destroyed is ever found there. Each function takes the same short time.
class TaskLink {
 public:
  TaskLink() = default;
  TaskLink(const TaskLink&) = delete;
  TaskLink& operator=(const TaskLink&) = delete;
  ~TaskLink() {
    if (next_ != this) {
      unlink();
    }
  }

  /// As a list: nothing is in it. As a place: it is in no list.
  [[nodiscard]] bool alone() const { return next_ == this; }
  /// As a list: its first place, or the list itself if there is none.
  [[nodiscard]] TaskLink& first() const { return *next_; }
  /// As a place: the one behind it, or the list if it is the last.
  [[nodiscard]] TaskLink& next() const { return *next_; }

  /// As a list: `place`, which is in no list, becomes its last.
  void append(TaskLink& place) {
    place.previous_ = previous_;
    place.next_ = this;
    previous_->next_ = &place;
    previous_ = &place;
  }
  /// Nothing happens to one that is in no list.
  void unlink() {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = this;
  }

 private:
  TaskLink* next_ = this;
  TaskLink* previous_ = this;
};

}  // namespace millrace
