// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cstdlib>
#include <gtest/gtest.h>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "firmware/gateway/options.hpp"
#include "firmware/gateway/recorder.hpp"
#include "hal/system.hpp"

namespace millrace {
namespace {

using Arguments = std::vector<std::string>;

std::expected<Options, OptionError> parse(Arguments arguments) {
  static std::list<Arguments> kept;  // options refer to them, as to those of main()
  arguments.insert(arguments.begin(), "gateway");
  kept.push_back(std::move(arguments));
  std::vector<char*> pointers;
  pointers.reserve(kept.back().size() + 1);
  for (std::string& argument : kept.back()) {
    pointers.push_back(argument.data());
  }
  pointers.push_back(nullptr);  // as main() is given it
  return parse_options(std::span(pointers).first(kept.back().size()));
}

/// The options, or those of an empty command line and a failure.
Options accepted(const Arguments& arguments) {
  auto options = parse(arguments);
  EXPECT_TRUE(options) << options.error().view();
  return options.value_or(Options());
}

/// The error; empty if there is none.
std::string refused(const Arguments& arguments) {
  const auto options = parse(arguments);
  return options ? "" : std::string(options.error());
}

/// Has an environment variable for as long as it lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    const char* const before = std::getenv(name);
    if (before != nullptr) {
      before_ = before;
    }
    set(value);
  }
  ~Variable() { set(before_ ? before_->c_str() : nullptr); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  void set(const char* value) {
    if (value != nullptr) {
      ::setenv(name_, value, 1);
    } else {
      ::unsetenv(name_);
    }
  }

  const char* name_;
  std::optional<std::string> before_;
};

/// As on the command line, but without the service that was there first.
std::string text_of(const Options::Listener& listener) {
  const bool pigpio = listener.service == Options::Service::pigpio;
  return (pigpio ? "pigpio=" : "") + std::string(listener.address.text());
}

/// The addresses that a gateway without --listen listens at.
std::string default_addresses(const char* runtime, const char* session) {
  const Variable of_systemd("RUNTIME_DIRECTORY", runtime);
  const Variable of_the_session("XDG_RUNTIME_DIR", session);
  const Options options = accepted({});
  std::string text;
  for (std::size_t i = 0; i < options.listener_count; ++i) {
    text += (i == 0 ? "" : " ") + text_of(options.listeners[i]);
  }
  return text;
}

TEST(Options, of_an_empty_command_line_are_the_boards) {
  const Options options = accepted({});
  EXPECT_EQ(options.action, Options::Action::run);
  EXPECT_EQ(options.board, &board::selected::board);
  EXPECT_EQ(options.log_level, hal::LogLevel::info);
  EXPECT_EQ(options.heap_trap, hal::heap_trap::Action::count);
  ASSERT_EQ(options.uart_count, options.board->uarts.size());
  for (std::size_t i = 0; i < options.uart_count; ++i) {
    EXPECT_EQ(options.uarts[i].name.view(), options.board->uarts[i].name);
    EXPECT_EQ(options.uarts[i].settings, hal::UartSettings());
  }
}

TEST(Options, take_the_board_of_this_machine_if_asked_to) {
  const auto model = hal::device_tree_model();
  const board::Board* const known = model ? board::find_by_model(*model) : nullptr;
  EXPECT_EQ(accepted({"--board", "auto"}).board, known != nullptr ? known : &board::generic::board);
}

TEST(Options, open_simulated_ports_at_start_and_leave_real_ones_to_the_first_client) {
  for (const char* const name : {"sim", "rpi4"}) {
    const Options options = accepted({"--board", name});
    EXPECT_EQ(options.board->name, name);
    ASSERT_EQ(options.uart_count, options.board->uarts.size());
    ASSERT_GT(options.uart_count, 0U);
    for (std::size_t i = 0; i < options.uart_count; ++i) {
      const auto& uart = options.uarts[i];
      const auto& paths = options.board->uarts[i].paths;
      EXPECT_EQ(uart.open_at_start, options.board == &board::sim::board);
      EXPECT_EQ(uart.paths[0].view(), paths[0] == nullptr ? "" : paths[0]);
      EXPECT_EQ(uart.paths[1].view(), paths[1] == nullptr ? "" : paths[1]);
    }
  }
}

TEST(Options, listen_on_loopback_and_in_the_runtime_directory_by_default) {
  EXPECT_EQ(default_addresses("/run/millrace", "/run/user/1000"),
            "127.0.0.1:7000 pigpio=127.0.0.1:8888 unix:/run/millrace/millrace.sock");
  EXPECT_EQ(default_addresses("/run/first:/run/second", nullptr),
            "127.0.0.1:7000 pigpio=127.0.0.1:8888 unix:/run/first/millrace.sock");
  const std::string without_systemd =
      hal::is_root() ? "127.0.0.1:7000 pigpio=127.0.0.1:8888 unix:/run/millrace.sock"
                     : "127.0.0.1:7000 pigpio=127.0.0.1:8888 unix:/run/user/1000/millrace.sock";
  EXPECT_EQ(default_addresses(nullptr, "/run/user/1000"), without_systemd);
  EXPECT_EQ(default_addresses("", "/run/user/1000"), without_systemd);
  if (!hal::is_root()) {
    EXPECT_EQ(default_addresses(nullptr, nullptr), "127.0.0.1:7000 pigpio=127.0.0.1:8888");
    EXPECT_EQ(default_addresses(nullptr, ""), "127.0.0.1:7000 pigpio=127.0.0.1:8888");
  }
}

TEST(Options, use_a_runtime_directory_as_long_as_a_socket_path_may_be_and_no_part_of_a_longer_one) {
  constexpr std::string_view file = "/millrace.sock";
  for (const std::size_t length : {90U, 107U, 108U, 200U, 1000U}) {
    const std::string directory = "/" + std::string(length - file.size() - 1, 'd');
    const std::string path = directory + std::string(file);
    ASSERT_EQ(path.size(), length);
    EXPECT_EQ(default_addresses(directory.c_str(), nullptr),
              "127.0.0.1:7000 pigpio=127.0.0.1:8888" +
                  (length <= hal::SocketAddress::max_path ? " unix:" + path : ""));
  }
}

TEST(Options, name_the_board) {
  for (const board::Board* const board : board::all) {
    if (board->uarts.size() <= board::capacities.uarts) {
      EXPECT_EQ(accepted({"--board", std::string(board->name)}).board, board);
      EXPECT_EQ(accepted({"--board=" + std::string(board->name)}).board, board);
    }
  }
  EXPECT_EQ(refused({"--board", "rpi1"}),
            "no such board, rpi1, see --help for those that there are");
}

TEST(Options, name_the_addresses_in_place_of_the_default_ones) {
  const Options options = accepted({"--listen", "control=*:7001",
                                    "--listen=control=unix:/tmp/a=b.sock", "--listen=pigpio=8889"});
  ASSERT_EQ(options.listener_count, 3U);
  EXPECT_EQ(text_of(options.listeners[0]), "*:7001");
  EXPECT_EQ(text_of(options.listeners[1]), "unix:/tmp/a=b.sock");
  EXPECT_EQ(text_of(options.listeners[2]), "pigpio=127.0.0.1:8889");
  for (std::size_t i = 0; i < options.listener_count; ++i) {
    EXPECT_FALSE(options.listeners[i].optional);
  }
}

TEST(Options, can_do_without_pigpiods_port_unless_it_is_asked_for) {
  const Options options = accepted({});
  for (std::size_t i = 0; i < options.listener_count; ++i) {
    EXPECT_EQ(options.listeners[i].optional, text_of(options.listeners[i]).starts_with("pigpio="));
  }
}

TEST(Options, refuse_addresses_that_are_none) {
  EXPECT_EQ(refused({"--listen", "7000"}),
            "no such service, 7000, write --listen control=ADDRESS or pigpio=ADDRESS");
  EXPECT_EQ(refused({"--listen", "http=7000"}),
            "no such service, http=7000, write --listen control=ADDRESS or pigpio=ADDRESS");
  for (const char* const address :
       {"control=", "control=70000", "control=localhost:7000", "control=unix:"}) {
    const auto parsed = hal::SocketAddress::parse(std::string_view(address).substr(8));
    ASSERT_FALSE(parsed);
    EXPECT_EQ(refused({"--listen", address}),
              std::string(parsed.error().what) + ", " + address + ", " + parsed.error().remedy);
  }
}

TEST(Options, take_as_many_addresses_as_there_are_listeners) {
  Arguments arguments;
  for (std::size_t i = 0; i < board::capacities.listeners; ++i) {
    arguments.emplace_back("--listen=control=" + std::to_string(7001 + i));
  }
  EXPECT_EQ(accepted(arguments).listener_count, board::capacities.listeners);
  arguments.emplace_back("--listen=control=6999");
  EXPECT_EQ(refused(arguments),
            "too many addresses, control=6999, raise listeners in the board's capacities");
}

TEST(Options, name_the_serial_ports_in_place_of_the_boards) {
  const Options options = accepted({"--uart", "gps=/dev/serial/by-id/usb-a=b,9600,7E1", "--uart",
                                    "test=sim", "--uart=x=sim,300"});
  ASSERT_EQ(options.uart_count, 3U);
  EXPECT_EQ(options.uarts[0].name, "gps");
  EXPECT_EQ(options.uarts[0].paths[0], "/dev/serial/by-id/usb-a=b");
  EXPECT_TRUE(options.uarts[0].paths[1].empty());
  EXPECT_EQ(options.uarts[0].settings,
            (hal::UartSettings{.baud = 9600, .data_bits = 7, .parity = hal::Parity::even}));
  EXPECT_EQ(options.uarts[1].name, "test");
  EXPECT_TRUE(options.uarts[1].paths[0].empty());
  EXPECT_EQ(options.uarts[2].settings.baud, 300U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(options.uarts[i].open_at_start);
  }
}

TEST(Options, refuse_serial_ports_that_are_none) {
  for (const char* const port : {"/dev/ttyUSB0", "=sim", "gps=", "gps=,9600", "a b=sim"}) {
    EXPECT_EQ(refused({"--uart", port}),
              std::string("no serial port, ") + port + ", write --uart NAME=PATH or NAME=sim");
  }
  for (const char* const port : {"gps=sim,", "gps=sim,fast", "gps=/dev/ttyUSB0,9600,8N9"}) {
    EXPECT_EQ(refused({"--uart", port}),
              std::string("settings not understood, ") + port + ", write for example 115200,8N1");
  }
  const std::string name(31, 'n');
  EXPECT_EQ(accepted({"--uart", name + "=sim"}).uarts[0].name.view(), name);
  EXPECT_EQ(refused({"--uart", name + "n=sim"}),
            "name or path too long, " + name + "n=sim, use a shorter one");
  const std::string path = "/" + std::string(126, 'p');
  EXPECT_EQ(accepted({"--uart", "a=" + path}).uarts[0].paths[0].view(), path);
  EXPECT_TRUE(refused({"--uart", "a=" + path + "p"}).starts_with("name or path too long, a=/pp"));
}

TEST(Options, take_as_many_serial_ports_as_there_are) {
  Arguments arguments;
  for (std::size_t i = 0; i < board::capacities.uarts; ++i) {
    arguments.emplace_back("--uart=u" + std::to_string(i) + "=sim");
  }
  EXPECT_EQ(accepted(arguments).uart_count, board::capacities.uarts);
  arguments.emplace_back("--uart=more=sim");
  EXPECT_EQ(refused(arguments),
            "too many serial ports, more=sim, raise uarts in the board's capacities");
}

TEST(Options, say_how_much_is_logged) {
  EXPECT_EQ(accepted({"--log", "error"}).log_level, hal::LogLevel::error);
  EXPECT_EQ(accepted({"--log", "warning"}).log_level, hal::LogLevel::warning);
  EXPECT_EQ(accepted({"--log", "info"}).log_level, hal::LogLevel::info);
  EXPECT_EQ(accepted({"--log", "debug"}).log_level, hal::LogLevel::debug);
  EXPECT_EQ(refused({"--log", "loud"}), "no such level, loud, write error, warning, info or debug");
}

TEST(Options, say_what_the_heap_trap_does) {
  EXPECT_EQ(accepted({"--heap-trap", "count"}).heap_trap, hal::heap_trap::Action::count);
  EXPECT_EQ(accepted({"--heap-trap", "abort"}).heap_trap, hal::heap_trap::Action::abort);
  EXPECT_EQ(refused({"--heap-trap", "off"}), "no such action, off, write count or abort");
}

TEST(Options, give_a_line_to_a_pwm_channel) {
  const Options options = accepted({"--board", "rpi4", "--pwm", "GPIO18", "--pwm", "GPIO13=x:7"});
  ASSERT_EQ(options.pwm_count, 2U);
  const auto known = parse_pwm_option(options.pwms[0], *options.board);
  ASSERT_TRUE(known);
  EXPECT_EQ(known->line, "GPIO18");
  EXPECT_EQ(known->channel, "fe20c000.pwm:0");
  const auto told = parse_pwm_option(options.pwms[1], *options.board);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->line, "GPIO13");
  EXPECT_EQ(told->channel, "x:7");
  for (const char* const unknown : {"GPIO17", "", "=x:7", "GPIO18="}) {
    EXPECT_EQ(refused({"--pwm", unknown, "--board", "rpi4"}),
              std::string("no PWM channel is known, ") +
                  (*unknown == '\0' ? "an empty value" : unknown) +
                  ", write for example GPIO18=fe20c000.pwm:0");
  }
  Arguments many;
  for (std::size_t i = 0; i <= board::capacities.pwms; ++i) {
    many.insert(many.end(), {"--pwm", "GPIO18=x:" + std::to_string(i)});
  }
  EXPECT_TRUE(refused(many).starts_with("too many PWM channels, "));
}

