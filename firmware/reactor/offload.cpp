// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/offload.hpp"

#include <algorithm>
#include <utility>

#include "hal/clock.hpp"
#include "hal/fixed_string.hpp"
#include "hal/log.hpp"

namespace millrace {
namespace {

/// What a job that calls the file system has for arguments.
struct FileJob {
  hal::FileSystem* files;
  hal::FileRequest request;
};

}  // namespace

Offload::Offload(const Memory& memory, hal::FileSystem& files, hal::FileRing* ring)
    : lanes_(memory.lanes),
      workers_(memory.workers),
      slots_(memory.slots),
      buffer_size_(memory.buffer_size),
      files_(files),
      ring_(ring) {
  const std::size_t jobs = slots_.size() / lanes_.size();
  for (auto i = static_cast<std::uint32_t>(slots_.size()); i-- > 0;) {
    Slot& slot = slots_[i];
    slot.lane = i / static_cast<std::uint32_t>(jobs);
    slot.next = lanes_[slot.lane].free;
    lanes_[slot.lane].free = i;
  }
}

Offload::~Offload() {
  stop_workers();
  if (reactor_ != nullptr) {
    (void)reactor_->remove(watch_);
    reactor_->remove_notifier(notifier_);
  }
}

Result<void> Offload::open(Reactor& reactor, Priority priority) {
  if (wakeup_.fd() >= 0) {
    return fail(EALREADY, "the workers have been started before");
  }
  auto wakeup = hal::Wakeup::open();
  if (!wakeup) {
    return std::unexpected(wakeup.error());
  }
  wakeup_ = std::move(*wakeup);
  const auto notifier = reactor.add_notifier(Handler::to<&Offload::on_notice>(*this), priority);
  if (!notifier) {
    return std::unexpected(notifier.error());
  }
  const auto watch = reactor.watch(wakeup_.fd(), Events::readable,
                                   Handler::to<&Offload::on_wakeup>(*this), priority);
  if (!watch) {
    reactor.remove_notifier(*notifier);
    return std::unexpected(watch.error());
  }
  reactor_ = &reactor;
  notifier_ = *notifier;
  watch_ = *watch;
  stopped_ = false;
  if (auto started = start_workers(); !started) {
    stop_workers();
    return started;
  }
  if (auto closes = reactor.at_quit(Handler::to<&Offload::on_quit>(*this)); !closes) {
    stop_workers();
    return closes;
  }
  if (ring_ != nullptr && !ring_->open(slots_.size(), wakeup_)) {
    ring_ = nullptr;  // the workers do it all
  }
  accepts_ = true;
  return {};
}

Result<void> Offload::start_workers() {
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    Worker& worker = workers_[i];
    worker.owner = this;
    const FixedString<15> name = FixedString<15>("offload ").append(i);
    if (auto started = worker.thread.start(worker.stack, name.c_str(), &Offload::serve, &worker);
        !started) {
      return started;
    }
    ++idle_;
  }
  return {};
}

// --- Workers' side ------------------------------------------------------------------------------

void Offload::serve(void* context) {
  Worker& worker = *static_cast<Worker*>(context);
  Offload& self = *worker.owner;
  for (;;) {
    worker.wake.wait();
    if (worker.slot == none) {
      return;
    }
    Slot& slot = self.slots_[worker.slot];
    slot.run(slot.work);
    auto state = Worker::State::busy;
    if (!worker.state.compare_exchange_strong(state, Worker::State::done,
                                              std::memory_order_acq_rel)) {
      return;  // abandoned: its owner has been told, and nothing else may be touched
    }
    if (!self.awakened_.exchange(true, std::memory_order_acq_rel)) {
      self.wakeup_.notify();
    }
  }
}

void Offload::perform(Work& work) {
  const auto [files, request] = work.load<FileJob>();
  const auto [result, error] = files->perform(request);
  work.result = result;
  work.error = error;
}

// --- Lines and places ---------------------------------------------------------------------------

void Offload::append(Line& line, std::uint32_t index) {
  slots_[index].next = none;
  (line.first == none ? line.first : slots_[line.last].next) = index;
  line.last = index;
}

std::uint32_t Offload::take_first(Line& line) {
  const std::uint32_t index = line.first;
  line.first = slots_[index].next;
  return index;
}

void Offload::unlink(Line& line, std::uint32_t index) {
  std::uint32_t before = none;
  for (std::uint32_t i = line.first; i != index; i = slots_[i].next) {
    before = i;
  }
  (before == none ? line.first : slots_[before].next) = slots_[index].next;
  if (line.last == index) {
    line.last = before;
  }
}

void Offload::free(std::uint32_t index) {
  Slot& slot = slots_[index];
  Lane& lane = lanes_[slot.lane];
  slot.state = Slot::State::free;
  slot.next = std::exchange(lane.free, index);
  --lane.statistics.in_use;
}

Offload::Slot* Offload::find(JobId job) const {
  if (job.index >= slots_.size()) {
    return nullptr;
  }
  Slot& slot = slots_[job.index];
  return slot.generation == job.generation && slot.state != Slot::State::free ? &slot : nullptr;
}

