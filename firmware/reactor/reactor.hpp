// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "firmware/reactor/ledger.hpp"
#include "firmware/reactor/message.hpp"
#include "firmware/reactor/timer_heap.hpp"
#include "hal/cache_line.hpp"
#include "hal/clock.hpp"
#include "hal/error.hpp"
#include "hal/mpsc_queue.hpp"
#include "hal/poller.hpp"
#include "hal/wakeup.hpp"

namespace millrace {

/// How many of everything a reactor has. Constants of a board: see board/.
struct ReactorLimits {
  std::size_t fds = 64;         ///< descriptor numbers 0 … fds − 1 can be watched
  std::size_t timers = 16;      ///< timers, armed or not
  std::size_t notifiers = 16;   ///< notifiers
  std::size_t messages = 64;    ///< posted messages waiting, all priorities together
  std::size_t mailbox = 64;     ///< the same from other threads; a power of two, 2 at least
  std::size_t poll_batch = 32;  ///< ready descriptors taken from the kernel at once; 64 at most
  /// Slots that a post must leave free, by priority: a flood of background messages can't make an
  /// urgent post fail.
  std::array<std::size_t, priority_count> margin = {0, 4, 8};
};

/// How long a handler may run before it is noted in the ledger, unless set otherwise.
inline constexpr Duration default_budget = std::chrono::milliseconds(10);

/// What run() returns when the loop was told to quit.
struct Exit {
  int status = 0;  ///< given to quit()
  /// Posts discarded: handlers went on posting while it drained, or other threads came too late.
  std::uint32_t undelivered = 0;
};

/// One priority's queue, in numbers. Descriptors that are served straight from the poller's array,
/// and timers that run straight from the heap, as nothing else waits, count as dispatched, but not
/// as waiting.
struct QueueStatistics {
  std::uint32_t depth = 0;       ///< messages waiting now
  std::uint32_t high_water = 0;  ///< the most that ever waited
  std::uint64_t dispatched = 0;  ///< messages run
  std::uint64_t refused = 0;     ///< posts refused for want of a free slot
};

struct ReactorStatistics {
  std::array<QueueStatistics, priority_count> queues;
  std::uint64_t turns = 0;            ///< times that the poller was asked
  std::uint64_t sleeps = 0;           ///< turns that could wait, as nothing was queued
  std::uint64_t timers_expired = 0;   ///< expiries, missed periods not counted
  std::uint64_t periods_missed = 0;   ///< periods of periodic timers that passed unserved
  std::uint64_t stale_events = 0;     ///< reports of descriptors that are no longer watched
  std::uint32_t mailbox_refused = 0;  ///< posts from other threads refused: the mailbox was full
  std::uint32_t messages_free = 0;    ///< slots for posted messages
  std::uint32_t messages_least_free = 0;  ///< the fewest slots ever free
  std::uint32_t watches = 0;
  std::uint32_t timers = 0;     ///< in use, armed or not
  std::uint32_t notifiers = 0;  ///< in use
};

/// The event loop: a message loop as GUIs have it. Whatever happens, a descriptor that is ready, an
/// expired timer, a raised notifier, a post, becomes a message in a queue; the loop takes one
/// message after the other and calls its handler, which runs to completion and must not block.
///
/// One turn, exactly:
///
///       ┌──▶ 1  changes of watches are told to the kernel, merged (none: no system call)
///       │    2  wait: not at all when messages are queued, else until the next deadline, else
///       │       without limit
///       │    3  expired timers are queued, in the order of their deadlines
///       │    4  ready descriptors are queued, in the order that the kernel reports them
///       │    5  posts from other threads and signal handlers are queued, in their order
///       │    6  up to 64 messages run, one after the other; between two of them, timers that have
///       └────── expired meanwhile are queued
///
/// (Where nothing waits and all that is ready has one priority, 4 leaves it in the poller's array,
/// and 6 serves it from there, until something else is queued: the order is the same. So it is with
/// due timers where nothing else waits and all timers have one priority. Beside a post that has
/// begun and is not complete, as its thread was interrupted, 2 lasts a millisecond at the most.)
///
/// Order. Urgent messages run before normal ones, normal before background; first in, first out
/// within one priority. Still nothing starves: while it waits at the head of its queue, a normal
/// message sees at most 9 others pass, a background message at most 32.
///
/// Capacity. A watch, timer or notifier has its place in the queue from its creation: it can't be
/// refused. It has one place: readiness that recurs while its message waits is merged into it. A
/// post may find no free slot: the caller is told, and it is counted. What another thread has
/// posted keeps its slot in the mailbox until it runs: handlers that post can't crowd it out, nor
/// it them.
///
/// Staleness. remove() and cancel() take back what is queued. A handler may remove itself or any
/// other watch, close descriptors, reuse their numbers, arm, cancel and post: no message reaches
/// what it was not meant for. Where a descriptor was closed before its watch was removed, and its
/// description lives on elsewhere (dup, fork), it can't be removed from epoll by name any more; the
/// loop notices its first stray event and builds the set anew.
///
/// Two watches of one descriptor number are refused (EEXIST); watch a dup() for a second one: each
/// number is reported by itself.
///
/// Fork. A child must not use the loop that it has inherited: the epoll set is the parent's.
///
/// Loop thread only, but for post_from_any_thread(), raise_from_any_thread(), ledger() and
/// current_handler(). Sized by StaticReactor; this class holds no memory of its own and is not a
/// template.
class Reactor {
 public:
  static constexpr std::uint32_t turn_limit = 64;    ///< messages between two looks at the kernel
  static constexpr std::uint32_t least_polled = 32;  ///< asked of the kernel, whatever waits
  /// How many others a waiting normal message lets pass before it goes first: one more when the
  /// turn is a background message's at that moment.
  static constexpr std::uint32_t normal_patience = 8;
  static constexpr std::uint32_t background_patience = 32;  ///< the same for background, exactly

  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /// Opens what the loop needs of the kernel: the wake-up eventfd, and sets the thread's timer
  /// slack to 1 ns. Before anything else, by the thread that will call run().
  [[nodiscard]] Result<void> open();

