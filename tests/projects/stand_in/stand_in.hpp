// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <cstdlib>

// A test file of a project that uses the stand-in has one test.
void test();

inline void expect(bool holds) {
  if (!holds) {
    std::abort();
  }
}
