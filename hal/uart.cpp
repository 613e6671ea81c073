// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/uart.hpp"

// <termios.h> knows no termios2 and can't be included together with the kernel's own header.
#include <algorithm>
#include <array>
#include <asm/termbits.h>
#include <cstdlib>
#include <fcntl.h>
#include <linux/major.h>
#include <linux/serial.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace millrace::hal {
namespace {

struct StandardRate {
  std::uint32_t baud;
  tcflag_t flag;
};

// BOTHER works for these as well, but stty(1) and other programs then show a speed of 0.
constexpr std::array<StandardRate, 30> standard_rates{
    {{50, B50},           {75, B75},           {110, B110},         {134, B134},
     {150, B150},         {200, B200},         {300, B300},         {600, B600},
     {1200, B1200},       {1800, B1800},       {2400, B2400},       {4800, B4800},
     {9600, B9600},       {19200, B19200},     {38400, B38400},     {57600, B57600},
     {115200, B115200},   {230400, B230400},   {460800, B460800},   {500000, B500000},
     {576000, B576000},   {921600, B921600},   {1000000, B1000000}, {1152000, B1152000},
     {1500000, B1500000}, {2000000, B2000000}, {2500000, B2500000}, {3000000, B3000000},
     {3500000, B3500000}, {4000000, B4000000}}};

// What a driver may leave as it was, if its hardware can't do what it was asked for.
constexpr tcflag_t frame_flags = CSIZE | CSTOPB | PARENB | PARODD | CMSPAR | CRTSCTS;
// What every pty leaves as it was: pty_set_termios() in drivers/tty/pty.c of the kernel.
constexpr tcflag_t not_on_a_pty = CSIZE | PARENB | PARODD | CMSPAR;

tcflag_t baud_flags(std::uint32_t baud) {
  const auto rate = std::ranges::find(standard_rates, baud, &StandardRate::baud);
  const tcflag_t flag = rate != standard_rates.end() ? rate->flag : BOTHER;
  return flag | (flag << IBSHIFT);
}

tcflag_t data_bits_flags(std::uint8_t bits) {
  constexpr std::array<tcflag_t, 4> flags{CS5, CS6, CS7, CS8};
  return flags[bits - 5U];
}

tcflag_t parity_flags(Parity parity) {
  switch (parity) {
    case Parity::none:
      return 0;
    case Parity::odd:
      return PARENB | PARODD;
    case Parity::even:
      return PARENB;
    case Parity::mark:
      return PARENB | PARODD | CMSPAR;
    case Parity::space:
      return PARENB | CMSPAR;
  }
  return 0;
}

/// Raw: no byte is changed, swallowed or echoed. `before`: what the port had.
termios2 raw_mode(const termios2& before, const UartSettings& settings) {
  termios2 mode{};
  mode.c_cflag = CREAD | CLOCAL | (before.c_cflag & HUPCL) | baud_flags(settings.baud) |
                 data_bits_flags(settings.data_bits) | parity_flags(settings.parity);
  if (settings.stop_bits == 2) {
    mode.c_cflag |= CSTOPB;
  }
  if (settings.flow_control == FlowControl::rtscts) {
    mode.c_cflag |= CRTSCTS;
  }
  if (settings.flow_control == FlowControl::xonxoff) {
    mode.c_iflag = IXON | IXOFF;
  }
  mode.c_cc[VSTART] = 0x11;
  mode.c_cc[VSTOP] = 0x13;
  // With VMIN 0 a read without data would return 0, which is what an unplugged port returns.
  mode.c_cc[VMIN] = 1;
  mode.c_ispeed = settings.baud;
  mode.c_ospeed = settings.baud;
  return mode;
}

/// A transmitter and a receiver that differ by more than 3 % don't understand each other: by the
/// tenth bit they are half a bit apart at 5 %, and both have a share in that.
bool close_enough(std::uint32_t actual, std::uint32_t wanted) {
  const auto difference = std::uint64_t{std::max(actual, wanted)} - std::min(actual, wanted);
  return difference * 100 <= std::uint64_t{wanted} * 3;
}

/// Which driver serves it, as in admin-guide/devices.txt of the kernel; 0 if it is no device.
unsigned driver_of(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) ? major(status.st_rdev) : 0;
}

bool is_pty(int fd) {
  const unsigned type = driver_of(fd);
  return type == TTYAUX_MAJOR ||  // /dev/ptmx
         (type >= UNIX98_PTY_MASTER_MAJOR &&
          type < UNIX98_PTY_SLAVE_MAJOR + UNIX98_PTY_MAJOR_COUNT);
}

/// A virtual machine's port to its host, as /dev/hvc0: without speed, frame or break.
bool is_hypervisor_console(int fd) {
  constexpr unsigned hvc_major = 229;
  return driver_of(fd) == hvc_major;
}

