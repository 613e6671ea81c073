// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>

#include "hal/heap_trap.hpp"
#include "hal/io_uring.hpp"
#include "tests/support/refusal.hpp"

namespace millrace::hal {
namespace {

struct IoUringTest : ::testing::Test {
  Wakeup wakeup = *Wakeup::open();
  IoUring ring;
  std::string path = "/tmp/millrace_io_uring_XXXXXX";
  Fd file{::mkostemp(path.data(), O_CLOEXEC)};

  IoUringTest() { ::unlink(path.c_str()); }

  void SetUp() override {
    if (const auto opened = ring.open(8, wakeup); !opened) {
      GTEST_SKIP() << opened.error().what;
    }
  }
  FileReply wait(std::uint64_t token) {
    EXPECT_TRUE(wakeup.wait(forever));
    wakeup.clear();
    const auto done = ring.next();
    EXPECT_TRUE(done);
    EXPECT_EQ(done.value_or(FileRing::Done{}).token, token);
    EXPECT_FALSE(ring.next());
    return done.value_or(FileRing::Done{}).reply;
  }
  [[nodiscard]] FileRequest request(FileCall call, std::string& text, std::uint64_t offset) const {
    return {.call = call,
            .fd = file.get(),
            .offset = offset,
            .bytes = std::as_writable_bytes(std::span(text))};
  }
};

TEST_F(IoUringTest, reads_writes_and_syncs_lap_after_lap) {
  for (std::uint64_t lap = 0; lap < 40; ++lap) {
    std::string text = "hello " + std::to_string(lap);
    ASSERT_TRUE(ring.start(request(FileCall::write, text, lap), 3 * lap));
    EXPECT_EQ(wait(3 * lap).result, static_cast<std::int64_t>(text.size()));
    ASSERT_TRUE(ring.start({.call = FileCall::sync, .fd = file.get()}, 3 * lap + 1));
    EXPECT_EQ(wait(3 * lap + 1).error, 0);
    std::string back(text.size(), '?');
    ASSERT_TRUE(ring.start(request(FileCall::read, back, lap), 3 * lap + 2));
    EXPECT_EQ(wait(3 * lap + 2).result, static_cast<std::int64_t>(text.size()));
    EXPECT_EQ(back, text);
  }
}

TEST_F(IoUringTest, what_fails_is_told_by_its_errno) {
  std::string text = "x";
  FileRequest wrong = request(FileCall::write, text, 0);
  wrong.fd = -1;
  ASSERT_TRUE(ring.start(wrong, 7));
  const auto reply = wait(7);
  EXPECT_EQ(reply.error, EBADF);
  EXPECT_EQ(reply.result, 0);
}

TEST_F(IoUringTest, other_calls_are_not_for_it) {
  EXPECT_FALSE(ring.start({.call = FileCall::close, .fd = 1000}, 1));
  EXPECT_FALSE(ring.start({.call = FileCall::truncate, .fd = file.get()}, 1));
}

TEST_F(IoUringTest, is_open_once_and_closed_it_takes_nothing) {
  EXPECT_EQ(ring.open(8, wakeup).error().number, EALREADY);
  ring.close();
  EXPECT_FALSE(ring.next());
  EXPECT_FALSE(ring.start({.call = FileCall::sync, .fd = file.get()}, 1));
  EXPECT_TRUE(ring.open(8, wakeup));
}

TEST_F(IoUringTest, what_the_kernel_does_not_take_is_told_and_the_next_is_taken) {
  bool taken = true;
  if (!test::while_refused(SYS_io_uring_enter, EAGAIN, [&] {
        taken = ring.start({.call = FileCall::sync, .fd = file.get()}, 1);
      })) {
    GTEST_SKIP() << "system calls can't be refused here";
  }
  EXPECT_FALSE(taken);
  ASSERT_TRUE(ring.start({.call = FileCall::sync, .fd = file.get()}, 2));
  EXPECT_EQ(wait(2).error, 0);
}

TEST_F(IoUringTest, what_an_old_kernel_lacks_is_an_outcome) {
#if defined(SYS_mmap)
  constexpr long map = SYS_mmap;
#else
  constexpr long map = SYS_mmap2;
#endif
  for (const long call : {long{SYS_io_uring_setup}, long{SYS_io_uring_register}, map}) {
    if (call == map && !heap_trap::available()) {
      continue;  // a sanitizer maps memory when it likes
    }
    (void)test::while_refused(call, EINVAL, [&] {
      IoUring other;
      EXPECT_EQ(other.open(8, wakeup).error().number, EINVAL);
      EXPECT_FALSE(other.start({.call = FileCall::sync, .fd = file.get()}, 1));
    });
  }
}

}  // namespace
}  // namespace millrace::hal
