// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hal/file_system.hpp"
#include "tests/support/refusal.hpp"

namespace millrace::hal {
namespace {

struct FileSystemTest : ::testing::Test {
  std::filesystem::path folder = std::filesystem::temp_directory_path() /
                                 ("millrace_file_system_" + std::to_string(::getpid()));
  SystemFiles files;

  FileSystemTest() { std::filesystem::create_directory(folder); }
  ~FileSystemTest() override { std::filesystem::remove_all(folder); }

  FileReply open(std::string path, FileMode mode) {
    return files.perform(
        {.call = FileCall::open, .mode = mode, .bytes = bytes_of(path, path.size() + 1)});
  }
  static std::span<std::byte> bytes_of(std::string& text, std::size_t size) {
    return std::as_writable_bytes(std::span(text.data(), size));
  }
};

TEST_F(FileSystemTest, makes_the_call_that_is_asked_for) {
  std::string path = folder / "a";
  const auto opened = open(path, FileMode::write);
  ASSERT_EQ(opened.error, 0);
  const int fd = static_cast<int>(opened.result);
  EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(std::filesystem::status(path).permissions() & std::filesystem::perms::others_write,
            std::filesystem::perms::none);
  std::string text = "hello, world";
  const auto wrote = files.perform(
      {.call = FileCall::write, .fd = fd, .offset = 3, .bytes = bytes_of(text, text.size())});
  EXPECT_EQ(wrote.error, 0);
  EXPECT_EQ(wrote.result, 12);
  EXPECT_EQ(files.perform({.call = FileCall::size, .fd = fd}).result, 15);
  EXPECT_EQ(files.perform({.call = FileCall::sync, .fd = fd}).error, 0);
  EXPECT_EQ(files.perform({.call = FileCall::truncate, .fd = fd, .offset = 8}).error, 0);
  std::string back(20, '?');
  const auto read = files.perform(
      {.call = FileCall::read, .fd = fd, .offset = 3, .bytes = bytes_of(back, back.size())});
  EXPECT_EQ(read.result, 5);
  EXPECT_EQ(back.substr(0, 6), "hello?");
  EXPECT_EQ(files.perform({.call = FileCall::close, .fd = fd}).error, 0);
  std::string paths = path + '\0' + path + "2" + '\0';
  EXPECT_EQ(files.perform({.call = FileCall::rename, .bytes = bytes_of(paths, paths.size())}).error,
            0);
  EXPECT_FALSE(std::filesystem::exists(path));
  path += "2";
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_EQ(
      files.perform({.call = FileCall::remove, .bytes = bytes_of(path, path.size() + 1)}).error, 0);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(FileSystemTest, opens_in_the_mode_that_is_asked_for) {
  EXPECT_EQ(open(folder / "a", FileMode::read).error, ENOENT);
  const auto made = open(folder / "a", FileMode::replace);
  ASSERT_EQ(made.error, 0);
  const int fd = static_cast<int>(made.result);
  ASSERT_EQ(::write(fd, "x", 1), 1);
  EXPECT_EQ(::fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
  EXPECT_EQ(::close(static_cast<int>(open(folder / "a", FileMode::write).result)), 0);
  EXPECT_EQ(files.perform({.call = FileCall::size, .fd = fd}).result, 1);
  EXPECT_EQ(::close(static_cast<int>(open(folder / "a", FileMode::replace).result)), 0);
  EXPECT_EQ(files.perform({.call = FileCall::size, .fd = fd}).result, 0);
  EXPECT_EQ(open(folder / "a", FileMode::folder).error, ENOTDIR);
  const auto opened = open(folder, FileMode::folder);
  EXPECT_EQ(files.perform({.call = FileCall::sync, .fd = static_cast<int>(opened.result)}).error,
            0);
  EXPECT_EQ(files.perform({.call = FileCall::size, .fd = static_cast<int>(opened.result)}).error,
            EINVAL);
  ::close(static_cast<int>(opened.result));
  ::close(fd);
  std::filesystem::create_symlink(folder / "a", folder / "link");
  EXPECT_EQ(open(folder / "link", FileMode::replace).error, ELOOP);
}

TEST_F(FileSystemTest, what_fails_is_told_by_its_errno) {
  for (const auto call : {FileCall::size, FileCall::read, FileCall::write, FileCall::sync,
                          FileCall::truncate, FileCall::close}) {
    const auto reply = files.perform({.call = call, .fd = -1});
    EXPECT_EQ(reply.error, EBADF) << name_of(call);
    EXPECT_EQ(reply.result, 0);
  }
  std::string nowhere = std::string(folder / "none") + '\0' + std::string(folder / "x") + '\0';
  for (const auto call : {FileCall::rename, FileCall::move, FileCall::remove}) {
    EXPECT_EQ(files.perform({.call = call, .bytes = bytes_of(nowhere, nowhere.size())}).error,
              ENOENT);
  }
  EXPECT_EQ(files.perform({.call = FileCall(99)}).error, EINVAL);
}

TEST_F(FileSystemTest, moves_a_file_to_a_name_that_nothing_has) {
  const auto move = [&](const char* from, const char* to) {
    std::string paths = std::string(folder / from) + '\0' + std::string(folder / to) + '\0';
    return files.perform({.call = FileCall::move, .bytes = bytes_of(paths, paths.size())}).error;
  };
  const auto moves = [&] {
    std::ofstream(folder / "a") << "text";
    ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
    std::filesystem::create_symlink("nowhere", folder / "link");
    std::filesystem::create_directory(folder / "folder");
    for (const char* taken : {"fifo", "link", "folder"}) {
      EXPECT_EQ(move("a", taken), EEXIST) << taken;
    }
    EXPECT_EQ(move("a", "b"), 0);
    EXPECT_FALSE(std::filesystem::exists(folder / "a"));
    EXPECT_EQ(std::filesystem::file_size(folder / "b"), 4U);
    EXPECT_EQ(move("a", "c"), ENOENT);
    EXPECT_FALSE(std::filesystem::exists(folder / "c"));
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
  };
  moves();
  // As on a file system that does not know RENAME_NOREPLACE.
  if (!test::while_refused(SYS_renameat2, EINVAL, moves)) {
    GTEST_SKIP() << "system calls can't be refused here";
  }
}

TEST_F(FileSystemTest, a_close_that_was_interrupted_is_not_made_again) {
  FileReply reply;
  if (!test::while_refused(SYS_close, EINTR,
                           [&] { reply = files.perform({.call = FileCall::close, .fd = 1000}); })) {
    GTEST_SKIP() << "system calls can't be refused here";
  }
  EXPECT_EQ(reply.error, EINTR);
}

TEST(FileCall, has_the_name_of_its_system_call) {
  std::string names;
  for (int call = 0; call <= static_cast<int>(FileCall::remove) + 1; ++call) {
    names.append(name_of(FileCall(call))).append(" ");
  }
  EXPECT_EQ(names, "open fstat pread pwrite fsync ftruncate close rename renameat2 unlink ? ");
}

}  // namespace
}  // namespace millrace::hal
