// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>

struct Late {
  ~Late() { __builtin_trap(); }
} late;

TEST(Late, passes) {}
