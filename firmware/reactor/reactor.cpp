// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/reactor.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <utility>

#include "hal/cpu_relax.hpp"
#include "hal/system.hpp"
#include "hal/watchable.hpp"

namespace millrace {
namespace {

/// Far enough ahead to be rare, near enough that its count of ticks can't overflow.
constexpr Duration longest_look_ahead = std::chrono::hours(1);

/// A post that has begun is perhaps not to be seen yet when its thread has seen the loop awake: so
/// often the loop looks for it before it sleeps, and after this it looks again.
constexpr int unfinished_looks = 64;
constexpr Duration unfinished_wait = std::chrono::milliseconds(1);

constexpr std::uint64_t token(WatchId id) { return std::bit_cast<std::uint64_t>(id); }
constexpr WatchId watch_of(std::uint64_t token) { return std::bit_cast<WatchId>(token); }

/// No watch has this generation; the descriptor's number is within capacity, as every token's is.
constexpr std::uint32_t wakeup_generation = UINT32_MAX;
constexpr std::uint64_t wakeup_token = token({.fd = 0, .generation = wakeup_generation});
constexpr std::uint64_t unsettled = 0;  // the generation of no watch, either

/// In words that go through a register each: read in one piece, what was just written in several,
/// or in others, can't be forwarded and stalls the processor.
template <std::size_t Size>
inline void copy_words(const void* from, void* to) {
  static_assert(Size % sizeof(std::uintptr_t) == 0);
#pragma GCC unroll 8
  for (std::size_t i = 0; i < Size; i += sizeof(std::uintptr_t)) {
    std::uintptr_t word = 0;
    std::memcpy(&word, static_cast<const char*>(from) + i, sizeof(word));
    asm("" : "+r"(word));  // NOLINT(hicpp-no-assembler): or the compiler puts them together
    std::memcpy(static_cast<char*>(to) + i, &word, sizeof(word));
  }
}

inline void put_message(const Handler& handler, const Message& message, Message& slot) {
  copy_words<sizeof(Handler)>(&handler, &slot.handler);
  slot.kind = MessageKind::posted;
  slot.priority = message.priority;
  slot.code = message.code;
  slot.value = message.value;
  copy_words<Message::payload_size>(message.payload.data(), slot.payload.data());
}

/// 0 means "none" in an id.
std::uint32_t next_generation(std::uint32_t generation, std::uint32_t last = UINT32_MAX) {
  return generation == last ? 1 : generation + 1;
}

}  // namespace

Reactor::Reactor(const Memory& memory, const ReactorLimits& limits, hal::Poller& poller,
                 const hal::Clock& clock)
    : memory_(memory),
      limits_(limits),
      poller_(poller),
      clock_(clock),
      heap_(memory.heap, memory.heap_positions),
      mailbox_(memory.mailbox),
      first_timer_(static_cast<std::uint32_t>(memory.watches.size())),
      first_notifier_(first_timer_ + static_cast<std::uint32_t>(memory.timers.size())),
      quit_item_(first_notifier_ + static_cast<std::uint32_t>(memory.notifiers.size())),
      first_message_(quit_item_ + 1),
      first_mailbox_(first_message_ + static_cast<std::uint32_t>(memory.messages.size())),
      first_queue_(first_mailbox_ + static_cast<std::uint32_t>(memory.mailbox.size())) {
  for (std::uint32_t queue = first_queue_; queue < first_queue_ + priority_count; ++queue) {
    memory_.links[queue] = {.next = queue, .previous = queue};
  }
  for (auto i = static_cast<std::uint32_t>(memory_.timers.size()); i-- > 0;) {
    memory_.timers[i].next_free = free_timer_;
    free_timer_ = i;
  }
  for (auto i = static_cast<std::uint32_t>(memory_.notifiers.size()); i-- > 0;) {
    memory_.notifiers[i].next_free = free_notifier_;
    free_notifier_ = i;
  }
  for (auto i = static_cast<std::uint32_t>(memory_.messages.size()); i-- > 0;) {
    free_message(first_message_ + i);
  }
  --statistics_.messages_free;  // one is for the message that runs
  statistics_.messages_least_free = statistics_.messages_free;
}

Result<void> Reactor::open() {
  auto wakeup = hal::Wakeup::open();
  if (!wakeup) {
    return std::unexpected(wakeup.error());
  }
  wakeup_ = std::move(*wakeup);
  (void)hal::set_timer_slack(Duration(1));  // without it timers are 50 µs later, no more
  cycle_rate_ = clock_.cycle_rate();
  set_budget(budget_);
  return poller_.add(wakeup_.fd(), Events::readable, wakeup_token);
}

// --- The queues --------------------------------------------------------------------------------

// Inline, as is what each message passes through below: this is the path from a ready descriptor to
// its handler.
inline void Reactor::push(Priority priority, std::uint32_t item) {
  if (has_rest()) [[unlikely]] {
    queue_rest();
  }
  append(priority, item);
}

inline void Reactor::append(Priority priority, std::uint32_t item) {
  const auto index = static_cast<std::uint32_t>(priority);
  Link& end = memory_.links[first_queue_ + index];
  memory_.links[item] = {.next = first_queue_ + index, .previous = end.previous};
  memory_.links[end.previous].next = item;
  end.previous = item;
  waiting_ |= 1U << index;
  QueueStatistics& statistics = queues_[index].statistics;
  ++statistics.depth;
  statistics.high_water = std::max(statistics.high_water, statistics.depth);
}

inline void Reactor::unlink(Priority priority, std::uint32_t item) {
  const auto& [next, previous] = memory_.links[item];
  memory_.links[previous].next = next;
  memory_.links[next].previous = previous;
  Queue& queue = queues_[static_cast<std::size_t>(priority)];
  if (--queue.statistics.depth == 0) {
    waiting_ &= ~(1U << static_cast<std::uint32_t>(priority));
    queue.passed_over = 0;
  }
}

inline std::uint32_t Reactor::pop(Priority priority) {
  const std::uint32_t item =
      memory_.links[first_queue_ + static_cast<std::uint32_t>(priority)].next;
  unlink(priority, item);
  return item;
}

inline Priority Reactor::choose_queue() {
  constexpr auto normal = static_cast<std::size_t>(Priority::normal);
  constexpr auto background = static_cast<std::size_t>(Priority::background);
  auto chosen = static_cast<std::size_t>(std::countr_zero(waiting_));
  if ((waiting_ & (waiting_ - 1)) != 0) {
    // A queue that is empty has passed_over 0.
    if (queues_[background].passed_over >= background_patience) {
      chosen = background;
    } else if (queues_[normal].passed_over >= normal_patience) {
      chosen = normal;
    }
    for (std::size_t lower = normal; lower <= background; ++lower) {
      queues_[lower].passed_over += (waiting_ & 1U << lower) != 0 ? 1U : 0U;
    }
  }
  queues_[chosen].passed_over = 0;
  return static_cast<Priority>(chosen);
}

inline void Reactor::look_at_timers(std::uint64_t tick) {
  if (tick >= next_look_tick_) {
    queue_expired();
  }
}

inline std::uint64_t Reactor::ticks() const {
  // Counted from the earliest Instant that there is, so that they never wrap.
  return cycle_rate_ != 0
             ? hal::cycle_count()
             : static_cast<std::uint64_t>(clock_.now().time_since_epoch().count()) ^ 1ULL << 63U;
}

// 0 where nobody asks for them.
inline std::uint64_t Reactor::ticks_if_needed() const {
  return budget_ticks_ != UINT64_MAX || !heap_.empty() ? ticks() : 0;
}

inline void Reactor::queue_events(std::uint32_t fd, Events events) {
  Watch& watch = memory_.watches[fd];
  if (watch.pending == Events::none) {
    append(watch.priority, fd);
  }
  watch.pending |= events;
}

// --- Watches -----------------------------------------------------------------------------------

Reactor::Watch* Reactor::find(WatchId id) const {
  // A negative fd becomes a number past every capacity.
  const auto fd = static_cast<std::uint32_t>(id.fd);
  if (fd >= memory_.watches.size()) {
    return nullptr;
  }
  Watch& watch = memory_.watches[fd];
  return watch.in_use && watch.generation == id.generation ? &watch : nullptr;
}

Result<WatchId> Reactor::watch(int fd, Events interest, Handler handler, Priority priority) {
  if (fd < 0) {
    return fail(EBADF, "a descriptor can't be negative", "watch it once it is open");
  }
  if (static_cast<std::size_t>(fd) >= memory_.watches.size()) {
    return fail(ENOSPC, "the descriptor's number is past the reactor's capacity",
                "raise fds in the board's limits");
  }
  Watch& watch = memory_.watches[static_cast<std::size_t>(fd)];
  if (watch.in_use) {
    return fail(EEXIST, "the descriptor is watched already", "modify its watch, or dup() it");
  }
  const WatchId id{.fd = fd,
                   .generation = next_generation(watch.generation, wakeup_generation - 1)};
  auto told =
      interest != Events::none ? tell_poller(id, Events::none, interest) : hal::check_watchable(fd);
  if (!told) {
    return std::unexpected(told.error());
  }
  watch.handler = handler;
  watch.generation = id.generation;
  watch.settled = interest != Events::none ? token(id) : unsettled;
  watch.interest = interest;
  watch.registered = interest;
  watch.priority = priority;
  watch.in_use = true;
  count_watch(priority, +1);
  return id;
}

Result<void> Reactor::modify(WatchId id, Events interest) {
  Watch* const watch = find(id);
  if (watch == nullptr) {
    return fail(ENOENT, "the watch is gone");
  }
  change_interest(id, *watch, interest);
  return {};
}

Result<void> Reactor::remove(WatchId id) {
  Watch* const watch = find(id);
  if (watch == nullptr) {
    return fail(ENOENT, "the watch is gone");
  }
  change_interest(id, *watch, Events::none);
  if (watch->registered != Events::none) {
    // Not later: by then the number may be another thread's.
    (void)poller_.remove(id.fd);
    watch->registered = Events::none;
  }
  watch->in_use = false;
  count_watch(watch->priority, -1);
  return {};
}

void Reactor::count_watch(Priority priority, int by) {
  statistics_.watches += static_cast<std::uint32_t>(by);
  watches_of_.add(priority, by);
}

void Reactor::change_interest(WatchId id, Watch& watch, Events interest) {
  const auto fd = static_cast<std::uint32_t>(id.fd);
  watch.interest = interest;
  if (watch.pending != Events::none) {
    watch.pending =
        interest == Events::none ? Events::none : watch.pending & (interest | always_reported);
    if (watch.pending == Events::none) {
      unlink(watch.priority, fd);
    }
  }
  note_change(fd);
}

void Reactor::note_change(std::uint32_t fd) {
  Watch& watch = memory_.watches[fd];
  watch.settled = unsettled;
  if (!watch.changed) {
    watch.changed = true;
    memory_.changes[change_count_++] = fd;
    prepared_ = false;
  }
}

void Reactor::apply_changes() {
  for (const std::uint32_t fd : memory_.changes.first(change_count_)) {
    Watch& watch = memory_.watches[fd];
    const WatchId id{.fd = static_cast<std::int32_t>(fd), .generation = watch.generation};
    watch.changed = false;
    if (watch.interest == watch.registered) {
      // Nothing to tell: changed and changed back.
    } else if (watch.interest == Events::none) {
      // Fails when the descriptor was closed after its watch: the kernel has forgotten it then, or
      // will report it as stale if a dup keeps it alive.
      (void)poller_.remove(static_cast<int>(fd));
      watch.registered = Events::none;
    } else if (tell_poller(id, watch.registered, watch.interest)) {
      watch.registered = watch.interest;
    } else {
      // Closed without being removed: the owner learns of it as of any other error, once.
      watch.registered = watch.interest = Events::none;
      if (has_rest()) {
        queue_rest();
      }
      queue_events(fd, Events::error);
    }
    if (watch.registered != Events::none) {
      watch.settled = token(id);
    }
  }
  change_count_ = 0;
}

Result<void> Reactor::tell_poller(WatchId id, Events registered, Events interest) {
  auto told = registered == Events::none ? poller_.add(id.fd, interest, token(id))
                                         : poller_.modify(id.fd, interest, token(id));
  // The number may have come to mean another description since the poller was last told of it, and
  // even the same again.
  if (!told && told.error().number == ENOENT) {
    told = poller_.add(id.fd, interest, token(id));
  } else if (!told && told.error().number == EEXIST) {
    told = poller_.modify(id.fd, interest, token(id));
  }
  return told;
}

Result<void> Reactor::rebuild_poller() {
  if (auto reset = poller_.reset(); !reset) {
    return reset;
  }
  if (auto added = poller_.add(wakeup_.fd(), Events::readable, wakeup_token); !added) {
    return added;
  }
  rebuild_ = false;
  for (std::uint32_t fd = 0; fd < memory_.watches.size(); ++fd) {
    memory_.watches[fd].registered = Events::none;
    if (memory_.watches[fd].interest != Events::none) {
      note_change(fd);
    }
  }
  return {};
}

// --- Timers ------------------------------------------------------------------------------------

Reactor::Timer* Reactor::find(TimerId id) const {
  if (id.index >= memory_.timers.size()) {
    return nullptr;
  }
  Timer& timer = memory_.timers[id.index];
  return timer.in_use && timer.generation == id.generation ? &timer : nullptr;
}

Result<TimerId> Reactor::add_timer(Handler handler, Priority priority) {
  if (free_timer_ == none) {
    return fail(ENOSPC, "all timers are in use", "raise timers in the board's limits");
  }
  Timer& timer = memory_.timers[free_timer_];
  const TimerId id{.index = free_timer_, .generation = next_generation(timer.generation)};
  free_timer_ = timer.next_free;
  timer.handler = handler;
  timer.generation = id.generation;
  timer.priority = priority;
  timer.in_use = true;
  ++statistics_.timers;
  timers_of_.add(priority, +1);
  if (due_until_ && timers_of_.mixed()) [[unlikely]] {
    queue_rest();  // it may have to go before some of those
  }
  return id;
}

void Reactor::start_timer(TimerId id, Instant deadline, Duration period) {
  Timer* const timer = find(id);
  if (timer == nullptr) {
    return;
  }
  if (due_until_ && deadline <= *due_until_) [[unlikely]] {
    queue_rest();  // it is due as well, but behind all those
  }
  if (timer->expiries > 0) {
    timer->expiries = 0;
    unlink(timer->priority, first_timer_ + id.index);
  }
  timer->period = period;
  if (deadline == never) {
    heap_.erase(id.index);
    return;
  }
  heap_.insert(id.index, deadline);
  if (heap_.front().timer == id.index) {
    next_look_tick_ = 0;
  }
}

void Reactor::arm_at(TimerId id, Instant deadline) { start_timer(id, deadline, Duration::zero()); }

void Reactor::arm_after(TimerId id, Duration delay) {
  start_timer(id, saturating_add(clock_.now(), delay), Duration::zero());
}

void Reactor::arm_every(TimerId id, Duration period, Instant first) {
  start_timer(id, first, std::max(period, Duration(1)));
}

void Reactor::cancel(TimerId id) { start_timer(id, never, Duration::zero()); }

bool Reactor::armed(TimerId id) const {
  const Timer* const timer = find(id);
  return timer != nullptr && (heap_.contains(id.index) || timer->expiries > 0);
}

void Reactor::remove_timer(TimerId id) {
  Timer* const timer = find(id);
  if (timer == nullptr) {
    return;
  }
  cancel(id);
  timer->in_use = false;
  timer->next_free = free_timer_;
  free_timer_ = id.index;
  --statistics_.timers;
  timers_of_.add(timer->priority, -1);
}

Instant Reactor::now() {
  if (!now_valid_ || !running_) {
    now_ = clock_.now();
    now_valid_ = true;
  }
  return now_;
}

// Takes what is at the front of the heap from there, which has expired; how often.
inline std::uint32_t Reactor::take_expiry(const Timer& timer, Instant now) {
  const auto [deadline, order, index] = heap_.front();
  if (timer.period == Duration::zero()) {
    heap_.pop();
    return 1;
  }
  Instant next = deadline;
  std::uint64_t expiries = 0;
  do {  // once, unless centuries have passed, which no Duration can tell
    const auto passed = saturating_sub(now, next) / timer.period;
    // next + passed periods is not after now, so only the last step can pass the end of time.
    next = saturating_add(next + timer.period * passed, timer.period);
    expiries += static_cast<std::uint64_t>(passed) + 1;
  } while (next <= now && next != never);
  if (next == never) {
    heap_.pop();
  } else {
    heap_.insert(index, next);
  }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(expiries, UINT32_MAX));
}

