// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/gpio_service.hpp"

#include <algorithm>
#include <utility>

#include "hal/error_text.hpp"
#include "hal/gpio_check.hpp"
#include "hal/log.hpp"

namespace millrace {
namespace {

using hal::Direction;
using hal::Edges;
using hal::Gpio;
using hal::LineMask;
using hal::LineSettings;
using hal::log;
using hal::LogLevel;

constexpr const char* consumer = "millrace";
constexpr Error named_twice = {
    .number = EINVAL, .what = "the line is named twice", .remedy = "name each line once"};

constexpr Error given_away = {.number = EBUSY,
                              .what = "the line is driven by the kernel's PWM",
                              .remedy = "drive it by the pigpio port, or leave out its --pwm"};

constexpr Edges operator|(Edges a, Edges b) {
  return static_cast<Edges>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

constexpr LineMask bit(std::uint8_t position) { return LineMask{1} << position; }

/// Whether its edges go on to be told, so that its level is known.
bool goes_on(LineSettings before, const LineSettings& now) {
  before.bias = now.bias;
  return now.direction == Direction::input && before == now;
}

/// A device tree may call a line "7J1 Header Pin15": a client must be able to name it, and to set
/// it.
FixedString<31> one_word(std::string_view text) {
  FixedString<31> word;
  for (const char c : text) {
    word.append(c <= ' ' || c == '=' || c == '\x7f' ? '_' : c);
  }
  return word;
}

std::unexpected<LineError> fail_at(LineIndex line, const Error& error) {
  return std::unexpected(LineError{.line = line, .error = error});
}

}  // namespace

// --- The table of lines ------------------------------------------------------------------------

Result<void> GpioService::open(hal::Gpio& gpio, const board::Board& board, NotifierId changed) {
  gpio_ = &gpio;
  board_ = board;
  changed_ = changed;
  if (gpio.service_fd() >= 0) {
    const auto watch = reactor_.watch(gpio.service_fd(), Events::readable,
                                      Handler::to<&GpioService::on_service>(*this));
    if (!watch) {
      return std::unexpected(watch.error());
    }
  }
  if (board.lines.empty()) {
    return add_named_lines();
  }
  if (board.lines.size() > lines_.size()) {
    return fail(ENOSPC, "the board has more lines than this firmware",
                "build for it, or raise lines in its capacities");
  }
  for (const board::Line& wired : board.lines) {
    look_for(add(wired.name));
  }
  if (const auto missing = statistics().missing; missing > 0) {
    log(LogLevel::warning, missing, " of the board's ", count_,
        " GPIO lines are not on this machine: is it the right --board?");
  }
  return {};
}

Result<void> GpioService::add_named_lines() {
  std::size_t left_out = 0;
  for (std::size_t i = 0;; ++i) {
    const auto address = gpio_->at(i);
    if (!address) {
      break;
    }
    const auto info = gpio_->info(*address);
    const auto name = info ? one_word(info->name) : FixedString<31>();
    if (name.empty() || find(name)) {
      continue;
    }
    if (count_ == lines_.size()) {
      ++left_out;
      continue;
    }
    Line& line = at(add(name));
    line.address = *address;
    line.present = true;
  }
  if (left_out > 0) {
    log(LogLevel::warning, left_out,
        " GPIO lines are left out: raise lines in the board's capacities (", lines_.size(), ")");
  }
  return {};
}

LineIndex GpioService::add(std::string_view name) {
  lines_[count_].name = FixedString<31>(name);
  return LineIndex(static_cast<std::uint16_t>(count_++));
}

Result<hal::LineAddress> GpioService::find_named(std::string_view name) {
  for (std::size_t i = 0;; ++i) {
    const auto address = gpio_->at(i);
    if (!address) {
      return address;
    }
    const auto info = gpio_->info(*address);
    if (info && one_word(info->name) == name) {
      return address;
    }
  }
}

GpioService::Statistics GpioService::statistics() const {
  Statistics statistics = statistics_;
  statistics.missing = static_cast<std::uint32_t>(
      std::ranges::count(std::span(lines_).first(count_), false, &Line::present));
  return statistics;
}

bool GpioService::look_for(LineIndex which) {
  Line& line = at(which);
  const auto address = board_.lines.empty() ? find_named(line.name)
                                            : gpio_->find(board_.lines[index(which)].kernel,
                                                          board_.lines[index(which)].fallback);
  line.present = address.has_value();
  line.address = address.value_or(hal::LineAddress{});
  return line.present;
}

bool GpioService::look_again_for(LineIndex which) {
  // Looking for chips costs a walk through /dev: a client that insists must not keep us at it.
  const Instant now = reactor_.now();
  if (now >= next_look_) {
    next_look_ = saturating_add(now, look_interval);
    if (const auto refreshed = gpio_->refresh(); !refreshed) {
      log(LogLevel::warning, "looking for GPIO chips: ", describe(refreshed.error()));
    }
  }
  return look_for(which);
}

std::optional<LineIndex> GpioService::find(std::string_view name) const {
  for (std::size_t i = 0; i < count_; ++i) {
    if (lines_[i].name == name) {
      return LineIndex(static_cast<std::uint16_t>(i));
    }
  }
  return std::nullopt;
}

Result<hal::LineInfo> GpioService::info(LineIndex line) {
  if (!at(line).present) {
    return fail(ENODEV, "the line is not on this machine");
  }
  return gpio_->info(at(line).address);
}

/// A line that is watched, though its chip had vanished, is watched again.
LineSettings GpioService::first_settings(const Line& line) const {
  return line.watched() ? LineSettings{.direction = Direction::input, .edges = wanted_edges(line)}
                        : LineSettings{};
}

bool GpioService::available(LineIndex which) {
  if (at(which).claimed() || at(which).given_away) {
    return at(which).claimed();
  }
  const auto known = info(which);
  return known && !known->used;
}

LineSettings GpioService::settings(LineIndex line) const {
  return this->line(line).claimed() ? this->line(line).settings : LineSettings{};
}

// --- Levels ------------------------------------------------------------------------------------

std::optional<bool> GpioService::level(LineIndex which) {
  const Line& line = at(which);
  if (!line.present) {
    return std::nullopt;
  }
  if (!line.claimed()) {
    const auto physical = gpio_->physical_level(line.address);
    return physical ? std::optional(*physical) : std::nullopt;
  }
  const auto levels = gpio_->get(claims_[line.claim].request, bit(line.position));
  return levels ? std::optional(*levels != 0) : std::nullopt;
}

LineSet GpioService::levels(const LineSet& lines) {
  LineSet result;
  LineSet inputs;
  std::array<LineMask, board::capacities.lines> masks{};  // of each claim
  for (std::size_t i = 0; i < count_; ++i) {
    const Line& line = lines_[i];
    if (!lines[i] || !line.present) {
      continue;
    }
    if (!line.claimed()) {
      result[i] = gpio_->physical_level(line.address).value_or(false);
    } else if (line.settings.direction == Direction::output) {
      result[i] = line.settings.output_active;
    } else {
      inputs[i] = true;
      masks[line.claim] |= bit(line.position);
    }
  }
  for (std::size_t i = 0; inputs.any() && i < claims_.size(); ++i) {
    if (masks[i] != 0) {
      masks[i] = gpio_->get(claims_[i].request, masks[i]).value_or(0);
    }
  }
  for (std::size_t i = 0; inputs.any() && i < count_; ++i) {
    result[i] = inputs[i] ? (masks[lines_[i].claim] & bit(lines_[i].position)) != 0 : result[i];
  }
  return result;
}

LineResult<void> GpioService::read(std::span<const LineIndex> lines, std::span<bool> levels) {
  std::array<Change, board::capacities.lines> changes;
  std::size_t count = 0;
  for (const LineIndex line : lines) {
    const auto before = std::span(changes).first(count);
    if (!at(line).claimed() && std::ranges::find(before, line, &Change::line) == before.end()) {
      changes[count++] = {.line = line, .settings = first_settings(at(line))};
    }
  }
  if (auto applied = apply(std::span(changes).first(count)); !applied) {
    return applied;
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::uint16_t claim = at(lines[i]).claim;
    const auto same_claim = [&](LineIndex other) { return at(other).claim == claim; };
    if (std::ranges::any_of(lines.first(i), same_claim)) {
      continue;  // read together with an earlier one
    }
    LineMask mask = 0;
    for (const LineIndex line : lines.subspan(i)) {
      mask |= same_claim(line) ? bit(at(line).position) : 0;
    }
    const auto read = gpio_->get(claims_[claim].request, mask);
    if (!read) {
      return fail_at(lines[i], read.error());
    }
    for (std::size_t j = i; j < lines.size(); ++j) {
      if (same_claim(lines[j])) {
        levels[j] = (*read & bit(at(lines[j]).position)) != 0;
      }
    }
  }
  return {};
}

LineResult<void> GpioService::set(std::span<const LineIndex> lines, std::span<const bool> levels) {
  std::array<Change, board::capacities.lines> changes;
  std::size_t count = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const Line& line = at(lines[i]);
    const auto before = lines.first(i);
    if (std::ranges::find(before, lines[i]) != before.end()) {
      return fail_at(lines[i], named_twice);
    }
    const Direction direction = settings(lines[i]).direction;
    if (direction == Direction::input) {
      return fail_at(
          lines[i],
          {.number = EPERM, .what = "the line is an input", .remedy = "config it as output first"});
    }
    if (direction == Direction::as_is) {
      LineSettings output = line.claimed() ? line.settings : LineSettings{};
      output.direction = Direction::output;
      output.output_active = levels[i];
      changes[count++] = {.line = lines[i], .settings = output};
    }
  }
  if (auto applied = apply(std::span(changes).first(count)); !applied) {
    return applied;
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::uint16_t claim = at(lines[i]).claim;
    const auto same_claim = [&](LineIndex other) { return at(other).claim == claim; };
    if (std::ranges::any_of(lines.first(i), same_claim)) {
      continue;  // set together with an earlier one
    }
    LineMask mask = 0;
    LineMask values = 0;
    for (std::size_t j = i; j < lines.size(); ++j) {
      if (same_claim(lines[j])) {
        mask |= bit(at(lines[j]).position);
        values |= levels[j] ? bit(at(lines[j]).position) : 0;
      }
    }
    if (const auto set = gpio_->set(claims_[claim].request, mask, values); !set) {
      return fail_at(lines[i], set.error());
    }
    const Instant now = reactor_.clock().now();
    for (std::size_t j = i; j < lines.size(); ++j) {
      if (same_claim(lines[j])) {
        at(lines[j]).settings.output_active = levels[j];
        tell({.kind = Event::Kind::set, .level = levels[j], .line = lines[j], .time = now});
      }
    }
  }
  return {};
}

bool GpioService::drive(LineIndex which, bool level) {
  Line& line = at(which);
  if (!line.claimed() || line.settings.direction != Direction::output) {
    return false;
  }
  const LineMask mask = bit(line.position);
  if (!gpio_->set(claims_[line.claim].request, mask, level ? mask : 0)) {
    return false;
  }
  line.settings.output_active = level;
  if (line.watched() || sees_all_) {
    tell({.kind = Event::Kind::set, .level = level, .line = which, .time = reactor_.clock().now()});
  }
  return true;
}

Result<void> GpioService::pull(LineIndex line, bool up) {
  if (!at(line).present) {
    return fail(ENODEV, "the line is not on this machine");
  }
  return gpio_->pull(at(line).address, up);
}

Result<void> GpioService::wire(LineIndex one, LineIndex other) {
  if (!at(one).present || !at(other).present) {
    return fail(ENODEV, "the line is not on this machine");
  }
  return gpio_->wire(at(one).address, at(other).address);
}

// --- Settings ----------------------------------------------------------------------------------

Edges GpioService::wanted_edges(const Line& line) const {
  return sees_all_ ? Edges::both : watched_edges(line);
}

Edges GpioService::watched_edges(const Line& line) {
  return (line.rising_watchers > 0 ? Edges::rising : Edges::none) |
         (line.falling_watchers > 0 ? Edges::falling : Edges::none);
}

LineResult<void> GpioService::configure(std::span<const Change> changes) {
  std::array<Change, board::capacities.lines> complete;
  std::ranges::copy(changes, complete.begin());
  for (Change& change : std::span(complete).first(changes.size())) {
    const bool input = change.settings.direction == Direction::input;
    change.settings.edges = input ? wanted_edges(at(change.line)) : Edges::none;
  }
  auto applied = apply(std::span(complete).first(changes.size()));
  if (!applied && sees_all_) {
    // Not every chip has interrupts, and nobody has asked for these.
    for (Change& change : std::span(complete).first(changes.size())) {
      const bool input = change.settings.direction == Direction::input;
      change.settings.edges = input ? watched_edges(at(change.line)) : Edges::none;
    }
    applied = apply(std::span(complete).first(changes.size()));
  }
  if (applied) {
    for (const Change& change : changes) {
      tell({.kind = Event::Kind::config, .line = change.line, .time = reactor_.now()});
    }
  }
  return applied;
}

LineResult<void> GpioService::watch(const LineSet& lines, Edges edges) {
  for (std::size_t i = 0; i < count_; ++i) {
    if (lines[i]) {
      lines_[i].rising_watchers += edges != Edges::falling ? 1U : 0U;
      lines_[i].falling_watchers += edges != Edges::rising ? 1U : 0U;
    }
  }
  auto refreshed = refresh_edges(lines);
  if (!refreshed) {
    unwatch(edges != Edges::falling ? lines : LineSet(),
            edges != Edges::rising ? lines : LineSet());
  }
  return refreshed;
}

void GpioService::unwatch(const LineSet& rising, const LineSet& falling) {
  for (std::size_t i = 0; i < count_; ++i) {
    lines_[i].rising_watchers -= rising[i] ? 1U : 0U;
    lines_[i].falling_watchers -= falling[i] ? 1U : 0U;
  }
  LineSet claimed;
  for (std::size_t i = 0; i < count_; ++i) {
    claimed[i] = (rising[i] || falling[i]) && lines_[i].claimed();
  }
  if (const auto refreshed = refresh_edges(claimed); !refreshed) {
    log(LogLevel::warning, at(refreshed.error().line).name,
        " goes on reporting edges that nobody watches: ", describe(refreshed.error().error));
  }
}

LineResult<void> GpioService::refresh_edges(const LineSet& lines) {
  std::array<Change, board::capacities.lines> changes;
  std::size_t count = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    if (!lines[i]) {
      continue;
    }
    const LineIndex which{static_cast<std::uint16_t>(i)};
    Line& line = at(which);
    LineSettings settings = this->settings(which);
    if (settings.direction == Direction::as_is) {
      const auto known = info(which);
      if (known && known->settings.direction == Direction::output) {
        settings.edges = Edges::none;  // somebody has made it an output: leave it one
      } else {
        settings.direction = Direction::input;
      }
    }
    if (settings.direction == Direction::input) {
      settings.edges = wanted_edges(line);
    }
    if (!line.claimed() || settings != line.settings) {
      changes[count++] = {.line = which, .settings = settings};
    }
  }
  return apply(std::span(changes).first(count));
}