const char* open_remedy(int error) {
  switch (error) {
    case ENOENT:
      return "plug the adapter in, or choose one of /dev/serial/by-id/";
    case EACCES:
      return "add yourself to the group dialout";
    case EBUSY:
      return "stop the other program that uses the port";
    case ENOTTY:
      return "this file is no serial port";
    case EIO:
    case ENXIO:
    case ENODEV:
      return "there is no hardware behind this device: choose another one";
    default:
      return "";
  }
}

Result<void> set_mode(int fd, const UartSettings& settings) {
  constexpr const char* what = "cannot set up the serial port";
  termios2 before{};
  if (::ioctl(fd, TCGETS2, &before) != 0) {
    return fail_errno(what, open_remedy(errno));
  }
  const termios2 wanted = raw_mode(before, settings);
  if (::ioctl(fd, TCSETS2, &wanted) != 0) {
    return fail_errno(what);
  }
  if (is_hypervisor_console(fd)) {
    return {};  // it keeps the speed and the frame that it had, and nothing depends on them
  }
  // Drivers take what they can do of it and report success.
  termios2 actual{};
  if (::ioctl(fd, TCGETS2, &actual) != 0) {
    return fail_errno(what);
  }
  const tcflag_t compared = is_pty(fd) ? frame_flags & ~not_on_a_pty : frame_flags;
  const char* remedy = nullptr;
  if (!close_enough(actual.c_ospeed, settings.baud)) {
    remedy = "the hardware can't do this baud rate";
  } else if (((actual.c_cflag ^ wanted.c_cflag) & compared) != 0) {
    remedy = "the hardware can't do these data bits, stop bits, parity or flow control";
  }
  if (remedy != nullptr) {
    ::ioctl(fd, TCSETS2, &before);
    return fail(EINVAL, what, remedy);
  }
  return {};
}

Result<void> set_rs485(int fd, bool on) {
  constexpr const char* what = "cannot switch the serial port to RS-485";
  constexpr const char* remedy =
      "its driver can't: turn rs485 off and use an adapter that switches by itself";
  serial_rs485 mode{};
  if (::ioctl(fd, TIOCGRS485, &mode) != 0) {
    return fail_errno(what, remedy);
  }
  constexpr __u32 enabled = SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND;
  mode.flags = on ? (mode.flags & ~__u32{SER_RS485_RTS_AFTER_SEND}) | enabled
                  : mode.flags & ~__u32{SER_RS485_ENABLED};
  if (::ioctl(fd, TIOCSRS485, &mode) != 0 || ::ioctl(fd, TIOCGRS485, &mode) != 0) {
    return fail_errno(what, remedy);
  }
  if (((mode.flags & SER_RS485_ENABLED) != 0) != on) {
    return fail(ENOTSUP, what, remedy);
  }
  return {};
}

Result<void> set_low_latency(int fd, bool on) {
  constexpr const char* what = "cannot set the serial port's low latency";
  constexpr const char* remedy = "its driver can't: turn low_latency off";
  serial_struct serial{};
  if (::ioctl(fd, TIOCGSERIAL, &serial) != 0) {
    return fail_errno(what, remedy);
  }
  serial.flags = on ? serial.flags | static_cast<int>(ASYNC_LOW_LATENCY)
                    : serial.flags & ~static_cast<int>(ASYNC_LOW_LATENCY);
  if (::ioctl(fd, TIOCSSERIAL, &serial) != 0 || ::ioctl(fd, TIOCGSERIAL, &serial) != 0) {
    return fail_errno(what, remedy);
  }
  if (((serial.flags & static_cast<int>(ASYNC_LOW_LATENCY)) != 0) != on) {
    return fail(ENOTSUP, what, remedy);
  }
  return {};
}

Result<void> set_modem_line(int fd, int line, bool on) {
  if (::ioctl(fd, on ? TIOCMBIS : TIOCMBIC, &line) != 0) {
    return fail_errno("cannot set a modem line", "this port has none");
  }
  return {};
}

}  // namespace

Result<Uart> Uart::open(const char* path, const UartSettings& settings) {
  constexpr const char* what = "cannot open the serial port";
  Uart uart;
  uart.path_.append(path);
  if (uart.path_.truncated()) {
    return fail(ENAMETOOLONG, what, "choose a shorter path");
  }
  // Non-blocking from the start: otherwise open() waits for a modem's carrier.
  uart.fd_ = Fd(::open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!uart.fd_) {
    return fail_errno(what, open_remedy(errno));
  }
  // The kernel lets root in even so.
  int exclusive = 0;
  if (::ioctl(uart.fd(), TIOCGEXCL, &exclusive) == 0 && exclusive != 0) {
    return fail(EBUSY, what, open_remedy(EBUSY));
  }
  if (auto configured = uart.configure(settings); !configured) {
    return std::unexpected(configured.error());
  }
  // A pty that its maker holds open would stay locked after us.
  if (!is_pty(uart.fd()) && ::ioctl(uart.fd(), TIOCEXCL) != 0) {
    return fail_errno("cannot get the serial port for exclusive use");
  }
  return uart;
}

