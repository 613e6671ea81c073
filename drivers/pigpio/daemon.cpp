// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "drivers/pigpio/daemon.hpp"

#include <algorithm>
#include <chrono>
#include <ratio>
#include <string_view>
#include <utility>

namespace millrace::pigpio {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Duration servo_period = milliseconds(20);
constexpr std::uint32_t hardware_range = 1'000'000;      // PI_HW_PWM_RANGE
constexpr std::uint32_t hardware_most = 125'000'000;     // Hz: PI_HW_PWM_MAX_FREQ
constexpr std::uint32_t clock_least = 4689;              // Hz: PI_HW_CLK_MIN_FREQ
constexpr std::uint32_t clock_most = 250'000'000;        // Hz: PI_HW_CLK_MAX_FREQ
constexpr std::uint32_t without_password = 0x00ff'ffff;  // HC: 0x5a above a GPIO's number is one
constexpr std::uint32_t most_steady = 300'000;           // us: PI_MAX_STEADY
constexpr std::uint32_t most_active = 1'000'000;         // us: PI_MAX_ACTIVE
constexpr std::uint32_t most_level = 1;
constexpr std::uint32_t most_mode = 7;
constexpr std::uint32_t most_event = 31;
constexpr std::uint32_t any_number = UINT32_MAX;
constexpr std::uint64_t bank_1 = (std::uint64_t{1} << 32U) - 1;
constexpr std::uint64_t bank_2 = (std::uint64_t{1} << gpios) - 1 - bank_1;

// What pigpiod opens serial ports with.
constexpr std::array<std::uint32_t, 18> bauds = {50,   75,    110,   134,   150,    200,
                                                 300,  600,   1200,  1800,  2400,   4800,
                                                 9600, 19200, 38400, 57600, 115200, 230400};

constexpr std::uint64_t bit(unsigned gpio) { return std::uint64_t{1} << gpio; }
constexpr std::uint32_t user_bit(unsigned gpio) { return std::uint32_t{1} << gpio; }
constexpr bool is_user(unsigned gpio) { return gpio < user_gpios; }

constexpr Answer number(std::uint32_t result) {
  return {.result = static_cast<std::int32_t>(result)};
}
constexpr Answer answer(Code code) { return {.result = value(code)}; }

template <class Function>
void for_each(std::uint32_t bits, Function function) {
  for (unsigned gpio = 0; gpio < user_gpios; ++gpio) {
    if ((bits & user_bit(gpio)) != 0) {
      function(gpio);
    }
  }
}

}  // namespace

// --- Commands ----------------------------------------------------------------------------------

/// A command: what its first parameter names, what its second one may be, and how many bytes have
/// to follow. What is checked here, in pigpiod's order, its function need not look at.
struct Daemon::Rule {
  enum class P1 : std::uint8_t {
    any,
    gpio,          ///< 0 to 53, a line
    own_gpio,      ///< the same, to be changed
    user_gpio,     ///< 0 to 31
    user_line,     ///< 0 to 31, a line
    own_user_gpio  ///< the same, to be changed
  };
  struct Range {
    std::uint32_t least = 0;
    std::uint32_t most = any_number;
    Code error = Code::ok;
    bool or_zero = false;
  };

  Command command;
  Answer (Daemon::*execute)(const Call& call);
  P1 p1 = P1::any;
  Range p2 = {};
  std::uint32_t extension = 0;
};