LineResult<void> GpioService::apply(std::span<const Change> changes) {
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const LineIndex which = changes[i].line;
    const auto before = changes.first(i);
    if (std::ranges::find(before, which, &Change::line) != before.end()) {
      return fail_at(which, named_twice);
    }
    if (at(which).given_away) {
      return fail_at(which, given_away);
    }
    // What can't work at all is refused before anything has changed.
    if (const auto checked = hal::check_settings({&changes[i].settings, 1}); !checked) {
      return fail_at(which, checked.error());
    }
    if (!info(which) && !look_again_for(which)) {
      return fail_at(which, {.number = ENODEV,
                             .what = "the line is not on this machine",
                             .remedy = "see lines for those that are"});
    }
  }
  // Lines that nobody has claimed are claimed together, chip by chip; the rest claim by claim.
  std::array<Change, Gpio::max_lines_per_request> group;
  std::bitset<board::capacities.lines> done;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    if (done[i]) {
      continue;
    }
    const Line& line = at(changes[i].line);
    const std::uint16_t claimed = line.claim;
    std::size_t count = 0;
    for (std::size_t j = i; j < changes.size() && count < group.size(); ++j) {
      const Line& other = at(changes[j].line);
      if (!done[j] && other.claim == claimed && other.address.chip == line.address.chip) {
        group[count++] = changes[j];
        done[j] = true;
      }
    }
    const auto together = std::span<const Change>(group).first(count);
    const auto result = claimed == unclaimed ? claim(together) : reconfigure(claimed, together);
    if (!result) {
      return fail_at(claimed == unclaimed ? culprit(together, result.error()) : changes[i].line,
                     result.error());
    }
  }
  return {};
}

