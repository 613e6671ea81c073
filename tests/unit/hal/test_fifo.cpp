// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include "hal/fifo.hpp"
#include "hal/io.hpp"

namespace millrace::hal {
namespace {

class Fifo : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    path = std::string(directory.data()) + "/fifo";
  }
  void TearDown() override {
    ::unlink(path.c_str());
    ::rmdir(directory.data());
  }
  [[nodiscard]] bool is_fifo() const {
    struct stat found{};
    return ::lstat(path.c_str(), &found) == 0 && S_ISFIFO(found.st_mode);
  }

  std::array<char, 40> directory{"/tmp/millrace-fifo-XXXXXX"};
  std::string path;
};

TEST_F(Fifo, keeps_what_is_written_before_there_is_a_reader) {
  const auto fifo = make_fifo(path.c_str());
  ASSERT_TRUE(fifo);
  constexpr std::array hello = {std::byte{'h'}, std::byte{'i'}};
  EXPECT_TRUE(write(fifo->get(), hello).done());
  const Fd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  std::array<std::byte, 8> bytes{};
  EXPECT_EQ(read(reader.get(), bytes).count, 2U);
  EXPECT_EQ(bytes[0], std::byte{'h'});
  remove_fifo(path.c_str());
  EXPECT_FALSE(is_fifo());
}

TEST_F(Fifo, never_blocks_when_nobody_reads) {
  const auto fifo = make_fifo(path.c_str());
  ASSERT_TRUE(fifo);
  const std::array<std::byte, 4096> page{};
  int writes = 0;
  while (write(fifo->get(), page).done()) {
    ++writes;
  }
  EXPECT_GT(writes, 0);
}

TEST_F(Fifo, takes_the_place_of_one_that_was_left_there) {
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_TRUE(make_fifo(path.c_str()));
  EXPECT_TRUE(is_fifo());
}

TEST_F(Fifo, leaves_other_files_alone) {
  const Fd file(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_TRUE(file);
  EXPECT_EQ(make_fifo(path.c_str()).error().number, EEXIST);
  remove_fifo(path.c_str());
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
}

TEST_F(Fifo, fails_where_there_is_no_directory) {
  EXPECT_EQ(make_fifo((path + "/x").c_str()).error().number, ENOENT);
  remove_fifo((path + "/x").c_str());
}

}  // namespace
}  // namespace millrace::hal