constexpr std::array<Daemon::Rule, 43> Daemon::rules = {{
    {Command::modes, &Daemon::modes, Rule::P1::own_gpio, {0, most_mode, Code::bad_mode}},
    {Command::modeg, &Daemon::modeg, Rule::P1::gpio},
    {Command::pud, &Daemon::pud, Rule::P1::own_gpio, {0, 2, Code::bad_pud}},
    {Command::read, &Daemon::read, Rule::P1::gpio},
    {Command::write, &Daemon::write, Rule::P1::own_gpio, {0, most_level, Code::bad_level}},
    {Command::pwm, &Daemon::pwm, Rule::P1::own_user_gpio},
    {Command::prs, &Daemon::prs, Rule::P1::own_user_gpio, {25, 40'000, Code::bad_dutyrange}},
    {Command::pfs, &Daemon::pfs, Rule::P1::own_user_gpio},
    {Command::servo,
     &Daemon::servo,
     Rule::P1::own_user_gpio,
     {500, 2500, Code::bad_pulsewidth, true}},
    {Command::wdog, &Daemon::wdog, Rule::P1::user_gpio, {0, 60'000, Code::bad_timeout}},
    {Command::br1, &Daemon::br1},
    {Command::br2, &Daemon::br2},
    {Command::bc1, &Daemon::bc1},
    {Command::bc2, &Daemon::bc2},
    {Command::bs1, &Daemon::bs1},
    {Command::bs2, &Daemon::bs2},
    {Command::tick, &Daemon::tick},
    {Command::hwver, &Daemon::hwver},
    {Command::no, &Daemon::no},
    {Command::nb, &Daemon::nb},
    {Command::np, &Daemon::np},
    {Command::nc, &Daemon::nc},
    {Command::prg, &Daemon::prg, Rule::P1::user_gpio},
    {Command::pfg, &Daemon::pfg, Rule::P1::user_gpio},
    {Command::prrg, &Daemon::prrg, Rule::P1::user_gpio},
    {Command::pigpv, &Daemon::pigpv},
    {Command::trig, &Daemon::trig, Rule::P1::own_user_gpio, {1, 100, Code::bad_pulselen}, 4},
    {Command::sero, &Daemon::sero},
    {Command::serc, &Daemon::serc},
    {Command::serrb, &Daemon::serrb},
    {Command::serwb, &Daemon::serwb},
    {Command::serr, &Daemon::serr},
    {Command::serw, &Daemon::serw},
    {Command::serda, &Daemon::serda},
    {Command::gdc, &Daemon::gdc, Rule::P1::user_gpio},
    {Command::gpw, &Daemon::gpw, Rule::P1::user_gpio},
    {Command::hc, &Daemon::hc},
    {Command::hp, &Daemon::hp, Rule::P1::own_gpio, {}, 4},
    {Command::fg, &Daemon::fg, Rule::P1::user_line, {0, most_steady, Code::bad_filter}},
    {Command::fn, &Daemon::fn, Rule::P1::user_line, {0, most_steady, Code::bad_filter}, 4},
    {Command::noib, &Daemon::noib},
    {Command::evm, &Daemon::evm},
    {Command::evt, &Daemon::evt},
}};

const Daemon::Rule* Daemon::find(Command command) {
  static_assert(std::ranges::is_sorted(rules, {}, &Rule::command));
  const auto* const rule = std::ranges::lower_bound(rules, command, {}, &Rule::command);
  return rule != rules.end() && rule->command == command ? rule : nullptr;
}

Code Daemon::check(const Rule& rule, const Request& request) const {
  const bool is_line = request.p1 < gpios && (lines_.known() & bit(request.p1)) != 0;
  switch (rule.p1) {
    case Rule::P1::any:
      break;
    case Rule::P1::gpio:
      if (!is_line) {
        return Code::bad_gpio;
      }
      break;
    case Rule::P1::own_gpio:
      if (!is_line) {
        return request.p1 < gpios ? Code::not_permitted : Code::bad_gpio;
      }
      break;
    case Rule::P1::user_gpio:
      if (!is_user(request.p1)) {
        return Code::bad_user_gpio;
      }
      break;
    case Rule::P1::user_line:
      if (!is_user(request.p1) || !is_line) {
        return Code::bad_user_gpio;
      }
      break;
    case Rule::P1::own_user_gpio:
      if (request.p1 < gpios && !is_line) {
        return Code::not_permitted;
      }
      if (!is_user(request.p1)) {
        return Code::bad_user_gpio;
      }
      break;
  }
  const bool in_range = request.p2 >= rule.p2.least && request.p2 <= rule.p2.most;
  if (!in_range && !(rule.p2.or_zero && request.p2 == 0)) {
    return rule.p2.error;
  }
  return request.extension.size() < rule.extension ? Code::bad_param : Code::ok;
}

bool Daemon::serves(Command command) { return find(command) != nullptr; }

Answer Daemon::execute(const Request& request, ClientId client, std::span<std::byte> data,
                       Instant now) {
  const Rule* const rule = find(request.command);
  if (rule == nullptr) {
    return answer(Code::unknown_command);
  }
  if (const Code checked = check(*rule, request); checked != Code::ok) {
    return answer(checked);
  }
  return (this->*rule->execute)({.request = request, .client = client, .data = data, .now = now});
}

// --- Lines -------------------------------------------------------------------------------------

Answer Daemon::modes(const Call& call) {
  if (call.request.p2 > 1) {
    return answer(Code::not_permitted);  // what else a pin can be is the device tree's to say
  }
  const unsigned gpio = call.gpio();
  const bool output = call.request.p2 == 1;
  const bool by_hardware = is_user(gpio) && pulses_[gpio].by_hardware();
  if (output && lines_.is_output(gpio) && !by_hardware) {
    return answer(Code::ok);  // and its pulses go on
  }
  end_pulses(gpio);
  end_trigger(gpio);
  const Code made =
      output ? lines_.make_output(gpio, (latches_ & bit(gpio)) != 0) : lines_.make_input(gpio);
  if (is_user(gpio)) {
    correct(user_bit(gpio), call.now);
  }
  return answer(made);
}

Answer Daemon::modeg(const Call& call) {
  const unsigned gpio = call.gpio();
  if (is_user(gpio) && pulses_[gpio].by_hardware()) {
    // What a Raspberry Pi's pin is for PWM: ALT5 are 18 and 19, others ALT0.
    return number(gpio == 18 || gpio == 19 ? 2 : 4);
  }
  return number(lines_.is_output(gpio) ? 1 : 0);
}

Answer Daemon::pud(const Call& call) {
  const Code biased = lines_.bias_line(call.gpio(), static_cast<Pull>(call.request.p2));
  if (is_user(call.gpio())) {
    correct(user_bit(call.gpio()), call.now);
  }
  return answer(biased);
}

Answer Daemon::read(const Call& call) {
  const auto level = lines_.level_of(call.gpio());
  return level ? number(*level ? 1 : 0) : answer(level.error());
}

Answer Daemon::write(const Call& call) {
  const unsigned gpio = call.gpio();
  const bool level = call.request.p2 != 0;
  end_pulses(gpio);
  end_trigger(gpio);
  latches_ = level ? latches_ | bit(gpio) : latches_ & ~bit(gpio);
  return answer(lines_.is_output(gpio) ? lines_.drive_lines(bit(gpio), level ? bit(gpio) : 0)
                                       : lines_.make_output(gpio, level));
}

std::uint64_t Daemon::current_levels(std::uint64_t bits) {
  // As they are, where clients are told of filtered ones.
  return lines_.levels_of(bits & lines_.known());
}

Answer Daemon::br1(const Call& /*call*/) {
  return number(static_cast<std::uint32_t>(current_levels(bank_1)));
}

Answer Daemon::br2(const Call& /*call*/) {
  return number(static_cast<std::uint32_t>(current_levels(bank_2) >> 32U));
}

Answer Daemon::write_bank(std::uint64_t bits, std::uint64_t bank, bool level) {
  const std::uint64_t permitted = bits & lines_.known();
  latches_ = level ? latches_ | permitted : latches_ & ~permitted;
  std::uint64_t outputs = 0;
  for (unsigned gpio = 0; gpio < gpios; ++gpio) {
    // The kernel's pulses go on, as do those of timers.
    const bool by_kernel = with_pwm(gpio) && is_user(gpio) && pulses_[gpio].use != Use::other;
    if ((permitted & bit(gpio)) != 0 && lines_.is_output(gpio) && !by_kernel) {
      outputs |= bit(gpio);
    }
  }
  if (outputs != 0) {
    if (const Code driven = lines_.drive_lines(outputs, level ? outputs : 0); driven != Code::ok) {
      return answer(driven);
    }
  }
  return answer((bits & bank) == permitted && (bits & ~bank) == 0 ? Code::ok
                                                                  : Code::some_permitted);
}

Answer Daemon::bc1(const Call& call) { return write_bank(call.request.p1, bank_1, false); }
Answer Daemon::bs1(const Call& call) { return write_bank(call.request.p1, bank_1, true); }
Answer Daemon::bc2(const Call& call) {
  return write_bank(std::uint64_t{call.request.p1} << 32U, bank_2, false);
}
Answer Daemon::bs2(const Call& call) {
  return write_bank(std::uint64_t{call.request.p1} << 32U, bank_2, true);
}

Answer Daemon::tick(const Call& call) { return number(pigpio::tick(call.now)); }
Answer Daemon::hwver(const Call& /*call*/) { return number(options_.revision); }
Answer Daemon::pigpv(const Call& /*call*/) { return number(version); }

// --- Notifications -----------------------------------------------------------------------------

Answer Daemon::open_handle(const Call& call, ClientId owner) {
  const auto levels = static_cast<std::uint32_t>(current_levels(bank_1));
  const auto handle = notifications_.open(owner, levels, call.now);
  if (!handle) {
    return answer(handle.error());
  }
  if (const Code opened = audience_.open_channel(*handle, owner == no_client); opened != Code::ok) {
    (void)notifications_.close(*handle);
    return answer(opened);
  }
  return number(*handle);
}

Answer Daemon::no(const Call& call) { return open_handle(call, no_client); }

Answer Daemon::noib(const Call& call) {
  on_hang_up(call.client);  // a connection is one channel: the last one that it has asked for
  return open_handle(call, call.client);
}

void Daemon::close_handle(std::uint8_t handle) {
  (void)notifications_.close(handle);
  audience_.close_channel(handle);
}

void Daemon::on_hang_up(ClientId client) {
  const std::uint8_t handle = notifications_.find(client);
  if (handle != Notifications::count) {
    close_handle(handle);
    (void)rewatch(Instant::min());
  }
}

Answer Daemon::nb(const Call& call) {
  const auto [handle, bits] = std::pair(call.request.p1, call.request.p2);
  if (const Code begun = notifications_.begin(handle, bits); begun != Code::ok) {
    return answer(begun);
  }
  const std::uint32_t failed = rewatch(call.now);
  refresh_unwatched();
  // Whoever begins to watch a GPIO would take its next change for none if it had missed one.
  const std::uint32_t now_watched = bits & watched_;
  Report report{.tick = pigpio::tick(call.now), .levels = levels_};
  report.audience = notifications_.mistaken(now_watched, levels_) & user_bit(handle);
  publish(report, call.now);
  return answer((failed & bits) == 0 ? Code::ok : Code::some_permitted);
}

Answer Daemon::np(const Call& call) {
  const Code paused = notifications_.pause(call.request.p1);
  (void)rewatch(call.now);
  return answer(paused);
}

Answer Daemon::nc(const Call& call) {
  const Code closed = notifications_.close(call.request.p1);
  if (closed == Code::ok) {
    audience_.close_channel(static_cast<std::uint8_t>(call.request.p1));
    (void)rewatch(call.now);
  }
  return answer(closed);
}

Answer Daemon::evm(const Call& call) {
  return answer(notifications_.monitor_events(call.request.p1, call.request.p2));
}

Answer Daemon::evt(const Call& call) {
  if (call.request.p1 > most_event) {
    return answer(Code::bad_event_id);
  }
  const auto event = static_cast<std::uint8_t>(call.request.p1);
  refresh_unwatched();
  publish({.kind = Report::Kind::event,
           .number = event,
           .tick = pigpio::tick(call.now),
           .levels = levels_,
           .audience = notifications_.awaiting_event(event)},
          call.now);
  return answer(Code::ok);
}

std::uint32_t Daemon::rewatch(Instant now) {
  const std::uint32_t wanted = notifications_.watched();
  const auto known = static_cast<std::uint32_t>(lines_.known());
  if ((wanted & known) == watched_) {
    return 0;
  }
  const std::uint32_t failed = lines_.watch_lines(wanted & known);
  const std::uint32_t before = watched_;
  watched_ = wanted & known & ~failed;
  const std::uint32_t added = watched_ & ~before;
  levels_ = (levels_ & ~added) | static_cast<std::uint32_t>(current_levels(added));
  restart_filters(added, now);
  return failed;
}

void Daemon::refresh_unwatched() {
  levels_ = (levels_ & watched_) | static_cast<std::uint32_t>(current_levels(bank_1 & ~watched_));
}

void Daemon::correct(std::uint32_t bits, Instant now) {
  refresh_unwatched();
  levels_ = (levels_ & ~bits) | static_cast<std::uint32_t>(current_levels(bits));
  restart_filters(bits, now);
  publish({.tick = pigpio::tick(now),
           .levels = levels_,
           .audience = notifications_.mistaken(bits, levels_)},
          now);
}

void Daemon::publish(Report report, Instant at) {
  if (report.audience != 0) {
    notifications_.note(report, at);
    audience_.publish(report);
  }
}

// --- Filters -----------------------------------------------------------------------------------

Code Daemon::refilter(const Call& call) {
  // The kernel does what it can do exactly, and where it is all that there is to do.
  const unsigned gpio = call.gpio();
  const microseconds steady(steady_[gpio]);
  const bool by_kernel = quiet_[gpio] == 0 && steady >= options_.kernel_debounce;
  const Code done = lines_.debounce_line(gpio, by_kernel ? steady : microseconds(0));
  if (quiet_[gpio] > 0) {
    noise_filters_[gpio].start(microseconds(quiet_[gpio]), microseconds(loud_[gpio]), call.now);
  } else {
    noise_filters_[gpio].stop();
  }
  if (by_kernel || steady_[gpio] == 0) {
    glitch_filters_[gpio].stop();
  } else {
    glitch_filters_[gpio].start(steady, (levels_ & user_bit(gpio)) != 0);
  }
  return done;
}

void Daemon::restart_filters(std::uint32_t bits, Instant now) {
  for_each(bits, [&](unsigned gpio) {
    if (glitch_filters_[gpio].active()) {
      glitch_filters_[gpio].start(microseconds(steady_[gpio]), (levels_ & user_bit(gpio)) != 0);
    }
    if (noise_filters_[gpio].active()) {
      noise_filters_[gpio].start(microseconds(quiet_[gpio]), microseconds(loud_[gpio]), now);
    }
  });
}

Answer Daemon::fg(const Call& call) {
  steady_[call.gpio()] = call.request.p2;
  return answer(refilter(call));
}

Answer Daemon::fn(const Call& call) {
  const std::uint32_t active = load32(call.request.extension);
  if (active > most_active) {
    return answer(Code::bad_filter);
  }
  quiet_[call.gpio()] = call.request.p2;
  loud_[call.gpio()] = active;
  return answer(refilter(call));
}

void Daemon::on_level(unsigned gpio, bool level, Instant at) {
  if (glitch_filters_[gpio].active()) {
    glitch_filters_[gpio].on_level(level, at);
  } else {
    pass_on(gpio, level, at);
  }
}

void Daemon::pass_on(unsigned gpio, bool level, Instant at) {
  const std::uint32_t changed = user_bit(gpio);
  if (noise_filters_[gpio].active() && !noise_filters_[gpio].passes(at)) {
    return;
  }
  if (((levels_ & changed) != 0) == level) {
    return;
  }
  levels_ ^= changed;
  watchdogs_.rebase(gpio, at);
  publish(
      {.tick = pigpio::tick(at), .levels = levels_, .audience = notifications_.watching(changed)},
      at);
}

// --- Watchdogs ---------------------------------------------------------------------------------

Answer Daemon::wdog(const Call& call) {
  watchdogs_.set(call.gpio(), milliseconds(call.request.p2), call.now);
  return answer(Code::ok);
}

Instant Daemon::next_deadline() const {
  Instant next = std::min(watchdogs_.next(watched_), notifications_.next_keep_alive());
  for (const GlitchFilter& filter : glitch_filters_) {
    next = std::min(next, filter.due());
  }
  return next;
}

void Daemon::advance(Instant now) {
  refresh_unwatched();
  for (unsigned gpio = 0; gpio < user_gpios; ++gpio) {
    const Instant due = glitch_filters_[gpio].due();
    if (const auto level = glitch_filters_[gpio].take(now)) {
      pass_on(gpio, *level, due);
    }
  }
  for_each(watchdogs_.take_expired(watched_, now), [&](unsigned gpio) {
    publish({.kind = Report::Kind::watchdog,
             .number = static_cast<std::uint8_t>(gpio),
             .tick = pigpio::tick(now),
             .levels = levels_,
             .audience = notifications_.watching(user_bit(gpio))},
            now);
  });
  publish({.kind = Report::Kind::keep_alive,
           .tick = pigpio::tick(now),
           .levels = levels_,
           .audience = notifications_.silent(now)},
          now);
}

// --- Pulses ------------------------------------------------------------------------------------

Answer Daemon::pwm(const Call& call) {
  const unsigned gpio = call.gpio();
  if (call.request.p2 > pulses_[gpio].range) {
    return answer(Code::bad_dutycycle);
  }
  return answer(
      start_pulses(gpio, Use::pwm, static_cast<std::uint16_t>(call.request.p2), call.now));
}

Answer Daemon::servo(const Call& call) {
  return answer(
      start_pulses(call.gpio(), Use::servo, static_cast<std::uint16_t>(call.request.p2), call.now));
}

bool Daemon::with_pwm(unsigned gpio) const { return (lines_.with_pwm() & bit(gpio)) != 0; }

Duration Daemon::Pulses::period() const {
  if (use == Use::servo) {
    return servo_period;
  }
  // To the nearest nanosecond, the kernel's unit.
  return (Duration(std::chrono::seconds(1)) + Duration(hertz() / 2)) / hertz();
}

Duration Daemon::Pulses::pulse() const {
  if (use == Use::servo) {
    return microseconds(width);
  }
  return period() * width / (by_hardware() ? hardware_range : range);
}

void Daemon::Pulses::end() {
  train.stop();
  use = Use::other;
  width = 0;
  statistics = {};
}

Code Daemon::pulse_by_kernel(unsigned gpio, const Pulses& pulses) {
  const Code pulsed = lines_.pulse_line(gpio, pulses.period(), pulses.pulse());
  if (pulsed == Code::ok) {
    pulses_[gpio] = pulses;
  }
  return pulsed;
}

Code Daemon::start_pulses(unsigned gpio, Use use, std::uint16_t width, Instant now) {
  Pulses& pulses = pulses_[gpio];
  if (with_pwm(gpio)) {
    Pulses wanted = pulses;
    wanted.use = use;
    wanted.width = width;
    return pulse_by_kernel(gpio, wanted);
  }
  trigger_ends_[gpio].at = never;
  if (pulses.use != use) {
    pulses.end();
  }
  if (!lines_.is_output(gpio)) {
    if (const Code made = lines_.make_output(gpio, width != 0); made != Code::ok) {
      return made;
    }
  }
  pulses.use = use;
  pulses.width = width;
  retrain(gpio, now);
  return Code::ok;
}

void Daemon::retrain(unsigned gpio, Instant now) {
  Pulses& pulses = pulses_[gpio];
  drive(gpio, pulses.train.set(pulses.period(), pulses.pulse(), now));
}

void Daemon::drive(unsigned gpio, bool level) {
  latches_ = level ? latches_ | bit(gpio) : latches_ & ~bit(gpio);
  if (!lines_.drive_line(gpio, level)) {
    // Somebody has made it an input, or its chip has vanished.
    pulses_[gpio].train.stop();
    pulses_[gpio].width = 0;
  }
}

void Daemon::end_pulses(unsigned gpio) {
  if (is_user(gpio)) {
    pulses_[gpio].end();
  }
}

void Daemon::end_trigger(unsigned gpio) {
  if (is_user(gpio)) {
    trigger_ends_[gpio].at = never;
  }
}

std::uint32_t Daemon::real_range(unsigned gpio) const {
  // The kernel's steps are nanoseconds; how many of them hardware can tell apart, it keeps to
  // itself.
  const std::uint32_t hertz = pulses_[gpio].frequency;
  return with_pwm(gpio) ? std::nano::den / hertz : nearest_pwm_frequency(hertz).real_range;
}

Answer Daemon::prs(const Call& call) {
  const unsigned gpio = call.gpio();
  Pulses wanted = pulses_[gpio];
  wanted.range = static_cast<std::uint16_t>(call.request.p2);
  if (wanted.use == Use::pwm) {
    wanted.width = call.request.p2 * wanted.width / pulses_[gpio].range;
  }
  if (wanted.use == Use::pwm && with_pwm(gpio)) {
    if (const Code pulsed = pulse_by_kernel(gpio, wanted); pulsed != Code::ok) {
      return answer(pulsed);
    }
  } else {
    pulses_[gpio] = wanted;
    if (wanted.use == Use::pwm) {
      retrain(gpio, call.now);
    }
  }
  return number(real_range(gpio));
}

Answer Daemon::pfs(const Call& call) {
  const unsigned gpio = call.gpio();
  Pulses wanted = pulses_[gpio];
  wanted.frequency = with_pwm(gpio) ? std::clamp(call.request.p2, 1U, hardware_most)
                                    : nearest_pwm_frequency(call.request.p2).hertz;
  if (wanted.use == Use::pwm && with_pwm(gpio)) {
    // What the kernel can't do is not taken up, and the client is told what it is instead.
    (void)pulse_by_kernel(gpio, wanted);
  } else {
    pulses_[gpio] = wanted;
    if (wanted.use == Use::pwm) {
      retrain(gpio, call.now);
    }
  }
  return number(pulses_[gpio].frequency);
}

Answer Daemon::prg(const Call& call) {
  const Pulses& pulses = pulses_[call.gpio()];
  return number(pulses.by_hardware() ? hardware_range : pulses.range);
}
Answer Daemon::pfg(const Call& call) { return number(pulses_[call.gpio()].hertz()); }
Answer Daemon::prrg(const Call& call) {
  const Pulses& pulses = pulses_[call.gpio()];
  switch (pulses.use) {
    case Use::hardware_pwm:
      return number(static_cast<std::uint32_t>(pulses.period().count()));
    case Use::hardware_clock:
      return number(hardware_range);
    default:
      return number(real_range(call.gpio()));
  }
}
Answer Daemon::gdc(const Call& call) {
  const Pulses& pulses = pulses_[call.gpio()];
  return pulses.use == Use::pwm || pulses.by_hardware() ? number(pulses.width)
                                                        : answer(Code::not_pwm_gpio);
}
Answer Daemon::gpw(const Call& call) {
  const Pulses& pulses = pulses_[call.gpio()];
  return pulses.use == Use::servo ? number(pulses.width) : answer(Code::not_servo_gpio);
}

Code Daemon::start_hardware(unsigned gpio, Use use, std::uint32_t hertz, std::uint32_t width) {
  Pulses wanted = pulses_[gpio];
  wanted.use = use;
  wanted.hardware_frequency = hertz;
  wanted.width = width;
  return pulse_by_kernel(gpio, wanted);
}

void Daemon::stop_hardware(unsigned gpio, Use use) {
  if (pulses_[gpio].use == use) {
    end_pulses(gpio);
    (void)lines_.drive_line(gpio, false);
  }
}

Answer Daemon::hp(const Call& call) {
  const unsigned gpio = call.gpio();
  const std::uint32_t hertz = call.request.p2;
  const std::uint32_t width = load32(call.request.extension);
  if (!is_user(gpio) || !with_pwm(gpio)) {
    return answer(Code::not_hpwm_gpio);
  }
  if (width > hardware_range) {
    return answer(Code::bad_hpwm_duty);
  }
  if (hertz > hardware_most) {
    return answer(Code::bad_hpwm_freq);
  }
  if (hertz == 0) {
    stop_hardware(gpio, Use::hardware_pwm);
    return answer(Code::ok);
  }
  return answer(start_hardware(gpio, Use::hardware_pwm, hertz, width));
}

Answer Daemon::hc(const Call& call) {
  const unsigned gpio = call.request.p1 & without_password;
  const std::uint32_t hertz = call.request.p2;
  if (gpio >= gpios) {
    return answer(Code::bad_gpio);
  }
  if ((lines_.known() & bit(gpio)) == 0) {
    return answer(Code::not_permitted);
  }
  if (!is_user(gpio) || !with_pwm(gpio)) {
    return answer(Code::not_hclk_gpio);
  }
  if (hertz == 0) {
    stop_hardware(gpio, Use::hardware_clock);
    return answer(Code::ok);
  }
  if (hertz < clock_least || hertz > clock_most) {
    return answer(Code::bad_hclk_freq);
  }
  const Code started = start_hardware(gpio, Use::hardware_clock, hertz, hardware_range / 2);
  return answer(started == Code::bad_hpwm_freq ? Code::bad_hclk_freq : started);
}

Answer Daemon::trig(const Call& call) {
  const unsigned gpio = call.gpio();
  const std::uint32_t level = load32(call.request.extension);
  if (level > most_level) {
    return answer(Code::bad_level);
  }
  if (with_pwm(gpio)) {
    return answer(Code::not_permitted);  // a channel has no single pulses
  }
  if (!lines_.is_output(gpio)) {
    // pigpiod drives the latch of what may be an input: in the end it has the other level.
    latches_ = level == 0 ? latches_ | bit(gpio) : latches_ & ~bit(gpio);
    return answer(Code::ok);
  }
  if (!lines_.drive_line(gpio, level != 0)) {
    return answer(Code::not_permitted);
  }
  trigger_ends_[gpio] = {.at = saturating_add(call.now, microseconds(call.request.p2)),
                         .level = level == 0};
  return {.result = value(Code::ok), .when = Answer::When::after_pulse};
}

Instant Daemon::next_edge() const {
  Instant next = never;
  for (unsigned gpio = 0; gpio < user_gpios; ++gpio) {
    next = std::min({next, pulses_[gpio].train.next(), trigger_ends_[gpio].at});
  }
  return next;
}

void Daemon::advance_pulses(Instant now) {
  for (unsigned gpio = 0; gpio < user_gpios; ++gpio) {
    TriggerEnd& end = trigger_ends_[gpio];
    if (end.at <= now) {
      pulse_statistics_.note(now - end.at);
      end.at = never;
      drive(gpio, end.level);
    }
    if (Pulses& pulses = pulses_[gpio]; pulses.train.next() <= now) {
      PulseStatistics edge;
      const bool level = pulses.train.advance(now, edge);
      pulse_statistics_.add(edge);
      pulses.statistics.add(edge);
      drive(gpio, level);
    }
  }
}

unsigned Daemon::pulse_count() const {
  return static_cast<unsigned>(
      std::ranges::count_if(pulses_, [](const Pulses& pulses) { return pulses.train.running(); }));
}

// --- Serial ports ------------------------------------------------------------------------------

Answer Daemon::sero(const Call& call) {
  const Request& request = call.request;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes that are text
  const std::string_view device(reinterpret_cast<const char*>(request.extension.data()),
                                request.extension.size());
  if (std::ranges::find(bauds, request.p1) == bauds.end()) {
    return answer(Code::bad_ser_speed);
  }
  if (request.p2 != 0) {
    return answer(Code::bad_flags);
  }
  const auto handle = serials_.open_serial(device, request.p1);
  return handle ? number(*handle) : answer(handle.error());
}

Answer Daemon::serc(const Call& call) {
  if (!serials_.has_serial(call.request.p1)) {
    return answer(Code::bad_handle);
  }
  serials_.close_serial(call.request.p1);
  return answer(Code::ok);
}

Answer Daemon::serda(const Call& call) {
  return serials_.has_serial(call.request.p1)
             ? number(static_cast<std::uint32_t>(serials_.serial_available(call.request.p1)))
             : answer(Code::bad_handle);
}

Answer Daemon::serrb(const Call& call) {
  if (!serials_.has_serial(call.request.p1)) {
    return answer(Code::bad_handle);
  }
  std::array<std::byte, 1> byte{};
  return serials_.take_serial(call.request.p1, byte) == 1
             ? number(std::to_integer<std::uint32_t>(byte[0]))
             : answer(Code::ser_read_no_data);
}

Answer Daemon::serr(const Call& call) {
  if (!serials_.has_serial(call.request.p1)) {
    return answer(Code::bad_handle);
  }
  if (call.request.p2 == 0) {
    return answer(Code::bad_param);
  }
  const auto into = call.data.first(std::min<std::size_t>(call.request.p2, call.data.size()));
  const std::size_t count = serials_.take_serial(call.request.p1, into);
  return {.result = static_cast<std::int32_t>(count), .data = count};
}

Answer Daemon::serwb(const Call& call) {
  if (!serials_.has_serial(call.request.p1)) {
    return answer(Code::bad_handle);
  }
  if (call.request.p2 > 0xff) {
    return answer(Code::bad_param);
  }
  const std::array byte = {static_cast<std::byte>(call.request.p2)};
  return answer(serials_.put_serial(call.request.p1, byte) == 1 ? Code::ok
                                                                : Code::ser_write_failed);
}

Answer Daemon::serw(const Call& call) {
  if (!serials_.has_serial(call.request.p1)) {
    return answer(Code::bad_handle);
  }
  if (call.request.extension_size == 0) {
    return answer(Code::bad_param);
  }
  return {.result = value(Code::ok), .when = Answer::When::after_stream};
}

}  // namespace millrace::pigpio
