// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "firmware/reactor/message.hpp"
#include "firmware/reactor/reactor.hpp"
#include "hal/error.hpp"
#include "hal/file_system.hpp"
#include "hal/io_uring.hpp"
#include "hal/thread.hpp"
#include "hal/time.hpp"
#include "hal/wakeup.hpp"

namespace millrace {

/// How many of everything an Offload has. Constants of a board.
struct OffloadLimits {
  std::size_t lanes = 2;      ///< kinds of jobs that must not keep each other waiting: see Offload
  std::size_t workers = 3;    ///< threads: one a lane at the least
  std::size_t jobs = 8;       ///< of each lane: those that wait, run, or are done and not told yet
  std::size_t buffer = 4096;  ///< bytes that each job has
  std::size_t stack = hal::default_thread_stack;  ///< of each worker
};

/// Names one job for as long as it lives.
struct JobId {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;  ///< 0: no job

  friend bool operator==(JobId, JobId) = default;
};

/// What a worker gets: arguments in, a result out, and memory that is the job's own. The worker's
/// while the job runs, the loop's before and after.
struct Work {
  static constexpr std::size_t arguments_size = 64;

  alignas(8) std::array<std::byte, arguments_size> arguments{};
  std::span<std::byte> buffer;  ///< OffloadLimits::buffer bytes
  std::int64_t result = 0;
  int error = 0;  ///< errno, 0: it went well

  template <class T>
  void store(const T& data) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= arguments_size);
    std::memcpy(arguments.data(), &data, sizeof(T));
  }
  template <class T>
  [[nodiscard]] T load() const {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= arguments_size);
    T data;
    std::memcpy(&data, arguments.data(), sizeof(T));
    return data;
  }
};

/// Payload of a job's message, of kind posted: what came of it.
struct Completion {
  JobId job;
  std::int32_t error = 0;  ///< errno, 0: it went well
  bool shut_down = false;  ///< the loop has quit before it: ECANCELED; work() is not to be touched
  std::int64_t result = 0;
};

/// What cancel() found.
enum class Cancelled : std::uint8_t {
  no_job,     ///< it is gone already
  never_ran,  ///< it waited: it will not run
  runs_on,    ///< it can't be stopped; its place is free once it ends
  has_run     ///< it had ended, and nobody had been told
};

/// One lane's jobs, in numbers.
struct LaneStatistics {
  std::uint32_t queued = 0;      ///< waiting for a worker
  std::uint32_t running = 0;     ///< with a worker, those that were cancelled meanwhile included
  std::uint32_t in_ring = 0;     ///< with the kernel, the same
  std::uint32_t in_use = 0;      ///< places taken: those, and what is not told or started yet
  std::uint32_t high_water = 0;  ///< the most places ever taken
  std::uint64_t refused = 0;     ///< jobs that found no place
  std::uint64_t ringed = 0;      ///< steps that the kernel has carried out by itself
  std::uint64_t told = 0;        ///< completions: one for each step of a job
  std::uint64_t never_ran = 0;   ///< cancelled while they waited
  std::uint64_t orphaned = 0;    ///< cancelled while they ran
  std::uint32_t abandoned = 0;   ///< still running when the loop had ended, and left behind
};

/// Worker threads for what can only block: regular files, fsync, names. A job goes to a worker and
/// comes back as a message in the loop.
///
///     offload.reserve(lane, done)   a place, or ENOSPC: from then on nothing is refused
///     offload.work(job)             arguments and data go in
///     offload.start(job, run)       it waits for a worker: `run(Work&)` is called there
///     done(message)                 in the loop; work(job) has what came of it
///     offload.start(job, …)         there: one step further, in the same place; else the job
///                                   ends when the handler returns
///
/// Lanes. Each lane has places of its own, so that none can fill the queue of another, and there is
/// always a worker for it: one is kept back for each lane that has nothing running. So a slow disk
/// has a lane to itself, and occupies all workers but those of the other lanes.
///
/// io_uring. Where the kernel has it, it reads, writes and syncs files by itself, and these occupy
/// no worker: uses_ring(). All else is the same.
///
/// Who decides. The loop keeps the queues and hands each worker one job at a time: there is no
/// lock, nothing that the loop could wait for, and cancelling what waits can't race with its start.
///
/// Nothing is lost. A finished job keeps its place until its handler has been called; workers wake
/// the loop by a descriptor of their own, whose readiness can't be refused: one write(2) for all
/// that finish before the loop looks, and one read(2).
///
/// Memory. A job touches its own Work only: who has asked for it may be destroyed at any time after
/// cancel(), even while it runs.
///
/// Shutdown. When the loop quits, jobs that were started are carried out for as long as patience()
/// allows, handlers are called, and what they start is too. Then what waits ends with ECANCELED,
/// and so does what is stuck in a call: its worker is left behind, which is logged, and does not
/// keep the process from exiting (unless the kernel can't interrupt the call).
///
/// Loop thread only. Sized by StaticOffload: make it static. The reactor must outlive it.
class Offload {
 public:
  using Function = void (*)(Work& work);

