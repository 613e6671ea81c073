// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <thread>

void test() {
  int value = 0;
  std::thread other([&] { ++value; });
  ++value;
  other.join();
}