// --- Jobs ---------------------------------------------------------------------------------------

Result<JobId> Offload::reserve(std::size_t lane, Handler done) {
  if (lane >= lanes_.size()) {
    return fail(EINVAL, "there is no such lane for what blocks",
                "raise lanes in the board's limits");
  }
  if (!accepts_) {
    return fail(ESHUTDOWN, "the workers are not started, or stop");
  }
  auto& [queue, free, statistics] = lanes_[lane];
  if (free == none) {
    ++statistics.refused;
    return fail(ENOSPC, "too much waits for what blocks already",
                "raise jobs in the board's limits");
  }
  const std::uint32_t index = free;
  Slot& slot = slots_[index];
  free = slot.next;
  statistics.high_water = std::max(statistics.high_water, ++statistics.in_use);
  slot.generation = slot.generation == UINT32_MAX ? 1 : slot.generation + 1;
  slot.state = Slot::State::reserved;
  slot.done = done;
  return JobId{.index = index, .generation = slot.generation};
}

Work& Offload::work(JobId job) { return slots_[job.index].work; }

bool Offload::can_start(JobId job) const {
  const Slot* const slot = find(job);
  return slot != nullptr &&
         (slot->state == Slot::State::reserved || slot->state == Slot::State::telling);
}

void Offload::start(JobId job, Function run) {
  if (!can_start(job)) {
    return;
  }
  Slot* const slot = &slots_[job.index];
  slot->work.result = 0;
  slot->work.error = 0;
  slot->run = run;
  if (stopped_) {
    slot->work.error = ECANCELED;
    finish(job.index);
    reactor_->raise(notifier_);
    return;
  }
  queue(job.index);
  hand_out();
}

void Offload::queue(std::uint32_t index) {
  Slot& slot = slots_[index];
  Lane& lane = lanes_[slot.lane];
  slot.state = Slot::State::queued;
  append(lane.queue, index);
  ++lane.statistics.queued;
}

void Offload::start(JobId job, const hal::FileRequest& request) {
  if (can_start(job)) {
    work(job).store(FileJob{.files = &files_, .request = request});
    if (!give_to_ring(job.index, request)) {
      start(job, &Offload::perform);
    }
  }
}

bool Offload::give_to_ring(std::uint32_t index, const hal::FileRequest& request) {
  if (ring_ == nullptr || stopped_ || !ring_->start(request, index)) {
    return false;
  }
  Slot& slot = slots_[index];
  slot.state = Slot::State::running;
  slot.in_ring = true;
  ++lanes_[slot.lane].statistics.in_ring;
  return true;
}

Cancelled Offload::cancel(JobId job) {
  using State = Slot::State;
  Slot* const slot = find(job);
  if (slot == nullptr) {
    return Cancelled::no_job;
  }
  Lane& lane = lanes_[slot->lane];
  switch (slot->state) {
    case State::reserved:
      free(job.index);
      return Cancelled::never_ran;
    case State::queued:
      unlink(lane.queue, job.index);
      --lane.statistics.queued;
      ++lane.statistics.never_ran;
      free(job.index);
      return Cancelled::never_ran;
    case State::running:
      slot->state = State::orphaned;
      ++lane.statistics.orphaned;
      return Cancelled::runs_on;
    case State::finished:
      unlink(finished_, job.index);
      free(job.index);
      return Cancelled::has_run;
    case State::abandoned:
      slot->done = {};
      return Cancelled::runs_on;
    default:
      return Cancelled::no_job;  // whoever has it knows already
  }
}

bool Offload::may_run(const Lane& lane) const {
  if (lane.statistics.queued == 0) {
    return false;
  }
  // There are never fewer idle workers than lanes that have nothing running.
  const auto kept_back = static_cast<std::size_t>(std::ranges::count_if(
      lanes_, [](const Lane& other) { return other.statistics.running == 0; }));
  return lane.statistics.running == 0 || idle_ > kept_back;
}

void Offload::hand_out() {
  // Each lane in turn, until none is left that could go on.
  for (std::size_t looked_at = 0; looked_at < lanes_.size() && !stopped_; ++looked_at) {
    Lane& lane = lanes_[next_lane_];
    next_lane_ = (next_lane_ + 1) % lanes_.size();
    if (may_run(lane)) {
      --lane.statistics.queued;
      give_to_worker(take_first(lane.queue));
      looked_at = SIZE_MAX;  // and once around again
    }
  }
}

void Offload::give_to_worker(std::uint32_t index) {
  const auto idle = std::ranges::find_if(workers_, [](const Worker& worker) {
    return worker.state.load(std::memory_order_relaxed) == Worker::State::idle;
  });
  Slot& slot = slots_[index];
  slot.state = Slot::State::running;
  ++lanes_[slot.lane].statistics.running;
  --idle_;
  idle->slot = index;
  idle->state.store(Worker::State::busy, std::memory_order_relaxed);
  idle->wake.post();
}

// --- Completions --------------------------------------------------------------------------------

