// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/compat/lwrb/lwrb.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "hal/ring.hpp"

static_assert(sizeof(lwrb_sz_atomic_t) == sizeof(unsigned long), "as in C");
static_assert(sizeof(lwrb_sz_t) == sizeof(std::size_t));

namespace {

using millrace::ring_offset;
using millrace::RingExtent;

/// Positions as LwRB has them: offsets in the memory. As equal ones mean empty, one byte of the
/// memory stays unused.
template <class Buffer>  // lwrb_t, or const lwrb_t for what only looks
class LwrbIndices {
 public:
  explicit LwrbIndices(Buffer& buffer) : buffer_(&buffer) {}

  [[nodiscard]] RingExtent readable(std::size_t capacity, std::size_t /*wanted*/) const {
    const std::size_t read = buffer_->r_ptr.load(std::memory_order_relaxed);
    const std::size_t written = buffer_->w_ptr.load(std::memory_order_acquire);
    return {read, distance(read, written, capacity)};
  }
  [[nodiscard]] RingExtent writable(std::size_t capacity, std::size_t /*wanted*/) const {
    const std::size_t written = buffer_->w_ptr.load(std::memory_order_relaxed);
    const std::size_t read = buffer_->r_ptr.load(std::memory_order_acquire);
    return {written, capacity - 1 - distance(read, written, capacity)};
  }
  void consumed(std::size_t capacity, std::size_t count) {
    advance(buffer_->r_ptr, count, capacity);
  }
  void produced(std::size_t capacity, std::size_t count) {
    advance(buffer_->w_ptr, count, capacity);
  }

 private:
  static std::size_t distance(std::size_t from, std::size_t to, std::size_t capacity) {
    return to >= from ? to - from : capacity - (from - to);
  }
  static void advance(lwrb_sz_atomic_t& pointer, std::size_t count, std::size_t capacity) {
    pointer.store(ring_offset(pointer.load(std::memory_order_relaxed) + count, capacity),
                  std::memory_order_release);
  }

  Buffer* buffer_;
};

template <class Buffer>
auto ring_of(Buffer& buffer) {
  return millrace::Ring<std::span<std::byte>, LwrbIndices<Buffer>>(
      std::as_writable_bytes(std::span(buffer.buff, buffer.size)), LwrbIndices(buffer));
}

bool ready(const lwrb_t* buff) {
  return buff != nullptr && buff->buff != nullptr && buff->size > 0;
}

std::span<const std::byte> bytes(const void* data, std::size_t count) {
  return {static_cast<const std::byte*>(data), count};
}
std::span<std::byte> bytes(void* data, std::size_t count) {
  return {static_cast<std::byte*>(data), count};
}

void tell(lwrb_t& buffer, lwrb_evt_type_t event, std::size_t count) {
  if (buffer.evt_fn) {
    buffer.evt_fn(&buffer, event, count);
  }
}

}  // namespace

uint8_t lwrb_init(lwrb_t* buff, void* buffdata, lwrb_sz_t size) {
  if (!buff || !buffdata || size == 0) {
    return 0;
  }
  buff->evt_fn = nullptr;
  buff->size = size;
  buff->buff = static_cast<std::uint8_t*>(buffdata);
  buff->w_ptr.store(0, std::memory_order_relaxed);
  buff->r_ptr.store(0, std::memory_order_relaxed);
  return 1;
}

uint8_t lwrb_is_ready(lwrb_t* buff) { return ready(buff) ? 1 : 0; }

void lwrb_free(lwrb_t* buff) {
  if (ready(buff)) {
    buff->buff = nullptr;
  }
}

void lwrb_reset(lwrb_t* buff) {
  if (ready(buff)) {
    buff->w_ptr.store(0, std::memory_order_release);
    buff->r_ptr.store(0, std::memory_order_release);
    tell(*buff, LWRB_EVT_RESET, 0);
  }
}

void lwrb_set_evt_fn(lwrb_t* buff, lwrb_evt_fn fn) {
  if (ready(buff)) {
    buff->evt_fn = fn;
  }
}

void lwrb_set_arg(lwrb_t* buff, void* arg) {
  if (ready(buff)) {
    buff->arg = arg;
  }
}

void* lwrb_get_arg(lwrb_t* buff) { return buff ? buff->arg : nullptr; }

uint8_t lwrb_write_ex(lwrb_t* buff, const void* data, lwrb_sz_t btw, lwrb_sz_t* bwritten,
                      uint16_t flags) {
  if (!ready(buff) || !data || btw == 0) {
    return 0;
  }
  if ((flags & LWRB_FLAG_WRITE_ALL) != 0 && lwrb_get_free(buff) < btw) {
    return 0;
  }
  const std::size_t count = ring_of(*buff).write(bytes(data, btw));
  if (count == 0) {
    return 0;
  }
  tell(*buff, LWRB_EVT_WRITE, count);
  if (bwritten) {
    *bwritten = count;
  }
  return 1;
}