void Reactor::append_expired(Instant now) {
  while (!heap_.empty() && heap_.front().deadline <= now) {
    const auto [deadline, order, index] = heap_.front();
    Timer& timer = memory_.timers[index];
    if (timer.expiries == 0) {
      timer.deadline = deadline;
      append(timer.priority, first_timer_ + index);
    }
    const std::uint32_t expiries = take_expiry(timer, now);
    timer.expiries += std::min(expiries, UINT32_MAX - timer.expiries);
  }
}

void Reactor::queue_expired() {
  if (heap_.empty()) {
    next_look_tick_ = UINT64_MAX;
    return;
  }
  const Instant now = clock_.now();
  const std::uint64_t tick = ticks();
  if (heap_.front().deadline <= now) {
    if (has_rest()) {
      queue_rest();
    }
    append_expired(now);
  }
  plan_look(now, tick);
}

// At the timers, when the first of them is due; it is `now` at `tick`.
inline void Reactor::plan_look(Instant now, std::uint64_t tick) {
  if (heap_.empty()) {
    next_look_tick_ = UINT64_MAX;
    return;
  }
  const Duration ahead = std::min(saturating_sub(heap_.front().deadline, now), longest_look_ahead);
  next_look_tick_ = tick + to_ticks(ahead);
}

