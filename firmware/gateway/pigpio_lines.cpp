// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/pigpio_lines.hpp"

#include <algorithm>
#include <cerrno>

namespace millrace {
namespace {

using hal::Bias;
using hal::Direction;
using hal::LineSettings;
using pigpio::Code;

constexpr std::uint8_t no_number = UINT8_MAX;

constexpr std::uint64_t bit(unsigned gpio) { return std::uint64_t{1} << gpio; }

Code code_of(const Error& error) {
  switch (error.number) {
    case EBUSY:
      return Code::gpio_in_use;
    case ENODEV:
      return Code::bad_gpio;
    default:
      return Code::not_permitted;
  }
}

Code code_of(const LineResult<void>& result) {
  return result ? Code::ok : code_of(result.error().error);
}

}  // namespace

void PigpioLines::open() {
  numbers_of_lines_.fill(no_number);
  for (std::size_t i = 0; i < gpio_.size(); ++i) {
    const LineIndex line{static_cast<std::uint16_t>(i)};
    if (const auto number = board::pigpio_number(gpio_.line(line).name)) {
      assign(*number, line);
    }
  }
  for (std::size_t i = 0; known_ == 0 && i < std::min<std::size_t>(gpio_.size(), pigpio::gpios);
       ++i) {
    numbers_[i].line = LineIndex(static_cast<std::uint16_t>(i));
    numbers_of_lines_[i] = static_cast<std::uint8_t>(i);
  }
  for (unsigned gpio = 0; gpio < pigpio::gpios; ++gpio) {
    known_ |= numbers_[gpio].line ? bit(gpio) : 0;
    with_pwm_ |= numbers_[gpio].line && pwms_.find(line(gpio)) != nullptr ? bit(gpio) : 0;
  }
}

void PigpioLines::assign(unsigned number, LineIndex line) {
  if (number < pigpio::gpios && !numbers_[number].line) {
    numbers_[number].line = line;
    numbers_of_lines_[index(line)] = static_cast<std::uint8_t>(number);
    known_ |= bit(number);
  }
}

std::optional<unsigned> PigpioLines::number_of(LineIndex line) const {
  const std::uint8_t number = numbers_of_lines_[index(line)];
  return number == no_number ? std::nullopt : std::optional<unsigned>(number);
}

bool PigpioLines::is_input_of_ours(unsigned gpio) const {
  return gpio_.line(line(gpio)).claimed() &&
         gpio_.settings(line(gpio)).direction == Direction::input;
}

Code PigpioLines::pulse_line(unsigned gpio, Duration period, Duration width) {
  const auto set = pwms_.set(line(gpio), period, width);
  if (set) {
    return Code::ok;
  }
  switch (set.error().number) {
    case EINVAL:
    case ERANGE:
    case EOPNOTSUPP:
      return Code::bad_hpwm_freq;
    default:
      return code_of(set.error());
  }
}

Code PigpioLines::hold(unsigned gpio, bool level) {
  // Its period, so that what is read of it stays true; or any, if it has none yet.
  constexpr Duration any = std::chrono::milliseconds(1);
  const Duration period = pwm(gpio).period() > Duration::zero() ? pwm(gpio).period() : any;
  return pulse_line(gpio, period, level ? period : Duration::zero());
}

bool PigpioLines::is_output(unsigned gpio) {
  if (has_pwm(gpio)) {
    return pwm(gpio).enabled();
  }
  const LineSettings settings = gpio_.settings(line(gpio));
  if (settings.direction != Direction::as_is) {
    return settings.direction == Direction::output;
  }
  const auto info = gpio_.info(line(gpio));
  return info && info->settings.direction == Direction::output;
}

Code PigpioLines::make_output(unsigned gpio, bool level) {
  if (has_pwm(gpio)) {
    return hold(gpio, level);
  }
  GpioService::Change change{.line = line(gpio), .settings = gpio_.settings(line(gpio))};
  change.settings.direction = Direction::output;
  change.settings.output_active = level;
  change.settings.debounce = std::chrono::microseconds(0);
  return code_of(gpio_.configure({&change, 1}));
}

Code PigpioLines::make_input(unsigned gpio) {
  if (has_pwm(gpio)) {
    const auto stopped = pwms_.stop(line(gpio));
    return stopped ? Code::ok : code_of(stopped.error());
  }
  const LineSettings before = gpio_.settings(line(gpio));
  GpioService::Change change{.line = line(gpio), .settings = before};
  change.settings.direction = Direction::input;
  change.settings.drive = hal::Drive::push_pull;
  change.settings.debounce = numbers_[gpio].debounce;
  if (numbers_[gpio].bias != Bias::as_is) {
    change.settings.bias = numbers_[gpio].bias;
  }
  if (gpio_.line(line(gpio)).claimed() && change.settings == before) {
    return Code::ok;
  }
  auto configured = gpio_.configure({&change, 1});
  if (!configured && change.settings.bias == Bias::disabled) {
    // A chip without pulls has none to switch off.
    change.settings.bias = Bias::as_is;
    configured = gpio_.configure({&change, 1});
  }
  return code_of(configured);
}

Code PigpioLines::bias_line(unsigned gpio, pigpio::Pull pull) {
  constexpr std::array biases = {Bias::disabled, Bias::pull_down, Bias::pull_up};  // as Pull has
  numbers_[gpio].bias = biases[static_cast<std::size_t>(pull)];
  return has_pwm(gpio) || is_output(gpio) ? Code::ok : make_input(gpio);
}

Code PigpioLines::debounce_line(unsigned gpio, std::chrono::microseconds steady) {
  numbers_[gpio].debounce = steady;
  return is_input_of_ours(gpio) ? make_input(gpio) : Code::ok;
}

pigpio::Expected<bool> PigpioLines::level_of(unsigned gpio) {
  if (has_pwm(gpio)) {
    return pwm(gpio).enabled() ? pigpio::Expected<bool>(pwm(gpio).width() > Duration::zero())
                               : std::unexpected(Code::not_permitted);
  }
  const LineIndex which = line(gpio);
  bool level = false;
  if (const auto read = gpio_.read({&which, 1}, {&level, 1}); !read) {
    return std::unexpected(code_of(read));
  }
  return level;
}

std::uint64_t PigpioLines::levels_of(std::uint64_t wanted) {
  LineSet set;
  for (unsigned gpio = 0; gpio < pigpio::gpios; ++gpio) {
    if ((wanted & known_ & ~with_pwm_ & bit(gpio)) != 0) {
      set[index(line(gpio))] = true;
    }
  }
  std::uint64_t result = 0;
  for (unsigned gpio = 0; (wanted & with_pwm_) != 0 && gpio < pigpio::gpios; ++gpio) {
    if ((wanted & with_pwm_ & bit(gpio)) != 0 && level_of(gpio).value_or(false)) {
      result |= bit(gpio);
    }
  }
  if (set.none()) {
    return result;
  }
  const LineSet levels = gpio_.levels(set);
  for (unsigned gpio = 0; gpio < pigpio::gpios; ++gpio) {
    if ((wanted & known_ & ~with_pwm_ & bit(gpio)) != 0 && levels[index(line(gpio))]) {
      result |= bit(gpio);
    }
  }
  return result;
}

Code PigpioLines::drive_lines(std::uint64_t which, std::uint64_t levels) {
  std::array<LineIndex, pigpio::gpios> lines{};
  std::array<bool, pigpio::gpios> values{};
  std::size_t count = 0;
  Code held = Code::ok;
  for (unsigned gpio = 0; gpio < pigpio::gpios; ++gpio) {
    if ((which & with_pwm_ & bit(gpio)) != 0) {
      const Code one = hold(gpio, (levels & bit(gpio)) != 0);
      held = one == Code::ok ? held : one;
    } else if ((which & bit(gpio)) != 0) {
      lines[count] = line(gpio);
      values[count] = (levels & bit(gpio)) != 0;
      ++count;
    }
  }
  const Code set =
      code_of(gpio_.set(std::span(lines).first(count), std::span(values).first(count)));
  return set == Code::ok ? held : set;
}

bool PigpioLines::drive_line(unsigned gpio, bool level) {
  if (has_pwm(gpio)) {
    return hold(gpio, level) == Code::ok;
  }
  return gpio_.drive(line(gpio), level) || (!gpio_.line(line(gpio)).claimed() && is_output(gpio) &&
                                            make_output(gpio, level) == Code::ok);
}

LineSet PigpioLines::lines_of(std::uint32_t bits) const {
  LineSet set;
  for (unsigned gpio = 0; gpio < pigpio::user_gpios; ++gpio) {
    if ((bits & bit(gpio)) != 0) {
      set[index(line(gpio))] = true;
    }
  }
  return set;
}

std::uint32_t PigpioLines::watch_lines(std::uint32_t bits) {
  const std::uint32_t added = bits & ~watched_;
  std::uint32_t failed = 0;
  for (unsigned gpio = 0; gpio < pigpio::user_gpios; ++gpio) {
    if ((added & bit(gpio)) == 0) {
      continue;
    }
    const bool set_up = numbers_[gpio].bias != Bias::as_is || numbers_[gpio].debounce.count() > 0;
    const bool ours = gpio_.line(line(gpio)).claimed();
    if (!gpio_.available(line(gpio)) ||
        (!ours && set_up && !is_output(gpio) && make_input(gpio) != Code::ok)) {
      failed |= static_cast<std::uint32_t>(bit(gpio));
    }
  }
  // Those that nobody has used yet are claimed together, unless one of them can't be.
  if (!gpio_.watch(lines_of(added & ~failed), hal::Edges::both)) {
    for (unsigned gpio = 0; gpio < pigpio::user_gpios; ++gpio) {
      const auto one = static_cast<std::uint32_t>(bit(gpio));
      if ((added & ~failed & one) != 0 && !gpio_.watch(lines_of(one), hal::Edges::both)) {
        failed |= one;
      }
    }
  }
  const LineSet removed = lines_of(watched_ & ~bits);
  gpio_.unwatch(removed, removed);
  watched_ = bits & ~failed;
  reader_.filter.rising = lines_of(watched_);
  reader_.filter.falling = reader_.filter.rising;
  return failed;
}

}  // namespace millrace
