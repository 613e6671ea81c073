/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: The Millrace contributors */

#ifndef TESTS_SUPPORT_C_TEST_H
#define TESTS_SUPPORT_C_TEST_H

#include <stdbool.h>
#include <stdint.h>

/* Tests in C, run by GoogleTest:
 *
 *     TEST(Ring, is_empty_at_first) {
 *       ASSERT_TRUE(ring_init(&ring));
 *       EXPECT_EQ(ring_size(&ring), 0);
 *     }
 *
 * EXPECT_ goes on after a failure, ASSERT_ leaves the test. Integers are compared as intmax_t. */
#define TEST(suite, name)                                                                \
  static void suite##_##name(void);                                                      \
  __attribute__((constructor)) static void suite##_##name##_is_registered(void) {        \
    c_test_register(#suite, #name, __FILE__, __LINE__, suite##_##name);                  \
  }                                                                                      \
  static void suite##_##name(void)

#define EXPECT_TRUE(condition) \
  c_test_expect((condition) ? true : false, #condition, __FILE__, __LINE__)
#define EXPECT_EQ(a, b) \
  c_test_expect_eq((intmax_t)(a), (intmax_t)(b), #a, #b, __FILE__, __LINE__)
#define EXPECT_STREQ(a, b) c_test_expect_streq((a), (b), #a, #b, __FILE__, __LINE__)

#define ASSERT_TRUE(condition)      \
  do {                              \
    if (!EXPECT_TRUE(condition)) {  \
      return;                       \
    }                               \
  } while (0)
#define ASSERT_EQ(a, b)      \
  do {                       \
    if (!EXPECT_EQ(a, b)) {  \
      return;                \
    }                        \
  } while (0)

#ifdef __cplusplus
extern "C" {
#endif

void c_test_register(const char* suite, const char* name, const char* file, int line,
                     void (*body)(void));
bool c_test_expect(bool holds, const char* condition, const char* file, int line);
bool c_test_expect_eq(intmax_t a, intmax_t b, const char* a_text, const char* b_text,
                      const char* file, int line);
bool c_test_expect_streq(const char* a, const char* b, const char* a_text, const char* b_text,
                         const char* file, int line);

#ifdef __cplusplus
}
#endif

#endif
