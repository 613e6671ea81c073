// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cstdlib>

void test() {
  volatile char* bytes = static_cast<char*>(std::malloc(4));
  bytes[4] = 1;
  std::free(const_cast<char*>(bytes));
}