void Offload::on_wakeup(const Message& /*message*/) {
  collect();
  if (finished_.first != none) {
    reactor_->raise(notifier_);
  }
}

void Offload::on_notice(const Message& /*message*/) {
  tell_next();
  if (finished_.first != none) {
    reactor_->raise(notifier_);
  }
}

void Offload::collect() {
  // Who finishes from here on writes again.
  wakeup_.clear();
  (void)awakened_.exchange(false, std::memory_order_acq_rel);
  for (Worker& worker : workers_) {
    if (worker.state.load(std::memory_order_acquire) != Worker::State::done) {
      continue;
    }
    worker.state.store(Worker::State::idle, std::memory_order_relaxed);
    ++idle_;
    --lanes_[slots_[worker.slot].lane].statistics.running;
    end_call(worker.slot);
  }
  while (const auto done = ring_ != nullptr ? ring_->next() : std::nullopt) {
    const auto index = static_cast<std::uint32_t>(done->token);
    Slot& slot = slots_[index];
    slot.in_ring = false;
    --lanes_[slot.lane].statistics.in_ring;
    if (done->reply.error == EINTR && slot.state == Slot::State::running && !stopped_) {
      slot.work.error = 0;
      slot.run = &Offload::perform;  // which makes it again, and again if it has to
      queue(index);
      continue;
    }
    ++lanes_[slot.lane].statistics.ringed;
    slot.work.result = done->reply.result;
    slot.work.error = done->reply.error;
    end_call(index);
  }
  hand_out();
}

void Offload::end_call(std::uint32_t index) {
  if (slots_[index].state == Slot::State::orphaned) {
    free(index);
  } else {
    finish(index);
  }
}

void Offload::finish(std::uint32_t index) {
  slots_[index].state = Slot::State::finished;
  append(finished_, index);
}

void Offload::tell_next() {
  if (finished_.first == none) {
    return;  // cancelled meanwhile
  }
  const std::uint32_t index = take_first(finished_);
  Slot& slot = slots_[index];
  Completion completion{.job = {.index = index, .generation = slot.generation}};
  if (slot.state == Slot::State::abandoned) {
    completion.error = ECANCELED;
    completion.shut_down = true;
  } else {
    slot.state = Slot::State::telling;
    completion.error = slot.work.error;
    completion.shut_down = stopped_ && completion.error == ECANCELED;
    completion.result = slot.work.result;
  }
  Message message;
  message.handler = slot.done;
  message.store(completion);
  if (slot.done) {
    ++lanes_[slot.lane].statistics.told;
    slot.done(message);
  }
  if (slot.state == Slot::State::telling) {
    free(index);
  }
}

// --- The end ------------------------------------------------------------------------------------

std::uint32_t Offload::busy() const {
  std::uint32_t sum = 0;
  for (const Lane& lane : lanes_) {
    sum += lane.statistics.queued + lane.statistics.running + lane.statistics.in_ring;
  }
  return sum;
}

void Offload::on_quit(const Message& /*message*/) {
  accepts_ = false;
  drain();
  give_up();
  stop_workers();
}

void Offload::drain() {
  const hal::SystemClock clock;
  const Instant deadline = saturating_add(clock.now(), patience_);
  for (;;) {
    while (finished_.first != none) {
      tell_next();
    }
    const Duration left = saturating_sub(deadline, clock.now());
    if (busy() == 0 || left <= Duration::zero()) {
      return;
    }
    (void)wakeup_.wait(left);
    collect();
  }
}

void Offload::give_up() {
  for (Lane& lane : lanes_) {
    while (lane.queue.first != none) {
      const std::uint32_t index = take_first(lane.queue);
      --lane.statistics.queued;
      ++lane.statistics.never_ran;
      slots_[index].work.error = ECANCELED;
      finish(index);
    }
  }
  reactor_->raise(notifier_);
}

void Offload::stop_workers() {
  if (std::exchange(stopped_, true)) {
    return;
  }
  for (Worker& worker : workers_) {
    auto busy = Worker::State::busy;
    if (worker.state.compare_exchange_strong(busy, Worker::State::abandoned,
                                             std::memory_order_acq_rel)) {
      // It touches nothing any more but the job, whenever its call ends.
      abandon(worker.slot);
      worker.thread.detach();
    }
  }
  collect();  // who was just done
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].in_ring) {
      abandon(i);
    }
  }
  if (ring_ != nullptr) {
    ring_->close();
  }
  for (Worker& worker : workers_) {
    if (worker.thread.started()) {
      worker.slot = none;
      worker.wake.post();
      worker.thread.join();
    }
  }
}

void Offload::abandon(std::uint32_t index) {
  Slot& slot = slots_[index];
  ++lanes_[slot.lane].statistics.abandoned;
  hal::log(hal::LogLevel::warning, "offload: a call of lane ", slot.lane,
           " has not ended, and is left behind");
  if (slot.state == Slot::State::running) {
    append(finished_, index);
  }
  slot.state = Slot::State::abandoned;
}

}  // namespace millrace
