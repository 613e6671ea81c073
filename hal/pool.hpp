// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "hal/error.hpp"

namespace millrace {

/// Names an object of a pool: its place, and how often that had been taken. A handle whose object
/// is gone finds nothing, whoever has the place now. All zeros names nothing.
template <class T>
struct PoolHandle {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;  ///< odd while the object lives; it wraps after 2^31 objects

  friend bool operator==(const PoolHandle&, const PoolHandle&) = default;
};

/// Up to N objects of one type in fixed memory. Each function takes the same short time however
/// many there are, except for_each() and what ends them all. For one thread: the loop's.
///
///     Pool<Connection, 16> connections;
///     const auto made = connections.make(std::move(socket));
///     if (!made) { … made.error(): all 16 are in use … }
///     if (Connection* connection = connections.find(*made)) { … }
///     connections.drop(*made);
template <class T, std::size_t N>
class Pool {
  static_assert(N > 0 && N < UINT32_MAX);

 public:
  using Handle = PoolHandle<T>;

  /// `exhausted` says what the error of make() says: what is exhausted, and which constant to
  /// raise. Both texts are literals.
  explicit Pool(Error exhausted = {.number = ENOBUFS, .what = "the pool is full", .remedy = ""})
      : exhausted_(exhausted) {
    for (std::uint32_t i = 0; i < N; ++i) {
      slots_[i].next_free = i + 1;
    }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() { clear(); }

  [[nodiscard]] static constexpr std::size_t capacity() { return N; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool full() const { return size_ == N; }
  /// The most objects there ever were at once, and how often there was no place for another.
  [[nodiscard]] std::size_t high_water() const { return high_water_; }
  [[nodiscard]] std::size_t refused() const { return refused_; }

  /// Makes an object out of the arguments. Fails if there are N already.
  template <class... Arguments>
  [[nodiscard]] Result<Handle> make(Arguments&&... arguments) {
    if (full()) {
      ++refused_;
      return std::unexpected(exhausted_);
    }
    const std::uint32_t index = first_free_;
    Slot& slot = slots_[index];
    first_free_ = slot.next_free;
    std::construct_at(&slot.object, std::forward<Arguments>(arguments)...);
    ++slot.generation;
    ++size_;
    high_water_ = std::max(high_water_, size_);
    return Handle{.index = index, .generation = slot.generation};
  }

  /// The object, or null if it is gone. It stays where it is until it is dropped.
  [[nodiscard]] T* find(Handle handle) {
    return holds(handle) ? &slots_[handle.index].object : nullptr;
  }
  [[nodiscard]] const T* find(Handle handle) const {
    return holds(handle) ? &slots_[handle.index].object : nullptr;
  }

  /// Ends the object. False if it was gone already.
  bool drop(Handle handle) {
    if (!holds(handle)) {
      return false;
    }
    Slot& slot = slots_[handle.index];
    ++slot.generation;  // first: whoever looks for it while it ends finds nothing
    std::destroy_at(&slot.object);
    slot.next_free = first_free_;
    first_free_ = handle.index;
    --size_;
    return true;
  }

  /// Calls `function(handle, object)` for each object, in order of their places. It may drop the
  /// object it is called with, and any other; whether it meets one that it makes is open.
  template <class Function>
  void for_each(Function function) {
    for (std::uint32_t i = 0; i < N; ++i) {
      Slot& slot = slots_[i];
      if (lives(slot)) {
        function(Handle{.index = i, .generation = slot.generation}, slot.object);
      }
    }
  }

  /// Ends all objects.
  void clear() {
    for_each([this](Handle handle, T&) { drop(handle); });
  }

 private:
  struct Slot {
    Slot() {}   // NOLINT(modernize-use-equals-default): that of the union would be deleted
    ~Slot() {}  // NOLINT(modernize-use-equals-default): the pool ends the object
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

    union {
      T object;
    };
    std::uint32_t generation = 0;
    std::uint32_t next_free = 0;
  };

  static bool lives(const Slot& slot) { return slot.generation % 2 == 1; }
  [[nodiscard]] bool holds(Handle handle) const {
    return handle.index < N && slots_[handle.index].generation == handle.generation &&
           lives(slots_[handle.index]);
  }

  std::array<Slot, N> slots_;
  std::uint32_t first_free_ = 0;
  std::size_t size_ = 0;
  std::size_t high_water_ = 0;
  std::size_t refused_ = 0;
  Error exhausted_;
};

}  // namespace millrace
