// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/tasks.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "firmware/reactor/task_scope.hpp"
#include "firmware/reactor/task_strand.hpp"
#include "firmware/reactor/task_wait.hpp"

// With AddressSanitizer, who uses a frame that has ended is caught, as with the heap's.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MILLRACE_POISON 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define MILLRACE_POISON 1
#endif
#if defined(MILLRACE_POISON)
extern "C" {
void __asan_poison_memory_region(const volatile void* begin, std::size_t size);
void __asan_unpoison_memory_region(const volatile void* begin, std::size_t size);
}
#endif

namespace millrace {
namespace {

void forbid([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t size) {
#if defined(MILLRACE_POISON)
  __asan_poison_memory_region(begin, size);
#endif
}
void allow([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t size) {
#if defined(MILLRACE_POISON)
  __asan_unpoison_memory_region(begin, size);
#endif
}

}  // namespace

// --- Tasks -------------------------------------------------------------------------------------

Tasks::Tasks(Reactor& reactor, std::span<std::byte> memory)
    : reactor_(reactor), memory_(memory), bytes_(memory) {
  for (Type& type : types_) {
    type.owner = this;
  }
}

Tasks::~Tasks() {
  for (const NotifierId notifier : notifiers_) {
    reactor_.remove_notifier(notifier);
  }
  allow(bytes_.data(), bytes_.size());  // to whom they belong
}

Result<void> Tasks::open() {
  const std::array handlers = {Handler::to<&Tasks::on_ready<Priority::urgent>>(*this),
                               Handler::to<&Tasks::on_ready<Priority::normal>>(*this),
                               Handler::to<&Tasks::on_ready<Priority::background>>(*this)};
  for (std::size_t i = 0; i < priority_count; ++i) {
    const auto notifier = reactor_.add_notifier(handlers[i], static_cast<Priority>(i));
    if (!notifier) {
      return std::unexpected(notifier.error());
    }
    notifiers_[i] = *notifier;
  }
  return {};
}

TaskStatistics Tasks::statistics() const {
  TaskStatistics statistics = statistics_;
  statistics.memory = memory_.statistics();
  return statistics;
}

void Tasks::schedule(TaskReady& ready) {
  const auto priority = static_cast<std::size_t>(ready.strand->priority());
  ready.unlink();
  ready_[priority].append(ready);
  reactor_.raise(notifiers_[priority]);
}

template <Priority Of>
void Tasks::on_ready(const Message& /*message*/) {
  go_on(Of);
}

void Tasks::go_on(Priority priority) {
  TaskLink& queue = ready_[static_cast<std::size_t>(priority)];
  if (queue.alone()) {
    return;  // who was to go on was cancelled
  }
  auto& ready = static_cast<TaskReady&>(queue.first());
  ready.unlink();
  if (!queue.alone()) {
    reactor_.raise(notifiers_[static_cast<std::size_t>(priority)]);  // one task a message
  }
  ready.strand->resume(ready.handle);
}

void Tasks::reap() {
  // What the destructors of a task's variables do may be anything, and cancel scopes above, too.
  if (std::exchange(reaping_, true)) {
    return;
  }
  reap_ = false;
  while (!orphans_.alone()) {
    auto& strand = static_cast<TaskStrand&>(orphans_.first());
    strand.unlink();
    strand.destroy();
  }
  while (!cancelled_.alone()) {
    TaskLink& scope = cancelled_.first();
    scope.unlink();
    static_cast<TaskScope&>(scope).end_doomed();
  }
  reaping_ = false;
}

void* Tasks::allocate(std::size_t size) {
  void* const block = memory_.allocate(size);
  if (block == nullptr) {
    ++statistics_.refused;
  } else {
    allow(block, size);
  }
  return block;
}

void Tasks::release(void* block, std::size_t size) {
  forbid(block, size);
  memory_.release(block);
}

// The pointer to a frame's type is behind the frame, as its size is known again when it ends.
void* Tasks::allocate_frame(std::size_t size) {
  void* const frame = allocate(size + sizeof(void*));
  last_frame_ = frame;
  last_size_ = size;
  if (frame == nullptr) {
    return nullptr;
  }
  statistics_.largest_frame = std::max(statistics_.largest_frame, static_cast<std::uint32_t>(size));
  statistics_.frames_high_water = std::max(statistics_.frames_high_water, ++statistics_.frames);
  return frame;
}

void Tasks::name_frame(void* frame, const char* name) {
  if (frame != last_frame_) {
    return;  // clang has put it into its caller's frame: it took nothing, and gives nothing back
  }
  Type* const type = &type_of(name);
  type->frame = std::max(type->frame, static_cast<std::uint32_t>(last_size_));
  type->high_water = std::max(type->high_water, ++type->live);
  std::memcpy(static_cast<std::byte*>(frame) + last_size_, static_cast<const void*>(&type),
              sizeof(void*));
}

void Tasks::release_frame(void* frame, std::size_t size) {
  Type* type = nullptr;
  std::memcpy(static_cast<void*>(&type), static_cast<std::byte*>(frame) + size, sizeof(void*));
  --type->live;
  --type->owner->statistics_.frames;
  type->owner->release(frame, size + sizeof(void*));
}

// Names are literals: one function has one, so its address is enough.
Tasks::Type& Tasks::type_of(const char* name) {
  const auto address = std::bit_cast<std::uintptr_t>(name);
  auto place = static_cast<std::size_t>((address >> 4U ^ address >> 10U) % hashed_.size());
  for (; hashed_[place] != 0; place = (place + 1) % hashed_.size()) {
    Type& type = types_[hashed_[place] - 1U];
    if (type.name == name) {
      return type;
    }
  }
  if (type_count_ >= max_types) {
    type_count_ = types_.size();
    types_.back().name = "others";
    return types_.back();
  }
  Type& type = types_[type_count_++];
  type.name = name;
  hashed_[place] = static_cast<std::uint8_t>(type_count_);
  return type;
}

// --- TaskStrand --------------------------------------------------------------------------------

// One that is to end does not begin anything any more.
void TaskStrand::resume_others() {
  while (!doomed_) {
    if (!next_) {
      if (group_ == nullptr) {
        return;
      }
      begin_next();
    }
    std::exchange(next_, nullptr).resume();
  }
}

void TaskStrand::begin_next() {
  TaskGroup& group = *group_;
  next_ = group.children[group.begun++];
  if (group.begun == group.count) {
    group_ = group.outer;
  }
}

Result<TimerId> TaskStrand::take_timer(TaskWait& wait) {
  if (timer_user_ != nullptr) {
    return reactor().add_timer(Handler::to<&TaskWait::on_timer>(wait), priority_);
  }
  if (timer_.generation == 0) {
    const auto timer = reactor().add_timer(Handler::to<&TaskStrand::on_timer>(*this), priority_);
    if (!timer) {
      return timer;
    }
    timer_ = *timer;
  }
  timer_user_ = &wait;
  return timer_;
}

void TaskStrand::give_timer_back(TimerId timer) {
  if (timer == timer_) {
    timer_user_ = nullptr;
    reactor().cancel(timer);
  } else {
    reactor().remove_timer(timer);
  }
}

void TaskStrand::on_timer(const Message& /*message*/) {
  // It has expired and is free, so there is nothing to be given back.
  TaskWait& wait = *std::exchange(timer_user_, nullptr);
  wait.state_ &= static_cast<std::uint8_t>(~TaskWait::armed);
  wait.expire();
}

void TaskStrand::destroy() {
  Tasks& tasks = tasks_;
  top_.destroy();
  reactor().remove_timer(timer_);
  std::destroy_at(this);
  tasks.release(this, sizeof *this);
}

// It can't end itself here, as its code is what calls this: reap() does.
void TaskStrand::finish() {
  if (scope_ != nullptr) {
    scope_->ended(*this);
  }
}

// --- TaskScope ---------------------------------------------------------------------------------

TaskScope::~TaskScope() {
  while (TaskStrand* const strand = first()) {
    strand->unlink();
    if (strand == tasks_.running_) {
      strand->scope_ = nullptr;
      strand->doomed_ = true;
      tasks_.orphans_.append(*strand);
      tasks_.reap_ = true;
    } else {
      strand->destroy();
    }
  }
}

TaskStrand* TaskScope::first() const {
  const TaskLink& list = doomed_.alone() ? strands_ : doomed_;
  return list.alone() ? nullptr : &static_cast<TaskStrand&>(list.first());
}

TaskStrand* TaskScope::add(Priority priority) {
  void* const place = tasks_.allocate(sizeof(TaskStrand));
  if (place == nullptr) {
    return nullptr;
  }
  auto* const strand = ::new (place) TaskStrand(tasks_, this, priority, ++tasks_.last_serial_);
  strands_.append(*strand);
  ++size_;
  return strand;
}

void TaskScope::begin(TaskStrand& strand, std::coroutine_handle<> top,
                      std::optional<Error> (*error_of)(std::coroutine_handle<>)) {
  strand.top_ = top;
  strand.error_of_ = error_of;
  strand.start_.handle = top;
  strand.start_.strand = &strand;
  tasks_.schedule(strand.start_);
}

void TaskScope::cancel() {
  while (!strands_.alone()) {
    doom(static_cast<TaskStrand&>(strands_.first()));
  }
  end_doomed_if_possible();
}

bool TaskScope::cancel(TaskId task) {
  for (TaskLink* link = &strands_.first(); link != &strands_; link = &link->next()) {
    auto& strand = static_cast<TaskStrand&>(*link);
    if (TaskId(strand.serial_) == task) {
      doom(strand);
      end_doomed_if_possible();
      return true;
    }
  }
  return false;
}

void TaskScope::ended(TaskStrand& strand) {
  if (!error_) {
    error_ = strand.error_of_(strand.top_);
  }
  if (!strand.doomed_) {
    doom(strand);
  }
}

// What is doomed is ended by reap(), after the task that runs, if there is one.
void TaskScope::doom(TaskStrand& strand) {
  strand.doomed_ = true;
  strand.unlink();
  doomed_.append(strand);
  --size_;
  unlink();
  tasks_.cancelled_.append(*this);
  tasks_.reap_ = true;
}

void TaskScope::end_doomed_if_possible() {
  if (tasks_.running_ == nullptr) {
    tasks_.reap();
  }
}

void TaskScope::end_doomed() {
  while (!doomed_.alone()) {
    auto& strand = static_cast<TaskStrand&>(doomed_.first());
    strand.unlink();
    strand.destroy();
  }
  while (strands_.alone() && !joins_.alone()) {
    auto& ready = static_cast<TaskReady&>(joins_.first());
    tasks_.schedule(ready);
  }
}

}  // namespace millrace