LineIndex GpioService::culprit(std::span<const Change> changes, const Error& error) {
  for (const Change& change : changes) {
    const auto known = info(change.line);
    if (!known || (error.number == EBUSY && known->used)) {
      return change.line;
    }
  }
  return changes.front().line;
}

Result<void> GpioService::claim(std::span<const Change> changes) {
  // As many claims as lines: one is free while a line is unclaimed.
  const auto free = std::ranges::find(claims_, 0, &Claim::lines);
  const auto claim_index = static_cast<std::uint16_t>(free - claims_.begin());
  std::array<hal::LineAddress, Gpio::max_lines_per_request> addresses;
  std::array<LineSettings, Gpio::max_lines_per_request> settings;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    addresses[i] = at(changes[i].line).address;
    settings[i] = changes[i].settings;
  }
  const auto request = gpio_->request(std::span(addresses).first(changes.size()),
                                      std::span(settings).first(changes.size()), consumer);
  if (!request) {
    return std::unexpected(request.error());
  }
  Claim& claim = *free;
  claim.service = this;
  const auto watch = reactor_.watch(gpio_->event_fd(*request), Events::readable,
                                    Handler::to<&Claim::on_ready>(claim));
  if (!watch) {
    gpio_->release(*request);
    return std::unexpected(watch.error());
  }
  claim.request = *request;
  claim.watch = *watch;
  claim.sequence = 0;
  claim.lines = static_cast<std::uint16_t>(changes.size());
  claim.first = changes.front().line;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Line& line = at(changes[i].line);
    line.claim = claim_index;
    line.position = static_cast<std::uint8_t>(i);
    line.settings = changes[i].settings;
    line.sequence = 0;
  }
  for (const Change& change : changes) {
    tell_seen(change.line);
  }
  return {};
}