// --- Notifiers and posts -----------------------------------------------------------------------

Reactor::Notifier* Reactor::find(NotifierId id) const {
  if (id.index >= memory_.notifiers.size()) {
    return nullptr;
  }
  Notifier& notifier = memory_.notifiers[id.index];
  return notifier.in_use && notifier.generation == id.generation ? &notifier : nullptr;
}

Result<NotifierId> Reactor::add_notifier(Handler handler, Priority priority) {
  if (free_notifier_ == none) {
    return fail(ENOSPC, "all notifiers are in use", "raise notifiers in the board's limits");
  }
  Notifier& notifier = memory_.notifiers[free_notifier_];
  const NotifierId id{.index = free_notifier_, .generation = next_generation(notifier.generation)};
  free_notifier_ = notifier.next_free;
  notifier.handler = handler;
  notifier.generation = id.generation;
  notifier.raised_elsewhere.store(false, std::memory_order_relaxed);
  notifier.priority = priority;
  notifier.in_use = true;
  ++statistics_.notifiers;
  return id;
}

void Reactor::raise(NotifierId id) {
  Notifier* const notifier = find(id);
  if (notifier == nullptr || notifier->raised) {
    return;
  }
  notifier->raised = true;
  push(notifier->priority, first_notifier_ + id.index);
}