  // --- Watches -------------------------------------------------------------------------------

  /// Reports the readiness of `fd`, level-triggered, as messages of kind ready. With `interest`
  /// none the watch exists but is not told to the kernel: nothing is reported, not even hang-ups.
  /// Remove the watch before closing fd: until then no descriptor of that number can be watched,
  /// and whether the watch hears of the closing depends on the poller; modify() reports an error,
  /// once. Errors: EBADF (negative or closed), EPERM (regular file: always ready), EEXIST
  /// (watched), ENOSPC (fd is past ReactorLimits::fds, or as of Poller::add()). One system call.
  [[nodiscard]] Result<WatchId> watch(int fd, Events interest, Handler handler,
                                      Priority priority = Priority::normal);

  /// Changes the interest, and takes back what is queued but no longer of interest. Told to the
  /// kernel in the next turn, if it still differs then: no system call here. What the kernel
  /// refuses then is reported as Events::error, once. Errors: ENOENT (the watch is gone).
  [[nodiscard]] Result<void> modify(WatchId id, Events interest);

  /// Ends the watch; what it had queued will not run. One system call, or none if its interest is
  /// none since the last turn.
  /// Errors: ENOENT (it was gone already).
  Result<void> remove(WatchId id);

  // --- Timers --------------------------------------------------------------------------------

  /// Makes a timer, not armed. Errors: ENOSPC (ReactorLimits::timers).
  [[nodiscard]] Result<TimerId> add_timer(Handler handler, Priority priority = Priority::normal);

  /// Has the timer expire at `deadline`, once; never before it. A time past is due at once. Arming
  /// anew moves the deadline and takes back an expiry that waits in the queue. `never` disarms.
  /// Timers of equal deadline expire in the order of arming. No system call, O(log timers).
  /// A TimerId that is gone is ignored, here and below.
  void arm_at(TimerId id, Instant deadline);
  /// The same, `delay` from now (a clock reading). 0 or less: in the order of the queue, so that a
  /// timer that re-arms itself with 0 does not keep descriptors from being served. Past the end of
  /// time: never.
  void arm_after(TimerId id, Duration delay);
  /// The same, at first + n × period for all n ≥ 0: never drifting. Periods that pass before the
  /// message runs are not made up for but counted in Expiry::missed. A period of 0 or less becomes
  /// 1 ns.
  void arm_every(TimerId id, Duration period, Instant first);
  void arm_every(TimerId id, Duration period) {
    arm_every(id, period, saturating_add(clock_.now(), period));
  }
  /// Disarms; an expiry that waits in the queue will not run.
  void cancel(TimerId id);
  /// Whether the timer will expire, or has and its message waits.
  [[nodiscard]] bool armed(TimerId id) const;
  /// cancel(), and the slot is free.
  void remove_timer(TimerId id);

