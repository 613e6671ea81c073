// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/gpio_sim.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <fcntl.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <utility>

#include "hal/gpio_check.hpp"
#include "hal/slice.hpp"
#include "hal/watchable.hpp"

namespace millrace::hal {
namespace {

constexpr std::size_t events_per_line = 16;  // the kernel's default FIFO
constexpr std::size_t consumer_size = 31;    // GPIO_MAX_NAME_SIZE with its NUL

const SystemClock system_clock;

FixedString<32> name_of(std::size_t offset) { return FixedString<32>("GPIO").append(offset); }

std::unexpected<Error> no_such_line() {
  return fail(EINVAL, "no such simulated line", "use GPIO0 to GPIO31");
}

std::unexpected<Error> in_use() {
  return fail(EBUSY, "the GPIO line is in use", "release it first");
}

}  // namespace

bool GpioSim::Line::level() const {
  if (request == unrequested || !is_output()) {
    return pulled_up;
  }
  const bool floats = settings.drive == (driven_high ? Drive::open_drain : Drive::open_source);
  return floats ? pulled_up : driven_high;
}

void GpioSim::Request::drop_oldest() {
  LineEvent oldest{};
  [[maybe_unused]] const ssize_t bytes = ::read(read_end.get(), &oldest, sizeof(oldest));
  --queued;
}

void GpioSim::Request::push(const LineEvent& event) {
  if (queued == capacity) {
    drop_oldest();
  }
  // A write of less than PIPE_BUF is done whole or not at all; it finds no room only in a pipe that
  // is smaller than the default.
  while (::write(write_end.get(), &event, sizeof(event)) < 0) {
    if (queued == 0) {
      return;
    }
    drop_oldest();
  }
  ++queued;
}

GpioSim::GpioSim() : GpioSim(system_clock) {}

Result<void> GpioSim::open() {
  if (timer_) {
    return {};
  }
  timer_ = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!timer_) {
    return fail_errno("cannot create the timer of the simulated GPIO lines");
  }
  return {};
}

void GpioSim::close() {
  for (Request& request : requests_) {
    release(request);
  }
  timer_.reset();
}

Result<LineAddress> GpioSim::find(std::string_view name) {
  for (std::uint16_t offset = 0; offset < line_count; ++offset) {
    if (name_of(offset) == name) {
      return LineAddress{.offset = offset};
    }
  }
  if (name.starts_with(label) && slice(name, label.size()).starts_with(':')) {
    const char* const end = name.data() + name.size();
    std::uint16_t offset = 0;
    const auto parsed = std::from_chars(name.data() + label.size() + 1, end, offset);
    if (parsed.ec == std::errc() && parsed.ptr == end && offset < line_count) {
      return LineAddress{.offset = offset};
    }
  }
  return fail(ENOENT, "no simulated line has this name", "use GPIO0 to GPIO31");
}

Result<LineAddress> GpioSim::at(std::size_t index) {
  if (index >= line_count) {
    return fail(ENOENT, "there are no more simulated lines", "use GPIO0 to GPIO31");
  }
  return LineAddress{.offset = static_cast<std::uint16_t>(index)};
}

Result<LineInfo> GpioSim::info(LineAddress line) {
  if (!valid(line)) {
    return no_such_line();
  }
  const Line& state = lines_[line.offset];
  LineInfo info{
      .name = name_of(line.offset), .consumer = {}, .used = false, .settings = state.settings};
  info.settings.output_active = false;
  if (state.request != unrequested) {
    info.used = true;
    info.consumer = requests_[state.request].consumer;
  }
  return info;
}

