// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/reactor/message.hpp"
#include "firmware/reactor/offload.hpp"
#include "hal/error.hpp"
#include "hal/fd.hpp"
#include "hal/file_system.hpp"
#include "hal/fixed_string.hpp"

namespace millrace {

/// Payload of the message that ends a File's operation, of kind posted.
struct FileOutcome {
  std::size_t count = 0;                      ///< bytes read or written
  std::int32_t error = 0;                     ///< errno of what failed first, 0: it went well
  hal::FileCall call = hal::FileCall::close;  ///< what failed
  bool torn = false;         ///< append: part of it is in the file, as that could not be taken back
  bool replaced = false;     ///< replace, rename: it is done, though perhaps not on the disk yet
  bool left_behind = false;  ///< replace: PATH.new could not be removed

  /// The count, or what failed.
  [[nodiscard]] Result<std::size_t> result() const;
};

/// A regular file, for the loop: each operation is carried out by a worker of an Offload, in its
/// lane for this disk, and ends with a message to `done`; one at a time.
///
///     File log(offload, sd_card);
///     if (auto begun = log.append(bytes, Handler::to<&Log::on_appended>(*this)); !begun) …
///
///     void Log::on_appended(const Message& message) {
///       if (const auto outcome = message.load<FileOutcome>(); outcome.error != 0) …
///
/// Nothing is half-written. append() and replace() take effect as a whole or not at all: if a call
/// fails, the file is as it was before, except where FileOutcome::torn or replaced says otherwise.
/// A power cut can leave a part of an append(); replace() survives it. Only write(), which is in
/// place, may end in the middle, and says where. All that is asked of the kernel is reported: a
/// short write goes on where it ended, and an fsync() that has failed is never repeated as if it
/// could make good (the kernel has dropped the data by then, fsync(2)).
///
/// Memory. What is read or written passes through the job's own buffer, OffloadLimits::buffer bytes
/// at a time, each a turn of the loop: workers never touch the caller's memory. So the caller, its
/// memory included, may be gone at any time after cancel(), whatever runs then.
///
/// An operation keeps its place in the lane to its end: once begun it is not refused. If the next
/// one is begun in the handler, it takes the same.
///
/// When the loop quits while a call is stuck, the outcome is ECANCELED, and what has been opened is
/// left to the end of the process; so it is when a File is destroyed that is busy: make it static.
///
/// Loop thread only. Each step costs what Offload::start() costs; the destructor closes the file.
class File {
 public:
  /// Bytes, the ".new" of replace() included. ENAMETOOLONG also if twice the path does not fit into
  /// a job's buffer.
  static constexpr std::size_t max_path = 255;

  /// `offload` must outlive it.
  File(Offload& offload, std::size_t lane) : offload_(offload), lane_(lane) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  // Each begins an operation. `done` may be empty. Errors of all: EBUSY (an operation is under
  // way), as of Offload::reserve(); besides, EBADF (it is not open).

  /// Opens a file: mode read, or write, which is for reading as well and makes it if it is missing.
  /// Errors: EALREADY (it is open), ENAMETOOLONG, EINVAL (another mode). An outcome: EINVAL, to
  /// write to what is no regular file.
  [[nodiscard]] Result<void> open(std::string_view path, hal::FileMode mode, Handler done);

  /// Asks anew how long it is, as others may have changed that: size() tells. If that fails, it is
  /// closed. Errors: EBADF, also if it was not opened for writing.
  [[nodiscard]] Result<void> look(Handler done);

  /// Reads from `offset` on as much as there is, or as fits. A count below into.size(): that was
  /// the end of the file.
  [[nodiscard]] Result<void> read(std::uint64_t offset, std::span<std::byte> into, Handler done);

  /// Writes all of it, in place. If that fails, `count` bytes of it have been written.
  [[nodiscard]] Result<void> write(std::uint64_t offset, std::span<const std::byte> from,
                                   Handler done);

