// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include "firmware/reactor/file.hpp"
#include "hal/heap_trap.hpp"
#include "tests/support/loop.hpp"
#include "tests/support/trace.hpp"

namespace millrace::test {
namespace {

using hal::FileCall;
using hal::FileMode;

constexpr OffloadLimits limits{.lanes = 1, .workers = 1, .jobs = 2, .buffer = 256};

enum class Backend : std::uint8_t { workers, io_uring };

/// The kernel's file system, with a fault at some calls.
class FaultyFiles final : public hal::FileSystem {
 public:
  /// What becomes of a call.
  enum class Fate : std::uint8_t { carried_out, shortened, failed, stuck };

  [[nodiscard]] Fate next(const hal::FileRequest& request) {
    ++calls;
    calls_of[static_cast<std::size_t>(request.call)]++;
    if (calls != at && (calls != and_at || at == 0)) {
      return Fate::carried_out;
    }
    if (hold) {
      held = true;
      return Fate::stuck;
    }
    if (shorten) {
      return request.call == FileCall::write ? Fate::shortened : Fate::carried_out;
    }
    last_failed = request.call;
    return Fate::failed;
  }
  [[nodiscard]] hal::FileReply perform(const hal::FileRequest& request) override {
    switch (next(request)) {
      case Fate::shortened:
        return inner.perform(half_of(request));
      case Fate::failed:
        if (request.call == FileCall::close) {
          (void)inner.perform(request);  // it is closed even so
        }
        return {.result = 0, .error = error};
      case Fate::stuck:
        while (hold) {
          std::this_thread::yield();
        }
        break;
      case Fate::carried_out:
        break;
    }
    return inner.perform(request);
  }
  static hal::FileRequest half_of(hal::FileRequest request) {
    request.bytes = request.bytes.first(request.bytes.size() / 2);
    return request;
  }

  void fail_at(int call, int with) {
    at = call;
    error = with;
    calls = 0;
    shorten = false;
    last_failed.reset();
  }

  hal::SystemFiles inner;
  int calls = 0;
  int at = 0;
  int and_at = 0;
  int error = 0;  ///< 0: a call has done nothing, and says so
  bool shorten = false;
  std::atomic<bool> hold = false;
  std::atomic<bool> held = false;
  std::optional<FileCall> last_failed;
  std::array<int, 16> calls_of{};
};

/// The kernel's ring, with the same faults.
class FaultyRing final : public hal::FileRing {
 public:
  explicit FaultyRing(FaultyFiles& files) : files_(files) {}

  [[nodiscard]] Result<void> open(std::size_t calls, const hal::Wakeup& wakeup) override {
    wakeup_ = &wakeup;
    return inner_.open(calls, wakeup);
  }
  [[nodiscard]] bool start(const hal::FileRequest& request, std::uint64_t token) override {
    if (request.call != FileCall::read && request.call != FileCall::write &&
        request.call != FileCall::sync) {
      return false;
    }
    switch (files_.next(request)) {
      case FaultyFiles::Fate::shortened:
        return inner_.start(FaultyFiles::half_of(request), token);
      case FaultyFiles::Fate::failed:
        made_up_ = {.token = token, .reply = {.result = 0, .error = files_.error}};
        wakeup_->notify();
        return true;
      case FaultyFiles::Fate::stuck:
        stuck_ = {.token = token, .reply = {.result = 0, .error = EIO}};
        return true;
      case FaultyFiles::Fate::carried_out:
        break;
    }
    return inner_.start(request, token);
  }
  [[nodiscard]] std::optional<Done> next() override {
    return made_up_ ? std::exchange(made_up_, std::nullopt) : inner_.next();
  }
  void close() override { inner_.close(); }

  void release() {
    files_.hold = false;
    if (stuck_) {
      made_up_ = std::exchange(stuck_, std::nullopt);
      wakeup_->notify();
    }
  }