Result<void> GpioService::reconfigure(std::uint16_t claim, std::span<const Change> changes) {
  std::array<LineSettings, Gpio::max_lines_per_request> settings;
  for (std::size_t i = 0; i < count_; ++i) {
    if (lines_[i].claim == claim) {
      settings[lines_[i].position] = lines_[i].settings;
    }
  }
  for (const Change& change : changes) {
    settings[at(change.line).position] = change.settings;
  }
  const auto done =
      gpio_->reconfigure(claims_[claim].request, std::span(settings).first(claims_[claim].lines));
  if (done) {
    for (const Change& change : changes) {
      const LineSettings before = std::exchange(at(change.line).settings, change.settings);
      if (!goes_on(before, change.settings)) {
        tell_seen(change.line);
      }
    }
  }
  return done;
}

Result<void> GpioService::release(LineIndex which) {
  const std::uint16_t claim = at(which).claim;
  if (claim == unclaimed) {
    return fail(ENOENT, "the line is not in use by the gateway");
  }
  const auto together = std::span(lines_).first(count_);
  if (std::ranges::any_of(
          together, [&](const Line& line) { return line.claim == claim && line.watched(); })) {
    return fail(EBUSY, "the line, or one requested with it, is watched", "unwatch it first");
  }
  drop(claim);
  return {};
}

