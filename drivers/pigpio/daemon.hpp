// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "drivers/pigpio/audience.hpp"
#include "drivers/pigpio/code.hpp"
#include "drivers/pigpio/frame.hpp"
#include "drivers/pigpio/glitch_filter.hpp"
#include "drivers/pigpio/lines.hpp"
#include "drivers/pigpio/noise_filter.hpp"
#include "drivers/pigpio/notifications.hpp"
#include "drivers/pigpio/pulse_train.hpp"
#include "drivers/pigpio/pwm_frequency.hpp"
#include "drivers/pigpio/serials.hpp"
#include "drivers/pigpio/watchdogs.hpp"
#include "hal/time.hpp"

namespace millrace::pigpio {

/// What came of a command.
struct Answer {
  enum class When : std::uint8_t {
    now,
    after_pulse,  ///< of GPIO p1: when pulsing(p1) is over
    after_stream  ///< of SERW: when serial port p1 has taken all bytes
  };

  std::int32_t result = 0;
  When when = When::now;
  std::size_t data = 0;  ///< bytes that follow the header
};

/// What pigpiod is to its clients, without its sockets, its DMA and its threads: commands and
/// changes of lines in, answers and reports out. All state is the daemon's, not the client's, and
/// shared by all: GPIOs, handles, filters, watchdogs, pulses.
///
/// Time passes when it is told. Two deadlines, as pulses are more urgent than watchdogs:
///
///     next_edge()     → advance_pulses()    PWM, servo, trigger
///     next_deadline() → advance()           watchdogs, glitch filters, keep-alive
class Daemon {
 public:
  struct Options {
    /// A Raspberry Pi's revision code: clients ask for it to know the pins, and fail on 0.
    std::uint32_t revision = 0;
    /// The kernel debounces from this on: it goes by its own ticks, 10 ms at the coarsest, and
    /// would lengthen a shorter time. Those are filtered here.
    std::chrono::microseconds kernel_debounce = std::chrono::milliseconds(10);
  };

  Daemon(Lines& lines, Serials& serials, Audience& audience)
      : lines_(lines), serials_(serials), audience_(audience) {}

  /// Before anything else.
  void open(const Options& options) { options_ = options; }

  /// Whether there is such a command here: if not, execute() answers unknown_command.
  [[nodiscard]] static bool serves(Command command);
  /// Executes a command of `client`. Data to follow the answer is put into `data`.
  [[nodiscard]] Answer execute(const Request& request, ClientId client, std::span<std::byte> data,
                               Instant now);
  /// The client's connection has ended: its handle is closed.
  void on_hang_up(ClientId client);

  /// A line that is watched has changed. Equal levels in a row are fine.
  void on_level(unsigned gpio, bool level, Instant at);
  /// Reads anew those levels that nobody watches: before the next reports are made of them.
  void refresh_unwatched();

  [[nodiscard]] Instant next_edge() const;
  void advance_pulses(Instant now);
  [[nodiscard]] Instant next_deadline() const;
  void advance(Instant now);

  /// A trigger's pulse is under way.
  [[nodiscard]] bool pulsing(std::uint32_t gpio) const { return trigger_ends_[gpio].at != never; }
  [[nodiscard]] const Notifications& notifications() const { return notifications_; }
  [[nodiscard]] const PulseStatistics& pulses() const { return pulse_statistics_; }
  /// GPIOs that have PWM or servo pulses by timers.
  [[nodiscard]] unsigned pulse_count() const;
  /// How exactly those of one are made, since it has them; nothing if it has none.
  [[nodiscard]] const PulseStatistics* pulses_of(unsigned gpio) const {
    return pulses_[gpio].train.running() ? &pulses_[gpio].statistics : nullptr;
  }
  /// Each how long, and every so often.
  [[nodiscard]] Duration period_of(unsigned gpio) const { return pulses_[gpio].train.period(); }
  [[nodiscard]] Duration width_of(unsigned gpio) const { return pulses_[gpio].train.width(); }

 private:
  struct Rule;
  static const std::array<Rule, 43> rules;
  [[nodiscard]] static const Rule* find(Command command);
  [[nodiscard]] Code check(const Rule& rule, const Request& request) const;

  /// A command, and who gave it.
  struct Call {
    const Request& request;
    ClientId client;
    std::span<std::byte> data;
    Instant now;

    [[nodiscard]] unsigned gpio() const { return request.p1; }
  };

