// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/gpio_cdev.hpp"

#include <algorithm>
#include <charconv>
#include <dirent.h>
#include <fcntl.h>
#include <gpiod.h>
#include <linux/gpio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "hal/fd.hpp"
#include "hal/gpio_check.hpp"
#include "hal/libgpiod_memory.hpp"
#include "hal/slice.hpp"

namespace millrace::hal {
namespace {

constexpr int kernel_enotsupp = 524;  // ENOTSUPP of the kernel's own <linux/errno.h>

constexpr const char* permission_remedy =
    "add yourself to the group gpio (sudo usermod -aG gpio $USER) and log in again";

// The one place that knows both our enumerators and libgpiod's.
template <class Ours, class Theirs, std::size_t N>
struct Mapping {
  std::array<std::pair<Ours, Theirs>, N> pairs;

  [[nodiscard]] constexpr Theirs to_gpiod(Ours value) const {
    return std::ranges::find(pairs, value, &std::pair<Ours, Theirs>::first)->second;
  }
  [[nodiscard]] constexpr Ours from_gpiod(Theirs value) const {
    const auto pair = std::ranges::find(pairs, value, &std::pair<Ours, Theirs>::second);
    return pair != pairs.end() ? pair->first : pairs.front().first;
  }
};

constexpr Mapping<Direction, gpiod_line_direction, 3> directions{
    {{{Direction::as_is, GPIOD_LINE_DIRECTION_AS_IS},
      {Direction::input, GPIOD_LINE_DIRECTION_INPUT},
      {Direction::output, GPIOD_LINE_DIRECTION_OUTPUT}}}};
constexpr Mapping<Bias, gpiod_line_bias, 4> biases{
    {{{Bias::as_is, GPIOD_LINE_BIAS_AS_IS},
      {Bias::disabled, GPIOD_LINE_BIAS_DISABLED},
      {Bias::pull_up, GPIOD_LINE_BIAS_PULL_UP},
      {Bias::pull_down, GPIOD_LINE_BIAS_PULL_DOWN}}}};
constexpr Mapping<Drive, gpiod_line_drive, 3> drives{
    {{{Drive::push_pull, GPIOD_LINE_DRIVE_PUSH_PULL},
      {Drive::open_drain, GPIOD_LINE_DRIVE_OPEN_DRAIN},
      {Drive::open_source, GPIOD_LINE_DRIVE_OPEN_SOURCE}}}};
constexpr Mapping<Edges, gpiod_line_edge, 4> edge_kinds{{{{Edges::none, GPIOD_LINE_EDGE_NONE},
                                                          {Edges::rising, GPIOD_LINE_EDGE_RISING},
                                                          {Edges::falling, GPIOD_LINE_EDGE_FALLING},
                                                          {Edges::both, GPIOD_LINE_EDGE_BOTH}}}};

template <auto Function>
struct Free {
  template <class T>
  void operator()(T* object) const {
    Function(object);
  }
};
// At most Gpio::max_lines_per_request.
struct Offsets {
  std::array<unsigned int, Gpio::max_lines_per_request> values;
  std::size_t size = 0;

