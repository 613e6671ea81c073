// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace millrace {

/// As a count: all that there is.
inline constexpr std::size_t ring_everything = std::numeric_limits<std::size_t>::max();

/// Consecutive elements of a ring: two pieces where they go around the end of its memory.
template <class T>
struct RingPieces {
  std::span<T> first;
  std::span<T> second;  ///< empty unless they go around the end

  [[nodiscard]] std::size_t size() const { return first.size() + second.size(); }
  [[nodiscard]] bool empty() const { return first.empty(); }

  /// All but the first `count` elements; `count` is at most size().
  [[nodiscard]] RingPieces without_first(std::size_t count) const {
    if (count < first.size()) {
      return {first.subspan(count), second};
    }
    return {second.subspan(count - first.size()), {}};
  }
};

/// Copies `Size` to 2 × `Size` bytes: the first ones and the last ones, which may be the same.
template <std::size_t Size>
void ring_copy_ends(std::byte* to, const std::byte* from, std::size_t count) {
  std::memcpy(to, from, Size);
  std::memcpy(to + count - Size, from + count - Size, Size);
}

/// As memcpy(3), of `Most` elements at most, and no pointer is looked at if `count` is 0.
template <std::size_t Most, class T>
void ring_copy(T* to, const T* from, std::size_t count) {
  if (count > 0) {
    std::memcpy(to, from, count * sizeof(T));
  }
}
/// The same for bytes. Most messages are short, and with them the call of memcpy takes longer than
/// the copying: so there is none up to 64 bytes. (g++ 12 needs Most so as not to warn of copies
/// longer than the ring.)
template <std::size_t Most>
[[gnu::always_inline]] inline void ring_copy(std::byte* to, const std::byte* from,
                                             std::size_t count) {
  if (Most > 64 && (__builtin_constant_p(count) ? count > 0 : count > 64)) {
    std::memcpy(to, from, count);
  } else if (Most >= 32 && count >= 32) {
    ring_copy_ends<32>(to, from, count);
  } else if (Most >= 16 && count >= 16) {
    ring_copy_ends<16>(to, from, count);
  } else if (Most >= 8 && count >= 8) {
    ring_copy_ends<8>(to, from, count);
  } else if (Most >= 4 && count >= 4) {
    ring_copy_ends<4>(to, from, count);
  } else if (Most >= 2 && count >= 2) {
    ring_copy_ends<2>(to, from, count);
  } else if (count == 1) {
    *to = *from;
  }
}

/// Copies all of `from` to the start of `to`, which is as long at least.
template <class T>
void ring_copy(RingPieces<T> to, std::span<const std::type_identity_t<T>> from) {
  const std::size_t first = std::min(from.size(), to.first.size());
  ring_copy<ring_everything>(to.first.data(), from.data(), first);
  ring_copy<ring_everything>(to.second.data(), from.data() + first, from.size() - first);
}
/// Fills all of `to` from the start of `from`, which is as long at least.
template <class T>
void ring_copy(std::span<T> to, RingPieces<const std::type_identity_t<T>> from) {
  const std::size_t first = std::min(to.size(), from.first.size());
  ring_copy<ring_everything>(to.data(), from.first.data(), first);
  ring_copy<ring_everything>(to.data() + first, from.second.data(), to.size() - first);
}

/// So many elements from an offset in a ring's memory on, around its end if need be. The offset is
/// always less than the ring's capacity.
struct RingExtent {
  std::size_t offset;
  std::size_t count;
};

/// An offset that may have passed the end of the memory by less than one lap, brought back.
[[nodiscard]] constexpr std::size_t ring_offset(std::size_t offset, std::size_t capacity) {
  // A branch, which is foreseen, and no arithmetic: each offset has to wait for the one before.
  if (__builtin_expect_with_probability(offset >= capacity ? 1 : 0, 0, 0.999)) {
    asm("");  // or else g++ makes arithmetic of it where the capacity is a constant
    offset -= capacity;
  }
  return offset;
}

/// Where a ring is written and read next. What kind of ring it is depends on this alone: how the
/// positions are kept, and whether two threads may use them.
///
///     readable(capacity, wanted)   what can be read
///     writable(capacity, wanted)   what can be written
///     consumed(capacity, count)    the `count` oldest of the readable are gone
///     produced(capacity, count)    the first `count` of the writable are filled
///
/// The two that ask may answer with what they know already if that is at least `wanted`, and
/// otherwise find out what there really is.
template <class T>
concept RingIndices = requires(T indices, const T constant, std::size_t n) {
  { constant.readable(n, n) } -> std::same_as<RingExtent>;
  { constant.writable(n, n) } -> std::same_as<RingExtent>;
};

