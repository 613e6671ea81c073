// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/pwm.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <fcntl.h>
#include <optional>
#include <string_view>
#include <sys/types.h>
#include <unistd.h>

#include "hal/slice.hpp"

namespace millrace::hal {
namespace {

using Path = FixedString<255>;

constexpr std::string_view chips = "/sys/class/pwm/";
/// The kernel numbers chips below that: MAX_PWMS of drivers/pwm/core.c until 6.7; since then there
/// are fewer numbers than chips.
constexpr unsigned most_chips = 1024;

constexpr const char* cannot_open = "cannot open the PWM channel";
constexpr const char* cannot_set = "cannot set the PWM channel";
constexpr const char* permission =
    "give its files to the group gpio, as the package's udev rule does, and be in that group";
constexpr const char* sandbox = "allow the service to write to /sys/devices (ReadWritePaths=)";
constexpr const char* no_chip =
    "enable it, on a Raspberry Pi by dtoverlay=pwm in config.txt; /sys/class/pwm has those that "
    "there are";

const char* remedy_of(int number) {
  switch (number) {
    case EACCES:
    case EPERM:
      return permission;
    case EROFS:
      return sandbox;
    case ENOENT:
    case ENODEV:
      return no_chip;
    default:
      return "";
  }
}

std::unexpected<Error> fail_to_open() { return fail_errno(cannot_open, remedy_of(errno)); }

template <class Number>
std::optional<Number> parse(std::string_view text) {
  Number number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && rest == end && !text.empty() ? std::optional(number)
                                                              : std::nullopt;
}

/// What a file of the kernel's says, without the end of the line; empty if it can't be read.
FixedString<63> said_by(int fd) {
  std::array<char, 63> text{};
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  const std::string_view all(text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  return FixedString<63>(slice(all, 0, all.find('\n')));
}

template <class Number>
Number number_in(int fd) {
  return parse<Number>(said_by(fd)).value_or(0);
}

Fd open_file(std::string_view folder, std::string_view name, int how) {
  Path path;
  path.append(folder, '/', name);
  return Fd(::open(path.c_str(), how | O_CLOEXEC));
}

/// One number, as a line of its own: it takes the place of what the file says.
bool write_number(int fd, std::int64_t number) {
  FixedString<31> text;
  text.append(number, '\n');
  ssize_t written = -1;
  do {
    written = ::pwrite(fd, text.c_str(), text.size(), 0);
  } while (written < 0 && errno == EINTR);
  return written == static_cast<ssize_t>(text.size());
}

bool write_to(int fd, Duration value) { return write_number(fd, value.count()); }

/// The name of the chip's device: that of the folder that `device` in the chip's leads to.
bool is_of(const Path& chip, std::string_view device) {
  Path link;
  link.append(chip, "/device");
  std::array<char, 255> target{};
  const ssize_t size = ::readlink(link.c_str(), target.data(), target.size());
  if (size <= 0) {
    return false;
  }
  const std::string_view path(target.data(), static_cast<std::size_t>(size));
  return slice(path, path.rfind('/') + 1) == device;  // npos + 1 is 0
}

Result<Path> find_chip(std::string_view name) {
  const auto exists = [](const Path& path) { return ::access(path.c_str(), F_OK) == 0; };
  if (name.starts_with('/')) {
    const Path chip(name);
    return exists(chip) ? Result<Path>(chip) : fail(ENODEV, "there is no such PWM chip", no_chip);
  }
  if (const Path chip = Path(chips).append(name); exists(chip)) {
    return chip;
  }
  for (unsigned number = 0; number < most_chips; ++number) {
    if (const Path chip = Path(chips).append("pwmchip", number); is_of(chip, name)) {
      return chip;
    }
  }
  return fail(ENODEV, "there is no such PWM chip", no_chip);
}

/// Has the kernel make the files of a channel; fine if they are there.
Result<void> ask_for(const Path& chip, unsigned channel, const Path& folder) {
  if (::access(folder.c_str(), F_OK) == 0) {
    return {};
  }
  const Fd file = open_file(chip, "export", O_WRONLY);
  if (!file) {
    return fail_to_open();
  }
  if (!write_number(file.get(), channel) && errno != EBUSY) {
    return fail_to_open();
  }
  if (::access(folder.c_str(), F_OK) != 0) {
    return fail(EBUSY, cannot_open, "leave the channel to the driver that has it");
  }
  return {};
}

}  // namespace

Result<void> Pwm::open(std::string_view name) {
  const std::size_t colon = name.rfind(':');
  const auto channel =
      colon == std::string_view::npos ? std::nullopt : parse<std::uint16_t>(slice(name, colon + 1));
  if (!channel || colon == 0 || name.size() > Name::capacity()) {
    return fail(EINVAL, "no name of a PWM channel", "write CHIP:CHANNEL, such as fe20c000.pwm:0");
  }
  const auto chip = find_chip(slice(name, 0, colon));
  if (!chip) {
    return std::unexpected(chip.error());
  }
  const Fd count = open_file(*chip, "npwm", O_RDONLY);
  if (!count) {
    return fail_to_open();
  }
  if (*channel >= number_in<unsigned>(count.get())) {
    return fail(ENODEV, "the PWM chip has no such channel", "they are numbered from 0");
  }
  Path folder = *chip;
  folder.append("/pwm", *channel);
  if (auto asked = ask_for(*chip, *channel, folder); !asked) {
    return asked;
  }
  name_ = Name(name);
  // New files are root's until udev has been told of them.
  constexpr timespec pause = {.tv_sec = 0, .tv_nsec = 10'000'000};
  constexpr int attempts = 100;
  auto opened = open_files(folder);
  for (int i = 1; i < attempts && !opened && opened.error().number == EACCES; ++i) {
    (void)::nanosleep(&pause, nullptr);
    opened = open_files(folder);
  }
  return opened;
}

Result<void> Pwm::open_files(std::string_view channel) {
  period_file_ = open_file(channel, "period", O_RDWR);
  width_file_ = period_file_ ? open_file(channel, "duty_cycle", O_RDWR) : Fd();
  enable_ = width_file_ ? open_file(channel, "enable", O_RDWR) : Fd();
  if (!enable_) {
    return fail_to_open();
  }
  period_ = Duration(number_in<std::int64_t>(period_file_.get()));
  width_ = Duration(number_in<std::int64_t>(width_file_.get()));
  enabled_ = number_in<unsigned>(enable_.get()) != 0;
  // High pulses: only a channel that is off can be told so. Some drivers have no such file.
  const Fd polarity = enabled_ ? Fd() : open_file(channel, "polarity", O_RDWR);
  if (polarity && said_by(polarity.get()) == "inversed") {
    constexpr std::string_view normal = "normal\n";
    if (::pwrite(polarity.get(), normal.data(), normal.size(), 0) < 0) {
      enable_.reset();
      return fail_errno("cannot have the PWM channel make high pulses", remedy_of(errno));
    }
  }
  return {};
}

Result<void> Pwm::set(Duration period, Duration width) {
  // The kernel refuses pulses that are longer than the period, in between, too.
  const bool longer_first = period >= width_;
  const auto set_period = [&] { return period == period_ || write_to(period_file_.get(), period); };
  const auto set_width = [&] { return width == width_ || write_to(width_file_.get(), width); };
  if (!(longer_first ? set_period() : set_width())) {
    return fail_errno(cannot_set, remedy_of(errno));
  }
  if (!(longer_first ? set_width() : set_period())) {
    const auto failed = fail_errno(cannot_set, remedy_of(errno));
    if (longer_first) {
      (void)write_to(period_file_.get(), period_);
    } else {
      (void)write_to(width_file_.get(), width_);
    }
    return failed;
  }
  period_ = period;
  width_ = width;
  if (!enabled_) {
    if (!write_number(enable_.get(), 1)) {
      return fail_errno("cannot start the PWM channel", remedy_of(errno));
    }
    enabled_ = true;
  }
  return {};
}

Result<void> Pwm::stop() {
  if (enabled_ && !write_number(enable_.get(), 0)) {
    return fail_errno("cannot stop the PWM channel", remedy_of(errno));
  }
  enabled_ = false;
  return {};
}

}  // namespace millrace::hal