lwrb_sz_t lwrb_write(lwrb_t* buff, const void* data, lwrb_sz_t btw) {
  lwrb_sz_t count = 0;
  lwrb_write_ex(buff, data, btw, &count, 0);
  return count;
}

uint8_t lwrb_read_ex(lwrb_t* buff, void* data, lwrb_sz_t btr, lwrb_sz_t* bread, uint16_t flags) {
  if (!ready(buff) || !data || btr == 0) {
    return 0;
  }
  if ((flags & LWRB_FLAG_READ_ALL) != 0 && lwrb_get_full(buff) < btr) {
    return 0;
  }
  const std::size_t count = ring_of(*buff).read(bytes(data, btr));
  if (count == 0) {
    return 0;
  }
  tell(*buff, LWRB_EVT_READ, count);
  if (bread) {
    *bread = count;
  }
  return 1;
}

lwrb_sz_t lwrb_read(lwrb_t* buff, void* data, lwrb_sz_t btr) {
  lwrb_sz_t count = 0;
  lwrb_read_ex(buff, data, btr, &count, 0);
  return count;
}

lwrb_sz_t lwrb_peek(const lwrb_t* buff, lwrb_sz_t skip_count, void* data, lwrb_sz_t btp) {
  return ready(buff) && data ? ring_of(*buff).peek(bytes(data, btp), skip_count) : 0;
}

lwrb_sz_t lwrb_get_free(const lwrb_t* buff) {
  return ready(buff) ? ring_of(*buff).claim_write().size() : 0;
}

lwrb_sz_t lwrb_get_full(const lwrb_t* buff) {
  return ready(buff) ? ring_of(*buff).claim_read().size() : 0;
}

void* lwrb_get_linear_block_read_address(const lwrb_t* buff) {
  return ready(buff) ? buff->buff + buff->r_ptr.load(std::memory_order_relaxed) : nullptr;
}

lwrb_sz_t lwrb_get_linear_block_read_length(const lwrb_t* buff) {
  return ready(buff) ? ring_of(*buff).claim_read().first.size() : 0;
}

lwrb_sz_t lwrb_skip(lwrb_t* buff, lwrb_sz_t len) {
  if (!ready(buff) || len == 0) {
    return 0;
  }
  const std::size_t count = ring_of(*buff).skip(len);
  tell(*buff, LWRB_EVT_READ, count);
  return count;
}

void* lwrb_get_linear_block_write_address(const lwrb_t* buff) {
  return ready(buff) ? buff->buff + buff->w_ptr.load(std::memory_order_relaxed) : nullptr;
}

lwrb_sz_t lwrb_get_linear_block_write_length(const lwrb_t* buff) {
  return ready(buff) ? ring_of(*buff).claim_write().first.size() : 0;
}

lwrb_sz_t lwrb_advance(lwrb_t* buff, lwrb_sz_t len) {
  if (!ready(buff) || len == 0) {
    return 0;
  }
  const lwrb_sz_t count = std::min(len, lwrb_get_free(buff));
  ring_of(*buff).commit_write(count);
  tell(*buff, LWRB_EVT_WRITE, count);
  return count;
}

uint8_t lwrb_find(const lwrb_t* buff, const void* bts, lwrb_sz_t len, lwrb_sz_t start_offset,
                  lwrb_sz_t* found_idx) {
  if (!ready(buff) || !bts || len == 0 || !found_idx) {
    return 0;
  }
  const auto found = ring_of(*buff).find(bytes(bts, len), start_offset);
  *found_idx = found.value_or(0);
  return found ? 1 : 0;
}

lwrb_sz_t lwrb_overwrite(lwrb_t* buff, const void* data, lwrb_sz_t btw) {
  if (!ready(buff) || !data || btw == 0) {
    return 0;
  }
  const lwrb_sz_t most = buff->size - 1;
  const lwrb_sz_t kept = std::min(btw, most);
  if (kept < btw) {
    lwrb_reset(buff);
  } else {
    lwrb_skip(buff, kept - std::min(kept, lwrb_get_free(buff)));
  }
  lwrb_write(buff, bytes(data, btw).last(kept).data(), kept);
  return btw;
}

lwrb_sz_t lwrb_move(lwrb_t* dest, lwrb_t* src) {
  const lwrb_sz_t all = std::min(lwrb_get_full(src), lwrb_get_free(dest));
  lwrb_sz_t left = all;
  while (left > 0) {
    const lwrb_sz_t count = std::min(
        {left, lwrb_get_linear_block_read_length(src), lwrb_get_linear_block_write_length(dest)});
    if (count == 0) {
      return 0;  // an event function has used the rings meanwhile
    }
    // Not memcpy: a ring may be moved into itself.
    std::memmove(lwrb_get_linear_block_write_address(dest), lwrb_get_linear_block_read_address(src),
                 count);
    lwrb_advance(dest, count);
    lwrb_skip(src, count);
    left -= count;
  }
  return all;
}
