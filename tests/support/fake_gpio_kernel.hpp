// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

// A kernel with one GPIO chip, for tests of what lies above it: libgpiod and GpioCdev, unchanged.
// The functions of libc below serve /dev/gpiochip0, and pass all else on. Include it in one source
// of a program only. What real lines do is for the kernel's own gpio-sim: see tests/qemu.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <utility>

namespace millrace::test {

class FakeGpioKernel {
 public:
  static constexpr unsigned int lines = 192;
  static constexpr std::string_view label = "fake-gpio";

  static FakeGpioKernel& instance() {
    static FakeGpioKernel kernel;
    return kernel;
  }

  [[nodiscard]] static bool is_chip(const char* path) {
    return std::string_view(path) == "/dev/gpiochip0";
  }

  int open_chip() {
    chip_ = memory_file();
    return chip_;
  }
  void opened_dev(int fd) {
    dev_ = fd;
    dev_read_ = false;
  }

  /// ioctl(2); not_mine if `fd` is none of the chip's or its requests'.
  static constexpr int not_mine = -1000;
  int control(int fd, unsigned int request, void* argument) {
    if (fd == chip_) {
      switch (request) {
        case GPIO_GET_CHIPINFO_IOCTL:
          return chip_info(*static_cast<gpiochip_info*>(argument));
        case GPIO_V2_GET_LINEINFO_IOCTL:
          return line_info(*static_cast<gpio_v2_line_info*>(argument));
        case GPIO_V2_GET_LINE_IOCTL:
          return request_lines(*static_cast<gpio_v2_line_request*>(argument));
        default:
          return error(ENOTTY);
      }
    }
    if (fd < 0 || fd >= max_fd || !requests_[index(fd)].open) {
      return not_mine;
    }
    std::uint64_t& levels = requests_[index(fd)].levels;
    switch (request) {
      case GPIO_V2_LINE_SET_CONFIG_IOCTL:
        return 0;
      case GPIO_V2_LINE_SET_VALUES_IOCTL: {
        const auto& values = *static_cast<gpio_v2_line_values*>(argument);
        levels = (levels & ~values.mask) | (values.bits & values.mask);
        return 0;
      }
      case GPIO_V2_LINE_GET_VALUES_IOCTL: {
        auto& values = *static_cast<gpio_v2_line_values*>(argument);
        values.bits = levels & values.mask;
        return 0;
      }
      default:
        return error(ENOTTY);
    }
  }

  /// The listing of /dev has the chip, once; -1 if `fd` is not /dev.
  long list(int fd, void* entries) {
    if (fd != dev_) {
      return -1;
    }
    if (std::exchange(dev_read_, true)) {
      return 0;
    }
    auto& entry = *static_cast<dirent64*>(entries);
    entry.d_reclen = sizeof(dirent64);
    std::strcpy(entry.d_name, "gpiochip0");
    return entry.d_reclen;
  }

  void closed(int fd) {
    if (fd >= 0 && fd < max_fd) {
      requests_[index(fd)] = {};
    }
    if (fd == dev_) {
      dev_ = -1;
    }
  }

  [[nodiscard]] auto requests() const {
    return std::ranges::count(requests_, true, &Request::open);
  }

 private:
  static constexpr int max_fd = 1024;
  struct Request {
    bool open = false;
    std::uint64_t levels = 0;
  };

  static std::size_t index(int fd) { return static_cast<std::size_t>(fd); }
  static int error(int number) {
    errno = number;
    return -1;
  }
  static int memory_file() { return ::memfd_create("gpio", MFD_CLOEXEC); }

  static int chip_info(gpiochip_info& info) {
    info = {};
    std::strcpy(info.name, "gpiochip0");
    std::ranges::copy(label, info.label);
    info.lines = lines;
    return 0;
  }
  static int line_info(gpio_v2_line_info& info) {
    const unsigned int offset = info.offset;
    if (offset >= lines) {
      return error(EINVAL);
    }
    info = {};
    info.offset = offset;
    (void)std::snprintf(info.name, sizeof(info.name), "LINE%u", offset);
    info.flags = GPIO_V2_LINE_FLAG_INPUT;
    return 0;
  }
  int request_lines(gpio_v2_line_request& request) {
    if (request.num_lines == 0 || request.num_lines > GPIO_V2_LINES_MAX) {
      return error(EINVAL);
    }
    request.fd = memory_file();
    if (request.fd < 0 || request.fd >= max_fd) {
      return error(EMFILE);
    }
    requests_[index(request.fd)].open = true;
    return 0;
  }

  int chip_ = -1;
  int dev_ = -1;
  bool dev_read_ = false;
  std::array<Request, max_fd> requests_{};  // by descriptor; no map, which would allocate
};

}  // namespace millrace::test

extern "C" {
// NOLINTBEGIN: these stand in for libc's, whose interfaces are what they are
int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = va_arg(arguments, mode_t);
  va_end(arguments);
  auto& kernel = millrace::test::FakeGpioKernel::instance();
  if (kernel.is_chip(path)) {
    return kernel.open_chip();
  }
  const auto fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  if (std::string_view(path) == "/dev") {
    kernel.opened_dev(fd);
  }
  return fd;
}

int close(int fd) {
  millrace::test::FakeGpioKernel::instance().closed(fd);
  return static_cast<int>(::syscall(SYS_close, fd));
}

int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  const int answer = millrace::test::FakeGpioKernel::instance().control(
      fd, static_cast<unsigned int>(request), argument);  // all that the kernel looks at
  return answer != millrace::test::FakeGpioKernel::not_mine
             ? answer
             : static_cast<int>(::syscall(SYS_ioctl, fd, request, argument));
}

ssize_t getdents64(int fd, void* entries, size_t size) noexcept {
  const long listed = millrace::test::FakeGpioKernel::instance().list(fd, entries);
  return listed >= 0 ? listed : ::syscall(SYS_getdents64, fd, entries, size);
}

static int status_of(const char* path, struct stat* status, int flags) {
  if (!millrace::test::FakeGpioKernel::is_chip(path)) {
    return ::fstatat(AT_FDCWD, path, status, flags);
  }
  *status = {};
  status->st_mode = S_IFCHR;
  status->st_rdev = makedev(254, 0);
  return 0;
}
int stat(const char* path, struct stat* status) noexcept { return status_of(path, status, 0); }
int lstat(const char* path, struct stat* status) noexcept {
  return status_of(path, status, AT_SYMLINK_NOFOLLOW);
}

// libgpiod asks it only for what a device's subsystem is.
char* realpath(const char* path, char* resolved) noexcept {
  if (std::string_view(path) != "/sys/dev/char/254:0/subsystem" || resolved == nullptr) {
    errno = ENOENT;
    return nullptr;
  }
  return std::strcpy(resolved, "/sys/bus/gpio");
}
// NOLINTEND
}