void GpioService::drop(std::uint16_t claim) {
  (void)reactor_.remove(claims_[claim].watch);
  gpio_->release(claims_[claim].request);
  claims_[claim].lines = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    if (lines_[i].claim == claim) {
      lines_[i].claim = unclaimed;
      tell_seen(LineIndex(static_cast<std::uint16_t>(i)));
    }
  }
}

// --- Edges -------------------------------------------------------------------------------------

void GpioService::on_service(const Message& /*message*/) { gpio_->service(); }

void GpioService::Claim::on_ready(const Message& /*message*/) {
  service->read_edges(static_cast<std::uint16_t>(this - service->claims_.data()));
}

void GpioService::read_edges(std::uint16_t claim) {
  // One read a message: the rest waits its turn behind what else is ready.
  const auto count = gpio_->read_events(claims_[claim].request, edges_);
  if (!count) {
    log(LogLevel::error, at(claims_[claim].first).name, ": ", describe(count.error()));
    vanish(claim);
    return;
  }
  for (const hal::LineEvent& edge : std::span(edges_).first(*count)) {
    take_edge(claim, edge);
  }
}

std::optional<LineIndex> GpioService::line_of(std::uint16_t claim, std::uint32_t offset) const {
  if (claims_[claim].lines == 1) {
    return claims_[claim].first;
  }
  for (std::size_t i = 0; i < count_; ++i) {
    if (lines_[i].claim == claim && lines_[i].address.offset == offset) {
      return LineIndex(static_cast<std::uint16_t>(i));
    }
  }
  return std::nullopt;
}

