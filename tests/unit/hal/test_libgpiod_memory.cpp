// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <span>

#include "hal/libgpiod_memory.hpp"

namespace millrace::hal {
namespace {

class LibgpiodMemory : public testing::Test {
 protected:
  void SetUp() override {
    memory.fill(std::byte{0x77});
    libgpiod_memory::assign(memory);
  }
  void TearDown() override { libgpiod_memory::assign({}); }

  [[nodiscard]] bool is_in_memory(const void* block) const {
    const auto* const byte = static_cast<const std::byte*>(block);
    return byte >= memory.data() && byte < memory.data() + memory.size();
  }
  /// Takes all that there is.
  static void exhaust() {
    while (millrace_libgpiod_malloc(1) != nullptr) {
    }
  }

  alignas(16) std::array<std::byte, 8192> memory;
};

TEST_F(LibgpiodMemory, blocks_come_from_what_was_assigned_and_go_back_to_it) {
  void* const block = millrace_libgpiod_malloc(100);
  EXPECT_TRUE(is_in_memory(block));
  EXPECT_GE(libgpiod_memory::statistics().used, 100U);
  millrace_libgpiod_free(block);
  EXPECT_EQ(libgpiod_memory::statistics().used, 0U);
  EXPECT_EQ(millrace_libgpiod_malloc(100), block);
  millrace_libgpiod_free(nullptr);
}

TEST_F(LibgpiodMemory, calloc_gives_zeros_for_all_its_elements) {
  const auto* const bytes = static_cast<const unsigned char*>(millrace_libgpiod_calloc(30, 7));
  ASSERT_TRUE(is_in_memory(bytes));
  EXPECT_EQ(std::count(bytes, bytes + std::ptrdiff_t{30} * 7, 0), 210);
  EXPECT_GE(libgpiod_memory::statistics().used, 210U);
}

TEST_F(LibgpiodMemory, calloc_of_more_than_can_be_counted_is_refused_and_counted) {
  errno = 0;
  EXPECT_EQ(millrace_libgpiod_calloc(SIZE_MAX / 2 + 1, 2), nullptr);  // 0 bytes, modulo 2^64
  EXPECT_EQ(errno, ENOBUFS);
  EXPECT_EQ(libgpiod_memory::statistics().refused, 1U);
  EXPECT_EQ(libgpiod_memory::statistics().allocated, 0U);
}

TEST_F(LibgpiodMemory, strdup_copies_text_with_its_end) {
  const char* const copy = millrace_libgpiod_strdup("gpiochip0");
  ASSERT_TRUE(is_in_memory(copy));
  EXPECT_STREQ(copy, "gpiochip0");
  EXPECT_EQ(*millrace_libgpiod_strdup(""), '\0');
}

TEST_F(LibgpiodMemory, realpath_resolves_or_says_what_the_kernel_says) {
  char* const path = millrace_libgpiod_realpath("/proc/../dev/./null", nullptr);
  ASSERT_TRUE(is_in_memory(path));
  EXPECT_STREQ(path, "/dev/null");
  EXPECT_EQ(millrace_libgpiod_realpath("/dev/no-such-chip", nullptr), nullptr);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(libgpiod_memory::statistics().allocated, 1U);
}

TEST_F(LibgpiodMemory, everything_is_refused_with_enobufs_when_there_is_no_room) {
  exhaust();
  const auto refuses = [](auto call) {
    errno = 0;
    return call() == nullptr && errno == ENOBUFS;
  };
  EXPECT_TRUE(refuses([] { return millrace_libgpiod_malloc(1); }));
  EXPECT_TRUE(refuses([] { return millrace_libgpiod_calloc(1, 1); }));
  EXPECT_TRUE(refuses([] { return millrace_libgpiod_strdup("x"); }));
  EXPECT_TRUE(refuses([] { return millrace_libgpiod_realpath("/", nullptr); }));
  EXPECT_EQ(libgpiod_memory::statistics().refused, 5U);  // and the one that ended exhaust()
}

TEST_F(LibgpiodMemory, nothing_is_had_before_any_is_assigned) {
  libgpiod_memory::assign({});
  EXPECT_EQ(millrace_libgpiod_malloc(1), nullptr);
  EXPECT_EQ(libgpiod_memory::statistics().capacity, 0U);
}

}  // namespace
}  // namespace millrace::hal
