// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <string_view>

#include "firmware/gateway/gateway.hpp"
#include "firmware/gateway/options.hpp"
#include "firmware/gateway/version.hpp"
#include "hal/log.hpp"
#include "hal/print.hpp"
#include "hal/slice.hpp"

namespace {

millrace::Gateway gateway;

/// What this program is called: `gateway` where it was built, `millrace` where it is installed.
std::string_view name_of(char** argv) {
  const std::string_view path = *argv == nullptr ? "gateway" : *argv;
  return millrace::slice(path, path.rfind('/') + 1);  // npos + 1 is 0
}

}  // namespace

int main(int argc, char** argv) {
  using millrace::ExitCode;
  using millrace::Options;
  millrace::hal::start_log();
  const auto options = millrace::parse_options(std::span(argv, static_cast<std::size_t>(argc)));
  if (!options) {
    millrace::hal::log(millrace::hal::LogLevel::error, options.error());
    return static_cast<int>(ExitCode::usage);
  }
  switch (options->action) {
    case Options::Action::help:
      millrace::hal::print("usage: ", name_of(argv), " [OPTION ...]");
      millrace::hal::write_output(millrace::help_text());
      return 0;
    case Options::Action::version:
      millrace::hal::print("millrace ", millrace::version);
      return 0;
    case Options::Action::run:
      break;
  }
  return static_cast<int>(gateway.run(*options));
}
