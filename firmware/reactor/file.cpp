// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/file.hpp"

#include <algorithm>
#include <utility>

#include "hal/slice.hpp"

namespace millrace {
namespace {

constexpr std::string_view new_suffix = ".new";

std::string_view folder_of(std::string_view path) {
  const std::size_t end = path.rfind('/');
  return end == std::string_view::npos ? "." : slice(path, 0, std::max<std::size_t>(end, 1));
}

}  // namespace

Result<std::size_t> FileOutcome::result() const {
  if (error != 0) {
    return fail(error, hal::name_of(call));
  }
  return count;
}

File::~File() {
  if (busy()) {
    (void)offload_.cancel(job_);
    (void)fd_.release();  // a worker may be in the middle of a call with it
  }
}

// --- Beginning ----------------------------------------------------------------------------------

Result<void> File::check(bool open) const {
  if (busy()) {
    return fail(EBUSY, "the file is busy", "wait for what it does");
  }
  if (is_open() != open) {
    return open ? fail(EBADF, "the file is not open") : fail(EALREADY, "the file is open already");
  }
  return {};
}

Result<void> File::check_path(std::string_view path) const {
  if (auto ready = check(false); !ready) {
    return ready;
  }
  if (path.contains('\0')) {
    return fail(EINVAL, "a path has no NUL in it", "see what it was made of");
  }
  if (path.size() + new_suffix.size() > max_path ||
      2 * path.size() + new_suffix.size() + 2 > offload_.buffer_size()) {
    return fail(ENAMETOOLONG, "the file's path is too long",
                "use a shorter one, or raise buffer in the board's limits");
  }
  return {};
}

Result<void> File::begin(Phase phase, std::uint64_t offset, std::span<std::byte> into,
                         std::span<const std::byte> from, Handler done) {
  if (!offload_.can_start(job_)) {
    const auto job = offload_.reserve(lane_, Handler::to<&File::on_step>(*this));
    if (!job) {
      return std::unexpected(job.error());
    }
    job_ = *job;
  }
  cancelled_ = false;
  done_ = done;
  offset_ = offset;
  length_ = into.size() + from.size();
  into_ = into;
  from_ = from;
  outcome_ = {};
  next(phase);
  return {};
}

Result<void> File::open(std::string_view path, hal::FileMode mode, Handler done) {
  if (auto ready = check_path(path); !ready) {
    return ready;
  }
  if (mode != hal::FileMode::read && mode != hal::FileMode::write) {
    return fail(EINVAL, "a file is opened to read or to write");
  }
  mode_ = mode;
  size_ = 0;
  sync_error_ = 0;
  torn_ = false;
  path_ = FixedString<max_path>(path);
  return begin(Phase::opening, 0, {}, {}, done);
}

Result<void> File::look(Handler done) {
  if (auto ready = check(true); !ready) {
    return ready;
  }
  if (mode_ != hal::FileMode::write) {
    return fail(EBADF, "the file is not open for writing");
  }
  return begin(Phase::sizing, 0, {}, {}, done);
}

Result<void> File::read(std::uint64_t offset, std::span<std::byte> into, Handler done) {
  if (auto ready = check(true); !ready) {
    return ready;
  }
  return begin(Phase::reading, offset, into, {}, done);
}

Result<void> File::write(std::uint64_t offset, std::span<const std::byte> from, Handler done) {
  if (auto ready = check(true); !ready) {
    return ready;
  }
  return begin(Phase::writing, offset, {}, from, done);
}

Result<void> File::append(std::span<const std::byte> from, Handler done) {
  if (auto ready = check(true); !ready) {
    return ready;
  }
  if (mode_ != hal::FileMode::write) {
    return fail(EBADF, "the file is not open for writing");
  }
  return begin(torn_ ? Phase::mending : Phase::appending, size_, {}, from, done);
}

Result<void> File::sync(Handler done) {
  if (auto ready = check(true); !ready) {
    return ready;
  }
  if (sync_error_ != 0) {
    return fail(sync_error_, "the file could not be kept before", "write it anew");
  }
  return begin(Phase::syncing, 0, {}, {}, done);
}

Result<void> File::close(Handler done) {
  if (auto ready = check(true); !ready) {
    return ready;
  }
  return begin(Phase::closing, 0, {}, {}, done);
}

Result<void> File::replace(std::string_view path, std::span<const std::byte> content,
                           Handler done) {
  if (auto ready = check_path(path); !ready) {
    return ready;
  }
  path_ = FixedString<max_path>(path);
  return begin(Phase::making, 0, {}, content, done);
}

Result<void> File::rename(std::string_view path, std::string_view to, Handler done) {
  for (const std::string_view name : {path, to}) {
    if (auto ready = check_path(name); !ready) {
      return ready;
    }
  }
  path_ = FixedString<max_path>(path);
  return begin(Phase::moving, 0, {}, std::as_bytes(std::span(to)), done);
}

void File::cancel() {
  cancelled_ = true;
  done_ = {};
  into_ = {};
  from_ = {};
}

// --- Step by step -------------------------------------------------------------------------------

hal::FileCall File::call_of(Phase phase) {
  switch (phase) {
    case Phase::opening:
    case Phase::making:
    case Phase::opening_folder:
      return hal::FileCall::open;
    case Phase::sizing:
      return hal::FileCall::size;
    case Phase::reading:
      return hal::FileCall::read;
    case Phase::writing:
    case Phase::appending:
    case Phase::filling:
      return hal::FileCall::write;
    case Phase::mending:
    case Phase::undoing:
      return hal::FileCall::truncate;
    case Phase::syncing:
    case Phase::saving:
    case Phase::saving_folder:
      return hal::FileCall::sync;
    case Phase::moving:
      return hal::FileCall::move;
    case Phase::renaming:
      return hal::FileCall::rename;
    case Phase::removing:
      return hal::FileCall::remove;
    default:
      return hal::FileCall::close;
  }
}

std::span<std::byte> File::put_path(std::string_view path, std::string_view suffix,
                                    std::string_view second) {
  const std::span<std::byte> buffer = offload_.work(job_).buffer;
  std::size_t size = 0;
  const auto put = [&](std::string_view text) {
    std::ranges::copy(std::as_bytes(std::span(text)), buffer.subspan(size).begin());
    size += text.size();
  };
  constexpr std::string_view end("\0", 1);
  put(path);
  put(suffix);
  put(end);
  put(second);
  put(end);
  return buffer.first(size);
}

std::span<std::byte> File::next_bytes() const {
  const std::span<std::byte> buffer = offload_.work(job_).buffer;
  return buffer.first(std::min(buffer.size(), length_ - outcome_.count));
}

void File::next(Phase phase) {
  phase_ = phase;
  hal::FileRequest request{.call = call_of(phase), .fd = fd_.get()};
  switch (phase) {
    case Phase::opening:
      request.mode = mode_;
      request.bytes = put_path(path_);
      break;
    case Phase::making:
      request.mode = hal::FileMode::replace;
      request.bytes = put_path(path_, new_suffix);
      break;
    case Phase::opening_folder:
      request.mode = hal::FileMode::folder;
      request.bytes = put_path(folder_of(path_));
      break;
    case Phase::moving: {
      const std::string_view to(reinterpret_cast<const char*>(from_.data()), from_.size());
      request.bytes = put_path(path_, {}, to);
      path_ = FixedString<max_path>(to);
      break;
    }
    case Phase::renaming:
      request.bytes = put_path(path_, new_suffix, path_);
      break;
    case Phase::removing:
      request.bytes = put_path(path_, new_suffix);
      break;
    case Phase::mending:
    case Phase::undoing:
      request.offset = size_;
      break;
    case Phase::reading:
      request.offset = offset_ + outcome_.count;
      request.bytes = next_bytes();
      break;
    case Phase::writing:
    case Phase::appending:
    case Phase::filling:
      request.offset = offset_ + outcome_.count;
      request.bytes = next_bytes();
      std::ranges::copy(from_.subspan(outcome_.count, request.bytes.size()), request.bytes.begin());
      break;
    default:
      break;
  }
  offload_.start(job_, request);
}

void File::on_step(const Message& message) {
  const auto [job, error, shut_down, result] = message.load<Completion>();
  if (shut_down) {
    note_failure(error);
    (void)fd_.release();
    outcome_.torn = phase_ == Phase::undoing || (phase_ == Phase::appending && outcome_.count > 0);
    outcome_.left_behind = phase_ >= Phase::making && phase_ <= Phase::renaming;
    end();
  } else if (error != 0) {
    on_failure(error);
  } else {
    on_success(result);
  }
}

void File::on_success(std::int64_t result) {
  switch (phase_) {
    case Phase::opening:
      fd_ = hal::Fd(static_cast<int>(result));
      if (cancelled_) {
        next(Phase::reopening);
      } else if (mode_ == hal::FileMode::write) {
        next(Phase::sizing);
      } else {
        end();
      }
      break;
    case Phase::sizing:
      size_ = static_cast<std::uint64_t>(result);
      if (cancelled_) {
        next(Phase::reopening);
      } else {
        end();
      }
      break;
    case Phase::reading:
    case Phase::writing:
    case Phase::appending:
    case Phase::filling:
      on_transferred(static_cast<std::size_t>(result));
      break;
    case Phase::mending:
      torn_ = false;
      if (cancelled_) {
        end();
      } else {
        next(Phase::appending);
      }
      break;
    case Phase::undoing:
      outcome_.count = 0;
      end();
      break;
    case Phase::making:
      fd_ = hal::Fd(static_cast<int>(result));
      if (cancelled_) {
        next(Phase::dropping);
      } else {
        next(length_ > 0 ? Phase::filling : Phase::saving);
      }
      break;
    case Phase::saving:
      next(Phase::finishing);
      break;
    case Phase::finishing:
      (void)fd_.release();
      next(Phase::renaming);
      break;
    case Phase::moving:
    case Phase::renaming:
      outcome_.replaced = true;
      next(Phase::opening_folder);
      break;
    case Phase::opening_folder:
      fd_ = hal::Fd(static_cast<int>(result));
      next(Phase::saving_folder);
      break;
    case Phase::saving_folder:
      next(Phase::closing_folder);
      break;
    case Phase::dropping:
      (void)fd_.release();
      next(Phase::removing);
      break;
    case Phase::closing:
    case Phase::reopening:
    case Phase::closing_folder:
      (void)fd_.release();
      end();
      break;
    default:
      end();
      break;
  }
}

void File::on_transferred(std::size_t count) {
  const bool reads = phase_ == Phase::reading;
  if (reads && !cancelled_) {
    std::ranges::copy(offload_.work(job_).buffer.first(count),
                      into_.subspan(outcome_.count).begin());
  }
  outcome_.count += count;
  if (phase_ == Phase::writing) {
    size_ = std::max(size_, offset_ + outcome_.count);
  }
  if (outcome_.count < length_ && !cancelled_ && (count > 0 || reads)) {
    if (count > 0) {
      next(phase_);
    } else {
      end();  // the end of the file
    }
  } else if (outcome_.count < length_) {
    // Nobody has the rest any more; or the kernel says that it has written nothing, which it does
    // not say of what may be tried again.
    on_failure(cancelled_ ? ECANCELED : EIO);
  } else if (phase_ == Phase::filling) {
    next(Phase::saving);
  } else {
    if (phase_ == Phase::appending) {
      size_ += length_;
    }
    end();
  }
}

void File::on_failure(int error) {
  note_failure(error);
  switch (phase_) {
    case Phase::sizing:
      next(Phase::reopening);
      break;
    case Phase::appending:
      if (outcome_.count > 0) {
        next(Phase::undoing);
      } else {
        end();
      }
      break;
    case Phase::undoing:
      torn_ = outcome_.torn = true;
      end();
      break;
    case Phase::syncing:
      sync_error_ = error;
      end();
      break;
    case Phase::filling:
    case Phase::saving:
      next(Phase::dropping);
      break;
    case Phase::finishing:
    case Phase::dropping:
      (void)fd_.release();  // closed all the same
      next(Phase::removing);
      break;
    case Phase::renaming:
      next(Phase::removing);
      break;
    case Phase::removing:
      outcome_.left_behind = true;
      end();
      break;
    case Phase::saving_folder:
      next(Phase::closing_folder);
      break;
    case Phase::closing:
    case Phase::reopening:
    case Phase::closing_folder:
      (void)fd_.release();
      end();
      break;
    default:
      end();
      break;
  }
}

void File::note_failure(int error) {
  if (outcome_.error == 0) {
    outcome_.error = error;
    outcome_.call = call_of(phase_);
  }
}

void File::end() {
  phase_ = Phase::none;
  Message message;
  message.handler = std::exchange(done_, {});
  message.store(outcome_);
  if (message.handler) {
    message.handler(message);  // this may be gone when it returns
  }
}

}  // namespace millrace