TEST(Options, ask_for_help_or_the_version) {
  EXPECT_EQ(accepted({"--help"}).action, Options::Action::help);
  EXPECT_EQ(accepted({"--version"}).action, Options::Action::version);
}

TEST(Options, that_are_unknown_are_named) {
  for (const char* const word : {"--port", "-x", "-xyz", "-b", "--help=me", "--boards"}) {
    EXPECT_EQ(refused({"--log", "info", word}),
              std::string("no such option, ") + word + ", try --help");
    EXPECT_EQ(refused({word}), std::string("no such option, ") + word + ", try --help");
  }
}

TEST(Options, that_lack_their_value_are_named) {
  EXPECT_EQ(refused({"--log", "info", "--board"}), "a value is missing, --board, try --help");
  EXPECT_EQ(refused({"--board", ""}),
            "no such board, an empty value, see --help for those that there are");
}

TEST(Options, are_followed_by_nothing_else) {
  EXPECT_EQ(refused({"7000"}), "no such argument, 7000, try --help");
  EXPECT_EQ(refused({"7000", "--log", "info"}), "no such argument, 7000, try --help");
  EXPECT_EQ(refused({"--log", "info", "more", "words"}), "no such argument, more, try --help");
  EXPECT_EQ(refused({"7000", "--port"}), "no such argument, 7000, try --help");
  EXPECT_EQ(refused({"--", "--log"}), "no such argument, --log, try --help");
}

