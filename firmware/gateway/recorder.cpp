// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/recorder.hpp"

#include <algorithm>

#include "firmware/gateway/version.hpp"
#include "firmware/reactor/task_file.hpp"
#include "hal/clock.hpp"
#include "hal/error_text.hpp"
#include "hal/log.hpp"

namespace millrace {
namespace {

using hal::log;
using hal::LogLevel;

/// Files of earlier starts that are kept beside the record.
constexpr unsigned most_set_aside = 999;

/// Bytes of the header that are written at once: part of a frame.
constexpr std::size_t most_at_once = 2 * vcd::longest;

const char* remedy_of(const Error& error) {
  switch (error.number) {
    case ENOSPC:
      return "make room on that disk";
    case ENOENT:
    case ENOTDIR:
      return "make the folder, or mount the disk";
    case EACCES:
    case EPERM:
    case EROFS:
      return "let this user write there, or record elsewhere";
    case ESPIPE:
    case EISDIR:
    case EINVAL:
      return "name a regular file";
    default:
      return *error.remedy != '\0' ? error.remedy : "see to that disk, or record elsewhere";
  }
}

}  // namespace

Result<void> Recorder::open(std::string_view path, const board::Board& board) {
  if (path.size() > max_path) {
    return fail(ENAMETOOLONG, "the record's path is too long", "use a shorter one");
  }
  const auto notifier = tasks_.reactor().add_notifier(Handler::to<&Recorder::on_changed>(*this));
  if (!notifier) {
    return std::unexpected(notifier.error());
  }
  changed_ = *notifier;
  if (auto closes = tasks_.reactor().at_quit(Handler::to<&Recorder::on_quit>(*this)); !closes) {
    return closes;
  }
  if (const auto spawned = scope_.spawn(run(tasks_)); !spawned) {
    return std::unexpected(spawned.error());
  }
  path_ = path;
  module_ = board.name;
  begin_ = hal::SystemClock().now();
  date_ = hal::time_of_day();
  gpio_.also_raise(changed_);
  log_.attach(reader_);
  reader_.filter = {.rising = LineSet().set(), .falling = LineSet().set(), .record = true};
  for (std::size_t i = 0; i < gpio_.size(); ++i) {
    const LineIndex line{static_cast<std::uint16_t>(i)};
    const auto level = gpio_.line(line).seen() ? gpio_.level(line) : std::nullopt;
    if (level) {
      writer_.set(i, vcd::level_of(*level));
    }
  }
  written_ = writer_.state();
  return {};
}

// --- What the task is told ---------------------------------------------------------------------

void Recorder::tell(Word word) {
  Message message;
  message.code = word;
  inbox_.handler()(message);
}

void Recorder::on_changed(const Message& /*message*/) {
  tell(log_.behind(reader_) < board::capacities.events / 2 ? changed : hurry);
}

void Recorder::on_quit(const Message& /*message*/) {
  // Whatever it waits for, but for the disk, is over; it then finds this out by itself.
  quitting_ = true;
  tell(hurry);
  tell(quit);
}

// --- The task ----------------------------------------------------------------------------------

Task<> Recorder::run(Tasks& tasks) {
  (void)co_await flush(tasks);  // the file is there from the start on
  while (!quitting_) {
    if (taken_count_ == 0) {
      const auto told = co_await inbox_.receive(keep_at_);
      if (!told) {
        co_await keep(tasks);
        continue;
      }
    }
    if (!quitting_) {
      (void)co_await inbox_.receive(hurry, collect);
    }
    (void)co_await put(tasks, saturating_add(tasks.reactor().now(), -settle));
    if (tasks.reactor().now() >= keep_at_) {
      co_await keep(tasks);
    }
  }
  const auto put_all = co_await put(tasks, never);
  if (!put_all) {
    note_unwritten();
  }
  co_await keep(tasks);
}

// Writes what was told until then.
Task<Result<void>> Recorder::put(Tasks& tasks, Instant until) {
  for (;;) {
    const std::size_t count = take(until);
    const bool gap = count == 0 && reader_.lost() > 0;
    // Of a gap: how much is missing, and then that nothing is known of each line.
    const std::size_t steps = gap ? 1 + gpio_.size() : count;
    for (std::size_t i = 0; i < steps; ++i) {
      if (!has_room()) {
        const auto flushed = co_await flush(tasks);
        if (!flushed) {
          co_return flushed;
        }
      }
      gap ? record_gap(i) : record(taken_[i]);
    }
    drop_taken(count);
    if (steps == 0) {
      co_return co_await flush(tasks);
    }
  }
}

// Returns when the file has the text, however long that takes; an error at the end only.
Task<Result<void>> Recorder::flush(Tasks& tasks) {
  while (!text_.empty() || header_ < header_size()) {
    const Instant begin = tasks.reactor().now();
    auto done = co_await prepare(tasks);
    if (done && !text_.empty()) {
      const auto appended = co_await append(file_, std::as_bytes(std::span(text_.view())));
      done = appended ? Result<void>() : std::unexpected(appended.error());
    }
    if (done) {
      note_written(tasks.reactor().now() - begin);
      break;
    }
    report(unwritten_, done.error());
    (void)co_await close(file_);  // the next attempt looks anew what is there
    if (quitting_) {
      co_return done;
    }
    (void)co_await inbox_.receive(quit, retry_interval);
  }
  co_return {};
}

// Opens the file if it is not, or is not what was written, and sees to its header.
Task<Result<void>> Recorder::prepare(Tasks& tasks) {
  if (file_.is_open()) {
    // What was emptied would grow to its length again, of zeros.
    const auto looked = co_await look(file_);
    if (!looked) {
      co_return std::unexpected(looked.error());
    }
    if (file_.size() != size_) {
      (void)co_await close(file_);
    }
  }
  while (!file_.is_open()) {
    const auto opened = co_await millrace::open(file_, path_, hal::FileMode::write);
    if (!opened) {
      co_return std::unexpected(opened.error());
    }
    if (file_.size() == size_) {
      break;
    }
    if (file_.size() > 0) {
      const auto moved = co_await set_aside(tasks);
      if (!moved) {
        co_return moved;
      }
    }
    if (size_ > 0) {
      log(LogLevel::warning, "record ", path_, ": the file was taken away, a new one begins");
    }
    size_ = 0;
    header_ = 0;
  }
  while (header_ < header_size()) {
    FixedString<most_at_once> part;
    std::size_t next = header_;
    while (next < header_size() && part.size() + vcd::longest <= most_at_once) {
      part.append(header_piece(next++));
    }
    const auto appended = co_await append(file_, std::as_bytes(std::span(part.view())));
    if (!appended) {
      co_return std::unexpected(appended.error());
    }
    statistics_.files += header_ == 0 ? 1 : 0;
    statistics_.bytes += part.size();
    size_ += part.size();
    header_ = next;
  }
  co_return {};
}

// Gives what has the record's name another one, that nothing has.
Task<Result<void>> Recorder::set_aside(Tasks& /*tasks*/) {
  (void)co_await close(file_);
  for (unsigned number = 1; number <= most_set_aside; ++number) {
    FixedString<File::max_path> name(path_);
    name.append('.', number);
    const auto renamed = co_await rename(file_, path_, name);
    if (file_.replaced()) {
      log(LogLevel::info, "record ", path_, ": the one before is ", name, " now");
      if (!renamed) {
        log(LogLevel::warning, "record ", path_,
            ": a power cut may undo that, as its folder: ", describe(renamed.error()));
      }
      co_return {};
    }
    if (renamed.error().number != EEXIST) {
      co_return std::unexpected(renamed.error());
    }
  }
  co_return fail(EEXIST, "too many earlier ones are there", "remove some");
}

Task<> Recorder::keep(Tasks& /*tasks*/) {
  keep_at_ = never;
  if (!file_.is_open()) {
    co_return;
  }
  const auto synced = co_await sync(file_);
  if (synced) {
    unkept_ = false;
  } else {
    report(unkept_, synced.error());
  }
  (void)co_await close(file_);
}

// --- Events ------------------------------------------------------------------------------------

// How many of those taken can be written, as none that is older comes any more.
std::size_t Recorder::take(Instant until) {
  if (reader_.lost() > 0) {
    return taken_count_;  // these were before the loss
  }
  const Event* event = log_.peek(reader_);
  for (; event != nullptr && taken_count_ < taken_.size(); event = log_.peek(reader_)) {
    take(*event);
    log_.skip(reader_);
  }
  if (event != nullptr) {
    return taken_.size() / 2;  // there is no more room, and what is in the log may be older
  }
  look_at_unsure_lines();
  const auto taken = std::span(taken_).first(taken_count_);
  return static_cast<std::size_t>(std::ranges::upper_bound(taken, until, {}, &Event::time) -
                                  taken.begin());
}

void Recorder::take(const Event& event) {
  if (event.kind == Event::Kind::config || event.time < begin_) {
    return;  // its level is told by another event, or was read by open()
  }
  unsure_[index(event.line)] = false;
  std::size_t place = taken_count_++;
  for (; place > 0 && event.time < taken_[place - 1].time; --place) {
    taken_[place] = taken_[place - 1];
  }
  taken_[place] = event;
}

// A line of which nothing was told since has the level that it had.
void Recorder::look_at_unsure_lines() {
  for (std::size_t i = 0; unsure_.any() && i < gpio_.size() && taken_count_ < taken_.size(); ++i) {
    const LineIndex line{static_cast<std::uint16_t>(i)};
    if (unsure_[i]) {
      const auto level = gpio_.line(line).seen() ? gpio_.level(line) : std::nullopt;
      take({.kind = level ? Event::Kind::seen : Event::Kind::unseen,
            .level = level.value_or(false),
            .line = line,
            .time = tasks_.reactor().now()});
    }
  }
}

void Recorder::record(const Event& event) {
  const std::size_t line = index(event.line);
  const std::uint64_t time = time_of(event.time);
  statistics_.late += time < writer_.state().time ? 1U : 0U;
  if (event.kind == Event::Kind::gap && event.count > 0) {
    writer_.put_lost(text_, time, event.count);
  }
  const bool known = event.kind != Event::Kind::gone && event.kind != Event::Kind::unseen;
  const auto level = known ? vcd::level_of(event.level) : vcd::Level::unknown;
  in_text_ += writer_.put(text_, time, line, level) ? 1U : 0U;
}

// The changes that the log has dropped were here: from now on nothing is known.
void Recorder::record_gap(std::size_t step) {
  if (step > 0) {
    (void)writer_.put(text_, 0, step - 1, vcd::Level::unknown);
    return;
  }
  const std::uint32_t lost = reader_.take_lost();
  statistics_.lost += lost;
  const Instant now = tasks_.reactor().now();
  if (now >= losing_until_) {
    log(LogLevel::warning, "record ", path_, ": ", lost,
        " changes are lost, as the disk was too slow");
  }
  losing_until_ = saturating_add(now, keep_interval);
  unsure_.set();
  writer_.put_lost(text_, writer_.state().time + 1, lost);
}

void Recorder::drop_taken(std::size_t count) {
  std::ranges::move(std::span(taken_).subspan(count, taken_count_ - count), taken_.begin());
  taken_count_ -= count;
}

std::uint64_t Recorder::time_of(Instant at) const {
  return static_cast<std::uint64_t>(std::max(saturating_sub(at, begin_), Duration::zero()).count());
}

vcd::Piece Recorder::header_piece(std::size_t number) const {
  const std::size_t lines = gpio_.size();
  if (number == 0) {
    FixedString<31> by("Millrace ");
    by.append(version);
    return vcd::preamble({.version = by, .module = module_, .date = date_, .begin = begin_});
  }
  if (number <= lines) {
    const std::size_t line = number - 1;
    return vcd::wire(line, gpio_.line(LineIndex(static_cast<std::uint16_t>(line))).name);
  }
  if (number == lines + 1) {
    vcd::Piece piece = vcd::counter(board::capacities.lines, "lost");
    piece.append(vcd::end_of_header(written_.time));
    return piece;
  }
  if (number < 2 * lines + 2) {
    const std::size_t line = number - lines - 2;
    return vcd::value(line, written_.level(line));
  }
  vcd::Piece piece = vcd::count(board::capacities.lines, written_.lost);
  piece.append(vcd::end_of_values);
  return piece;
}

// --- How it goes -------------------------------------------------------------------------------

void Recorder::report(bool& told, const Error& error) {
  ++statistics_.errors;
  if (!std::exchange(told, true)) {
    log(LogLevel::error, "record ", path_, ": ",
        describe({.number = error.number, .what = error.what, .remedy = remedy_of(error)}),
        "; it is tried again each ",
        std::chrono::floor<std::chrono::seconds>(retry_interval).count(), " s");
  }
}

void Recorder::note_written(Duration taken) {
  if (std::exchange(unwritten_, false)) {
    log(LogLevel::info, "record ", path_, ": goes on");
  }
  size_ += text_.size();
  statistics_.bytes += text_.size();
  statistics_.changes += std::exchange(in_text_, 0);
  statistics_.slowest = std::max(statistics_.slowest, taken);
  written_ = writer_.state();
  text_.clear();
  if (keep_at_ == never) {
    keep_at_ = saturating_add(tasks_.reactor().now(), keep_interval);
  }
}

void Recorder::note_unwritten() {
  const std::uint64_t changes = taken_count_ + log_.behind(reader_) + reader_.take_lost();
  statistics_.lost += changes;
  log(LogLevel::warning, "record ", path_, ": ", text_.size(), " bytes and ", changes,
      " changes could not be written");
}

}  // namespace millrace
