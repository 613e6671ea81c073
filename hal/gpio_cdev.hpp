// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <sys/types.h>

#include "hal/error.hpp"
#include "hal/fixed_string.hpp"
#include "hal/gpio.hpp"

struct gpiod_chip;
struct gpiod_line_request;

namespace millrace::hal {

/// The lines of all GPIO chips of this machine, by the kernel's character devices and libgpiod 2.
///
/// A table of fixed size holds the chips; requests and all that libgpiod allocates live in memory
/// given by the owner: see StaticGpioCdev. Events do not pass through libgpiod: they are read from
/// the kernel straight into the caller's memory.
///
/// One object at a time, as libgpiod's memory is one for the process.
class GpioCdev : public Gpio {
 public:
  /// More than any board has: a Raspberry Pi 5 has five or six, its symbolic link not counted.
  static constexpr std::size_t max_chips = 16;

  struct Close {
    void operator()(gpiod_chip* chip) const;
    void operator()(gpiod_line_request* request) const;
  };
  using Request = std::unique_ptr<gpiod_line_request, Close>;

  /// Bytes that libgpiod needs for so many requests at a time, and to make or change one of so many
  /// lines: as measured with versions 2.1 and 2.2 on 64-bit machines, others need less.
  [[nodiscard]] static constexpr std::size_t memory_for(std::size_t requests, std::size_t lines) {
    return 320 * requests + 80 * std::min(lines, max_lines_per_request) + 2048;
  }

  /// There can be as many requests at a time, of any number of lines each, as there are `requests`;
  /// every one holds a descriptor. For `libgpiod_memory` see memory_for(). Both must outlive the
  /// object.
  GpioCdev(std::span<Request> requests, std::span<std::byte> libgpiod_memory);

  /// Opens every /dev/gpiochip*, by ascending number. A second name of the same chip, as the
  /// Raspberry Pi's system gives to one of them, is passed over. A machine without GPIO is no
  /// error: then there are no lines. Nor is a chip that may not be opened, if others may.
  /// Errors: EACCES (none may be opened), ENOSPC (more than max_chips), EMFILE, ENOMEM.
  /// A handful of system calls a chip: for start-up. Again after close() looks for chips anew.
  [[nodiscard]] Result<void> open();

  /// Releases all requests, and closes all chips.
  void close();

  /// EACCES in place of ENOENT when there are chips that may not be opened.
  [[nodiscard]] Result<void> refresh() override;
  using Gpio::find;
  [[nodiscard]] Result<LineAddress> find(std::string_view name) override;
  [[nodiscard]] Result<LineAddress> at(std::size_t index) override;
  [[nodiscard]] Result<LineInfo> info(LineAddress line) override;

  /// ENOSPC when all requests are in use, and ENOBUFS when libgpiod's memory is: nothing else is
  /// affected. The kernel rounds `event_buffer` up to a power of two, takes at most 1024, and
  /// refuses 1 with EINVAL where a line reports edges. E2BIG when the settings differ in more ways
  /// than one call to the kernel can carry (GPIO_V2_LINE_NUM_ATTRS_MAX, 10). Two system calls.
  [[nodiscard]] Result<RequestId> request(std::span<const LineAddress> lines,
                                          std::span<const LineSettings> settings,
                                          const char* consumer,
                                          std::size_t event_buffer = 0) override;

  /// Lines whose direction shall be as it is are left alone altogether (by Linux 6.10 and later).
  [[nodiscard]] Result<void> reconfigure(RequestId request,
                                         std::span<const LineSettings> settings) override;

  /// EINVAL when `which` has none of the request's lines; so does set().
  [[nodiscard]] Result<LineMask> get(RequestId request, LineMask which) override;
  [[nodiscard]] Result<void> set(RequestId request, LineMask which, LineMask levels) override;

  [[nodiscard]] int event_fd(RequestId request) const override;
  [[nodiscard]] Result<std::size_t> read_events(RequestId request,
                                                std::span<LineEvent> events) override;
  void release(RequestId request) override;

 protected:
  ~GpioCdev() = default;

 private:
  struct Chip {
    std::unique_ptr<gpiod_chip, Close> handle;
    FixedString<32> label;
    std::size_t size = 0;  // lines
    dev_t device = 0;
    std::uint16_t serial = 0;  // LineAddress::chip: never used again, so that no address is stale
  };

  [[nodiscard]] Result<void> add_chips();
  [[nodiscard]] Result<void> add_chip(unsigned int number);
  [[nodiscard]] Result<LineAddress> find_by_name(std::string_view name);
  [[nodiscard]] Result<LineAddress> find_by_offset(std::string_view name);
  [[nodiscard]] Chip* chip_of(LineAddress line);
  [[nodiscard]] gpiod_line_request* held(RequestId request) const;

  std::array<Chip, max_chips> chips_{};
  std::size_t chip_count_ = 0;
  std::uint16_t next_serial_ = 0;
  bool denied_ = false;  // there are chips that may not be opened
  std::span<Request> requests_;
};

/// The memory of a GpioCdev: a base class, so that it is there before the GpioCdev is.
template <std::size_t Requests, std::size_t LibgpiodMemory>
struct GpioCdevMemory {
  std::array<GpioCdev::Request, Requests> requests{};
  alignas(std::max_align_t) std::array<std::byte, LibgpiodMemory> libgpiod{};
};

/// A GpioCdev with its memory: `Requests` at a time, and `LibgpiodMemory` bytes for libgpiod.
template <std::size_t Requests, std::size_t LibgpiodMemory>
class StaticGpioCdev final : private GpioCdevMemory<Requests, LibgpiodMemory>, public GpioCdev {
  using Memory = GpioCdevMemory<Requests, LibgpiodMemory>;

 public:
  StaticGpioCdev() : GpioCdev(Memory::requests, Memory::libgpiod) {}
};

}  // namespace millrace::hal