  /// The time, read once a turn and kept: for stamping and for deadlines relative to the turn.
  /// Outside of handlers it is read each time.
  [[nodiscard]] Instant now();
  /// For what may be many microseconds after the turn's begin.
  [[nodiscard]] const hal::Clock& clock() const { return clock_; }

  // --- Messages ------------------------------------------------------------------------------

  /// Makes a notifier: a message of kind notice that can be raised any number of times and waits in
  /// the queue at most once (as a GUI coalesces "paint"). Errors: ENOSPC
  /// (ReactorLimits::notifiers).
  [[nodiscard]] Result<NotifierId> add_notifier(Handler handler,
                                                Priority priority = Priority::normal);
  /// Never refused. A NotifierId that is gone is ignored.
  void raise(NotifierId id);
  /// The same from any other thread or a signal handler: lock-free, async-signal-safe and never
  /// refused either. What the thread wrote before is seen by the handler. Remove the notifier only
  /// when nobody raises it any more: the next one in its place might be raised instead. A system
  /// call is made only if the loop sleeps.
  void raise_from_any_thread(NotifierId id);
  /// Takes back what waits, and the slot is free.
  void remove_notifier(NotifierId id);

  /// Queues a message to `handler` at `message.priority`; kind becomes posted.
  /// Errors: ENOSPC (ReactorLimits::messages less the margin of the priority). `handler` must not
  /// be empty, here and wherever else one is given.
  [[nodiscard]] Result<void> post(Handler handler, const Message& message = {});

  /// The same from any other thread or a signal handler: lock-free and async-signal-safe. Costs one
  /// locked instruction, and a system call (a write to an eventfd) only if the loop sleeps. No
  /// margins: what the mailbox holds is the same for all priorities. Errors: ENOSPC
  /// (ReactorLimits::mailbox).
  [[nodiscard]] Result<void> post_from_any_thread(Handler handler, const Message& message = {});

  // --- Running -------------------------------------------------------------------------------

  /// Runs until quit(), and may be called again after that. Errors: EBUSY (called from a handler),
  /// or what the poller failed with.
  [[nodiscard]] Result<Exit> run();

  /// One turn, waiting `max_wait` at the most: for tests and for loops inside other loops. False
  /// once the message of quit() has been reached: no more turns are made, and run() does what is
  /// left to do. Errors as of run().
  [[nodiscard]] Result<bool> turn(Duration max_wait = forever);

  /// Ends run(): queued at normal priority like a post, but never refused. When its turn comes,
  /// those of at_quit() run, newest first; what is queued then still runs, and so does what that
  /// posts, up to as many messages again as the loop can hold; descriptors are not asked any more.
  /// The first call's status counts.
  void quit(int status = 0);

  /// Has `handler` run when the loop quits, once, to close what it owns.
  /// Errors: ENOSPC (16 of them).
  [[nodiscard]] Result<void> at_quit(Handler handler);

  // --- Statistics ----------------------------------------------------------------------------

  /// A copy of all counters: a few hundred bytes.
  [[nodiscard]] ReactorStatistics statistics() const;

  /// Handlers that ran too long. Any thread.
  [[nodiscard]] const Ledger& ledger() const { return ledger_; }
  /// The name of the handler that runs at this moment, empty between two: what a watchdog shows of
  /// a loop that does not respond. Any thread.
  [[nodiscard]] std::string_view current_handler() const;
  /// How long a handler may run before it is noted there. `forever`: no limit, and unless a timer
  /// is armed nothing reads the counter around handlers: some nanoseconds less for each message.
  /// From the next handler on; the one that sets it may be measured by it already.
  void set_budget(Duration budget);

  /// What it was made with.
  [[nodiscard]] const ReactorLimits& limits() const { return limits_; }
  [[nodiscard]] const hal::Poller& poller() const { return poller_; }

  // --- Memory: of interest to StaticReactor only ----------------------------------------------