  /// Adds it to the end, or does not: if it can't all be written, what was is cut off again. If
  /// even that fails (`torn`), the next append() does it first. Nobody else may write to the file.
  /// Errors: EBADF, also if it was not opened for writing.
  [[nodiscard]] Result<void> append(std::span<const std::byte> from, Handler done);

  /// Has the disk keep what was written (fsync(2)). Errors, besides: that of an earlier sync() of
  /// this open file.
  [[nodiscard]] Result<void> sync(Handler done);

  /// Closes it; it is closed whatever the outcome.
  [[nodiscard]] Result<void> close(Handler done);

  /// Gives the file of this name another content, or leaves the old one, even if the power fails:
  /// writes PATH.new, fsync, rename, fsync of the folder. The File itself must not be open
  /// (EALREADY), and isn't afterwards. PATH.new is removed if that fails; one that was left over is
  /// overwritten. Errors: ENAMETOOLONG.
  [[nodiscard]] Result<void> replace(std::string_view path, std::span<const std::byte> content,
                                     Handler done);

  /// Gives the file of this name another one, which no file has: an outcome of EEXIST otherwise.
  /// The folder that it is in then is kept by the disk, as by replace(). The File itself must not
  /// be open (EALREADY). `to` may be gone when this returns. Errors: EINVAL, ENAMETOOLONG.
  [[nodiscard]] Result<void> rename(std::string_view path, std::string_view to, Handler done);

  /// The caller goes away: `done` is not called, and neither it nor memory that was given is
  /// touched any more. What can be taken back is (an append(), an open(), a replace() that does not
  /// have all content yet), the rest goes on by itself; the File is busy until then.
  void cancel();

  [[nodiscard]] bool busy() const { return phase_ != Phase::none; }
  [[nodiscard]] bool is_open() const { return static_cast<bool>(fd_); }
  /// Whether the last replace() or rename() was done: if its outcome is an error all the same, the
  /// disk may not have kept it yet.
  [[nodiscard]] bool replaced() const { return outcome_.replaced; }
  /// The file's length, as far as this File knows: opened for writing, and not busy.
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  enum class Phase : std::uint8_t {
    none,
    opening,
    sizing,
    reopening,  ///< closing what can't be used
    reading,
    writing,
    mending,  ///< cutting off what is left of an earlier append
    appending,
    undoing,
    syncing,
    closing,
    moving,
    making,  ///< replace, from here on
    filling,
    saving,
    finishing,
    dropping,
    removing,
    renaming,
    opening_folder,
    saving_folder,
    closing_folder
  };

  [[nodiscard]] static hal::FileCall call_of(Phase phase);
  [[nodiscard]] Result<void> check(bool open) const;
  [[nodiscard]] Result<void> check_path(std::string_view path) const;
  [[nodiscard]] Result<void> begin(Phase phase, std::uint64_t offset, std::span<std::byte> into,
                                   std::span<const std::byte> from, Handler done);
  void next(Phase phase);
  [[nodiscard]] std::span<std::byte> put_path(std::string_view folder_or_path,
                                              std::string_view suffix = {},
                                              std::string_view second = {});
  [[nodiscard]] std::span<std::byte> next_bytes() const;
  void on_step(const Message& message);
  void on_success(std::int64_t result);
  void on_transferred(std::size_t count);
  void on_failure(int error);
  void note_failure(int error);
  void end();

  Offload& offload_;
  std::size_t lane_;
  hal::Fd fd_;
  hal::FileMode mode_ = hal::FileMode::read;
  std::uint64_t size_ = 0;
  int sync_error_ = 0;
  bool torn_ = false;  ///< there is more in the file than size_ tells

  // The operation under way.
  Phase phase_ = Phase::none;
  bool cancelled_ = false;
  JobId job_;
  Handler done_;
  std::uint64_t offset_ = 0;
  std::size_t length_ = 0;
  std::span<std::byte> into_;
  std::span<const std::byte> from_;
  FileOutcome outcome_;
  FixedString<max_path> path_;
};

}  // namespace millrace