Result<Uart> Uart::open_simulated(const UartSettings& settings) {
  constexpr const char* what = "cannot make a simulated serial port";
  constexpr const char* remedy = "mount /dev/pts, or raise /proc/sys/kernel/pty/max";
  Uart uart;
  uart.fd_ = Fd(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!uart.fd_) {
    return fail_errno(what, remedy);
  }
  std::array<char, 64> name{};
  if (::unlockpt(uart.fd()) != 0 || ::ptsname_r(uart.fd(), name.data(), name.size()) != 0) {
    return fail_errno(what, remedy);
  }
  uart.path_.append(name.data());
  uart.other_end_ = Fd(::open(name.data(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!uart.other_end_) {
    return fail_errno(what, remedy);
  }
  if (::fchmod(uart.other_end_.get(), 0660) != 0) {
    return fail_errno("cannot let the group use the simulated serial port");
  }
  if (auto configured = uart.configure(settings); !configured) {
    return std::unexpected(configured.error());
  }
  return uart;
}

Result<void> Uart::configure(const UartSettings& settings) {
  if (settings.baud == 0 || settings.data_bits < 5 || settings.data_bits > 8 ||
      settings.stop_bits < 1 || settings.stop_bits > 2) {
    return fail(EINVAL, "cannot set up the serial port",
                "give a baud rate above 0, 5 to 8 data bits, 1 or 2 stop bits");
  }
  if (settings.rs485 && settings.flow_control == FlowControl::rtscts) {
    return fail(EINVAL, "cannot set up the serial port",
                "RS-485 needs RTS for itself: use another flow control");
  }
  // A simulated port has no transceiver to switch and no latency to lower.
  const bool change_rs485 = !simulated() && settings.rs485 != settings_.rs485;
  const bool change_latency = !simulated() && settings.low_latency != settings_.low_latency;
  if (change_rs485) {
    if (auto set = set_rs485(fd(), settings.rs485); !set) {
      return set;
    }
  }
  Result<void> set;
  if (change_latency) {
    set = set_low_latency(fd(), settings.low_latency);
  }
  if (set) {
    set = set_mode(fd(), settings);
    if (!set && change_latency) {
      (void)set_low_latency(fd(), settings_.low_latency);
    }
  }
  if (!set && change_rs485) {
    (void)set_rs485(fd(), settings_.rs485);
  }
  if (set) {
    settings_ = settings;
  }
  return set;
}

Transfer Uart::read(std::span<std::byte> first, std::span<std::byte> second) {
  return hal::read(fd(), first, second);
}

Transfer Uart::write(std::span<const std::byte> from) { return hal::write(fd(), from); }

Result<UartCounters> Uart::counters() const {
  serial_icounter_struct counts{};
  if (::ioctl(fd(), TIOCGICOUNT, &counts) != 0) {
    return fail_errno("cannot read the serial port's counters", "this port has none");
  }
  const auto count = [](int value) { return static_cast<std::uint32_t>(value); };
  return UartCounters{.received = count(counts.rx),
                      .transmitted = count(counts.tx),
                      .framing_errors = count(counts.frame),
                      .parity_errors = count(counts.parity),
                      .overruns = count(counts.overrun),
                      .buffer_overruns = count(counts.buf_overrun),
                      .breaks = count(counts.brk)};
}

Result<ModemLines> Uart::modem_lines() const {
  int lines = 0;
  if (::ioctl(fd(), TIOCMGET, &lines) != 0) {
    return fail_errno("cannot read the modem lines", "this port has none");
  }
  return ModemLines{.dtr = (lines & TIOCM_DTR) != 0,
                    .rts = (lines & TIOCM_RTS) != 0,
                    .cts = (lines & TIOCM_CTS) != 0,
                    .dsr = (lines & TIOCM_DSR) != 0,
                    .ri = (lines & TIOCM_RNG) != 0,
                    .dcd = (lines & TIOCM_CAR) != 0};
}

Result<void> Uart::set_dtr(bool on) { return set_modem_line(fd(), TIOCM_DTR, on); }

Result<void> Uart::set_rts(bool on) { return set_modem_line(fd(), TIOCM_RTS, on); }

Result<void> Uart::set_break(bool on) {
  constexpr const char* what = "cannot send a break";
  // The kernel reports success where nothing happens.
  if (is_pty(fd()) || is_hypervisor_console(fd())) {
    return fail(ENOTSUP, what, "this port has no line to break");
  }
  if (::ioctl(fd(), on ? TIOCSBRK : TIOCCBRK) != 0) {
    return fail_errno(what);
  }
  return {};
}

Result<void> Uart::flush(bool input, bool output) {
  if (!input && !output) {
    return {};
  }
  const int queue = input && output ? TCIOFLUSH : (input ? TCIFLUSH : TCOFLUSH);
  if (::ioctl(fd(), TCFLSH, queue) != 0) {
    return fail_errno("cannot flush the serial port");
  }
  return {};
}

void Uart::close() {
  fd_.reset();
  other_end_.reset();
}

}  // namespace millrace::hal
