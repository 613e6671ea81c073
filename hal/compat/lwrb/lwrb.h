/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: The Millrace contributors */

/*
 * The interface of LwRB 3.2 (https://github.com/MaJerle/lwrb) over Millrace's ring, for C11 and for
 * C++11 or newer: programs written for LwRB compile with this header and behave the same. Put
 * hal/compat on the include path and write #include "lwrb/lwrb.h". `make LWRB=/path` takes the
 * original in place of this; objects compiled with either header can be mixed, as lwrb_t has the
 * same layout.
 *
 * A ring over `size` bytes of given memory holds size - 1. One thread (or interrupt) may write
 * while another one reads: "writer" and "reader" below. Where neither is named, both must rest.
 *
 * Every function accepts a null ring, or one that is not ready, and then returns 0 or null.
 * Functions that move something call the event function afterwards, in the caller's thread.
 * None waits, none allocates; each costs some nanoseconds and copying what it copies.
 */
#ifndef MILLRACE_COMPAT_LWRB_H
#define MILLRACE_COMPAT_LWRB_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* LWRB_DISABLE_ATOMIC is for programs whose compiler has no atomic types; the layout is the same. */
#if defined(LWRB_DISABLE_ATOMIC)
typedef unsigned long lwrb_sz_atomic_t;
#elif defined(__cplusplus)
#include <atomic>
typedef std::atomic<unsigned long> lwrb_sz_atomic_t;
#else
#include <stdatomic.h>
typedef atomic_ulong lwrb_sz_atomic_t;
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef unsigned long lwrb_sz_t; /* bytes */

typedef enum {
  LWRB_EVT_READ,  /* bytes were read or skipped */
  LWRB_EVT_WRITE, /* bytes were written or advanced over */
  LWRB_EVT_RESET, /* the ring was emptied */
} lwrb_evt_type_t;

struct lwrb;

/* What happened to `buff`; `bp` bytes were moved, 0 for a reset. */
typedef void (*lwrb_evt_fn)(struct lwrb* buff, lwrb_evt_type_t evt, lwrb_sz_t bp);

#define LWRB_FLAG_READ_ALL UINT16_C(0x0001)
#define LWRB_FLAG_WRITE_ALL UINT16_C(0x0001)

/* A ring. Ready once lwrb_init() has succeeded. */
typedef struct lwrb {
  uint8_t* buff;          /* its memory; null: not ready */
  lwrb_sz_t size;         /* of the memory: one more than the ring can hold */
  lwrb_sz_atomic_t r_ptr; /* offset that is read next, less than size; equal to w_ptr: empty */
  lwrb_sz_atomic_t w_ptr; /* offset that is written next, less than size */
  lwrb_evt_fn evt_fn;     /* told of events; may be null */
  void* arg;              /* the owner's, see lwrb_set_arg() */
} lwrb_t;

/* Makes `buff` an empty ring over `size` bytes at `buffdata`, without an event function. Returns 1,
   or 0 if a pointer is null or `size` is 0. */
uint8_t lwrb_init(lwrb_t* buff, void* buffdata, lwrb_sz_t size);
/* 1 if the ring can be used, else 0. */
uint8_t lwrb_is_ready(lwrb_t* buff);
/* Takes the memory away from the ring, which is then not ready; nothing is deallocated. */
void lwrb_free(lwrb_t* buff);
/* Empties the ring. */
void lwrb_reset(lwrb_t* buff);
/* Sets the event function, or none if it is null. */
void lwrb_set_evt_fn(lwrb_t* buff, lwrb_evt_fn fn);
/* Keeps a pointer for the owner, who gets it back by lwrb_get_arg(), say in the event function. */
void lwrb_set_arg(lwrb_t* buff, void* arg);
void* lwrb_get_arg(lwrb_t* buff);

/* Appends as much of the `btw` bytes at `data` as fits; returns how much. Writer. */
lwrb_sz_t lwrb_write(lwrb_t* buff, const void* data, lwrb_sz_t btw);
/* Removes up to `btr` of the oldest bytes into `data`; returns how many. Reader. */
lwrb_sz_t lwrb_read(lwrb_t* buff, void* data, lwrb_sz_t btr);
/* Copies up to `btp` bytes into `data`, from the one after the `skip_count` oldest on, and removes
   nothing; returns how many. Reader. */
lwrb_sz_t lwrb_peek(const lwrb_t* buff, lwrb_sz_t skip_count, void* data, lwrb_sz_t btp);

/* As lwrb_write() and lwrb_read(), but they return 1 if anything was moved, else 0, and put how
   much into the fourth argument, unless it is null or nothing was moved. With LWRB_FLAG_WRITE_ALL
   or LWRB_FLAG_READ_ALL, all that is asked for is moved, or nothing. */
uint8_t lwrb_write_ex(lwrb_t* buff, const void* data, lwrb_sz_t btw, lwrb_sz_t* bwritten,
                      uint16_t flags);
uint8_t lwrb_read_ex(lwrb_t* buff, void* data, lwrb_sz_t btr, lwrb_sz_t* bread, uint16_t flags);

/* How many bytes can be written. More may be, by the time the writer asks. */
lwrb_sz_t lwrb_get_free(const lwrb_t* buff);
/* How many bytes can be read. More may be, by the time the reader asks. */
lwrb_sz_t lwrb_get_full(const lwrb_t* buff);

/* The oldest bytes, up to the end of the memory: where they are and how many. Reader. */
void* lwrb_get_linear_block_read_address(const lwrb_t* buff);
lwrb_sz_t lwrb_get_linear_block_read_length(const lwrb_t* buff);
/* Removes up to `len` of the oldest bytes; returns how many. An event follows even if there were
   none, unless `len` is 0. Reader. */
lwrb_sz_t lwrb_skip(lwrb_t* buff, lwrb_sz_t len);

/* The free bytes that are written next, up to the end of the memory. Writer. */
void* lwrb_get_linear_block_write_address(const lwrb_t* buff);
lwrb_sz_t lwrb_get_linear_block_write_length(const lwrb_t* buff);
/* Appends up to `len` bytes that were put there already, by DMA say; returns how many. An event
   follows even if there was no room, unless `len` is 0. Writer. */
lwrb_sz_t lwrb_advance(lwrb_t* buff, lwrb_sz_t len);

/* Looks for the `len` bytes at `bts` from the one after the `start_offset` oldest on. Returns 1 and
   where they start, counted from the oldest byte; otherwise 0, and sets it to 0. No pointer may be
   null and `len` may not be 0: this returns 0, too, and sets nothing. Reader. */
uint8_t lwrb_find(const lwrb_t* buff, const void* bts, lwrb_sz_t len, lwrb_sz_t start_offset,
                  lwrb_sz_t* found_idx);
/* Appends all `btw` bytes at `data` and removes as many of the oldest as that takes. If there are
   more than the ring holds, it is reset and gets the last ones. Returns `btw`. */
lwrb_sz_t lwrb_overwrite(lwrb_t* buff, const void* data, lwrb_sz_t btw);
/* Moves as much from `src` to `dest` as is there and fits; returns how much. Both the reader of
   `src` and the writer of `dest`. */
lwrb_sz_t lwrb_move(lwrb_t* dest, lwrb_t* src);

#ifdef __cplusplus
}
#endif

#endif