Result<RequestId> GpioSim::request(std::span<const LineAddress> lines,
                                   std::span<const LineSettings> settings, const char* consumer,
                                   std::size_t event_buffer) {
  if (!timer_) {
    return fail(EBADF, "the simulated GPIO chip is not open", "call open() first");
  }
  if (const auto checked = check_request(lines, settings); !checked) {
    return std::unexpected(checked.error());
  }
  for (const LineAddress line : lines) {
    if (!valid(line)) {
      return no_such_line();
    }
  }
  if (event_buffer == 1 && std::ranges::any_of(settings, [](const LineSettings& line) {
        return line.edges != Edges::none;
      })) {
    return fail(EINVAL, "an event buffer holds at least two events", "use 2, or 0 for the default");
  }

  const auto free = std::ranges::find(requests_, std::size_t{0}, &Request::size);
  if (free == requests_.end()) {  // there are as many slots as lines
    return in_use();
  }
  const auto index = static_cast<std::uint8_t>(free - requests_.begin());
  Request& request = *free;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0) {
    return fail_errno("cannot create the event FIFO of a simulated GPIO request");
  }
  request.read_end = Fd(ends[0]);
  request.write_end = Fd(ends[1]);
  request.consumer.append(slice(consumer != nullptr ? consumer : "", 0, consumer_size));
  request.capacity = std::bit_ceil(std::min(
      event_buffer != 0 ? event_buffer : lines.size() * events_per_line, max_event_buffer));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    Line& line = lines_[lines[i].offset];
    if (line.request != unrequested) {
      release(request);
      return in_use();
    }
    request.offsets[i] = static_cast<std::uint8_t>(lines[i].offset);
    request.size = i + 1;
    line.request = index;
    line.sequence = 0;
    line.driven_high = line.pulled_up;
    line.settings.active_low = settings[i].active_low;
    configure(line, settings[i]);
  }
  arm_timer();
  return RequestId{index};
}

Result<void> GpioSim::reconfigure(RequestId request, std::span<const LineSettings> settings) {
  Request* const held = slot(request);
  if (held == nullptr) {
    return no_such_request();
  }
  if (settings.size() != held->size) {
    return fail(EINVAL, "a GPIO request needs settings for each of its lines");
  }
  if (auto result = check_settings(settings); !result) {
    return result;
  }
  settle();
  for (std::size_t i = 0; i < settings.size(); ++i) {
    configure(lines_[held->offsets[i]], settings[i]);
  }
  arm_timer();
  return {};
}

void GpioSim::configure(Line& line, const LineSettings& settings) {
  if (wants_as_is(settings)) {
    return;
  }
  const bool biased = settings.bias == Bias::pull_up || settings.bias == Bias::pull_down;
  if (settings.direction == Direction::output) {
    line.due = never;
    line.settings = settings;
    line.driven_high = settings.output_active != settings.active_low;
    line.pulled_up = biased ? settings.bias == Bias::pull_up : line.pulled_up;
    carry(line);
    return;
  }
  if (biased) {
    // The kernel's edge handler that is still in place asks for the logical level of now.
    if (line.settings.edges == Edges::both) {
      line.settings.active_low = settings.active_low;
    }
    set_pull(line, settings.bias == Bias::pull_up);
  }
  const bool stays_debounced = line.is_debounced() && settings.debounce.count() > 0;
  line.settings = settings;
  line.settings.direction = Direction::input;
  if (!stays_debounced) {
    line.due = never;
    line.debounced_level = line.level();
  }
}

Result<LineMask> GpioSim::get(RequestId request, LineMask which) {
  const Request* const held = slot(request);
  if (held == nullptr) {
    return no_such_request();
  }
  settle();
  LineMask asked = 0;
  LineMask levels = 0;
  for (std::size_t i = 0; i < held->size; ++i) {
    const LineMask bit = which & (LineMask{1} << i);
    const Line& line = lines_[held->offsets[i]];
    const bool level = line.is_debounced() ? line.debounced_level : line.level();
    asked |= bit;
    levels |= level != line.settings.active_low ? bit : 0;
  }
  if (asked == 0) {
    return fail(EINVAL, "no GPIO line was named");
  }
  return levels;
}

Result<void> GpioSim::set(RequestId request, LineMask which, LineMask levels) {
  Request* const held = slot(request);
  if (held == nullptr) {
    return no_such_request();
  }
  LineMask all = 0;
  LineMask outputs = 0;
  for (std::size_t i = 0; i < held->size; ++i) {
    const LineMask bit = LineMask{1} << i;
    all |= bit;
    outputs |= lines_[held->offsets[i]].is_output() ? bit : 0;
  }
  if ((which & all & ~outputs) != 0) {
    return fail(EPERM, "the GPIO line is not an output", "configure it as an output first");
  }
  if ((which & all) == 0) {
    return fail(EINVAL, "no GPIO line was named");
  }
  settle();
  for (std::size_t i = 0; i < held->size; ++i) {
    if ((which >> i & 1) != 0) {
      Line& line = lines_[held->offsets[i]];
      line.driven_high = (levels >> i & 1) != (line.settings.active_low ? 1U : 0U);
      carry(line);
    }
  }
  arm_timer();
  return {};
}

int GpioSim::event_fd(RequestId request) const {
  const std::size_t index = std::to_underlying(request);
  return index < requests_.size() ? requests_[index].read_end.get() : -1;
}

