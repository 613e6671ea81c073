// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cstdlib>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <string>

#include "hal/code_address.hpp"

namespace millrace::hal {
namespace {

void some_code() {}

std::string described(const void* address) { return std::string(describe_code(address).view()); }

TEST(CodeAddress, of_a_library_s_function_has_its_name_and_the_library_s) {
  const void* const address = ::dlsym(RTLD_DEFAULT, "gnu_get_libc_version");
  ASSERT_NE(address, nullptr);
  const std::string text = described(address);
  EXPECT_EQ(text.find("0x"), 0U) << text;
  EXPECT_NE(text.find(" in "), std::string::npos) << text;
  EXPECT_NE(text.find("gnu_get_libc_version"), std::string::npos) << text;
  EXPECT_NE(text.find("libc.so"), std::string::npos) << text;
}

TEST(CodeAddress, of_code_that_exports_no_name_has_the_program_s) {
  const std::string text = described(reinterpret_cast<const void*>(&some_code));
  EXPECT_EQ(text.find(" in "), std::string::npos) << text;
  EXPECT_NE(text.find("test_code_address"), std::string::npos) << text;
}

TEST(CodeAddress, where_there_is_nothing_is_a_number_only) {
  EXPECT_EQ(described(nullptr), "0x0");
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  EXPECT_EQ(described(reinterpret_cast<const void*>(0x1a2bULL)), "0x1a2b");
}

}  // namespace
}  // namespace millrace::hal
