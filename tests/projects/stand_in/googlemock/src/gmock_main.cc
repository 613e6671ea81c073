// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// In place of GoogleTest, for projects that show what does not depend on it: compiled in no time,
// it runs test(), and reports that one case has passed.

#include <cstdio>
#include <cstring>

#include "../../stand_in.hpp"

int main(int count, char** arguments) {
  test();
  for (int i = 1; i < count; ++i) {
    if (std::strncmp(arguments[i], "--gtest_output=xml:", 19) == 0) {
      std::FILE* report = std::fopen(arguments[i] + 19, "w");
      std::fputs("<testsuites><testcase classname='Stand' name='in'/></testsuites>", report);
      std::fclose(report);
    }
  }
}