void Reactor::raise_from_any_thread(NotifierId id) {
  if (id.generation == 0 || id.index >= memory_.notifiers.size()) {
    return;
  }
  memory_.notifiers[id.index].raised_elsewhere.exchange(true, std::memory_order_acq_rel);
  any_raised_elsewhere_.exchange(true, std::memory_order_seq_cst);
  wake();
}

void Reactor::remove_notifier(NotifierId id) {
  Notifier* const notifier = find(id);
  if (notifier == nullptr) {
    return;
  }
  if (notifier->raised) {
    notifier->raised = false;
    unlink(notifier->priority, first_notifier_ + id.index);
  }
  notifier->in_use = false;
  notifier->next_free = free_notifier_;
  free_notifier_ = id.index;
  --statistics_.notifiers;
}

Result<void> Reactor::post(Handler handler, const Message& message) {
  if (has_rest()) [[unlikely]] {
    return post_behind_rest(handler, message);
  }
  return post_now(handler, message);
}

[[gnu::noinline]] Result<void> Reactor::post_behind_rest(Handler handler, const Message& message) {
  queue_rest();
  return post_now(handler, message);
}

inline Result<void> Reactor::post_now(Handler handler, const Message& message) {
  const auto queue = static_cast<std::size_t>(message.priority);
  if (statistics_.messages_free <= limits_.margin[queue]) [[unlikely]] {
    ++queues_[queue].statistics.refused;
    return fail(ENOSPC, "the message queue is full", "raise messages in the board's limits");
  }
  const std::uint32_t item = free_message_;
  free_message_ = memory_.links[item].next;
  --statistics_.messages_free;
  statistics_.messages_least_free =
      std::min(statistics_.messages_least_free, statistics_.messages_free);
  put_message(handler, message, memory_.messages[item - first_message_]);
  append(message.priority, item);
  return {};
}