  Offload(const Offload&) = delete;
  Offload& operator=(const Offload&) = delete;

  /// Starts the workers, and has them stopped when the loop quits. Their names are "offload 0" and
  /// so on. Takes a watch, a notifier and an at_quit() of the reactor, which then runs the handlers
  /// of jobs at `priority`. Before heap_trap and growth_trap are armed. Errors: EALREADY (it was
  /// opened before), EINVAL, EAGAIN (as of hal::Thread), as of hal::Wakeup::open(),
  /// Reactor::watch(), add_notifier() and at_quit(); it can't be opened again then.
  [[nodiscard]] Result<void> open(Reactor& reactor, Priority priority = Priority::normal);

  /// How long running and waiting jobs may still take when the loop quits. At first 2 s. The loop
  /// does nothing else meanwhile.
  void set_patience(Duration patience) { patience_ = patience; }

  // --- Jobs ----------------------------------------------------------------------------------

  /// A place for a job in this lane: to be started, or cancelled. `done` may be empty. Errors:
  /// ENOSPC (all of the lane's places are taken: counted), EINVAL (there is no such lane),
  /// ESHUTDOWN (it is not open, or the loop quits). No system call.
  [[nodiscard]] Result<JobId> reserve(std::size_t lane, Handler done);

  /// Before start(), and in the handler. Not while the job runs or waits.
  [[nodiscard]] Work& work(JobId job);

  /// Has a worker call `run(work(job))`: after those of the lane that wait already. Before the
  /// first time, and from the job's handler. A system call if a worker is idle.
  void start(JobId job, Function run);
  /// The same for a call to the file system. What `bytes` refers to must be in the job's buffer.
  void start(JobId job, const hal::FileRequest& request);

  /// Whether start() would do anything: it was reserved, or its handler runs.
  [[nodiscard]] bool can_start(JobId job) const;

  /// Nobody is told any more: `done` is not called, and its object may be destroyed. A JobId that
  /// is gone is ignored. From the job's own handler it does nothing: not to start it again is
  /// enough.
  Cancelled cancel(JobId job);

  // --- Statistics ----------------------------------------------------------------------------

  [[nodiscard]] std::size_t lanes() const { return lanes_.size(); }
  [[nodiscard]] const LaneStatistics& statistics(std::size_t lane) const {
    return lanes_[lane].statistics;
  }
  [[nodiscard]] std::size_t workers() const { return workers_.size(); }
  [[nodiscard]] std::size_t workers_idle() const { return idle_; }
  /// Whether the kernel reads, writes and syncs files by itself.
  [[nodiscard]] bool uses_ring() const { return ring_ != nullptr; }
  /// Bytes of each job's buffer.
  [[nodiscard]] std::size_t buffer_size() const { return buffer_size_; }

  // --- Memory: of interest to StaticOffload only ------------------------------------------------

  struct Worker {
    enum class State : std::uint8_t { idle, busy, done, abandoned };

    hal::Thread thread;
    hal::Semaphore wake;
    Offload* owner = nullptr;
    std::span<std::byte> stack;
    std::uint32_t slot = 0;  ///< the loop's, while idle; `none`: it ends
    std::atomic<State> state = State::idle;
  };

  struct Slot {
    enum class State : std::uint8_t {
      free,
      reserved,
      queued,
      running,
      orphaned,  ///< runs, and nobody is to be told
      finished,
      telling,
      abandoned  ///< runs, and does so for ever; told or not
    };

    Work work;
    Function run = nullptr;
    Handler done;
    std::uint32_t generation = 0;
    std::uint32_t lane = 0;
    std::uint32_t next = 0;
    State state = State::free;
    bool in_ring = false;
  };

  /// Slots in a line.
  struct Line {
    std::uint32_t first = UINT32_MAX;
    std::uint32_t last = UINT32_MAX;
  };

  struct Lane {
    Line queue;
    std::uint32_t free = UINT32_MAX;
    LaneStatistics statistics;
  };

