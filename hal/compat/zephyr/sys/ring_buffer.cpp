// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/compat/zephyr/sys/ring_buffer.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "hal/ring.hpp"

namespace {

using millrace::ring_copy;
using millrace::ring_offset;
using millrace::RingExtent;

using Position = std::atomic_ref<ring_buf_idx_t>;

// The fields are plain as C and static initialisers want it. Only `tail` is read by the other side.
ring_buf_idx_t tail_of(const ring_buf_index& other) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): atomic_ref<const T> comes with C++26
  return Position(const_cast<ring_buf_idx_t&>(other.tail)).load(std::memory_order_acquire);
}

std::size_t offset_of_head(const ring_buf_index& side, std::size_t capacity) {
  return ring_offset(side.head - side.base, capacity);
}

/// Finishes `count` bytes, claimed or not, and gives back all other claims.
void finish(ring_buf_index& side, std::size_t count, std::size_t capacity) {
  const auto tail = static_cast<ring_buf_idx_t>(side.tail + count);
  side.head = tail;
  if (tail - side.base >= capacity) {
    side.base += static_cast<ring_buf_idx_t>(capacity);
  }
  Position(side.tail).store(tail, std::memory_order_release);
}

/// Positions as Zephyr has them: numbers that just go on, and where the current lap began.
template <class Buffer>  // ring_buf, or const ring_buf for what only looks
class ZephyrIndices {
 public:
  explicit ZephyrIndices(Buffer& buffer) : buffer_(&buffer) {}

  [[nodiscard]] RingExtent readable(std::size_t capacity, std::size_t /*wanted*/) const {
    return {offset_of_head(buffer_->get, capacity), tail_of(buffer_->put) - buffer_->get.head};
  }
  [[nodiscard]] RingExtent writable(std::size_t capacity, std::size_t /*wanted*/) const {
    const ring_buf_idx_t used = buffer_->put.head - tail_of(buffer_->get);
    return {offset_of_head(buffer_->put, capacity), capacity - used};
  }
  void consumed(std::size_t capacity, std::size_t count) { finish(buffer_->get, count, capacity); }
  void produced(std::size_t capacity, std::size_t count) { finish(buffer_->put, count, capacity); }

 private:
  Buffer* buffer_;
};

template <class Buffer>
auto ring_of(Buffer& buffer) {
  return millrace::Ring<std::span<std::byte>, ZephyrIndices<Buffer>>(
      std::as_writable_bytes(std::span(buffer.buffer, buffer.size)), ZephyrIndices(buffer));
}

std::uint32_t claim(const ring_buf& buf, ring_buf_index& side, std::size_t available,
                    std::uint8_t** data, std::uint32_t size) {
  *data = buf.buffer + offset_of_head(side, buf.size);
  const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(size, available));
  side.head += count;
  return count;
}

int finish_claimed(const ring_buf& buf, ring_buf_index& side, std::uint32_t size) {
  if (size > side.head - side.tail) {
    return -EINVAL;
  }
  finish(side, size, buf.size);
  return 0;
}

template <class T>
auto bytes(T* data, std::size_t count) {
  if constexpr (std::is_const_v<T>) {
    return std::as_bytes(std::span(data, count));
  } else {
    return std::as_writable_bytes(std::span(data, count));
  }
}

/// Precedes each item's words, in one word.
struct ItemHeader {
  std::uint16_t type;
  std::uint8_t length;
  std::uint8_t value;
};
static_assert(sizeof(ItemHeader) == sizeof(std::uint32_t));

}  // namespace

void ring_buf_init(struct ring_buf* buf, uint32_t size, uint8_t* data) {
  buf->size = size;
  buf->buffer = data;
  ring_buf_reset(buf);
}

void ring_buf_item_init(struct ring_buf* buf, uint32_t size, uint32_t* data) {
  ring_buf_init(buf, 4 * size, reinterpret_cast<std::uint8_t*>(data));
}

void ring_buf_reset(struct ring_buf* buf) { ring_buf_internal_reset(buf, 0); }

void ring_buf_internal_reset(struct ring_buf* buf, ring_buf_idx_t value) {
  buf->put = buf->get = {.head = value, .tail = value, .base = value};
}

bool ring_buf_is_empty(const struct ring_buf* buf) { return ring_buf_size_get(buf) == 0; }

uint32_t ring_buf_space_get(const struct ring_buf* buf) {
  return buf->size - (buf->put.head - tail_of(buf->get));
}

uint32_t ring_buf_item_space_get(const struct ring_buf* buf) { return ring_buf_space_get(buf) / 4; }

uint32_t ring_buf_capacity_get(const struct ring_buf* buf) { return buf->size; }

uint32_t ring_buf_size_get(const struct ring_buf* buf) { return tail_of(buf->put) - buf->get.head; }

uint32_t ring_buf_put_claim(struct ring_buf* buf, uint8_t** data, uint32_t size) {
  return claim(*buf, buf->put, ring_of(*buf).claim_write().first.size(), data, size);
}

int ring_buf_put_finish(struct ring_buf* buf, uint32_t size) {
  return finish_claimed(*buf, buf->put, size);
}

uint32_t ring_buf_put(struct ring_buf* buf, const uint8_t* data, uint32_t size) {
  return static_cast<std::uint32_t>(ring_of(*buf).write(bytes(data, size)));
}

uint32_t ring_buf_get_claim(struct ring_buf* buf, uint8_t** data, uint32_t size) {
  return claim(*buf, buf->get, ring_of(*buf).claim_read().first.size(), data, size);
}

int ring_buf_get_finish(struct ring_buf* buf, uint32_t size) {
  return finish_claimed(*buf, buf->get, size);
}

uint32_t ring_buf_get(struct ring_buf* buf, uint8_t* data, uint32_t size) {
  auto ring = ring_of(*buf);
  return static_cast<std::uint32_t>(data ? ring.read(bytes(data, size)) : ring.skip(size));
}

uint32_t ring_buf_peek(struct ring_buf* buf, uint8_t* data, uint32_t size) {
  const std::size_t count = ring_of(*buf).peek(bytes(data, size));
  buf->get.head = buf->get.tail;
  return static_cast<std::uint32_t>(count);
}

int ring_buf_item_put(struct ring_buf* buf, uint16_t type, uint8_t value, uint32_t* data,
                      uint8_t size32) {
  const ItemHeader header = {.type = type, .length = size32, .value = value};
  const auto words = bytes(data, size32);
  auto ring = ring_of(*buf);
  const auto free = ring.claim_write();
  if (free.size() < sizeof header + words.size()) {
    return -EMSGSIZE;
  }
  ring_copy(free, bytes(&header, 1));
  ring_copy(free.without_first(sizeof header), words);
  ring.commit_write(sizeof header + words.size());
  return 0;
}

int ring_buf_item_get(struct ring_buf* buf, uint16_t* type, uint8_t* value, uint32_t* data,
                      uint8_t* size32) {
  auto ring = ring_of(*buf);
  const auto content = ring.claim_read();
  if (content.empty()) {
    return -EAGAIN;
  }
  ItemHeader header{};
  ring_copy(bytes(&header, 1), content);
  const std::uint8_t room = *size32;
  *size32 = header.length;
  if (data && header.length > room) {
    ring_buf_get_finish(buf, 0);
    return -EMSGSIZE;
  }
  *type = header.type;
  *value = header.value;
  if (data) {
    ring_copy(bytes(data, header.length), content.without_first(sizeof header));
  }
  ring.commit_read(sizeof header + std::size_t{4} * header.length);
  return 0;
}
