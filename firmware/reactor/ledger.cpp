// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/reactor/ledger.hpp"

namespace millrace {

void Ledger::record(const Handler& handler, Duration duration, std::uint32_t backlog) {
  constexpr auto relaxed = std::memory_order_relaxed;
  const std::string_view* const name = handler.name_address();
  total_.store(total_.load(relaxed) + 1, relaxed);
  for (Slot& slot : slots_) {
    const std::string_view* const taken = slot.name.load(relaxed);
    if (taken != nullptr && taken != name) {
      continue;
    }
    slot.count.store(slot.count.load(relaxed) + 1, relaxed);
    if (duration.count() > slot.worst_ns.load(relaxed)) {
      slot.worst_ns.store(duration.count(), relaxed);
      slot.backlog.store(backlog, relaxed);
    }
    if (taken == nullptr) {
      slot.name.store(name, std::memory_order_release);
    }
    return;
  }
  others_.store(others_.load(relaxed) + 1, relaxed);
}

std::optional<Ledger::Entry> Ledger::entry(std::size_t index) const {
  constexpr auto relaxed = std::memory_order_relaxed;
  if (index >= slots_.size()) {
    return std::nullopt;
  }
  const Slot& slot = slots_[index];
  const std::string_view* const name = slot.name.load(std::memory_order_acquire);
  if (name == nullptr) {
    return std::nullopt;
  }
  return Entry{.name = *name,
               .count = slot.count.load(relaxed),
               .worst = Duration(slot.worst_ns.load(relaxed)),
               .backlog = slot.backlog.load(relaxed)};
}

}  // namespace millrace
