// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "whole/whole.hpp"

int whole(bool yes) {
  if (yes) {
    return 1;
  }
  return 0;
}
