// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cstdlib>

// What is in the vtable of an interface while its implementation is being made or destroyed
// (Itanium C++ ABI 3.2.6). The C++ library's own brings exceptions, their unwinder and a demangler
// into every static program.
// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming): the ABI's name
extern "C" [[noreturn]] void __cxa_pure_virtual() { std::abort(); }