  struct Watch {
    Handler handler;
    std::uint64_t settled = 0;  ///< its token while the kernel reports what the owner wants, or 0
    std::uint32_t generation = 0;
    Events interest = Events::none;    ///< what the owner wants
    Events registered = Events::none;  ///< what the kernel has been told
    Events pending = Events::none;     ///< reported and not yet dispatched; none: not queued
    Priority priority = Priority::normal;
    bool in_use = false;
    bool changed = false;  ///< listed in `changes`
  };
  struct Timer {
    Handler handler;
    Instant deadline;   ///< of the expiry that waits in the queue
    Duration period{};  ///< 0: once
    std::uint32_t generation = 0;
    std::uint32_t expiries = 0;  ///< not yet dispatched; 0: not queued, above 1: periods missed
    std::uint32_t next_free = 0;
    Priority priority = Priority::normal;
    bool in_use = false;
  };
  struct Notifier {
    Handler handler;
    std::uint32_t generation = 0;
    std::uint32_t next_free = 0;
    Priority priority = Priority::normal;
    bool in_use = false;
    bool raised = false;                         ///< and queued
    std::atomic<bool> raised_elsewhere = false;  ///< by another thread, and not queued yet
  };

  struct Link {
    std::uint32_t next;
    std::uint32_t previous;
  };

  /// All of a reactor's memory. An item is a number: first the watches, by descriptor, then the
  /// timers, the notifiers, the quit message, the slots for posted messages, and the mailbox's
  /// cells. Each queue is a ring of items linked through `links`, in which an item has one place:
  /// so none can be refused, and each can be taken back at once. The rings close in three more
  /// places.
  struct Memory {
    std::span<Watch> watches;
    std::span<std::uint32_t> changes;
    std::span<Timer> timers;
    std::span<TimerHeap::Entry> heap;
    std::span<std::uint32_t> heap_positions;
    std::span<Notifier> notifiers;
    std::span<Message> messages;
    std::span<Link> links;
    std::span<hal::MpscQueue<Message>::Cell> mailbox;
    std::span<hal::PollEvent> poll_events;
  };

 protected:
  Reactor(const Memory& memory, const ReactorLimits& limits, hal::Poller& poller,
          const hal::Clock& clock);
  ~Reactor() = default;

 private:
  static constexpr std::uint32_t none = UINT32_MAX;
  static constexpr std::size_t max_closers = 16;

  struct Queue {
    std::uint32_t passed_over = 0;  ///< since its head got there; 0 when empty
    QueueStatistics statistics;
  };

  /// How many there are of each priority.
  class CountByPriority {
   public:
    void add(Priority priority, int count) {
      counts_[static_cast<std::size_t>(priority)] += static_cast<std::uint32_t>(count);
      mixed_ = std::ranges::count(counts_, 0U) < std::ssize(counts_) - 1;
    }
    /// More than one priority has any.
    [[nodiscard]] bool mixed() const { return mixed_; }
    /// The last priority that has any; the first if none has.
    [[nodiscard]] std::size_t least_urgent() const {
      std::size_t last = counts_.size() - 1;
      while (last > 0 && counts_[last] == 0) {
        --last;
      }
      return last;
    }

   private:
    std::array<std::uint32_t, priority_count> counts_{};
    bool mixed_ = false;
  };

  [[nodiscard]] Watch* find(WatchId id) const;
  [[nodiscard]] Timer* find(TimerId id) const;
  [[nodiscard]] Notifier* find(NotifierId id) const;

  void change_interest(WatchId id, Watch& watch, Events interest);
  void note_change(std::uint32_t fd);
  void count_watch(Priority priority, int by);
  void apply_changes();
  [[nodiscard]] Result<void> tell_poller(WatchId id, Events registered, Events interest);
  [[nodiscard]] Result<void> rebuild_poller();
  [[nodiscard]] Result<void> turns(std::uint64_t count, Duration max_wait);
  [[nodiscard]] Result<void> prepare();
  [[nodiscard]] Duration until_next_deadline(Duration limit) const;
  [[nodiscard]] std::size_t polled_beside_backlog() const;
  [[nodiscard]] Result<std::size_t> wait(Duration max_wait);
  [[nodiscard]] Events wanted(const hal::PollEvent& event);
  [[nodiscard]] bool of_one_priority(std::span<const hal::PollEvent> events) const;
  void take_ready(std::span<const hal::PollEvent> events);
  void take_due(bool alone);
  [[nodiscard]] bool has_due() const {
    return !heap_.empty() && heap_.front().deadline <= *due_until_;
  }
  void queue_rest();
  [[nodiscard]] bool has_rest() const { return ready_ != ready_end_ || due_until_; }
  void queue_events(std::uint32_t fd, Events events);
  void queue_expired();
  void append_expired(Instant now);
  [[nodiscard]] std::uint32_t take_expiry(const Timer& timer, Instant now);
  [[nodiscard]] Result<void> post_now(Handler handler, const Message& message);
  [[nodiscard]] Result<void> post_behind_rest(Handler handler, const Message& message);
  [[nodiscard]] bool heard_from_elsewhere() const;
  [[nodiscard]] Duration wait_for_post(Duration max_wait);
  void queue_from_elsewhere();
  void wake();
  void start_timer(TimerId id, Instant deadline, Duration period);