  Answer modes(const Call& call);
  Answer modeg(const Call& call);
  Answer pud(const Call& call);
  Answer read(const Call& call);
  Answer write(const Call& call);
  Answer pwm(const Call& call);
  Answer prs(const Call& call);
  Answer pfs(const Call& call);
  Answer servo(const Call& call);
  Answer wdog(const Call& call);
  Answer br1(const Call& call);
  Answer br2(const Call& call);
  Answer bc1(const Call& call);
  Answer bc2(const Call& call);
  Answer bs1(const Call& call);
  Answer bs2(const Call& call);
  Answer tick(const Call& call);
  Answer hwver(const Call& call);
  Answer no(const Call& call);
  Answer nb(const Call& call);
  Answer np(const Call& call);
  Answer nc(const Call& call);
  Answer prg(const Call& call);
  Answer pfg(const Call& call);
  Answer prrg(const Call& call);
  Answer pigpv(const Call& call);
  Answer trig(const Call& call);
  Answer sero(const Call& call);
  Answer serc(const Call& call);
  Answer serrb(const Call& call);
  Answer serwb(const Call& call);
  Answer serr(const Call& call);
  Answer serw(const Call& call);
  Answer serda(const Call& call);
  Answer gdc(const Call& call);
  Answer gpw(const Call& call);
  Answer hc(const Call& call);
  Answer hp(const Call& call);
  Answer fg(const Call& call);
  Answer fn(const Call& call);
  Answer noib(const Call& call);
  Answer evm(const Call& call);
  Answer evt(const Call& call);

  /// What a GPIO is used for, as the queries for PWM and servo tell.
  enum class Use : std::uint8_t { other, pwm, servo, hardware_pwm, hardware_clock };
  struct Pulses {
    Use use = Use::other;
    std::uint16_t range = 255;
    std::uint32_t width = 0;  ///< pwm: of the range; servo: microseconds; hardware: millionths
    std::uint32_t frequency = default_pwm_frequency;  ///< of pwm, in hertz
    std::uint32_t hardware_frequency = 0;             ///< of hardware, in hertz
    PulseTrain train;
    PulseStatistics statistics;

    [[nodiscard]] bool by_hardware() const {
      return use == Use::hardware_pwm || use == Use::hardware_clock;
    }
    [[nodiscard]] std::uint32_t hertz() const {
      return by_hardware() ? hardware_frequency : frequency;
    }
    /// From one pulse to the next, and how long each is.
    [[nodiscard]] Duration period() const;
    [[nodiscard]] Duration pulse() const;
    void end();
  };
  /// The end of a trigger's pulse.
  struct TriggerEnd {
    Instant at = never;
    bool level = false;
  };

  [[nodiscard]] Answer write_bank(std::uint64_t bits, std::uint64_t bank, bool level);
  [[nodiscard]] Answer open_handle(const Call& call, ClientId owner);
  void close_handle(std::uint8_t handle);
  /// Has those GPIOs watched that anybody watches; returns those that can't be.
  [[nodiscard]] std::uint32_t rewatch(Instant now);
  [[nodiscard]] std::uint64_t current_levels(std::uint64_t bits);
  /// Reads these GPIOs anew, and tells those who may come to compare with what they knew before.
  void correct(std::uint32_t bits, Instant now);
  void pass_on(unsigned gpio, bool level, Instant at);
  void publish(Report report, Instant at);
  /// Filters GPIOs from now on, where the kernel does not.
  void restart_filters(std::uint32_t bits, Instant now);
  [[nodiscard]] Code refilter(const Call& call);
  [[nodiscard]] bool with_pwm(unsigned gpio) const;
  [[nodiscard]] Code start_pulses(unsigned gpio, Use use, std::uint16_t width, Instant now);
  [[nodiscard]] Code start_hardware(unsigned gpio, Use use, std::uint32_t hertz,
                                    std::uint32_t width);
  void stop_hardware(unsigned gpio, Use use);
  /// Has the kernel's channel make other pulses than so far; if it can't, they stay the same.
  [[nodiscard]] Code pulse_by_kernel(unsigned gpio, const Pulses& pulses);
  [[nodiscard]] std::uint32_t real_range(unsigned gpio) const;
  void retrain(unsigned gpio, Instant now);
  void end_pulses(unsigned gpio);
  void drive(unsigned gpio, bool level);
  void end_trigger(unsigned gpio);

  Lines& lines_;
  Serials& serials_;
  Audience& audience_;
  Options options_;
  Notifications notifications_;
  Watchdogs watchdogs_;
  PulseStatistics pulse_statistics_;
  std::uint32_t watched_ = 0;  ///< GPIOs whose changes come to on_level()
  std::uint32_t levels_ = 0;   ///< GPIO 0 to 31, as clients are told of them
  std::uint64_t latches_ = 0;  ///< what outputs have, or inputs would have as outputs
  std::array<std::uint32_t, user_gpios> steady_{};  ///< FG, in microseconds
  std::array<std::uint32_t, user_gpios> quiet_{};   ///< FN, in microseconds
  std::array<std::uint32_t, user_gpios> loud_{};    ///< FN: how long changes pass then
  std::array<GlitchFilter, user_gpios> glitch_filters_{};
  std::array<NoiseFilter, user_gpios> noise_filters_{};
  std::array<Pulses, user_gpios> pulses_{};
  std::array<TriggerEnd, user_gpios> trigger_ends_{};
};

}  // namespace millrace::pigpio