  struct Memory {
    std::span<Lane> lanes;
    std::span<Worker> workers;
    std::span<Slot> slots;  ///< as many for each lane
    std::size_t buffer_size = 0;
  };

 protected:
  /// `files` is asked from several threads; it must outlive the workers. `ring` may be null.
  Offload(const Memory& memory, hal::FileSystem& files, hal::FileRing* ring);
  /// Nobody is told any more. Waits for workers that are idle only.
  ~Offload();

 private:
  static constexpr std::uint32_t none = UINT32_MAX;

  [[nodiscard]] Slot* find(JobId job) const;
  [[nodiscard]] Result<void> start_workers();
  void append(Line& line, std::uint32_t index);
  [[nodiscard]] std::uint32_t take_first(Line& line);
  void unlink(Line& line, std::uint32_t index);
  void free(std::uint32_t index);
  [[nodiscard]] bool may_run(const Lane& lane) const;
  void hand_out();
  void queue(std::uint32_t index);
  void give_to_worker(std::uint32_t index);
  void collect();
  void finish(std::uint32_t index);
  void end_call(std::uint32_t index);
  void abandon(std::uint32_t index);
  [[nodiscard]] bool give_to_ring(std::uint32_t index, const hal::FileRequest& request);
  void tell_next();
  void on_wakeup(const Message& message);
  void on_notice(const Message& message);
  void on_quit(const Message& message);
  void drain();
  void give_up();
  void stop_workers();
  [[nodiscard]] std::uint32_t busy() const;

  static void serve(void* context);
  static void perform(Work& work);

  std::span<Lane> lanes_;
  std::span<Worker> workers_;
  std::span<Slot> slots_;
  std::size_t buffer_size_;
  hal::FileSystem& files_;
  hal::FileRing* ring_;
  Reactor* reactor_ = nullptr;
  WatchId watch_;
  NotifierId notifier_;
  hal::Wakeup wakeup_;
  std::atomic<bool> awakened_ = false;  ///< the wake-up was written to since the loop looked
  Line finished_;
  std::size_t idle_ = 0;
  std::size_t next_lane_ = 0;
  Duration patience_ = std::chrono::seconds(2);
  bool accepts_ = false;  ///< new jobs
  bool stopped_ = true;   ///< there are no workers
};

/// An Offload with all the memory that it will ever use: make it static.
///
///     static StaticOffload<OffloadLimits{.lanes = 2}> offload;
///     if (auto opened = offload.open(reactor); !opened) …
template <OffloadLimits Limits>
struct OffloadParts {
  static_assert(Limits.lanes > 0 && Limits.jobs > 0 && Limits.buffer > 0);
  static_assert(Limits.workers >= Limits.lanes, "each lane must have a worker");

  OffloadParts() {
    for (std::size_t i = 0; i < Limits.workers; ++i) {
      workers[i].stack = stacks[i].bytes;
    }
    for (std::size_t i = 0; i < slots.size(); ++i) {
      slots[i].work.buffer = buffers[i];
    }
  }

  [[nodiscard]] Offload::Memory memory() {
    return {.lanes = lanes, .workers = workers, .slots = slots, .buffer_size = Limits.buffer};
  }

  // First, as they are aligned to pages: what that leaves empty is at the end then.
  std::array<hal::ThreadStack<Limits.stack>, Limits.workers> stacks;
  std::array<Offload::Lane, Limits.lanes> lanes;
  std::array<Offload::Worker, Limits.workers> workers;
  std::array<Offload::Slot, Limits.lanes * Limits.jobs> slots;
  alignas(64) std::array<std::array<std::byte, Limits.buffer>, Limits.lanes * Limits.jobs> buffers;
  hal::SystemFiles files;
  hal::IoUring ring;
};

template <OffloadLimits Limits>
struct OffloadPartsHolder {
  OffloadParts<Limits> parts;
};

template <OffloadLimits Limits>
class StaticOffload final : private OffloadPartsHolder<Limits>, public Offload {
  using Holder = OffloadPartsHolder<Limits>;

 public:
  StaticOffload() : Offload(Holder::parts.memory(), Holder::parts.files, &Holder::parts.ring) {}
  /// With a file system other than the kernel's: for tests. It must outlive the workers. Without a
  /// ring all calls are made by these.
  explicit StaticOffload(hal::FileSystem& files, hal::FileRing* ring = nullptr)
      : Offload(Holder::parts.memory(), files, ring) {}
};

}  // namespace millrace
