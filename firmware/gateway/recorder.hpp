// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "board/boards.hpp"
#include "drivers/vcd_writer.hpp"
#include "firmware/gateway/event.hpp"
#include "firmware/gateway/gpio_service.hpp"
#include "firmware/reactor/file.hpp"
#include "firmware/reactor/task.hpp"
#include "firmware/reactor/task_inbox.hpp"
#include "firmware/reactor/task_scope.hpp"

namespace millrace {

/// Records the lines in a file, as a value change dump: each change of each line that is claimed,
/// from open() on, by the time stamps of the events. A task, whose calls to the file are carried
/// out by an Offload: a disk that is slow or stuck holds up nobody else.
///
///     log of events ─▶ take() ─▶ in order of time ─▶ record() ─▶ text ─▶ flush() ─▶ file
///
/// What has happened is written together after `collect`, or earlier if much has. The file is kept
/// by fsync(2) and closed each `keep_interval`, so that nothing is open or woken up while nothing
/// happens. A file that is there at the start is renamed to PATH.1, or the next number that is
/// free; one that was moved, removed or emptied meanwhile is followed by a new one.
///
/// Nothing is lost in silence. What could not be written is tried again each `retry_interval`, at
/// the most until the end of the process. When the log of events has overtaken the record
/// meanwhile, or the kernel has dropped edges, a counter in it, `lost`, tells how many changes it
/// lacks; in the former case its lines are `x` until it knows better.
///
/// Loop thread only.
class Recorder {
 public:
  static constexpr Duration collect = std::chrono::milliseconds(100);
  /// Events of several requests come in any order within this time: see GpioService.
  static constexpr Duration settle = std::chrono::milliseconds(20);
  static constexpr Duration keep_interval = std::chrono::seconds(5);
  static constexpr Duration retry_interval = std::chrono::seconds(5);
  /// Bytes of a path, so that there is room for the number of the one before.
  static constexpr std::size_t max_path = File::max_path - 8;

  struct Statistics {
    std::uint64_t bytes = 0;    ///< in files, headers included
    std::uint64_t changes = 0;  ///< of lines, in files
    std::uint64_t lost = 0;     ///< events that the log has dropped before they were written
    std::uint64_t late = 0;     ///< events that came after younger ones, and got their time
    std::uint32_t files = 0;    ///< begun
    std::uint32_t errors = 0;   ///< calls to the file that failed
    Duration slowest{};         ///< writing what was there
  };

  /// `reader` of the log is the recorder's own. All must outlive it; the reactor must have closed
  /// `offload` before this ends.
  Recorder(Tasks& tasks, Offload& offload, GatewayLog& log, GatewayLog::Reader& reader,
           GpioService& gpio)
      : tasks_(tasks),
        offload_(offload),
        log_(log),
        reader_(reader),
        gpio_(gpio),
        file_(offload, 0),
        scope_(tasks) {}

  /// Begins to record. After GpioService::see_all() and opening the tasks and the offload: what is
  /// in the log when the loop quits is written before the latter gives up. `path` must outlive it.
  /// Errors: ENAMETOOLONG; those of Reactor::add_notifier(), at_quit() and TaskScope::spawn(). What
  /// fails later is logged and counted.
  [[nodiscard]] Result<void> open(std::string_view path, const board::Board& board);

  [[nodiscard]] std::string_view path() const { return path_; }
  [[nodiscard]] const Statistics& statistics() const { return statistics_; }
  /// Events that are not written yet.
  [[nodiscard]] std::uint64_t waiting() const {
    return log_.behind(reader_) + taken_count_ + in_text_;
  }
  /// Of Statistics::lost, those that the log counts as well.
  [[nodiscard]] std::uint64_t lost_in_log() const { return reader_.lost_in_total(); }
  [[nodiscard]] const Tasks& tasks() const { return tasks_; }
  [[nodiscard]] const Offload& offload() const { return offload_; }

 private:
  using Writer = vcd::VcdWriter<board::capacities.lines>;

  /// What the task is told.
  enum Word : std::uint16_t {
    changed,  ///< there is something in the log
    hurry,    ///< there is much
    quit      ///< the loop ends
  };

  void on_changed(const Message& message);
  void on_quit(const Message& message);
  void tell(Word word);

  [[nodiscard]] Task<> run(Tasks& tasks);
  [[nodiscard]] Task<Result<void>> put(Tasks& tasks, Instant until);
  [[nodiscard]] Task<Result<void>> flush(Tasks& tasks);
  [[nodiscard]] Task<Result<void>> prepare(Tasks& tasks);
  [[nodiscard]] Task<Result<void>> set_aside(Tasks& tasks);
  [[nodiscard]] Task<> keep(Tasks& tasks);

  [[nodiscard]] std::size_t take(Instant until);
  void take(const Event& event);
  void look_at_unsure_lines();
  void record(const Event& event);
  void record_gap(std::size_t step);
  void drop_taken(std::size_t count);
  [[nodiscard]] std::uint64_t time_of(Instant at) const;
  [[nodiscard]] bool has_room() const {
    return text_.size() + vcd::longest <= board::capacities.record_buffer;
  }

  /// A preamble, each line's name, the end of the header, each line's level, and the end of these.
  [[nodiscard]] std::size_t header_size() const { return 2 * gpio_.size() + 3; }
  [[nodiscard]] vcd::Piece header_piece(std::size_t number) const;

  /// Logs it, unless `told`.
  void report(bool& told, const Error& error);
  void note_written(Duration taken);
  void note_unwritten();

  Tasks& tasks_;
  Offload& offload_;
  GatewayLog& log_;
  GatewayLog::Reader& reader_;
  GpioService& gpio_;
  std::string_view path_;
  std::string_view module_;
  Instant begin_;  ///< time 0 of the record
  std::chrono::sys_time<Duration> date_;
  NotifierId changed_;
  bool quitting_ = false;
  Statistics statistics_;

  /// Events from the log, in the order of their times.
  std::array<Event, board::capacities.record_events> taken_{};
  std::size_t taken_count_ = 0;
  LineSet unsure_;  ///< lines whose events were lost, and none has come since

  Writer writer_;
  FixedString<board::capacities.record_buffer> text_;  ///< to be written
  static_assert(board::capacities.record_buffer >= 2 * vcd::longest);
  std::size_t in_text_ = 0;  ///< changes

  Writer::State written_;    ///< what the file has
  std::uint64_t size_ = 0;   ///< of the file
  std::size_t header_ = 0;   ///< pieces of the header that are in it
  Instant keep_at_ = never;  ///< when it is to be kept
  bool unwritten_ = false;   ///< the last attempt to write has failed, which was logged
  bool unkept_ = false;      ///< the same of fsync(2)
  Instant losing_until_ = Instant::min();  ///< a loss before then belongs to one that was logged

  StaticTaskInbox<2> inbox_;
  File file_;
  TaskScope scope_;
};

}  // namespace millrace