 private:
  FaultyFiles& files_;
  hal::IoUring inner_;
  const hal::Wakeup* wakeup_ = nullptr;
  std::optional<Done> made_up_;
  std::optional<Done> stuck_;
};

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

struct FileTest : ::testing::TestWithParam<Backend> {
  FileTest() { std::filesystem::create_directory(folder); }
  ~FileTest() override { std::filesystem::remove_all(folder); }
  void SetUp() override {
    ASSERT_TRUE(offload.open(loop));
    if (GetParam() == Backend::io_uring && !offload.uses_ring()) {
      GTEST_SKIP() << "the kernel has no io_uring";
    }
  }
  void TearDown() override {
    if (GetParam() == Backend::workers) {
      EXPECT_EQ(offload.statistics(0).ringed, 0U);
    }
  }

  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("millrace_file_" + std::to_string(::getpid()));
  std::string path = folder / "file";
  FaultyFiles files;
  FaultyRing ring{files};
  Loop<Epoll> loop;
  StaticOffload<limits> offload{files, GetParam() == Backend::io_uring ? &ring : nullptr};
  File file{offload, 0};
  std::optional<FileOutcome> outcome;

  void on_done(const Message& message) { outcome = message.load<FileOutcome>(); }
  Handler done() { return Handler::to<&FileTest::on_done>(*this); }

