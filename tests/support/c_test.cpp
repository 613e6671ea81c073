// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <gtest/gtest.h>
#include <string_view>

// Its macros are for C only: TEST and the like are GoogleTest's here.
extern "C" {
using CTestBody = void (*)();
void c_test_register(const char* suite, const char* name, const char* file, int line,
                     CTestBody body);
bool c_test_expect(bool holds, const char* condition, const char* file, int line);
bool c_test_expect_eq(std::intmax_t a, std::intmax_t b, const char* a_text, const char* b_text,
                      const char* file, int line);
bool c_test_expect_streq(const char* a, const char* b, const char* a_text, const char* b_text,
                         const char* file, int line);
}

namespace {

class CTest : public testing::Test {
 public:
  explicit CTest(CTestBody body) : body_(body) {}
  void TestBody() override { body_(); }

 private:
  CTestBody body_;
};

}  // namespace

void c_test_register(const char* suite, const char* name, const char* file, int line,
                     CTestBody body) {
  testing::RegisterTest(suite, name, nullptr, nullptr, file, line,
                        [body]() -> testing::Test* { return new CTest(body); });
}

bool c_test_expect(bool holds, const char* condition, const char* file, int line) {
  if (!holds) {
    ADD_FAILURE_AT(file, line) << "Expected to be true: " << condition;
  }
  return holds;
}

bool c_test_expect_eq(std::intmax_t a, std::intmax_t b, const char* a_text, const char* b_text,
                      const char* file, int line) {
  if (a != b) {
    ADD_FAILURE_AT(file, line) << "Expected to be equal:\n  " << a_text << "\n    is " << a
                               << "\n  " << b_text << "\n    is " << b;
  }
  return a == b;
}

bool c_test_expect_streq(const char* a, const char* b, const char* a_text, const char* b_text,
                         const char* file, int line) {
  const bool equal = a != nullptr && b != nullptr && std::string_view(a) == b;
  if (!equal) {
    ADD_FAILURE_AT(file, line) << "Expected to be equal:\n  " << a_text << "\n    is "
                               << (a != nullptr ? a : "null") << "\n  " << b_text << "\n    is "
                               << (b != nullptr ? b : "null");
  }
  return equal;
}
