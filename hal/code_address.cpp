// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "hal/code_address.hpp"

#include <cstdint>
#include <dlfcn.h>

namespace millrace::hal {

FixedString<200> describe_code(const void* address) {
  FixedString<200> text("0x");
  text.append(hex(reinterpret_cast<std::uintptr_t>(address)));
  Dl_info info{};
  if (::dladdr(address, &info) != 0 && info.dli_sname != nullptr) {
    text.append(" in ", info.dli_sname);
  }
  if (info.dli_fname != nullptr) {
    text.append(" of ", info.dli_fname);
  }
  return text;
}

}  // namespace millrace::hal