  void push(Priority priority, std::uint32_t item);
  void append(Priority priority, std::uint32_t item);
  void unlink(Priority priority, std::uint32_t item);
  [[nodiscard]] std::uint32_t pop(Priority priority);
  [[nodiscard]] Priority choose_queue();
  void dispatch_batch();
  void dispatch_queued(std::size_t limit, std::uint64_t tick);
  [[nodiscard]] std::uint64_t dispatch(Priority priority, std::uint64_t start);
  [[nodiscard]] std::uint64_t dispatch_ready(std::uint64_t start);
  [[nodiscard]] std::size_t dispatch_due(std::size_t limit, std::uint64_t tick);
  [[nodiscard]] Message expiry_message(std::uint32_t index, Instant deadline,
                                       std::uint32_t expiries);
  [[nodiscard]] Message notice_message(std::uint32_t index);
  [[nodiscard]] Message ready_message(const Watch& watch, std::uint64_t token, Events events);
  [[nodiscard]] std::uint64_t invoke(const Message& message, std::uint64_t start);
  void look_at_timers(std::uint64_t tick);
  void plan_look(Instant now, std::uint64_t tick);
  [[nodiscard]] std::uint64_t ticks_if_needed() const;
  void note_overrun(Handler handler, std::uint64_t start, std::uint64_t end);
  void free_message(std::uint32_t item);
  [[nodiscard]] Exit finish();
  /// Whether it was a post.
  [[nodiscard]] bool discard(std::uint32_t item);
  [[nodiscard]] std::uint64_t ticks() const;
  [[nodiscard]] std::uint64_t to_ticks(Duration duration) const;
  [[nodiscard]] Duration to_duration(std::uint64_t ticks) const;
  [[nodiscard]] std::uint32_t backlog() const;

  Memory memory_;
  ReactorLimits limits_;
  hal::Poller& poller_;
  const hal::Clock& clock_;
  hal::Wakeup wakeup_;
  TimerHeap heap_;
  hal::MpscQueue<Message> mailbox_;

  std::uint32_t first_timer_;
  std::uint32_t first_notifier_;
  std::uint32_t quit_item_;
  std::uint32_t first_message_;
  std::uint32_t first_mailbox_;
  std::uint32_t first_queue_;
  std::uint32_t free_timer_ = none;
  std::uint32_t free_notifier_ = none;
  std::uint32_t free_message_ = none;
  std::uint32_t change_count_ = 0;

  std::array<Queue, priority_count> queues_;
  std::uint32_t waiting_ = 0;  ///< bit p: queue p has messages
  CountByPriority watches_of_;
  CountByPriority timers_of_;
  /// What is ready and neither dispatched nor queued yet: all of one priority, or none.
  const hal::PollEvent* ready_ = nullptr;
  const hal::PollEvent* ready_end_ = nullptr;
  /// Timers due by then run straight from the heap: all are of one priority, and nothing else
  /// waits.
  std::optional<Instant> due_until_;
  std::uint64_t due_tick_ = 0;  ///< when the last of them began

  std::uint64_t cycle_rate_ = 0;  ///< ticks a microsecond; 0: ticks are the clock's nanoseconds
  Duration budget_ = default_budget;
  std::uint64_t budget_ticks_ = 0;
  std::uint64_t next_look_tick_ = UINT64_MAX;  ///< look at the timers from then on
  Instant now_;
  bool now_valid_ = false;
  bool running_ = false;
  bool quit_asked_ = false;
  bool quitting_ = false;
  bool prepared_ = true;  ///< the poller has been told all that it is to know
  bool rebuild_ = false;
  int quit_status_ = 0;

  std::array<Handler, max_closers> closers_{};
  std::size_t closer_count_ = 0;

  ReactorStatistics statistics_;
  std::uint64_t awake_turns_ = 0;  ///< those that were no sleeps
  Ledger ledger_;
  std::atomic<const std::string_view*> current_ = nullptr;
  // In a cache line of their own, as each post from another thread reads them.
  alignas(hal::cache_line) std::atomic<bool> asleep_ = false;
  std::atomic<bool> any_raised_elsewhere_ = false;
  std::atomic<std::uint32_t> mailbox_refused_ = 0;
};

}  // namespace millrace
