/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: The Millrace contributors */

/* Both C faces of the rings as a C program uses them, with static memory only. */

#include <lwrb/lwrb.h>
#include <stdio.h>
#include <zephyr/sys/ring_buffer.h>

static int failures;
#define CHECK(condition) \
  ((condition) ? (void)0 : (void)(++failures, printf("line %d: %s\n", __LINE__, #condition)))

static uint8_t lwrb_memory[8 + 1];
static lwrb_t lwrb_ring;
static lwrb_sz_t events[3];

static void on_event(struct lwrb* buff, lwrb_evt_type_t type, lwrb_sz_t count) {
  CHECK(lwrb_get_arg(buff) == events);
  events[type] += count;
}

static void use_lwrb(void) {
  char out[9] = {0};
  lwrb_sz_t count = 0;
  CHECK(lwrb_init(&lwrb_ring, lwrb_memory, sizeof lwrb_memory) == 1);
  lwrb_set_evt_fn(&lwrb_ring, on_event);
  lwrb_set_arg(&lwrb_ring, events);
  CHECK(lwrb_write(&lwrb_ring, "abcdefgh", 8) == 8);
  CHECK(lwrb_write_ex(&lwrb_ring, "i", 1, &count, LWRB_FLAG_WRITE_ALL) == 0);
  CHECK(lwrb_read(&lwrb_ring, out, 5) == 5 && memcmp(out, "abcde", 5) == 0);
  CHECK(lwrb_write(&lwrb_ring, "ijk", 3) == 3);
  CHECK(lwrb_find(&lwrb_ring, "hij", 3, 0, &count) == 1 && count == 2);
  CHECK(lwrb_overwrite(&lwrb_ring, "lmno", 4) == 4);
  CHECK(lwrb_peek(&lwrb_ring, 1, out, sizeof out) == 7 && memcmp(out, "ijklmno", 7) == 0);
  CHECK(lwrb_read_ex(&lwrb_ring, out, 8, &count, LWRB_FLAG_READ_ALL) == 1 && count == 8);
  CHECK(events[LWRB_EVT_WRITE] == 15 && events[LWRB_EVT_READ] == 15);
  lwrb_ring.r_ptr = 3;
  lwrb_ring.w_ptr = 5;
  CHECK(lwrb_get_full(&lwrb_ring) == 2);
  lwrb_reset(&lwrb_ring);
  CHECK(lwrb_get_free(&lwrb_ring) == 8);
}

RING_BUF_DECLARE(bytes, 5);
RING_BUF_ITEM_DECLARE(items, 4);
RING_BUF_ITEM_DECLARE_POW2(more_items, 3);
static struct ring_buf plain;
static uint8_t plain_memory[3];
static struct ring_buf with_init = RING_BUF_INIT(plain_memory, sizeof plain_memory);

static void use_zephyr(void) {
  uint8_t* claimed = NULL;
  uint8_t out[5];
  uint32_t words[2] = {1, 2};
  uint16_t type = 0;
  uint8_t value = 0;
  uint8_t count = 1;
  CHECK(ring_buf_put(&bytes, (const uint8_t*)"abcdef", 6) == 5);
  CHECK(ring_buf_peek(&bytes, out, 2) == 2 && out[1] == 'b');
  CHECK(ring_buf_get_claim(&bytes, &claimed, 3) == 3 && claimed[2] == 'c');
  CHECK(ring_buf_get_finish(&bytes, 4) == -EINVAL);
  CHECK(ring_buf_get_finish(&bytes, 3) == 0);
  CHECK(ring_buf_put_claim(&bytes, &claimed, 2) == 2);
  CHECK(ring_buf_put_finish(&bytes, 2) == 0);
  CHECK(ring_buf_size_get(&bytes) == 4);
  CHECK(ring_buf_item_put(&items, 7, 8, words, 2) == 0);
  CHECK(ring_buf_item_put(&items, 7, 8, words, 1) == -EMSGSIZE);
  CHECK(ring_buf_item_get(&items, &type, &value, words, &count) == -EMSGSIZE && count == 2);
  CHECK(ring_buf_item_get(&items, &type, &value, words, &count) == 0 && type == 7 && value == 8);
  CHECK(ring_buf_item_get(&items, &type, &value, words, &count) == -EAGAIN);
  CHECK(ring_buf_item_space_get(&more_items) == 8);
  CHECK(ring_buf_capacity_get(&with_init) == 3);
  ring_buf_init(&plain, sizeof plain_memory, plain_memory);
  CHECK(ring_buf_is_empty(&plain));
}

int main(void) {
  use_lwrb();
  use_zephyr();
  return failures != 0;
}
