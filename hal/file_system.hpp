// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace millrace::hal {

/// What can be asked of a file system: one system call each, where nothing else is said.
enum class FileCall : std::uint8_t {
  open,      ///< open(2) of the path in `bytes`; the result is the descriptor
  size,      ///< fstat(2): the result is the file's length. Not a regular file: EINVAL
  read,      ///< pread(2) into `bytes`; the result is how many, 0 at the end
  write,     ///< pwrite(2) of `bytes`; the result is how many, which may be fewer
  sync,      ///< fsync(2)
  truncate,  ///< ftruncate(2) to the length `offset`
  close,     ///< close(2): the descriptor is gone, whatever the outcome
  rename,    ///< rename(2) of the first path in `bytes` to the second
  move,      ///< the same, but EEXIST if there is such a file: renameat2(2), RENAME_NOREPLACE, or
             ///< on a file system that does not know that, such as NFS, open(2) and rename(2)
  remove     ///< unlink(2) of the path in `bytes`
};

/// The call's name as the manual has it, such as "fsync".
[[nodiscard]] const char* name_of(FileCall call);

/// What an open file is for. All are closed on exec(2).
enum class FileMode : std::uint8_t {
  read,     ///< must exist
  write,    ///< to read and write; made if it is missing, with mode 0644 less the umask
  replace,  ///< to write; made, and emptied if it exists. Not through a symbolic link: ELOOP
  folder    ///< a directory, to sync() what was made, renamed or removed in it
};

struct FileRequest {
  FileCall call = FileCall::close;
  FileMode mode = FileMode::read;  ///< open
  int fd = -1;                     ///< all but open, rename, move, remove
  std::uint64_t offset = 0;        ///< read, write, truncate
  /// Data, or paths: each ends in a NUL.
  std::span<std::byte> bytes = {};  // NOLINT(readability-redundant-member-init): g++ wants it
};

struct FileReply {
  std::int64_t result = 0;  ///< 0 on failure
  int error = 0;            ///< errno, 0: it went well
};

/// Does what is asked, and blocks as long as that takes. An interface, so that tests can have calls
/// fail, fall short or take long. Any thread, several at once.
class FileSystem {
 public:
  FileSystem() = default;
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;

  /// Calls that were interrupted are made again; close() never is.
  [[nodiscard]] virtual FileReply perform(const FileRequest& request) = 0;

 protected:
  ~FileSystem() = default;  // nobody owns one through this interface
};

/// The kernel's.
class SystemFiles final : public FileSystem {
 public:
  [[nodiscard]] FileReply perform(const FileRequest& request) override;
};

}  // namespace millrace::hal
