// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

#include "firmware/reactor/message.hpp"
#include "hal/time.hpp"

namespace millrace {

/// Who kept the loop waiting: one entry for each handler that ran longer than its budget, as a
/// desktop notes programs that do "not respond". Fixed size; when every entry is taken, the
/// overruns of further handlers are counted under `others()`.
///
/// Written by the loop, read by any thread at any time: a reader may see an entry in the middle of
/// an update (a new worst duration with the old backlog), never a torn value.
class Ledger {
 public:
  static constexpr std::size_t capacity = 16;

  struct Entry {
    std::string_view name;      ///< Handler::name()
    std::uint32_t count = 0;    ///< how often it overran
    Duration worst{};           ///< its longest run
    std::uint32_t backlog = 0;  ///< how many messages waited at the end of that longest run
  };

  /// Loop thread.
  void record(const Handler& handler, Duration duration, std::uint32_t backlog);

  /// The `index`-th entry, in the order of the first overrun; empty past the last. Any thread.
  [[nodiscard]] std::optional<Entry> entry(std::size_t index) const;
  /// Overruns of all handlers together. Any thread.
  [[nodiscard]] std::uint32_t total() const { return total_.load(std::memory_order_relaxed); }
  /// Overruns of handlers that found no entry. Any thread.
  [[nodiscard]] std::uint32_t others() const { return others_.load(std::memory_order_relaxed); }

 private:
  struct Slot {
    std::atomic<const std::string_view*> name = nullptr;
    std::atomic<std::uint32_t> count = 0;
    std::atomic<std::uint32_t> backlog = 0;
    std::atomic<std::int64_t> worst_ns = 0;
  };

  std::array<Slot, capacity> slots_{};
  std::atomic<std::uint32_t> total_ = 0;
  std::atomic<std::uint32_t> others_ = 0;
};

}  // namespace millrace