TEST(Options, that_are_wrong_are_told_with_the_remedy_however_long_they_are) {
  const std::string error = refused({"--log", std::string(10'000, 'x')});
  EXPECT_TRUE(error.starts_with("no such level, xxx"));
  EXPECT_TRUE(error.ends_with("x, write error, warning, info or debug")) << error;
}

TEST(Options, are_read_the_same_again_and_again) {
  EXPECT_EQ(refused({"--log"}), "a value is missing, --log, try --help");
  EXPECT_EQ(accepted({"--log", "debug"}).log_level, hal::LogLevel::debug);
  EXPECT_EQ(accepted({}).log_level, hal::LogLevel::info);
}

TEST(Options, name_a_file_for_a_record) {
  EXPECT_EQ(accepted({}).record, "");
  EXPECT_EQ(accepted({"--record", "lines.vcd"}).record, "lines.vcd");
  const std::string longest(Recorder::max_path, 'x');
  EXPECT_EQ(accepted({"--record", longest}).record, longest);
  constexpr std::string_view remedy = ", write for example /var/lib/millrace/lines.vcd";
  EXPECT_EQ(refused({"--record", ""}),
            "no path for a record, an empty value" + std::string(remedy));
  EXPECT_TRUE(refused({"--record", longest + "x"}).ends_with(remedy));
}

TEST(Options, are_all_in_the_help) {
  for (const std::string_view option :
       {"--board", "--listen", "--line", "--pwm", "--uart", "--record", "--log", "--heap-trap",
        "--help", "--version"}) {
    EXPECT_NE(help_text().find(option), std::string_view::npos) << option;
  }
  for (const board::Board* const board : board::all) {
    EXPECT_NE(help_text().find(" " + std::string(board->name)), std::string_view::npos)
        << board->name;
  }
  EXPECT_LE(help_text().size(), 4096U);
}

}  // namespace
}  // namespace millrace
