// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "hal/error.hpp"
#include "hal/fd.hpp"
#include "hal/fixed_string.hpp"
#include "hal/io.hpp"
#include "hal/uart_settings.hpp"

namespace millrace::hal {

/// The kernel's counters of a port since boot (struct serial_icounter_struct, TIOCGICOUNT).
struct UartCounters {
  std::uint32_t received = 0;
  std::uint32_t transmitted = 0;
  std::uint32_t framing_errors = 0;
  std::uint32_t parity_errors = 0;
  std::uint32_t overruns = 0;         ///< lost in the hardware
  std::uint32_t buffer_overruns = 0;  ///< lost in the kernel
  std::uint32_t breaks = 0;
};

/// The modem lines (TIOCMGET). Inputs: cts, dsr, ri, dcd. Outputs: dtr, rts.
struct ModemLines {
  bool dtr = false, rts = false, cts = false, dsr = false, ri = false, dcd = false;
};

/// A serial port: raw bytes, non-blocking. Either a device, or a simulated port: a pty whose other
/// end people open. Loop thread only. What a pty cannot do (modem lines, counters, breaks) fails
/// with ENOTSUP or ENOTTY and harms nothing.
class Uart {
 public:
  /// Opens and sets up a device such as /dev/serial/by-id/… or /dev/ttyAMA0, for exclusive use
  /// (TIOCEXCL). Errors: ENOENT, EACCES (join the group dialout), EBUSY, ENOTTY (no serial port),
  /// EINVAL (settings that the hardware can't do).
  [[nodiscard]] static Result<Uart> open(const char* path, const UartSettings& settings);

  /// Makes a simulated port. path() is the end that the other side opens, as if it were a device.
  /// It stays usable while nobody has it open, and however often it is opened and closed.
  [[nodiscard]] static Result<Uart> open_simulated(const UartSettings& settings);

  /// An empty object: no port is open.
  Uart() = default;

  [[nodiscard]] bool is_open() const { return static_cast<bool>(fd_); }
  [[nodiscard]] bool simulated() const { return static_cast<bool>(other_end_); }
  /// To be watched for readable and writable. −1 when not open.
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::string_view path() const { return path_.view(); }
  [[nodiscard]] const UartSettings& settings() const { return settings_; }

  /// Sets the port up anew. On failure the old settings hold.
  [[nodiscard]] Result<void> configure(const UartSettings& settings);

  /// The transfer fails with EIO or ENODEV, or is `closed`, once the adapter is unplugged.
  [[nodiscard]] Transfer read(std::span<std::byte> first, std::span<std::byte> second = {});
  [[nodiscard]] Transfer write(std::span<const std::byte> from);

  [[nodiscard]] Result<UartCounters> counters() const;
  [[nodiscard]] Result<ModemLines> modem_lines() const;
  [[nodiscard]] Result<void> set_dtr(bool on);
  [[nodiscard]] Result<void> set_rts(bool on);
  /// Starts or ends a break condition (TIOCSBRK, TIOCCBRK): the caller times it.
  [[nodiscard]] Result<void> set_break(bool on);
  /// Throws away what waits in the kernel: received, to be sent, or both (tcflush(3)).
  [[nodiscard]] Result<void> flush(bool input, bool output);

  void close();

 private:
  Fd fd_;
  Fd other_end_;  ///< simulated: keeps the pty alive while nobody else has it open
  FixedString<127> path_;
  UartSettings settings_;
};

}  // namespace millrace::hal
