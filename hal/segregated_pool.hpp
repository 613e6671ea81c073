// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace millrace {

/// Blocks of any size out of one fixed piece of memory (segregated free lists). A block that was
/// given back waits for the next one of its size; none is ever split or joined. So every call takes
/// the same short time, and the memory can't fragment: what it has to hold is, size by size, the
/// most blocks that were ever held at once, whatever happened in between. For objects of few
/// different sizes that come and go. For one thread.
class SegregatedPool {
 public:
  static constexpr std::size_t alignment = 16;  ///< of every block; sizes are rounded up to it
  static constexpr std::size_t overhead = 8;    ///< bytes of a block that are not the caller's
  static constexpr std::size_t largest = 4096 - overhead;  ///< bytes of one block

  /// All in bytes, the blocks' overhead included, except the two counts.
  struct Statistics {
    std::size_t capacity = 0;
    std::size_t used = 0;         ///< held at the moment
    std::size_t high_water = 0;   ///< ever taken from the memory; the rest has never been touched
    std::uint64_t allocated = 0;  ///< blocks handed out since the start
    std::uint64_t refused = 0;    ///< blocks that could not be handed out
  };

  /// Without memory it refuses everything.
  constexpr SegregatedPool() = default;
  /// `memory` must outlive the pool.
  explicit SegregatedPool(std::span<std::byte> memory);

  /// At least `size` bytes of any content; a size of 0 is a block as well. Null if there is no room
  /// or `size` is more than `largest`: counted.
  [[nodiscard]] void* allocate(std::size_t size);

  /// Gives a block back. Null is ignored; ends the process by abort() if `block` is no block that
  /// is held, as nothing good can come after that.
  void release(void* block);

  [[nodiscard]] Statistics statistics() const { return statistics_; }

 private:
  struct Header;

  [[nodiscard]] Header* header_at(std::uint32_t offset) const;
  [[nodiscard]] Header* take(std::size_t units);

  std::byte* begin_ = nullptr;
  Statistics statistics_;
  /// For each size in units of `alignment`, the offset of the first free block; 0 is none.
  std::array<std::uint32_t, (largest + overhead) / alignment + 1> free_{};
};

}  // namespace millrace