void Reactor::free_message(std::uint32_t item) {
  memory_.links[item].next = std::exchange(free_message_, item);
  ++statistics_.messages_free;
}

Result<void> Reactor::post_from_any_thread(Handler handler, const Message& message) {
  const auto fill = [&](Message& slot) { put_message(handler, message, slot); };
  if (!mailbox_.push_by(fill)) [[unlikely]] {
    mailbox_refused_.fetch_add(1, std::memory_order_relaxed);
    return fail(ENOSPC, "the mailbox is full", "raise mailbox in the board's limits");
  }
  wake();
  return {};
}

inline void Reactor::wake() {
  if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false)) {
    wakeup_.notify();
  }
}

inline bool Reactor::heard_from_elsewhere() const {
  return !mailbox_.empty() || any_raised_elsewhere_.load(std::memory_order_seq_cst);
}

void Reactor::queue_from_elsewhere() {
  while (!mailbox_.empty()) {
    const std::uint32_t cell = mailbox_.take();
    push(mailbox_[cell].priority, first_mailbox_ + cell);
  }
  if (!any_raised_elsewhere_.load(std::memory_order_relaxed)) {
    return;
  }
  any_raised_elsewhere_.exchange(false);
  for (std::uint32_t i = 0; i < memory_.notifiers.size(); ++i) {
    Notifier& notifier = memory_.notifiers[i];
    if (notifier.raised_elsewhere.exchange(false)) {
      raise({.index = i, .generation = notifier.generation});
    }
  }
}

std::uint32_t Reactor::backlog() const {
  std::uint32_t sum = 0;
  for (const Queue& queue : queues_) {
    sum += queue.statistics.depth;
  }
  return sum;
}

// --- What runs without being queued ------------------------------------------------------------
//
// Where nothing waits and all that are ready have one priority, the poller's array serves as that
// priority's queue: they run in its order. So does the heap where timers are due and nothing else
// is. As soon as anything is to be queued, what is left there is queued before it.

// Of a watch that is not settled, or not that of the event.
Events Reactor::wanted(const hal::PollEvent& event) {
  if (event.token == wakeup_token) {
    wakeup_.clear();
    return Events::none;
  }
  const WatchId id = watch_of(event.token);
  const Watch& watch = memory_.watches[static_cast<std::size_t>(id.fd)];
  if (!watch.changed) {
    // The kernel was told that this is not watched any longer: another descriptor, by dup() or
    // fork(), keeps the description open, and there is no number left to remove it by.
    ++statistics_.stale_events;
    rebuild_ = true;
    prepared_ = false;
    return Events::none;
  }
  return watch.generation == id.generation && watch.interest != Events::none
             ? event.events & (watch.interest | always_reported)
             : Events::none;
}

bool Reactor::of_one_priority(std::span<const hal::PollEvent> events) const {
  const auto priority = [this](const hal::PollEvent& event) {
    return memory_.watches[static_cast<std::size_t>(watch_of(event.token).fd)].priority;
  };
  return std::ranges::all_of(events, [&](const hal::PollEvent& event) {
    return priority(event) == priority(events.front());
  });
}

inline void Reactor::take_ready(std::span<const hal::PollEvent> events) {
  ready_ = std::to_address(events.begin());
  ready_end_ = std::to_address(events.end());
  if (waiting_ != 0 || (watches_of_.mixed() && !of_one_priority(events))) {
    queue_rest();
  }
}