  FileOutcome wait(const Result<void>& begun) {
    EXPECT_TRUE(begun) << begun.error().what;
    outcome.reset();
    while (begun && !outcome) {
      EXPECT_TRUE(loop.turn());
    }
    loop.turn_now();  // the place is free
    EXPECT_FALSE(file.busy());
    return outcome.value_or(FileOutcome{.error = -1});
  }
  void wait_idle() {
    while (file.busy() || offload.statistics(0).in_use > 0) {
      ASSERT_TRUE(loop.turn());
    }
  }
  [[nodiscard]] std::string content() const {
    std::string text(static_cast<std::size_t>(std::filesystem::file_size(path)), '?');
    std::ifstream(path).read(text.data(), static_cast<std::streamsize>(text.size()));
    return text;
  }
  void set_content(const std::string& text) const { std::ofstream(path) << text; }
  void open_to_write() {
    ASSERT_EQ(wait(file.open(path, FileMode::write, done())).error, 0);
    ASSERT_TRUE(file.is_open());
  }
  [[nodiscard]] bool is_alone() const { return !std::filesystem::exists(path + ".new"); }
  static std::string pattern(std::size_t size, char first = 'a') {
    std::string text(size, first);
    for (std::size_t i = 0; i < size; ++i) {
      text[i] = static_cast<char>(first + static_cast<char>(i % 23));
    }
    return text;
  }
  /// Descriptors that are open.
  static std::ptrdiff_t descriptors() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  }
};

TEST_P(FileTest, writes_and_reads_what_is_longer_than_a_buffer) {
  const std::string text = pattern(1000);
  open_to_write();
  EXPECT_EQ(file.size(), 0U);
  EXPECT_EQ(wait(file.write(10, bytes(text), done())).count, 1000U);
  EXPECT_EQ(file.size(), 1010U);
  EXPECT_EQ(files.calls_of[static_cast<std::size_t>(FileCall::write)], 4);
  EXPECT_EQ(offload.statistics(0).ringed, GetParam() == Backend::io_uring ? 4U : 0U);
  std::string back(2000, '?');
  const auto read = wait(file.read(10, std::as_writable_bytes(std::span(back)), done()));
  EXPECT_EQ(read.count, 1000U);
  EXPECT_EQ(*read.result(), 1000U);
  EXPECT_EQ(back.substr(0, 1001), text + "?");
  EXPECT_EQ(wait(file.read(10'000, std::as_writable_bytes(std::span(back)), done())).count, 0U);
  EXPECT_EQ(wait(file.read(1009, std::as_writable_bytes(std::span(back).first(1)), done())).count,
            1U);
  EXPECT_EQ(wait(file.write(0, {}, done())).error, 0);
  EXPECT_EQ(wait(file.sync(done())).error, 0);
  EXPECT_EQ(wait(file.close(done())).error, 0);
  EXPECT_FALSE(file.is_open());
  EXPECT_EQ(content().substr(10), text);
}

TEST_P(FileTest, appends_to_what_is_there) {
  set_content("one ");
  open_to_write();
  EXPECT_EQ(file.size(), 4U);
  EXPECT_EQ(wait(file.append(bytes("two "), done())).count, 4U);
  EXPECT_EQ(wait(file.append(bytes(pattern(600)), done())).count, 600U);
  EXPECT_EQ(file.size(), 608U);
  EXPECT_EQ(content(), "one two " + pattern(600));
}

TEST_P(FileTest, looks_what_others_have_made_of_it) {
  open_to_write();
  EXPECT_EQ(wait(file.append(bytes("one "), done())).error, 0);
  set_content("");
  EXPECT_EQ(file.size(), 4U);
  EXPECT_EQ(wait(file.look(done())).error, 0);
  EXPECT_EQ(file.size(), 0U);
  EXPECT_EQ(wait(file.append(bytes("two"), done())).error, 0);
  EXPECT_EQ(content(), "two");
  files.fail_at(1, EIO);
  const auto looked = wait(file.look(done()));
  EXPECT_EQ(looked.error, EIO);
  EXPECT_EQ(looked.call, FileCall::size);
  EXPECT_FALSE(file.is_open());
}

TEST_P(FileTest, is_for_regular_files) {
  const auto before = descriptors();
  const auto opened = wait(file.open("/dev/null", FileMode::write, done()));
  EXPECT_EQ(opened.error, EINVAL);
  EXPECT_EQ(opened.call, FileCall::size);
  EXPECT_FALSE(file.is_open());
  EXPECT_EQ(descriptors(), before);
}

TEST_P(FileTest, what_is_asked_for_at_the_wrong_time_is_refused) {
  EXPECT_EQ(file.look(done()).error().number, EBADF);
  EXPECT_EQ(file.read(0, {}, done()).error().number, EBADF);
  EXPECT_EQ(file.write(0, {}, done()).error().number, EBADF);
  EXPECT_EQ(file.append({}, done()).error().number, EBADF);
  EXPECT_EQ(file.sync(done()).error().number, EBADF);
  EXPECT_EQ(file.close(done()).error().number, EBADF);
  EXPECT_EQ(file.open(path, FileMode::folder, done()).error().number, EINVAL);
  EXPECT_EQ(file.open(path, FileMode::replace, done()).error().number, EINVAL);
  EXPECT_EQ(file.open(std::string(252, 'x'), FileMode::read, done()).error().number, ENAMETOOLONG);
  EXPECT_EQ(file.replace(std::string(126, 'x'), {}, done()).error().number, ENAMETOOLONG)
      << "twice, and it does not fit into a buffer";
  EXPECT_EQ(file.open(std::string("a\0b", 3), FileMode::read, done()).error().number, EINVAL);
  EXPECT_EQ(file.replace(std::string("a\0b", 3), {}, done()).error().number, EINVAL);
  set_content("x");
  const auto opened = file.open(path, FileMode::read, done());
  EXPECT_EQ(file.open(path, FileMode::read, done()).error().number, EBUSY);
  EXPECT_EQ(file.sync(done()).error().number, EBUSY);
  EXPECT_EQ(wait(opened).error, 0);
  EXPECT_EQ(file.open(path, FileMode::read, done()).error().number, EALREADY);
  EXPECT_EQ(file.replace(path, {}, done()).error().number, EALREADY);
  EXPECT_EQ(file.append(bytes("y"), done()).error().number, EBADF) << "it is for reading";
  EXPECT_EQ(file.look(done()).error().number, EBADF) << "so it is";
  EXPECT_EQ(wait(file.write(0, bytes("y"), done())).error, EBADF) << "so the kernel says";
  const JobId first = *offload.reserve(0, {});
  const JobId second = *offload.reserve(0, {});
  EXPECT_EQ(file.sync(done()).error().number, ENOSPC);
  EXPECT_FALSE(file.busy());
  (void)offload.cancel(first);
  (void)offload.cancel(second);
}

TEST_P(FileTest, the_next_operation_takes_the_place_of_the_one_before) {
  open_to_write();
  ASSERT_TRUE(offload.reserve(0, {}));  // of two
  int rounds = 0;
  const std::string x = "x";
  On again{[&](const Message& message) {
    EXPECT_EQ(message.load<FileOutcome>().error, 0);
    if (++rounds < 10) {
      ASSERT_TRUE(file.append(bytes(x), message.handler));
    }
  }};
  ASSERT_TRUE(file.append(bytes(x), again));
  while (rounds < 10) {
    ASSERT_TRUE(loop.turn());
  }
  EXPECT_EQ(content(), "xxxxxxxxxx");
  EXPECT_EQ(offload.statistics(0).refused, 0U);
}

TEST_P(FileTest, nothing_is_allocated) {
  const std::string text = pattern(1000);
  hal::heap_trap::arm(hal::heap_trap::Action::count);
  const bool begun = file.replace(path, bytes(text), done()).has_value();
  while (begun && !outcome) {
    (void)loop.turn();
  }
  EXPECT_EQ(hal::heap_trap::calls(), 0U);
  hal::heap_trap::disarm();
  EXPECT_EQ(content(), text);
}

TEST_P(FileTest, renames_a_file_and_says_if_it_can_not) {
  set_content("old");
  const std::string other = path + ".1";
  auto to = std::make_unique<std::string>(other);
  const auto begun = file.rename(path, *to, done());
  to->assign(to->size(), '?');
  to.reset();
  const auto renamed = wait(begun);
  EXPECT_EQ(renamed.error, 0);
  EXPECT_TRUE(renamed.replaced);
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(file.is_open());
  set_content("new");
  const auto taken = wait(file.rename(path, other, done()));
  EXPECT_EQ(taken.error, EEXIST);
  EXPECT_EQ(taken.call, FileCall::move);
  EXPECT_FALSE(taken.replaced);
  EXPECT_EQ(content(), "new");
  std::filesystem::rename(other, path);
  EXPECT_EQ(content(), "old") << "what had that name has it still";
  const auto nowhere = wait(file.rename(path + ".2", other, done()));
  EXPECT_EQ(nowhere.error, ENOENT);
  EXPECT_EQ(nowhere.call, FileCall::move);
  EXPECT_EQ(file.rename(path, std::string(252, 'x'), done()).error().number, ENAMETOOLONG);
  EXPECT_EQ(file.rename(std::string("a\0b", 3), path, done()).error().number, EINVAL);
  open_to_write();
  EXPECT_EQ(file.rename(path, other, done()).error().number, EALREADY);
}

TEST_P(FileTest, a_fault_at_any_call_of_rename_is_told_with_whether_it_has_the_new_name) {
  const std::string other = path + ".1";
  set_content("text");
  const auto open_before = descriptors();
  for (int call = 1; call <= 4; ++call) {  // renameat2, open, fsync, close
    files.fail_at(call, EIO);
    const auto result = wait(file.rename(path, other, done()));
    ASSERT_TRUE(files.last_failed) << call;
    EXPECT_EQ(result.error, EIO) << call;
    EXPECT_EQ(result.call, *files.last_failed) << call;
    EXPECT_EQ(result.replaced, call > 1) << call;
    EXPECT_EQ(file.replaced(), call > 1) << call;
    EXPECT_EQ(std::filesystem::exists(other), call > 1) << call;
    EXPECT_FALSE(file.is_open());
    EXPECT_EQ(descriptors(), open_before) << call;
    if (call > 1) {
      std::filesystem::rename(other, path);
    }
  }
  files.fail_at(5, EIO);
  EXPECT_EQ(wait(file.rename(path, other, done())).error, 0);
  EXPECT_EQ(files.calls, 4);
}

TEST_P(FileTest, a_call_of_the_ring_that_was_interrupted_is_made_again_by_a_worker) {
  if (GetParam() == Backend::workers) {
    GTEST_SKIP() << "workers make such calls again themselves";
  }
  open_to_write();
  files.fail_at(1, EINTR);
  EXPECT_EQ(wait(file.append(bytes("text"), done())).count, 4U);
  EXPECT_EQ(files.calls, 2);
  EXPECT_EQ(content(), "text");
  files.fail_at(1, EINTR);
  EXPECT_EQ(wait(file.sync(done())).error, 0);
  EXPECT_EQ(files.calls, 2);
  EXPECT_EQ(offload.statistics(0).ringed, 0U);
}

// --- Replacing, and a fault at each call ---

TEST_P(FileTest, replaces_a_file_as_a_whole) {
  for (const std::size_t size : {0UL, 5UL, 256UL, 1000UL}) {
    const auto replaced = wait(file.replace(path, bytes(pattern(size)), done()));
    EXPECT_EQ(replaced.error, 0);
    EXPECT_TRUE(replaced.replaced);
    EXPECT_EQ(replaced.count, size);
    EXPECT_EQ(content(), pattern(size));
    EXPECT_TRUE(is_alone());
    EXPECT_FALSE(file.is_open());
  }
  std::ofstream(path + ".new") << "left over from a power cut, and longer than what comes";
  EXPECT_EQ(wait(file.replace(path, bytes("short"), done())).error, 0);
  EXPECT_EQ(content(), "short");
  EXPECT_TRUE(is_alone());
}

TEST_P(FileTest, syncs_the_folder_that_the_name_is_in) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder);
  EXPECT_EQ(wait(file.replace("here", bytes("x"), done())).error, 0);
  EXPECT_TRUE(std::filesystem::exists(folder / "here"));
  std::filesystem::current_path(before);
  const auto nowhere = wait(file.replace("/proc/nothing", bytes("x"), done()));
  EXPECT_NE(nowhere.error, 0);
  EXPECT_EQ(nowhere.call, FileCall::open);
  files.fail_at(0, 0);
  const std::string in_root = "/millrace_file_" + std::to_string(::getpid());
  if (::geteuid() == 0) {
    EXPECT_EQ(wait(file.replace(in_root, bytes("x"), done())).error, 0);
    std::filesystem::remove(in_root);
  }
}

TEST_P(FileTest,
       a_fault_at_any_call_of_replace_leaves_the_old_file_or_the_new_one_and_is_reported) {
  const std::string old_text = pattern(700, 'A');
  const std::string new_text = pattern(600);
  set_content("");
  files.fail_at(0, 0);
  ASSERT_EQ(wait(file.replace(path, bytes(new_text), done())).error, 0);
  const int calls = files.calls;
  ASSERT_EQ(calls, 10);  // open, 3 × pwrite, fsync, close, rename, open, fsync, close
  const auto open_before = descriptors();
  for (const int error : {ENOSPC, EIO, EDQUOT, EROFS}) {
    for (int call = 1; call <= calls; ++call) {
      set_content(old_text);
      files.fail_at(call, error);
      const auto result = wait(file.replace(path, bytes(new_text), done()));
      const std::string where = "call " + std::to_string(call);
      ASSERT_TRUE(files.last_failed) << where;
      EXPECT_EQ(result.error, error) << where;
      EXPECT_EQ(result.call, *files.last_failed) << where;
      EXPECT_EQ(result.result().error().number, error);
      EXPECT_EQ(content(), result.replaced ? new_text : old_text) << where;
      EXPECT_EQ(result.replaced, call > 7) << where;
      EXPECT_TRUE(is_alone()) << where;
      EXPECT_FALSE(result.left_behind);
      EXPECT_FALSE(file.is_open());
      EXPECT_EQ(descriptors(), open_before) << where;
    }
  }
}

TEST_P(FileTest, a_second_fault_while_it_clears_up_is_told_and_leaves_the_file_alone) {
  set_content("old");
  files.fail_at(2, ENOSPC);
  files.and_at = 3;  // close
  auto result = wait(file.replace(path, bytes("new"), done()));
  EXPECT_EQ(result.error, ENOSPC);
  EXPECT_EQ(result.call, FileCall::write);
  EXPECT_FALSE(result.left_behind);
  EXPECT_TRUE(is_alone());
  files.fail_at(2, ENOSPC);
  files.and_at = 4;  // unlink
  result = wait(file.replace(path, bytes("new"), done()));
  EXPECT_EQ(result.error, ENOSPC);
  EXPECT_TRUE(result.left_behind);
  EXPECT_FALSE(is_alone());
  EXPECT_EQ(content(), "old");
  files.fail_at(0, 0);
  files.and_at = 0;
  EXPECT_EQ(wait(file.replace(path, bytes("new"), done())).error, 0);
  EXPECT_TRUE(is_alone());
  EXPECT_EQ(content(), "new");
}

TEST_P(FileTest, short_writes_go_on_where_they_ended) {
  const std::string text = pattern(600);
  for (int call = 2; call <= 5; ++call) {
    files.fail_at(call, 0);
    files.shorten = true;
    const auto result = wait(file.replace(path, bytes(text), done()));
    EXPECT_EQ(result.error, 0);
    EXPECT_EQ(result.count, 600U);
    EXPECT_EQ(content(), text);
  }
  files.fail_at(2, 0);  // says that it has written nothing
  const auto result = wait(file.replace(path, bytes("other"), done()));
  EXPECT_EQ(result.error, EIO);
  EXPECT_EQ(content(), text);
  EXPECT_TRUE(is_alone());
}

// --- Faults elsewhere ---

TEST_P(FileTest, an_append_that_fails_takes_back_what_it_has_written) {
  set_content("old ");
  open_to_write();
  for (int call = 1; call <= 3; ++call) {
    files.fail_at(call, ENOSPC);
    const auto result = wait(file.append(bytes(pattern(600)), done()));
    EXPECT_EQ(result.error, ENOSPC);
    EXPECT_EQ(result.call, FileCall::write);
    EXPECT_EQ(result.count, 0U);
    EXPECT_FALSE(result.torn);
    EXPECT_EQ(content(), "old ");
    EXPECT_EQ(file.size(), 4U);
  }
  files.fail_at(1, 0);  // a short write, and then the disk is full
  files.shorten = true;
  EXPECT_EQ(wait(file.append(bytes("whole "), done())).error, 0);
  EXPECT_EQ(content(), "old whole ");
}

TEST_P(FileTest, an_append_that_can_not_be_taken_back_is_told_and_mended_by_the_next) {
  set_content("old ");
  open_to_write();
  files.fail_at(2, ENOSPC);
  files.and_at = 3;  // the ftruncate()
  auto result = wait(file.append(bytes(pattern(600)), done()));
  EXPECT_EQ(result.error, ENOSPC);
  EXPECT_TRUE(result.torn);
  EXPECT_EQ(result.count, 256U);
  EXPECT_EQ(content().size(), 4U + 256U);
  files.fail_at(1, EIO);  // nor now
  files.and_at = 0;
  result = wait(file.append(bytes("new"), done()));
  EXPECT_EQ(result.error, EIO);
  EXPECT_EQ(result.call, FileCall::truncate);
  files.fail_at(0, 0);
  EXPECT_EQ(wait(file.append(bytes("new"), done())).error, 0);
  EXPECT_EQ(content(), "old new");
}

TEST_P(FileTest, a_write_in_place_says_how_far_it_came) {
  open_to_write();
  files.fail_at(3, EIO);
  const auto result = wait(file.write(0, bytes(pattern(1000)), done()));
  EXPECT_EQ(result.error, EIO);
  EXPECT_EQ(result.count, 512U);
  EXPECT_EQ(content(), pattern(1000).substr(0, 512));
  files.fail_at(1, EIO);
  std::string back(10, '?');
  EXPECT_EQ(wait(file.read(0, std::as_writable_bytes(std::span(back)), done())).error, EIO);
  EXPECT_EQ(back, "??????????");
}

TEST_P(FileTest, an_fsync_that_has_failed_is_not_made_good_by_another) {
  open_to_write();
  files.fail_at(1, EIO);
  EXPECT_EQ(wait(file.sync(done())).error, EIO);
  const auto again = file.sync(done());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().number, EIO);
  EXPECT_EQ(wait(file.close(done())).error, 0);
  open_to_write();
  EXPECT_EQ(wait(file.sync(done())).error, 0);
}

TEST_P(FileTest, a_fault_while_opening_or_closing_leaves_it_closed) {
  const auto before = descriptors();
  for (const int call : {1, 2}) {
    files.fail_at(call, EIO);
    const auto result = wait(file.open(path, FileMode::write, done()));
    EXPECT_EQ(result.error, EIO);
    EXPECT_EQ(result.call, call == 1 ? FileCall::open : FileCall::size);
    EXPECT_FALSE(file.is_open());
    EXPECT_EQ(descriptors(), before);
  }
  files.fail_at(2, EIO);
  files.and_at = 3;  // closing it again fails, too
  EXPECT_EQ(wait(file.open(path, FileMode::write, done())).call, FileCall::size);
  EXPECT_FALSE(file.is_open());
  files.fail_at(0, 0);
  files.and_at = 0;
  open_to_write();
  files.fail_at(1, ENOSPC);
  const auto closed = wait(file.close(done()));
  EXPECT_EQ(closed.error, ENOSPC);
  EXPECT_EQ(closed.call, FileCall::close);
  EXPECT_FALSE(file.is_open());
  EXPECT_EQ(descriptors(), before);
}

// --- Who has asked goes away ---

TEST_P(FileTest, whoever_waits_may_go_at_any_step_and_nothing_is_left_half_written) {
  const std::string new_text = pattern(600);
  const auto before = descriptors();
  On never{[&](const Message&) { ADD_FAILURE() << "it was cancelled"; }};
  for (std::uint64_t steps = 0; steps < 10; ++steps) {
    set_content("old");
    auto memory = std::make_unique<std::string>(new_text);
    const std::uint64_t told = offload.statistics(0).told;
    ASSERT_TRUE(file.replace(path, bytes(*memory), never));
    while (offload.statistics(0).told < told + steps) {
      ASSERT_TRUE(loop.turn());
    }
    file.cancel();
    memory.reset();
    wait_idle();
    // open, and the first two of three writes: not all is there yet.
    EXPECT_EQ(content(), steps < 3 ? "old" : new_text) << steps;
    EXPECT_TRUE(is_alone());
    EXPECT_EQ(descriptors(), before);
  }
}

TEST_P(FileTest, an_append_that_nobody_waits_for_any_more_is_there_as_a_whole_or_not_at_all) {
  open_to_write();
  for (std::uint64_t steps = 0; steps < 3; ++steps) {
    auto memory = std::make_unique<std::string>(pattern(600));
    const std::uint64_t told = offload.statistics(0).told;
    ASSERT_TRUE(file.append(bytes(*memory), done()));
    while (offload.statistics(0).told < told + steps) {
      ASSERT_TRUE(loop.turn());
    }
    file.cancel();
    memory.reset();
    wait_idle();
    EXPECT_EQ(content().size(), steps < 2 ? 0U : 600U);
    EXPECT_EQ(file.size(), content().size());
  }
  EXPECT_EQ(wait(file.append(bytes("next"), done())).error, 0);
  EXPECT_EQ(content(), pattern(600) + "next");
  files.fail_at(2, ENOSPC);
  files.and_at = 3;
  EXPECT_TRUE(wait(file.append(bytes(pattern(600)), done())).torn);
  files.and_at = 0;
  ASSERT_TRUE(file.append(bytes("never"), done()));  // which begins with mending
  file.cancel();
  wait_idle();
  EXPECT_EQ(content(), pattern(600) + "next");
}

TEST_P(FileTest, reading_into_memory_that_is_gone_ends_without_touching_it) {
  set_content(pattern(600));
  open_to_write();
  auto memory = std::make_unique<std::string>(600, '?');
  const auto calls = files.calls_of[static_cast<std::size_t>(FileCall::read)];
  ASSERT_TRUE(file.read(0, std::as_writable_bytes(std::span(*memory)), done()));
  file.cancel();
  memory.reset();
  wait_idle();
  EXPECT_EQ(files.calls_of[static_cast<std::size_t>(FileCall::read)], calls + 1);
}

TEST_P(FileTest, an_open_that_nobody_waits_for_any_more_is_undone) {
  const auto before = descriptors();
  for (std::uint64_t steps = 0; steps < 2; ++steps) {
    const std::uint64_t told = offload.statistics(0).told;
    ASSERT_TRUE(file.open(path, FileMode::write, done()));
    while (offload.statistics(0).told < told + steps) {
      ASSERT_TRUE(loop.turn());
    }
    file.cancel();
    wait_idle();
    EXPECT_FALSE(file.is_open());
    EXPECT_EQ(descriptors(), before);
  }
}

// --- The loop ends ---

TEST_P(FileTest, what_is_under_way_when_the_loop_quits_is_carried_out) {
  const std::string text = pattern(600);
  ASSERT_TRUE(file.replace(path, bytes(text), done()));
  loop.quit();
  ASSERT_TRUE(loop.run());
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->error, 0);
  EXPECT_EQ(content(), text);
  EXPECT_EQ(file.replace(path, {}, done()).error().number, ESHUTDOWN);
}