  void add(unsigned int offset) { values[size++] = offset; }
  [[nodiscard]] std::span<const unsigned int> view() const { return std::span(values).first(size); }
};

Offsets offsets_of(gpiod_line_request* request) {
  Offsets offsets;
  offsets.size = gpiod_line_request_get_requested_offsets(request, offsets.values.data(),
                                                          offsets.values.size());
  return offsets;
}

// The offsets of those lines of the request that are in `which`.
Offsets offsets_of(gpiod_line_request* request, LineMask which) {
  const Offsets all = offsets_of(request);
  Offsets chosen;
  for (std::size_t i = 0; i < all.size; ++i) {
    if ((which >> i & 1) != 0) {
      chosen.add(all.values[i]);
    }
  }
  return chosen;
}

using ChipInfo = std::unique_ptr<gpiod_chip_info, Free<gpiod_chip_info_free>>;
using GpiodLineInfo = std::unique_ptr<gpiod_line_info, Free<gpiod_line_info_free>>;
using GpiodSettings = std::unique_ptr<gpiod_line_settings, Free<gpiod_line_settings_free>>;
using LineConfig = std::unique_ptr<gpiod_line_config, Free<gpiod_line_config_free>>;
using RequestConfig = std::unique_ptr<gpiod_request_config, Free<gpiod_request_config_free>>;

// What errno means after a call of libgpiod; `what` where it means nothing in particular.
std::unexpected<Error> line_error(const char* what) {
  switch (errno) {
    case ENOBUFS:
      return fail(ENOBUFS, "libgpiod has used up its memory",
                  "release other lines, or raise libgpiod_memory in the board's capacities");
    case EACCES:
      return fail(EACCES, "no permission to use the GPIO chip", permission_remedy);
    case EBUSY:
      return fail(EBUSY, "the GPIO line is in use", "stop its user: gpioinfo shows who that is");
    case EPERM:
      return fail(EPERM, "the GPIO line is not an output", "make it an output first");
    case ENODEV:
      return fail(ENODEV, "the GPIO chip has vanished", "plug it in again");
    case ENXIO:
      return fail(ENOTSUP, "the GPIO line has no interrupt for edges and debouncing",
                  "read it from time to time, or use another line");
    case kernel_enotsupp:
    case ENOTSUP:
      return fail(ENOTSUP, "the GPIO chip cannot do this", "use other settings");
    case E2BIG:
      return fail(E2BIG, "the lines' settings differ in more than 10 ways (the kernel's limit)",
                  "split the request");
    default:
      return fail_errno(what);
  }
}

// Offsets as libgpiod wants them, settings of the same position.
Result<LineConfig> make_config(std::span<const unsigned int> offsets,
                               std::span<const LineSettings> settings) {
  constexpr const char* what = "cannot describe the settings of GPIO lines to libgpiod";
  LineConfig config(gpiod_line_config_new());
  const GpiodSettings line(gpiod_line_settings_new());
  if (!config || !line) {
    return line_error(what);
  }
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const LineSettings& ours = settings[i];
    const int failures =
        gpiod_line_settings_set_direction(line.get(), directions.to_gpiod(ours.direction)) +
        gpiod_line_settings_set_bias(line.get(), biases.to_gpiod(ours.bias)) +
        gpiod_line_settings_set_drive(line.get(), drives.to_gpiod(ours.drive)) +
        gpiod_line_settings_set_edge_detection(line.get(), edge_kinds.to_gpiod(ours.edges)) +
        gpiod_line_settings_set_event_clock(line.get(), GPIOD_LINE_CLOCK_MONOTONIC) +
        gpiod_line_settings_set_output_value(
            line.get(), ours.output_active ? GPIOD_LINE_VALUE_ACTIVE : GPIOD_LINE_VALUE_INACTIVE);
    gpiod_line_settings_set_active_low(line.get(), ours.active_low);
    gpiod_line_settings_set_debounce_period_us(line.get(),
                                               static_cast<unsigned long>(ours.debounce.count()));
    if (failures != 0 ||
        gpiod_line_config_add_line_settings(config.get(), &offsets[i], 1, line.get()) != 0) {
      return line_error(what);
    }
  }
  return config;
}

// "gpiochip12" → 12
bool parse_chip_name(std::string_view name, unsigned int& number) {
  constexpr std::string_view prefix = "gpiochip";
  if (!name.starts_with(prefix)) {
    return false;
  }
  const char* const end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + prefix.size(), end, number);
  return parsed.ec == std::errc() && parsed.ptr == end;
}

}  // namespace

void GpioCdev::Close::operator()(gpiod_chip* chip) const { gpiod_chip_close(chip); }

void GpioCdev::Close::operator()(gpiod_line_request* request) const {
  gpiod_line_request_release(request);
}

GpioCdev::GpioCdev(std::span<Request> requests, std::span<std::byte> libgpiod_memory)
    : requests_(requests) {
  libgpiod_memory::assign(libgpiod_memory);
}

Result<void> GpioCdev::open() {
  close();
  if (auto added = add_chips(); !added) {
    close();
    return added;
  }
  if (denied_ && chip_count_ == 0) {
    return fail(EACCES, "no permission to open any GPIO chip", permission_remedy);
  }
  return {};
}

Result<void> GpioCdev::refresh() {
  for (Chip& chip : std::span(chips_).first(chip_count_)) {
    if (chip.handle && !ChipInfo(gpiod_chip_get_info(chip.handle.get()))) {
      chip = {};
    }
  }
  return add_chips();
}

