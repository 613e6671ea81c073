// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Does what the input says with a log and its readers, and with a list of all that ever happened
// beside it: each reader sees, and is told to have lost, what by that list it has to.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "drivers/event_log.hpp"
#include "tests/support/fuzz.hpp"

namespace {

using millrace::test::Input;
using millrace::test::require;

/// Wants the events that have one of its bits.
struct Filter {
  std::uint8_t bits = 0;
  bool operator()(std::uint8_t event) const { return (event & bits) != 0; }
};

constexpr std::size_t capacity = 5;
using Log = millrace::EventLog<std::uint8_t, capacity, Filter>;

/// A reader, by definition.
struct Model {
  bool attached = false;
  Filter filter;
  std::size_t next = 0;
  std::uint32_t lost = 0;
  std::uint64_t lost_in_total = 0;
};

class Both {
 public:
  void step(Input& input) {
    const std::size_t i = input.below(readers_.size());
    Log::Reader& reader = readers_.at(i);
    Model& model = models_.at(i);
    switch (input.below(8)) {
      case 0:
        log_.attach(reader);
        reader.filter.bits = input.next();
        model = {.attached = true, .filter = reader.filter, .next = events_.size()};
        break;
      case 1:
        log_.detach(reader);
        model.attached = false;
        break;
      case 2:
        if (model.attached) {
          require(reader.take_lost() == model.lost);
          model.lost = 0;
        }
        break;
      case 3:
      case 4:
        if (model.attached) {
          read(reader, model);
        }
        break;
      default:
        append(input.next());
        break;
    }
    check();
  }

 private:
  void append(std::uint8_t event) {
    log_.append(event);
    events_.push_back(event);
    const std::size_t oldest = events_.size() - std::min(events_.size(), capacity);
    for (Model& model : models_) {
      for (; model.attached && model.next < oldest; ++model.next) {
        const std::uint32_t lost = model.filter(events_[model.next]) ? 1 : 0;
        model.lost += lost;
        model.lost_in_total += lost;
        lost_in_total_ += lost;
      }
    }
  }

  void read(Log::Reader& reader, Model& model) {
    while (model.next < events_.size() && !model.filter(events_[model.next])) {
      ++model.next;
    }
    const std::uint8_t* event = log_.peek(reader);
    require((event != nullptr) == (model.next < events_.size()));
    if (event) {
      require(*event == events_[model.next]);
      require(log_.peek(reader) == event);
      log_.skip(reader);
      ++model.next;
    }
  }

  void check() const {
    require(log_.appended() == events_.size());
    require(log_.lost_in_total() == lost_in_total_);
    for (std::size_t i = 0; i < readers_.size(); ++i) {
      if (models_.at(i).attached) {
        require(readers_.at(i).lost() == models_.at(i).lost);
        require(readers_.at(i).lost_in_total() == models_.at(i).lost_in_total);
      }
    }
  }

  std::array<Log::Reader, 3> readers_;
  std::array<Model, 3> models_;
  Log log_{readers_};
  std::vector<std::uint8_t> events_;
  std::uint64_t lost_in_total_ = 0;
};

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(std::span(data, size));
  Both both;
  while (!input.empty()) {
    both.step(input);
  }
  return 0;
}
