// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace millrace {

/// The part of `text` from `from` to before `to`, as far as there is any: what substr() is for,
/// which throws.
[[nodiscard]] constexpr std::string_view slice(std::string_view text, std::size_t from,
                                               std::size_t to = std::string_view::npos) {
  const std::size_t end = std::min(to, text.size());
  const std::size_t begin = std::min(from, end);
  return {text.data() + begin, end - begin};
}

}  // namespace millrace
