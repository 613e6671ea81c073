// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/gateway.hpp"
#include "firmware/gateway/options.hpp"
#include "firmware/gateway/version.hpp"
#include "hal/log.hpp"
#include "hal/print.hpp"

namespace {

millrace::Gateway gateway;

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
