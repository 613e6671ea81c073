/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: The Millrace contributors */

/*
 * The interface of Zephyr's ring buffers (ring_buf_*) over Millrace's ring, for C11 and for C++11
 * or newer: code written for Zephyr's <zephyr/sys/ring_buffer.h> compiles with this header and
 * behaves the same, as with CONFIG_RING_BUFFER_LARGE. Put hal/compat on the include path.
 *
 * A ring holds bytes or items, never both. One thread may put while another one gets; in
 * difference to Zephyr's this holds for processors with weak memory ordering, too. Where neither
 * is named below, both must rest. None waits, none allocates; each costs some nanoseconds and
 * copying what it copies.
 */
#ifndef MILLRACE_COMPAT_ZEPHYR_SYS_RING_BUFFER_H
#define MILLRACE_COMPAT_ZEPHYR_SYS_RING_BUFFER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint32_t ring_buf_idx_t;

/* In bytes. */
#define RING_BUFFER_MAX_SIZE (UINT32_MAX / 2)
#define RING_BUFFER_SIZE_ASSERT_MSG "Size too big"

/* How far one end has come, counted in bytes since the start, modulo 2^32. */
struct ring_buf_index {
  ring_buf_idx_t head; /* claimed up to here */
  ring_buf_idx_t tail; /* finished up to here: the other end may use it */
  ring_buf_idx_t base; /* what lies at the start of the memory in the lap of `tail` */
};

/* A ring. Only `buffer` and `size` are for others to look at. */
struct ring_buf {
  uint8_t* buffer;
  struct ring_buf_index put;
  struct ring_buf_index get;
  uint32_t size; /* bytes, all of which can be filled */
};

/* What a ring is initialised with: an array, and its length in bytes. */
#define RING_BUF_INIT(buf, size8) {(buf), {0, 0, 0}, {0, 0, 0}, (size8)}

#ifdef __cplusplus
#define MILLRACE_RING_BUF_ASSERT(condition) static_assert(condition, RING_BUFFER_SIZE_ASSERT_MSG)
#define MILLRACE_RING_BUF_ALIGNED alignas(uint32_t)
#else
#define MILLRACE_RING_BUF_ASSERT(condition) _Static_assert(condition, RING_BUFFER_SIZE_ASSERT_MSG)
#define MILLRACE_RING_BUF_ALIGNED _Alignas(uint32_t)
#endif

/* Defines a ring of `size8` bytes, with its memory. Elsewhere: extern struct ring_buf name; */
#define RING_BUF_DECLARE(name, size8)                                            \
  MILLRACE_RING_BUF_ASSERT((size8) <= RING_BUFFER_MAX_SIZE);                     \
  static uint8_t _ring_buffer_data_##name[size8];                                \
  struct ring_buf name = RING_BUF_INIT(_ring_buffer_data_##name, size8)

/* The same for items, in words of 32 bits; RING_BUF_ITEM_DECLARE_POW2 takes the exponent of 2. */
#define RING_BUF_ITEM_DECLARE(name, size32)                                          \
  MILLRACE_RING_BUF_ASSERT((size32) <= RING_BUFFER_MAX_SIZE / 4);                    \
  MILLRACE_RING_BUF_ALIGNED static uint8_t _ring_buffer_data_##name[4 * (size32)];   \
  struct ring_buf name = RING_BUF_INIT(_ring_buffer_data_##name, 4 * (size32))
#define RING_BUF_ITEM_DECLARE_SIZE(name, size32) RING_BUF_ITEM_DECLARE(name, size32)
#define RING_BUF_ITEM_DECLARE_POW2(name, pow) RING_BUF_ITEM_DECLARE(name, 1UL << (pow))

/* How many words of 32 bits a type or an expression takes. */
#define RING_BUF_ITEM_SIZEOF(expr) ((sizeof(expr) + sizeof(uint32_t) - 1) / sizeof(uint32_t))

/* Makes `buf` an empty ring over `size` bytes at `data`. */
void ring_buf_init(struct ring_buf* buf, uint32_t size, uint8_t* data);
/* The same for items, over `size` words. */
void ring_buf_item_init(struct ring_buf* buf, uint32_t size, uint32_t* data);
/* Empties the ring; claims are void. */
void ring_buf_reset(struct ring_buf* buf);
/* The same, and counts on from `value`: for tests of the wrap-around. */
void ring_buf_internal_reset(struct ring_buf* buf, ring_buf_idx_t value);

/* Whether nothing is left to get or claim. Getting side; a snapshot for others. */
bool ring_buf_is_empty(const struct ring_buf* buf);
/* How many bytes can be put or claimed for it; in words for items. Putting side. */
uint32_t ring_buf_space_get(const struct ring_buf* buf);
uint32_t ring_buf_item_space_get(const struct ring_buf* buf);
/* How many bytes the ring has in all. */
uint32_t ring_buf_capacity_get(const struct ring_buf* buf);
/* How many bytes can be got or claimed for it. Getting side. */
uint32_t ring_buf_size_get(const struct ring_buf* buf);

/* Claims up to `size` bytes of free memory in one piece, following what is claimed already. Sets
   `data` to it and returns its length: less if there is no more up to the end of the memory.
   Putting side. */
uint32_t ring_buf_put_claim(struct ring_buf* buf, uint8_t** data, uint32_t size);
/* Appends the first `size` claimed bytes and gives back the others. Returns 0; or -EINVAL, and does
   nothing, if fewer were claimed. Putting side. */
int ring_buf_put_finish(struct ring_buf* buf, uint32_t size);
/* Appends as much of the `size` bytes at `data` as fits; returns how much. Putting side. */
uint32_t ring_buf_put(struct ring_buf* buf, const uint8_t* data, uint32_t size);

/* Claims up to `size` of the oldest bytes in one piece, following what is claimed already. Sets
   `data` to it and returns its length. Getting side. */
uint32_t ring_buf_get_claim(struct ring_buf* buf, uint8_t** data, uint32_t size);
/* Removes the first `size` claimed bytes; the others are there again. Returns 0; or -EINVAL, and
   does nothing, if fewer were claimed. Getting side. */
int ring_buf_get_finish(struct ring_buf* buf, uint32_t size);
/* Removes up to `size` of the oldest bytes into `data`, which may be null; returns how many.
   Getting side. */
uint32_t ring_buf_get(struct ring_buf* buf, uint8_t* data, uint32_t size);
/* Copies up to `size` of the oldest bytes into `data` and removes nothing; returns how many. Gives
   claims back. Getting side. */
uint32_t ring_buf_peek(struct ring_buf* buf, uint8_t* data, uint32_t size);

/* Appends an item: a type and a value of the user's, and `size32` words at `data`. Returns 0; or
   -EMSGSIZE if there is no room for it and one word more. Putting side. */
int ring_buf_item_put(struct ring_buf* buf, uint16_t type, uint8_t value, uint32_t* data,
                      uint8_t size32);
/* Removes the oldest item into what the pointers point to. `data` may be null, which drops the
   words; else it has room for `*size32`. Sets `*size32` to the words of the item and returns 0; or
   -EMSGSIZE if there is too little room, and the item stays; or -EAGAIN if there is none. Getting
   side. */
int ring_buf_item_get(struct ring_buf* buf, uint16_t* type, uint8_t* value, uint32_t* data,
                      uint8_t* size32);

#ifdef __cplusplus
}
#endif

#endif