/// Elements, first in, first out, in fixed memory of any size from 1 on. This is the one ring that
/// is behind all others (ring_buffer.hpp, spsc_ring.hpp, spsc_queue.hpp, compat/):
///
///     Memory    std::array: the ring owns it; std::span: it was given and must outlive the ring
///     Indices   who may use the ring, and how much of the memory can be filled (RingIndices)
///
/// Elements are trivially copyable. Where two threads share a ring, one is the writer and one the
/// reader, and it says below which functions are whose.
///
/// Without copying, with readv(2) and writev(2) in place:
///
///     claim_write() → up to two free pieces, fill them from the start, commit_write(count)
///     claim_read()  → up to two filled pieces, take from the start, commit_read(count)
///
/// Each call costs a few nanoseconds, and copying what it has to copy; none waits, none allocates.
template <class Memory, class Indices>
class Ring {
 public:
  using Element = typename Memory::value_type;
  static_assert(std::is_trivially_copyable_v<Element>);

  static constexpr bool owning = !std::same_as<Memory, std::span<Element>>;

  Ring()
    requires owning
  = default;

  /// An empty ring over `memory`, which is one element long at least.
  explicit Ring(Memory memory)
    requires(!owning)
      : memory_(memory) {}
  /// The same, where the positions are kept elsewhere.
  Ring(Memory memory, Indices indices)
    requires(!owning)
      : indices_(indices), memory_(memory) {}

  // --- Anyone ---

  /// How many elements its memory has.
  [[nodiscard]] static constexpr std::size_t capacity()
    requires owning
  {
    return std::tuple_size_v<Memory>;
  }
  [[nodiscard]] std::size_t capacity() const
    requires(!owning)
  {
    return memory_.size();
  }

  /// How many elements there are, between 0 and capacity(). With two threads a snapshot: more may
  /// have come if the reader asks, fewer may be left if the writer does.
  [[nodiscard]] std::size_t size() const { return indices_.size(capacity()); }
  [[nodiscard]] std::size_t space() const { return capacity() - size(); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] bool full() const { return size() == capacity(); }

  // --- The writer ---

  /// All free space, in order. The other thread's progress is looked at only if less than `wanted`
  /// is known to be free: asking for what is needed is cheaper than asking for everything.
  [[nodiscard]] RingPieces<Element> claim_write(std::size_t wanted = ring_everything) {
    return pieces<Element>(memory_, indices_.writable(capacity(), wanted));
  }

  /// Appends the first `count` claimed elements, at most as many as were claimed.
  void commit_write(std::size_t count) { indices_.produced(capacity(), count); }

  /// Appends one element; false when the ring is full.
  [[nodiscard]] bool push(const Element& element) {
    const RingExtent free = indices_.writable(capacity(), 1);
    if (free.count == 0) {
      return false;
    }
    memory_[free.offset] = element;
    indices_.produced(capacity(), 1);
    return true;
  }

  /// Appends what fits, from the start of `data`; returns how much.
  std::size_t write(std::span<const Element> data) {
    const RingExtent free = indices_.writable(capacity(), data.size());
    if (is_linear(free, data.size())) [[likely]] {
      ring_copy<most>(memory_.data() + free.offset, data.data(), data.size());
      indices_.produced(capacity(), data.size());
      return data.size();
    }
    return write_in_pieces(data);
  }
  std::size_t write(std::string_view text)
    requires std::same_as<Element, std::byte>
  {
    return write(std::as_bytes(std::span(text)));
  }

  // --- The reader ---

  /// All content, oldest first. The other thread's progress is looked at only if less than `wanted`
  /// is known to be there.
  [[nodiscard]] RingPieces<const Element> claim_read(std::size_t wanted = ring_everything) const {
    return pieces<const Element>(memory_, indices_.readable(capacity(), wanted));
  }

  /// Removes the `count` oldest elements, at most as many as were claimed.
  void commit_read(std::size_t count) { indices_.consumed(capacity(), count); }

  /// Removes the oldest element into `element`; false when there is none.
  [[nodiscard]] bool pop(Element& element) {
    const RingExtent filled = indices_.readable(capacity(), 1);
    if (filled.count == 0) {
      return false;
    }
    element = memory_[filled.offset];
    indices_.consumed(capacity(), 1);
    return true;
  }

  /// Removes the oldest elements into `out`, as many as there are and fit; returns how many.
  std::size_t read(std::span<Element> out) {
    const RingExtent filled = indices_.readable(capacity(), out.size());
    if (is_linear(filled, out.size())) [[likely]] {
      ring_copy<most>(out.data(), memory_.data() + filled.offset, out.size());
      indices_.consumed(capacity(), out.size());
      return out.size();
    }
    return read_in_pieces(out);
  }