void Reactor::take_due(bool alone) {
  due_until_.reset();  // what the last turn left there is due now as well
  if (!alone || waiting_ != 0 || timers_of_.mixed()) {
    queue_expired();
    return;
  }
  const Instant now = clock_.now();
  if (heap_.front().deadline <= now) {
    due_until_ = now;
    return;
  }
  plan_look(now, ticks());
}

void Reactor::queue_rest() {
  if (due_until_) {
    const Instant until = *due_until_;
    due_until_.reset();
    append_expired(until);
    if (!heap_.empty() && due_tick_ != 0) {
      // Nobody has looked between those that ran; what has expired before this one began goes
      // first.
      append_expired(clock_.now() - to_duration(ticks() - due_tick_));
    }
  }
  const std::span rest(ready_, ready_end_);
  ready_ = ready_end_;
  for (const hal::PollEvent& event : rest) {
    const auto fd = static_cast<std::uint32_t>(watch_of(event.token).fd);
    const bool settled = memory_.watches[fd].settled == event.token;
    if (const Events events = settled ? event.events : wanted(event); events != Events::none) {
      queue_events(fd, events);
    }
  }
}

// --- Dispatching -------------------------------------------------------------------------------

// Returns when the handler has returned. current_ stays: the next one follows at once, or the
// batch ends.
inline std::uint64_t Reactor::invoke(const Message& message, std::uint64_t start) {
  const Handler handler = message.handler;
  current_.store(handler.name_address(), std::memory_order_relaxed);
  handler(message);
  const std::uint64_t end = ticks_if_needed();
  if (end - start > budget_ticks_) [[unlikely]] {
    note_overrun(handler, start, end);
  }
  return end;
}

void Reactor::note_overrun(Handler handler, std::uint64_t start, std::uint64_t end) {
  if (start == 0) {
    return;  // that handler has set the first budget
  }
  if (has_rest()) {
    queue_rest();  // to be counted
  }
  ledger_.record(handler, to_duration(end - start), backlog());
}

inline Message Reactor::ready_message(const Watch& watch, std::uint64_t token, Events events) {
  static_assert(offsetof(Ready, watch) == 0 && offsetof(Ready, events) == sizeof(token));
  ++queues_[static_cast<std::size_t>(watch.priority)].statistics.dispatched;
  Message message;
  message.handler = watch.handler;
  message.kind = MessageKind::ready;
  message.priority = watch.priority;
  std::memcpy(message.payload.data(), &token, sizeof(token));  // in one piece: it is a WatchId
  std::memcpy(&message.payload[sizeof(token)], &events, sizeof(events));
  return message;
}

inline std::uint64_t Reactor::dispatch_ready(std::uint64_t start) {
  const hal::PollEvent& event = *ready_++;
  const auto fd = static_cast<std::uint32_t>(watch_of(event.token).fd);
  const Watch& watch = memory_.watches[fd];
  Events events = event.events;
  if (watch.settled != event.token) [[unlikely]] {
    events = wanted(event);
    if (events == Events::none) {
      return start;
    }
  }
  return invoke(ready_message(watch, event.token, events), start);
}

// Inlined, as the compiler would not by itself: a call costs what a tenth of a message does.
[[gnu::always_inline]] inline std::uint64_t Reactor::dispatch(Priority priority,
                                                              std::uint64_t start) {
  const std::uint32_t item = pop(priority);
  if (item < first_timer_) {
    Watch& watch = memory_.watches[item];
    const WatchId id{.fd = static_cast<std::int32_t>(item), .generation = watch.generation};
    const Events events = std::exchange(watch.pending, Events::none);
    return invoke(ready_message(watch, token(id), events), start);
  }
  ++queues_[static_cast<std::size_t>(priority)].statistics.dispatched;
  if (item >= first_mailbox_) {
    const Message message = mailbox_[item - first_mailbox_];
    mailbox_.release(item - first_mailbox_);
    return invoke(message, start);
  }
  if (item >= first_message_) {
    // Counted as free, but reused only afterwards, so that the handler can read it where it is.
    ++statistics_.messages_free;
    const std::uint64_t end = invoke(memory_.messages[item - first_message_], start);
    memory_.links[item].next = std::exchange(free_message_, item);
    return end;
  }
  if (item == quit_item_) {
    quitting_ = true;
    return start;
  }
  if (item < first_notifier_) {
    const std::uint32_t index = item - first_timer_;
    Timer& timer = memory_.timers[index];
    const std::uint32_t expiries = std::exchange(timer.expiries, 0);
    return invoke(expiry_message(index, timer.deadline, expiries), start);
  }
  return invoke(notice_message(item - first_notifier_), start);
}