Result<void> GpioCdev::add_chips() {
  constexpr const char* what = "cannot list the GPIO chips in /dev";
  const Fd dev(::open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dev) {
    return fail_errno(what);
  }
  // opendir() would allocate. The listing is in no order; twice the chips leaves room for links.
  std::array<unsigned int, 2 * max_chips> numbers{};
  std::size_t count = 0;
  alignas(dirent64) std::array<char, 4096> entries{};
  for (;;) {
    const ssize_t size = ::getdents64(dev.get(), entries.data(), entries.size());
    if (size < 0) {
      return fail_errno(what);
    }
    if (size == 0) {
      break;
    }
    for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
      const void* const place = &entries[at];
      const auto* const entry = static_cast<const dirent64*>(place);
      at += entry->d_reclen;
      unsigned int number = 0;
      if (!parse_chip_name(static_cast<const char*>(entry->d_name), number)) {
        continue;
      }
      if (count == numbers.size()) {
        return fail(ENOSPC, "this machine has too many GPIO chips", "raise GpioCdev::max_chips");
      }
      numbers[count++] = number;
    }
  }
  const auto found = std::span(numbers).first(count);
  std::ranges::make_heap(found);  // sort() recurses
  std::ranges::sort_heap(found);
  for (const unsigned int number : found) {
    if (auto added = add_chip(number); !added) {
      return added;
    }
  }
  return {};
}

Result<void> GpioCdev::add_chip(unsigned int number) {
  constexpr const char* what = "cannot open a GPIO chip";
  FixedString<32> path("/dev/gpiochip");
  path.append(number);
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || !S_ISCHR(status.st_mode)) {
    return {};  // vanished meanwhile, or not a chip
  }
  const auto known = std::span(chips_).first(chip_count_);
  if (std::ranges::find(known, status.st_rdev, &Chip::device) != known.end()) {
    return {};
  }
  std::unique_ptr<gpiod_chip, Close> handle(gpiod_chip_open(path.c_str()));
  if (!handle) {
    switch (errno) {
      case EACCES:
      case EPERM:
        denied_ = true;
        return {};
      case ENODEV:
      case ENOENT:
      case ENOTTY:
      case ENXIO:
        return {};
      default:
        return line_error(what);
    }
  }
  const ChipInfo info(gpiod_chip_get_info(handle.get()));
  if (!info) {
    return errno == ENODEV ? Result<void>() : line_error(what);
  }
  const auto place = std::ranges::find_if(chips_, [](const Chip& chip) { return !chip.handle; });
  if (place == chips_.end()) {
    return fail(ENOSPC, "this machine has too many GPIO chips", "raise GpioCdev::max_chips");
  }
  chip_count_ = std::max(chip_count_, static_cast<std::size_t>(place - chips_.begin()) + 1);
  *place = {.handle = std::move(handle),
            .label = FixedString<32>(gpiod_chip_info_get_label(info.get())),
            .size = gpiod_chip_info_get_num_lines(info.get()),
            .device = status.st_rdev,
            .serial = next_serial_++};
  return {};
}

void GpioCdev::close() {
  for (Request& request : requests_) {
    request.reset();
  }
  chips_ = {};
  chip_count_ = 0;
  denied_ = false;
}

Result<LineAddress> GpioCdev::find(std::string_view name) {
  auto found = find_by_name(name);
  if (!found && found.error().number == ENOENT) {
    found = find_by_offset(name);
  }
  if (!found && found.error().number == ENOENT && denied_) {
    return fail(EACCES, "no such line on the GPIO chips that may be opened", permission_remedy);
  }
  return found;
}

Result<LineAddress> GpioCdev::find_by_name(std::string_view name) {
  Result<LineAddress> found =
      fail(ENOENT, "no GPIO line has this name", "see gpioinfo for the names of lines and chips");
  if (name.empty()) {
    return found;
  }
  for (std::size_t chip = 0; chip < chip_count_; ++chip) {
    for (std::size_t offset = 0; offset < chips_[chip].size; ++offset) {
      const GpiodLineInfo line(
          gpiod_chip_get_line_info(chips_[chip].handle.get(), static_cast<unsigned int>(offset)));
      if (!line) {
        if (errno == ENODEV) {
          break;  // a chip that has vanished has no lines
        }
        return line_error("cannot read the names of the GPIO lines");
      }
      const char* const line_name = gpiod_line_info_get_name(line.get());
      if (line_name == nullptr || name != line_name) {
        continue;
      }
      if (found) {
        return fail(EEXIST, "several GPIO lines have this name",
                    "say which as label:offset, for example pinctrl-bcm2711:17");
      }
      found =
          LineAddress{.chip = chips_[chip].serial, .offset = static_cast<std::uint16_t>(offset)};
    }
  }
  return found;
}

