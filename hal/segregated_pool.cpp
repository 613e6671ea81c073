// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/segregated_pool.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

namespace millrace {

// In front of each block. The first one is at an offset of `overhead`, so that blocks are aligned.
struct SegregatedPool::Header {
  static constexpr std::uint32_t held = UINT32_MAX;

  std::uint32_t units;  // the block with its header, in units of `alignment`
  std::uint32_t next;   // free: the offset of the next one of this size, or 0; else `held`
};

SegregatedPool::SegregatedPool(std::span<std::byte> memory) {
  static_assert(sizeof(Header) == overhead);
  void* begin = memory.data();
  std::size_t size = std::min<std::size_t>(memory.size(), UINT32_MAX - alignment);
  if (std::align(alignment, alignment, begin, size) != nullptr) {
    begin_ = static_cast<std::byte*>(begin);
    statistics_.capacity = size - overhead;
  }
}

void* SegregatedPool::allocate(std::size_t size) {
  const std::size_t units = (size + overhead + alignment - 1) / alignment;
  Header* const header = size <= largest ? take(units) : nullptr;
  if (header == nullptr) {
    ++statistics_.refused;
    return nullptr;
  }
  header->next = Header::held;
  statistics_.used += units * alignment;
  ++statistics_.allocated;
  return header + 1;
}

void SegregatedPool::release(void* block) {
  if (block == nullptr) {
    return;
  }
  const auto offset = static_cast<std::size_t>(static_cast<std::byte*>(block) - begin_) - overhead;
  if (offset % alignment != overhead || offset >= overhead + statistics_.high_water ||
      header_at(static_cast<std::uint32_t>(offset))->next != Header::held) {
    std::abort();
  }
  Header* const header = header_at(static_cast<std::uint32_t>(offset));
  header->next = free_[header->units];
  free_[header->units] = static_cast<std::uint32_t>(offset);
  statistics_.used -= header->units * alignment;
}

SegregatedPool::Header* SegregatedPool::header_at(std::uint32_t offset) const {
  void* const place = begin_ + offset;
  return std::launder(static_cast<Header*>(place));
}

SegregatedPool::Header* SegregatedPool::take(std::size_t units) {
  if (const std::uint32_t first = free_[units]; first != 0) {
    Header* const header = header_at(first);
    free_[units] = header->next;
    return header;
  }
  if (statistics_.capacity - statistics_.high_water < units * alignment) {
    return nullptr;
  }
  std::byte* const place = begin_ + overhead + statistics_.high_water;
  statistics_.high_water += units * alignment;
  return ::new (place) Header{.units = static_cast<std::uint32_t>(units), .next = 0};
}

}  // namespace millrace