inline Message Reactor::expiry_message(std::uint32_t index, Instant deadline,
                                       std::uint32_t expiries) {
  const Timer& timer = memory_.timers[index];
  const std::uint32_t missed = expiries - 1;
  ++statistics_.timers_expired;
  if (missed != 0) [[unlikely]] {
    statistics_.periods_missed += missed;
  }
  Message message;
  message.handler = timer.handler;
  message.kind = MessageKind::timer;
  message.priority = timer.priority;
  // An Expiry, without one in between: see copy_words().
  const auto put = [&](std::size_t offset, const auto& member) {
    std::memcpy(&message.payload[offset], &member, sizeof(member));
  };
  put(offsetof(Expiry, timer) + offsetof(TimerId, index), index);
  put(offsetof(Expiry, timer) + offsetof(TimerId, generation), timer.generation);
  put(offsetof(Expiry, missed), missed);
  put(offsetof(Expiry, deadline), deadline);
  return message;
}

// Returns how many more messages the turn may have.
std::size_t Reactor::dispatch_due(std::size_t limit, std::uint64_t tick) {
  bool first = true;
  for (; limit != 0 && due_until_ && has_due(); --limit, first = false) {
    const auto [deadline, order, index] = heap_.front();
    const Timer& timer = memory_.timers[index];
    ++queues_[static_cast<std::size_t>(timer.priority)].statistics.dispatched;
    // Periods may have passed while others ran.
    const bool current = first || timer.period == Duration::zero();
    const Instant now = current ? *due_until_ : std::max(*due_until_, clock_.now());
    const std::uint32_t expiries = take_expiry(timer, now);
    due_tick_ = tick;
    tick = invoke(expiry_message(index, deadline, expiries), tick);
  }
  if (due_until_ && !has_due()) {
    due_until_.reset();
  }  // else what is left goes before what is queued until the next turn takes it
  next_look_tick_ = 0;
  return limit;
}

Message Reactor::notice_message(std::uint32_t index) {
  Notifier& notifier = memory_.notifiers[index];
  notifier.raised = false;
  Message message;
  message.handler = notifier.handler;
  message.kind = MessageKind::notice;
  message.priority = notifier.priority;
  return message;
}

void Reactor::dispatch_queued(std::size_t limit, std::uint64_t tick) {
  for (; waiting_ != 0 && limit != 0 && !quitting_; --limit) {
    look_at_timers(tick);
    tick = dispatch(choose_queue(), tick);
  }
}

inline void Reactor::dispatch_batch() {
  std::uint64_t tick = ticks_if_needed();
  std::size_t left = turn_limit;
  for (; ready_ != ready_end_; --left) {
    tick = dispatch_ready(tick);
    look_at_timers(tick);
  }
  if (due_until_) {
    left = dispatch_due(left, tick);
    tick = ticks_if_needed();
  }
  if (waiting_ != 0) {
    dispatch_queued(left, tick);
  }
  current_.store(nullptr, std::memory_order_relaxed);
}

std::uint64_t Reactor::to_ticks(Duration duration) const {
  const auto nanoseconds = static_cast<std::uint64_t>(std::max(duration, Duration::zero()).count());
  if (cycle_rate_ == 0) {
    return nanoseconds;
  }
  std::uint64_t product = 0;
  return __builtin_mul_overflow(nanoseconds, cycle_rate_, &product) ? UINT64_MAX : product / 1000;
}

Duration Reactor::to_duration(std::uint64_t ticks) const {
  return Duration(
      static_cast<Duration::rep>(cycle_rate_ == 0 ? ticks : ticks * 1000 / cycle_rate_));
}

void Reactor::set_budget(Duration budget) {
  budget_ = budget;
  budget_ticks_ = budget == forever ? UINT64_MAX : to_ticks(budget);
}

// --- Running -----------------------------------------------------------------------------------

inline Duration Reactor::until_next_deadline(Duration limit) const {
  return heap_.empty() ? limit
                       : std::min(limit, saturating_sub(heap_.front().deadline, clock_.now()));
}

// What waits and what is ready are served in one turn: a backlog that outlived it would never get
// shorter beside descriptors that are always ready, and delay whatever comes. What all descriptors
// go before does not count: a flood of it would get the turns that are theirs.
std::size_t Reactor::polled_beside_backlog() const {
  std::uint32_t ahead = 0;
  for (std::size_t i = 0; i <= watches_of_.least_urgent(); ++i) {
    ahead += queues_[i].statistics.depth;
  }
  const std::size_t room = turn_limit - std::min(ahead, turn_limit - least_polled);
  return std::min(memory_.poll_events.size(), room);
}

// How long to sleep beside a post that has begun. It comes at once, unless its thread was
// interrupted.
[[gnu::noinline]] Duration Reactor::wait_for_post(Duration max_wait) {
  for (int i = 0; i < unfinished_looks; ++i) {
    if (heard_from_elsewhere()) {
      asleep_.store(false, std::memory_order_relaxed);
      return Duration::zero();
    }
    hal::cpu_relax();
  }
  return until_next_deadline(std::min(max_wait, unfinished_wait));
}