Result<LineAddress> GpioCdev::find_by_offset(std::string_view name) {
  const auto colon = name.rfind(':');
  const char* const end = name.data() + name.size();
  std::uint16_t offset = 0;
  Result<LineAddress> found =
      fail(ENOENT, "no GPIO line has this name", "see gpioinfo for the names of lines and chips");
  if (colon == std::string_view::npos) {
    return found;
  }
  const auto parsed = std::from_chars(name.data() + colon + 1, end, offset);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    return found;
  }
  for (std::size_t chip = 0; chip < chip_count_; ++chip) {
    if (chips_[chip].label != slice(name, 0, colon) || offset >= chips_[chip].size) {
      continue;
    }
    if (found) {
      return fail(EEXIST, "several GPIO chips have this label", "name the line instead");
    }
    found = LineAddress{.chip = chips_[chip].serial, .offset = offset};
  }
  return found;
}

Result<LineAddress> GpioCdev::at(std::size_t index) {
  for (std::size_t chip = 0; chip < chip_count_; ++chip) {
    if (index < chips_[chip].size) {
      return LineAddress{.chip = chips_[chip].serial, .offset = static_cast<std::uint16_t>(index)};
    }
    index -= chips_[chip].size;
  }
  return fail(ENOENT, "there are no more GPIO lines", "see gpioinfo for the lines there are");
}

Result<LineInfo> GpioCdev::info(LineAddress line) {
  const Chip* const chip = chip_of(line);
  if (chip == nullptr) {
    return fail(EINVAL, "no such GPIO line");
  }
  const GpiodLineInfo theirs(gpiod_chip_get_line_info(chip->handle.get(), line.offset));
  if (!theirs) {
    return line_error("cannot read what is known of a GPIO line");
  }
  const auto text = [](const char* value) {
    return FixedString<32>(value != nullptr ? value : "");
  };
  auto consumer = text(gpiod_line_info_get_consumer(theirs.get()));
  if (consumer == "?") {
    consumer.clear();  // the kernel's name for a user without one
  }
  return LineInfo{
      .name = text(gpiod_line_info_get_name(theirs.get())),
      .consumer = consumer,
      .used = gpiod_line_info_is_used(theirs.get()),
      .settings = {.direction = directions.from_gpiod(gpiod_line_info_get_direction(theirs.get())),
                   .bias = biases.from_gpiod(gpiod_line_info_get_bias(theirs.get())),
                   .drive = drives.from_gpiod(gpiod_line_info_get_drive(theirs.get())),
                   .edges = edge_kinds.from_gpiod(gpiod_line_info_get_edge_detection(theirs.get())),
                   .active_low = gpiod_line_info_is_active_low(theirs.get()),
                   .debounce = std::chrono::microseconds(
                       gpiod_line_info_get_debounce_period_us(theirs.get()))}};
}

Result<RequestId> GpioCdev::request(std::span<const LineAddress> lines,
                                    std::span<const LineSettings> settings, const char* consumer,
                                    std::size_t event_buffer) {
  constexpr const char* what = "cannot request the GPIO lines";
  if (const auto checked = check_request(lines, settings); !checked) {
    return std::unexpected(checked.error());
  }
  const Chip* const chip = chip_of(lines.front());
  if (chip == nullptr) {
    return fail(EINVAL, "no such GPIO line");
  }
  const auto free = std::ranges::find(requests_, nullptr, &Request::get);
  if (free == requests_.end()) {
    return fail(ENOSPC, "too many GPIO requests at a time",
                "release other lines, or raise lines in the board's capacities");
  }

  Offsets offsets;
  for (const LineAddress line : lines) {
    offsets.add(line.offset);
  }
  const auto line_config = make_config(offsets.view(), settings);
  if (!line_config) {
    return std::unexpected(line_config.error());
  }
  const RequestConfig config(gpiod_request_config_new());
  if (!config) {
    return line_error(what);
  }
  gpiod_request_config_set_consumer(config.get(), consumer != nullptr ? consumer : "");
  gpiod_request_config_set_event_buffer_size(config.get(), event_buffer);
  Request made(gpiod_chip_request_lines(chip->handle.get(), config.get(), line_config->get()));
  if (!made) {
    return line_error(what);
  }
  // The kernel gives the descriptor in blocking mode.
  if (::fcntl(gpiod_line_request_get_fd(made.get()), F_SETFL, O_NONBLOCK) != 0) {
    return fail_errno(what);
  }
  *free = std::move(made);
  return RequestId{static_cast<std::uint16_t>(free - requests_.begin())};
}