Result<std::size_t> GpioSim::read_events(RequestId request, std::span<LineEvent> events) {
  Request* const held = slot(request);
  if (held == nullptr) {
    return no_such_request();
  }
  const std::size_t count = std::min(held->queued, events.size());
  if (count == 0) {
    return 0;
  }
  if (::read(held->read_end.get(), events.data(), count * sizeof(LineEvent)) < 0) {
    return fail_errno("cannot read the events of a simulated GPIO request");
  }
  held->queued -= count;
  return count;
}

void GpioSim::release(RequestId request) {
  if (Request* const held = slot(request); held != nullptr) {
    release(*held);
  }
}

void GpioSim::release(Request& request) {
  for (std::size_t i = 0; i < request.size; ++i) {
    Line& line = lines_[request.offsets[i]];
    line.settings = {.direction = line.settings.direction};
    line.due = never;
    line.request = unrequested;
  }
  request = {};
  arm_timer();
}

Result<void> GpioSim::pull(LineAddress line, bool up) {
  if (!valid(line)) {
    return no_such_line();
  }
  settle();
  set_pull(lines_[line.offset], up);
  arm_timer();
  return {};
}

Result<void> GpioSim::wire(LineAddress one, LineAddress other) {
  if (!valid(one) || !valid(other)) {
    return no_such_line();
  }
  settle();
  for (const LineAddress end : {one, other}) {
    const std::uint8_t old = std::exchange(lines_[end.offset].wired_to, unwired);
    if (old != unwired) {
      lines_[old].wired_to = unwired;
    }
  }
  if (one.offset != other.offset) {
    lines_[one.offset].wired_to = static_cast<std::uint8_t>(other.offset);
    lines_[other.offset].wired_to = static_cast<std::uint8_t>(one.offset);
    carry(lines_[one.offset]);
    carry(lines_[other.offset]);
  }
  arm_timer();
  return {};
}

Result<bool> GpioSim::physical_level(LineAddress line) {
  if (!valid(line)) {
    return no_such_line();
  }
  return lines_[line.offset].level();
}

GpioSim::Request* GpioSim::slot(RequestId id) {
  const std::size_t index = std::to_underlying(id);
  return index < requests_.size() && requests_[index].size != 0 ? &requests_[index] : nullptr;
}

void GpioSim::set_pull(Line& line, bool up) {
  const bool changed = line.pulled_up != up;
  line.pulled_up = up;
  if (!changed || line.request == unrequested || line.is_output()) {
    return;
  }
  const Instant now = clock_.now();
  if (line.is_debounced()) {
    line.due = saturating_add(now, line.settings.debounce);
  } else {
    edge(line, up, now);
  }
}

void GpioSim::carry(const Line& from) {
  if (from.wired_to != unwired && from.request != unrequested && from.is_output()) {
    set_pull(lines_[from.wired_to], from.level());
  }
}

void GpioSim::edge(Line& line, bool level, Instant at) {
  const auto id =
      level != line.settings.active_low ? LineEvent::Id::rising_edge : LineEvent::Id::falling_edge;
  if ((std::to_underlying(id) & std::to_underlying(line.settings.edges)) == 0) {
    return;
  }
  Request& request = requests_[line.request];
  request.push({.timestamp_ns = static_cast<std::uint64_t>(at.time_since_epoch().count()),
                .id = id,
                .offset = static_cast<std::uint32_t>(&line - lines_.data()),
                .sequence = ++request.sequence,
                .line_sequence = ++line.sequence,
                .padding = {}});
}

// Whoever looks at a debounced line calls this first, so that what is seen does not depend on how
// soon the loop gets round to service().
void GpioSim::settle() {
  if (armed_for_ == never) {
    return;
  }
  const Instant now = clock_.now();
  if (now < armed_for_) {
    return;
  }
  for (;;) {
    Line& line = *std::ranges::min_element(lines_, {}, &Line::due);
    if (line.due > now) {
      break;
    }
    const Instant at = std::exchange(line.due, never);
    const bool level = line.level();
    if (level != std::exchange(line.debounced_level, level)) {
      edge(line, level, at);
    }
  }
  arm_timer();
}

// Setting the timer also clears its readiness, so nothing ever reads it.
void GpioSim::arm_timer() {
  const Instant due = std::ranges::min_element(lines_, {}, &Line::due)->due;
  if (due == armed_for_) {
    return;
  }
  armed_for_ = due;
  itimerspec timer{};
  if (due != never) {
    timer.it_value = to_timespec(due.time_since_epoch());
  }
  static_cast<void>(::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &timer, nullptr));
}

}  // namespace millrace::hal