inline Result<std::size_t> Reactor::wait(Duration max_wait) {
  Duration wait{};
  std::span<hal::PollEvent> events = memory_.poll_events;
  if (waiting_ != 0) {
    events = events.first(polled_beside_backlog());
  } else {
    // Whoever begins to post after nothing was found here finds the loop asleep, and wakes it.
    asleep_.store(true, std::memory_order_seq_cst);
    if (mailbox_.idle() && !any_raised_elsewhere_.load(std::memory_order_seq_cst)) [[likely]] {
      wait = until_next_deadline(max_wait);
    } else {
      wait = wait_for_post(max_wait);
    }
  }
  if (wait <= Duration::zero()) {
    ++awake_turns_;
  }
  auto found = poller_.wait(events, wait);
  asleep_.store(false, std::memory_order_relaxed);
  now_valid_ = false;
  ++statistics_.turns;
  return found;
}

Result<void> Reactor::prepare() {
  if (rebuild_) {
    if (auto rebuilt = rebuild_poller(); !rebuilt) {
      return rebuilt;
    }
  }
  apply_changes();
  prepared_ = true;
  return {};
}

Result<void> Reactor::turns(std::uint64_t count, Duration max_wait) {
  if (running_) {
    return fail(EBUSY, "the loop is running already",
                "call run() and turn() from outside handlers");
  }
  running_ = true;
  for (; !quitting_ && count != 0; --count) {
    if (!prepared_) {
      if (auto prepared = prepare(); !prepared) {
        running_ = false;
        return prepared;
      }
    }
    const auto found = wait(max_wait);
    if (!found) {
      running_ = false;
      return std::unexpected(found.error());
    }
    if (!heap_.empty()) {
      take_due(*found == 0);
    }
    if (*found != 0) {
      take_ready(memory_.poll_events.first(*found));
    }
    if (heard_from_elsewhere()) {
      queue_from_elsewhere();
    }
    dispatch_batch();
  }
  running_ = false;
  return {};
}

Result<bool> Reactor::turn(Duration max_wait) {
  if (auto done = turns(1, max_wait); !done) {
    return std::unexpected(done.error());
  }
  return !quitting_;
}

Result<Exit> Reactor::run() {
  if (auto done = turns(UINT64_MAX, forever); !done) {
    return std::unexpected(done.error());
  }
  return finish();
}

void Reactor::quit(int status) {
  if (!quit_asked_) {
    quit_asked_ = true;
    quit_status_ = status;
    push(Priority::normal, quit_item_);
  }
}

Result<void> Reactor::at_quit(Handler handler) {
  if (closer_count_ == closers_.size()) {
    return fail(ENOSPC, "all at_quit handlers are in use", "close several things in one handler");
  }
  closers_[closer_count_++] = handler;
  return {};
}

Exit Reactor::finish() {
  running_ = true;
  quitting_ = false;
  while (closer_count_ > 0) {
    Message message;
    message.handler = closers_[--closer_count_];
    message.kind = MessageKind::quit;
    (void)invoke(message, ticks());
  }
  queue_from_elsewhere();
  dispatch_queued(memory_.links.size() - 1, ticks());  // one slot is not for what waits
  current_.store(nullptr, std::memory_order_relaxed);
  queue_from_elsewhere();
  Exit exit{.status = quit_status_};
  while (waiting_ != 0) {
    if (discard(pop(static_cast<Priority>(std::countr_zero(waiting_))))) {
      ++exit.undelivered;
    }
  }
  quit_asked_ = false;
  running_ = false;
  return exit;
}

bool Reactor::discard(std::uint32_t item) {
  if (item < first_timer_) {
    memory_.watches[item].pending = Events::none;
  } else if (item < first_notifier_) {
    memory_.timers[item - first_timer_].expiries = 0;
  } else if (item < quit_item_) {
    // Not for good: who has raised it relies on being heard, in the next run if there is one.
    Notifier& notifier = memory_.notifiers[item - first_notifier_];
    notifier.raised = false;
    notifier.raised_elsewhere.store(true, std::memory_order_relaxed);
    any_raised_elsewhere_.store(true, std::memory_order_relaxed);
  } else if (item < first_mailbox_) {  // never the quit message, which has led here
    free_message(item);
  } else {
    mailbox_.release(item - first_mailbox_);
  }
  return item > quit_item_;
}

std::string_view Reactor::current_handler() const {
  const std::string_view* const name = current_.load(std::memory_order_relaxed);
  return name == nullptr ? std::string_view() : *name;
}

ReactorStatistics Reactor::statistics() const {
  ReactorStatistics statistics = statistics_;
  for (std::size_t i = 0; i < priority_count; ++i) {
    statistics.queues[i] = queues_[i].statistics;
  }
  statistics.sleeps = statistics.turns - awake_turns_;
  statistics.mailbox_refused = mailbox_refused_.load(std::memory_order_relaxed);
  return statistics;
}

}  // namespace millrace
