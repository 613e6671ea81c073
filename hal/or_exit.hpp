// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstdlib>
#include <string_view>
#include <type_traits>
#include <utility>

#include "hal/error.hpp"
#include "hal/error_text.hpp"
#include "hal/log.hpp"

namespace millrace {

/// The value, or the end: logs why there is none, with its place, and exits with status 1. For a
/// main() that can't go on without.
template <class T>
T or_exit(Result<T>&& result,  // NOLINT(*-not-moved): its value is; by value it would be copied
          std::string_view place) {
  if (!result) {
    hal::log(hal::LogLevel::error, place, ": ", describe(result.error()));
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(*result);
  }
}

}  // namespace millrace
