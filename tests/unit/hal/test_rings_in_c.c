/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: The Millrace contributors */

/* Both C faces of the rings as a C program uses them, with static memory only. */

#include <lwrb/lwrb.h>
#include <zephyr/sys/ring_buffer.h>

#include "tests/support/c_test.h"

static uint8_t lwrb_memory[8 + 1];
static lwrb_t lwrb_ring;
static lwrb_sz_t events[3];

static void on_event(struct lwrb* buff, lwrb_evt_type_t type, lwrb_sz_t count) {
  EXPECT_TRUE(lwrb_get_arg(buff) == events);
  events[type] += count;
}

TEST(LwrbInC, does_what_its_functions_say) {
  char out[9] = {0};
  lwrb_sz_t count = 0;
  EXPECT_TRUE(lwrb_init(&lwrb_ring, lwrb_memory, sizeof lwrb_memory) == 1);
  lwrb_set_evt_fn(&lwrb_ring, on_event);
  lwrb_set_arg(&lwrb_ring, events);
  EXPECT_TRUE(lwrb_write(&lwrb_ring, "abcdefgh", 8) == 8);
  EXPECT_TRUE(lwrb_write_ex(&lwrb_ring, "i", 1, &count, LWRB_FLAG_WRITE_ALL) == 0);
  EXPECT_TRUE(lwrb_read(&lwrb_ring, out, 5) == 5 && memcmp(out, "abcde", 5) == 0);
  EXPECT_TRUE(lwrb_write(&lwrb_ring, "ijk", 3) == 3);
  EXPECT_TRUE(lwrb_find(&lwrb_ring, "hij", 3, 0, &count) == 1 && count == 2);
  EXPECT_TRUE(lwrb_overwrite(&lwrb_ring, "lmno", 4) == 4);
  EXPECT_TRUE(lwrb_peek(&lwrb_ring, 1, out, sizeof out) == 7 && memcmp(out, "ijklmno", 7) == 0);
  EXPECT_TRUE(lwrb_read_ex(&lwrb_ring, out, 8, &count, LWRB_FLAG_READ_ALL) == 1 && count == 8);
  EXPECT_TRUE(events[LWRB_EVT_WRITE] == 15 && events[LWRB_EVT_READ] == 15);
  lwrb_ring.r_ptr = 3;
  lwrb_ring.w_ptr = 5;
  EXPECT_TRUE(lwrb_get_full(&lwrb_ring) == 2);
  lwrb_reset(&lwrb_ring);
  EXPECT_TRUE(lwrb_get_free(&lwrb_ring) == 8);
}

RING_BUF_DECLARE(bytes, 5);
RING_BUF_ITEM_DECLARE(items, 4);
RING_BUF_ITEM_DECLARE_POW2(more_items, 3);
static struct ring_buf plain;
static uint8_t plain_memory[3];
static struct ring_buf with_init = RING_BUF_INIT(plain_memory, sizeof plain_memory);

TEST(ZephyrRingBufferInC, does_what_its_functions_say) {
  uint8_t* claimed = NULL;
  uint8_t out[5];
  uint32_t words[2] = {1, 2};
  uint16_t type = 0;
  uint8_t value = 0;
  uint8_t count = 1;
  EXPECT_TRUE(ring_buf_put(&bytes, (const uint8_t*)"abcdef", 6) == 5);
  EXPECT_TRUE(ring_buf_peek(&bytes, out, 2) == 2 && out[1] == 'b');
  EXPECT_TRUE(ring_buf_get_claim(&bytes, &claimed, 3) == 3 && claimed[2] == 'c');
  EXPECT_TRUE(ring_buf_get_finish(&bytes, 4) == -EINVAL);
  EXPECT_TRUE(ring_buf_get_finish(&bytes, 3) == 0);
  EXPECT_TRUE(ring_buf_put_claim(&bytes, &claimed, 2) == 2);
  EXPECT_TRUE(ring_buf_put_finish(&bytes, 2) == 0);
  EXPECT_TRUE(ring_buf_size_get(&bytes) == 4);
  EXPECT_TRUE(ring_buf_item_put(&items, 7, 8, words, 2) == 0);
  EXPECT_TRUE(ring_buf_item_put(&items, 7, 8, words, 1) == -EMSGSIZE);
  EXPECT_TRUE(ring_buf_item_get(&items, &type, &value, words, &count) == -EMSGSIZE && count == 2);
  EXPECT_TRUE(ring_buf_item_get(&items, &type, &value, words, &count) == 0 && type == 7 && value == 8);
  EXPECT_TRUE(ring_buf_item_get(&items, &type, &value, words, &count) == -EAGAIN);
  EXPECT_TRUE(ring_buf_item_space_get(&more_items) == 8);
  EXPECT_TRUE(ring_buf_capacity_get(&with_init) == 3);
  ring_buf_init(&plain, sizeof plain_memory, plain_memory);
  EXPECT_TRUE(ring_buf_is_empty(&plain));
}