/// One whose worker stays in a call: it stays, too.
struct Kept {
  FaultyFiles files;
  FaultyRing ring{files};
  Loop<Epoll> loop;
  StaticOffload<limits> offload;
  std::optional<File> file{std::in_place, offload, 0U};
  std::optional<FileOutcome> outcome;
  Kept* before = nullptr;

  /// A worker may be in it for ever, so it is never destroyed.
  static Kept& make(Backend backend) {
    static Kept* newest = nullptr;
    Kept* const kept = new Kept(backend);
    kept->before = std::exchange(newest, kept);
    return *kept;
  }
  explicit Kept(Backend backend) : offload(files, backend == Backend::io_uring ? &ring : nullptr) {
    EXPECT_TRUE(offload.open(loop));
    offload.set_patience(Duration(1));
    files.hold = true;
  }
  void on_done(const Message& message) { outcome = message.load<FileOutcome>(); }
  Handler done() { return Handler::to<&Kept::on_done>(*this); }
  void quit_once_held() {
    while (!files.held) {
      loop.turn_now();
    }
    loop.quit();
    ASSERT_TRUE(loop.run());
  }
};

TEST_P(FileTest, a_disk_that_does_not_answer_does_not_keep_the_loop_from_ending) {
  set_content("old");
  Kept& kept = Kept::make(GetParam());
  kept.files.at = 3;
  const std::string text = pattern(600);
  ASSERT_TRUE(kept.file->replace(path, bytes(text), kept.done()));
  kept.quit_once_held();
  ASSERT_TRUE(kept.outcome);
  EXPECT_EQ(kept.outcome->error, ECANCELED);
  EXPECT_EQ(kept.outcome->call, FileCall::write);
  EXPECT_TRUE(kept.outcome->left_behind);
  EXPECT_FALSE(kept.outcome->replaced);
  EXPECT_FALSE(kept.file->busy());
  EXPECT_EQ(content(), "old");
  kept.ring.release();
}

