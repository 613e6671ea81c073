// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "sign.hpp"

int sign(int value) {
  if (value < 0) {
    return -1;  // nobody runs this
  }
  return 1;
}