Result<void> GpioCdev::reconfigure(RequestId request, std::span<const LineSettings> settings) {
  gpiod_line_request* const theirs = held(request);
  if (theirs == nullptr) {
    return no_such_request();
  }
  const Offsets offsets = offsets_of(theirs);
  if (settings.size() != offsets.size) {
    return fail(EINVAL, "a GPIO request needs settings for each of its lines");
  }
  if (auto checked = check_settings(settings); !checked) {
    return checked;
  }
  const auto config = make_config(offsets.view(), settings);
  if (!config) {
    return std::unexpected(config.error());
  }
  if (gpiod_line_request_reconfigure_lines(theirs, config->get()) != 0) {
    return line_error("cannot reconfigure the GPIO lines");
  }
  return {};
}

Result<LineMask> GpioCdev::get(RequestId request, LineMask which) {
  gpiod_line_request* const theirs = held(request);
  if (theirs == nullptr) {
    return no_such_request();
  }
  const Offsets chosen = offsets_of(theirs, which);
  std::array<gpiod_line_value, max_lines_per_request> values;
  if (gpiod_line_request_get_values_subset(theirs, chosen.size, chosen.values.data(),
                                           values.data()) != 0) {
    return line_error("cannot read the GPIO lines");
  }
  LineMask levels = 0;
  std::size_t next = 0;
  for (std::size_t i = 0; next < chosen.size; ++i) {
    if ((which >> i & 1) != 0 && values[next++] == GPIOD_LINE_VALUE_ACTIVE) {
      levels |= LineMask{1} << i;
    }
  }
  return levels;
}

Result<void> GpioCdev::set(RequestId request, LineMask which, LineMask levels) {
  gpiod_line_request* const theirs = held(request);
  if (theirs == nullptr) {
    return no_such_request();
  }
  const Offsets chosen = offsets_of(theirs, which);
  std::array<gpiod_line_value, max_lines_per_request> values;
  std::size_t next = 0;
  for (std::size_t i = 0; next < chosen.size; ++i) {
    if ((which >> i & 1) != 0) {
      values[next++] = (levels >> i & 1) != 0 ? GPIOD_LINE_VALUE_ACTIVE : GPIOD_LINE_VALUE_INACTIVE;
    }
  }
  // One ioctl, which looks for a line that is not an output before it changes any.
  if (gpiod_line_request_set_values_subset(theirs, chosen.size, chosen.values.data(),
                                           values.data()) != 0) {
    return line_error("cannot drive the GPIO lines");
  }
  return {};
}

int GpioCdev::event_fd(RequestId request) const {
  gpiod_line_request* const theirs = held(request);
  return theirs != nullptr ? gpiod_line_request_get_fd(theirs) : -1;
}

Result<std::size_t> GpioCdev::read_events(RequestId request, std::span<LineEvent> events) {
  const int fd = event_fd(request);
  if (fd < 0) {
    return no_such_request();
  }
  if (events.empty()) {
    return 0;
  }
  const ssize_t size = ::read(fd, events.data(), events.size_bytes());
  if (size < 0) {
    if (errno == EAGAIN || errno == EINTR) {
      return 0;
    }
    return line_error("cannot read the events of GPIO lines");
  }
  return static_cast<std::size_t>(size) / sizeof(LineEvent);
}

void GpioCdev::release(RequestId request) {
  if (held(request) != nullptr) {
    requests_[std::to_underlying(request)].reset();
  }
}

GpioCdev::Chip* GpioCdev::chip_of(LineAddress line) {
  const auto chips = std::span(chips_).first(chip_count_);
  const auto chip = std::ranges::find_if(chips, [line](const Chip& candidate) {
    return candidate.handle && candidate.serial == line.chip;
  });
  return chip != chips.end() && line.offset < chip->size ? &*chip : nullptr;
}

gpiod_line_request* GpioCdev::held(RequestId request) const {
  const std::size_t index = std::to_underlying(request);
  return index < requests_.size() ? requests_[index].get() : nullptr;
}

}  // namespace millrace::hal