TEST_P(FileTest, an_append_that_is_stuck_when_the_loop_ends_is_told_to_be_torn) {
  Kept& kept = Kept::make(GetParam());
  kept.files.at = 4;
  const std::string text = pattern(600);
  On append{[&](const Message&) { ASSERT_TRUE(kept.file->append(bytes(text), kept.done())); }};
  ASSERT_TRUE(kept.file->open(path, FileMode::write, append));
  kept.quit_once_held();
  ASSERT_TRUE(kept.outcome);
  EXPECT_EQ(kept.outcome->error, ECANCELED);
  EXPECT_TRUE(kept.outcome->torn);
  EXPECT_EQ(kept.outcome->count, 256U);
  kept.ring.release();
}

TEST_P(FileTest, one_that_is_destroyed_while_it_is_busy_leaves_the_rest_alone) {
  Kept& kept = Kept::make(GetParam());
  kept.files.at = 2;
  const std::string text = pattern(600);
  ASSERT_TRUE(kept.file->replace(path, bytes(text), kept.done()));
  while (!kept.files.held) {
    kept.loop.turn_now();
  }
  kept.file.reset();
  kept.ring.release();
  while (kept.offload.statistics(0).in_use > 0) {
    ASSERT_TRUE(kept.loop.turn());
  }
  EXPECT_FALSE(kept.outcome);
  EXPECT_FALSE(std::filesystem::exists(path));
}

INSTANTIATE_TEST_SUITE_P(By, FileTest, ::testing::Values(Backend::workers, Backend::io_uring),
                         [](const auto& backend) {
                           return backend.param == Backend::workers ? "workers" : "io_uring";
                         });

}  // namespace
}  // namespace millrace::test