void GpioService::take_edge(std::uint16_t claim, const hal::LineEvent& edge) {
  const auto which = line_of(claim, edge.offset);
  if (!which) {
    return;
  }
  Line& line = at(*which);
  ++statistics_.edges;
  const std::uint32_t lost = edge.line_sequence - line.sequence - 1;
  line.sequence = edge.line_sequence;
  statistics_.lost += lost;
  if (lost > 0) {
    tell_level(*which, lost);
  }
  // The kernel numbers the edges of a request as they occur, but queues each from its line's own
  // interrupt thread: on several processors neighbours change places. A line has one on its way at
  // a time, so a jump past as many as there are lines is a loss; whose, their next edges tell.
  Claim& together = claims_[claim];
  const auto ahead = static_cast<std::int32_t>(edge.sequence - together.sequence);
  if (ahead > 0) {
    together.sequence = edge.sequence;
  }
  if (ahead > static_cast<std::int32_t>(together.lines)) {
    for (std::size_t i = 0; i < count_; ++i) {
      if (lines_[i].claim == claim && i != index(*which)) {
        tell_level(LineIndex(static_cast<std::uint16_t>(i)), 0);
      }
    }
  }
  tell({.kind = Event::Kind::edge,
        .level = edge.id == hal::LineEvent::Id::rising_edge,
        .line = *which,
        .sequence = edge.line_sequence,
        .time = edge.timestamp()});
}

void GpioService::tell_level(LineIndex line, std::uint32_t lost) {
  tell({.kind = Event::Kind::gap,
        .level = level(line).value_or(false),
        .line = line,
        .count = lost,
        .time = reactor_.now()});
}

void GpioService::vanish(std::uint16_t claim) {
  for (std::size_t i = 0; i < count_; ++i) {
    if (lines_[i].claim == claim) {
      lines_[i].present = false;
      tell({.kind = Event::Kind::gone,
            .line = LineIndex(static_cast<std::uint16_t>(i)),
            .time = reactor_.now()});
    }
  }
  drop(claim);
}

void GpioService::tell(const Event& event) {
  log_.append(event);
  reactor_.raise(changed_);
  for (const NotifierId also : also_changed_) {
    reactor_.raise(also);
  }
}

void GpioService::tell_seen(LineIndex which) {
  if (sees_all_) {
    const Instant now = reactor_.clock().now();  // what was set in this turn was before
    const bool seen = at(which).seen();
    tell({.kind = seen ? Event::Kind::seen : Event::Kind::unseen,
          .level = seen && level(which).value_or(false),
          .line = which,
          .time = now});
  }
}

}  // namespace millrace
