// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cerrno>
#include <expected>

namespace millrace {

/// Why a call failed: an errno value, what was being done, and what the person at the keyboard can
/// do about it. The caller, who knows the place (a line's name, a path), adds it when reporting.
///
/// Trivially copyable; both texts are string literals, so an Error never owns memory.
struct Error {
  int number = 0;           ///< errno value; 0 when no system call failed
  const char* what = "";    ///< for example "cannot open the serial port"
  const char* remedy = "";  ///< for example "add yourself to the group dialout"; may be empty

  friend bool operator==(const Error& a, const Error& b) { return a.number == b.number; }
};

/// A value, or the reason there is none.
template <class T>
using Result = std::expected<T, Error>;

/// Shorthand for `return fail(ENOENT, "no such line", "…")`.
[[nodiscard]] inline std::unexpected<Error> fail(int number, const char* what,
                                                 const char* remedy = "") {
  return std::unexpected(Error{number, what, remedy});
}

/// The errno of the call that has just failed, with what it was for.
[[nodiscard]] inline std::unexpected<Error> fail_errno(const char* what, const char* remedy = "") {
  return fail(errno, what, remedy);
}

}  // namespace millrace