  /// Copies into `out` what comes after the `skipped` oldest elements, as many as there are and
  /// fit, and removes nothing; returns how many, 0 if there is nothing after them.
  std::size_t peek(std::span<Element> out, std::size_t skipped = 0) const {
    const auto content = claim_read(out.size() + std::min(skipped, capacity()));
    if (skipped >= content.size()) {
      return 0;
    }
    const std::size_t count = std::min(out.size(), content.size() - skipped);
    ring_copy(out.first(count), content.without_first(skipped));
    return count;
  }

  /// Removes the `count` oldest elements, or all if there are fewer; returns how many.
  std::size_t skip(std::size_t count) {
    count = std::min(count, indices_.readable(capacity(), count).count);
    indices_.consumed(capacity(), count);
    return count;
  }

  /// Where `sequence` is found first, counted from the oldest byte, at `from` or later. An empty
  /// sequence is found at `from`, if there is so much. Takes size() × sequence.size() comparisons
  /// at worst, and about size() / 32 usually.
  [[nodiscard]] std::optional<std::size_t> find(std::span<const Element> sequence,
                                                std::size_t from = 0) const
    requires std::same_as<Element, std::byte>
  {
    const auto content = claim_read();
    if (sequence.size() > content.size() || from > content.size() - sequence.size()) {
      return std::nullopt;
    }
    if (sequence.empty()) {
      return from;
    }
    const std::size_t last = content.size() - sequence.size();
    for (std::size_t at = from; at <= last; ++at) {
      at += distance_to(sequence.front(), content.without_first(at));
      if (at <= last && starts_with(content.without_first(at), sequence)) {
        return at;
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] std::optional<std::size_t> find(std::string_view text, std::size_t from = 0) const
    requires std::same_as<Element, std::byte>
  {
    return find(std::as_bytes(std::span(text)), from);
  }

  // --- Who is writer and reader at once; with two threads, while the other one rests ---

  /// Appends all of `data`, and makes room for it by removing the oldest elements. Of data longer
  /// than the ring only its end is kept. Returns how many elements are lost, of the ring's and of
  /// `data` together.
  std::size_t overwrite(std::span<const Element> data) {
    const std::size_t unkept = data.size() - std::min(data.size(), capacity());
    data = data.subspan(unkept);
    const std::size_t removed = data.size() - std::min(data.size(), space());
    skip(removed);
    write(data);
    return unkept + removed;
  }

  /// Removes everything; what is written next is in one piece.
  void clear() { indices_.clear(); }

 private:
  /// What it can hold, as far as the compiler knows.
  static constexpr std::size_t most = [] {
    if constexpr (owning) {
      return std::tuple_size_v<Memory>;
    } else {
      return ring_everything;
    }
  }();

  /// Whether the first `count` elements are there, and in one piece.
  [[nodiscard]] bool is_linear(RingExtent extent, std::size_t count) const {
    return count <= std::min(extent.count, capacity() - extent.offset);
  }

  template <class T, class Storage>
  static RingPieces<T> pieces(Storage& memory, RingExtent extent) {
    const std::span<T> all(memory);
    const std::size_t first = std::min(extent.count, all.size() - extent.offset);
    return {all.subspan(extent.offset).first(first), all.first(extent.count - first)};
  }

  // Apart, so that the way that is nearly always taken can be inlined. Nothing is not committed:
  // who asks again and again must not disturb the other thread by stores.
  [[gnu::noinline]] std::size_t write_in_pieces(std::span<const Element> data) {
    const auto free = claim_write(data.size());
    const std::size_t count = std::min(data.size(), free.size());
    if (count > 0) {
      ring_copy(free, data.first(count));
      commit_write(count);
    }
    return count;
  }
  [[gnu::noinline]] std::size_t read_in_pieces(std::span<Element> out) {
    const std::size_t count = peek(out);
    if (count > 0) {
      commit_read(count);
    }
    return count;
  }

  /// Until the first such byte, or the end.
  static std::size_t distance_to(std::byte byte, RingPieces<const std::byte> content) {
    std::size_t passed = 0;
    for (const auto& piece : {content.first, content.second}) {
      if (!piece.empty()) {
        const void* found = std::memchr(piece.data(), std::to_integer<int>(byte), piece.size());
        if (found) {
          return passed +
                 static_cast<std::size_t>(static_cast<const std::byte*>(found) - piece.data());
        }
      }
      passed += piece.size();
    }
    return passed;
  }
  /// The content is at least as long as the sequence.
  static bool starts_with(RingPieces<const std::byte> content,
                          std::span<const std::byte> sequence) {
    const std::size_t first = std::min(sequence.size(), content.first.size());
    return std::ranges::equal(sequence.first(first), content.first.first(first)) &&
           std::ranges::equal(sequence.subspan(first),
                              content.second.first(sequence.size() - first));
  }

  static_assert(RingIndices<Indices>);
  // Before the memory: indices that keep to cache lines of their own make the memory do so, too.
  Indices indices_{};
  Memory memory_{};
};

}  // namespace millrace
