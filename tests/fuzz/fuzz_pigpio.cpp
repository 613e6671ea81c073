// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// The input is what a client of pigpiod sends. However it arrives, it is cut into the requests that
// it is by definition; and whatever they are, the daemon answers each, keeps its promises to those
// whom it is connected to, and goes on.

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/pigpio/daemon.hpp"
#include "drivers/pigpio/decoder.hpp"
#include "tests/support/fuzz.hpp"
#include "tests/support/pigpio_host.hpp"

namespace {

using namespace millrace::pigpio;
using millrace::Instant;
using millrace::test::in_pieces;
using millrace::test::PigpioHost;
using millrace::test::require;

constexpr std::size_t kept = 24;
using TestDecoder = Decoder<kept>;

/// A request with bytes of its own.
struct Copy {
  Request request;
  std::string extension;
  bool oversize = false;

  friend bool operator==(const Copy& a, const Copy& b) {
    return a.request.command == b.request.command && a.request.p1 == b.request.p1 &&
           a.request.p2 == b.request.p2 && a.request.extension_size == b.request.extension_size &&
           a.extension == b.extension && a.oversize == b.oversize;
  }
};

struct Requests {
  std::vector<Copy> all;
  bool hopeless = false;
};

std::uint32_t word_at(std::string_view text, std::size_t at) {
  return load32(std::as_bytes(std::span(text).subspan(at, 4)));
}

Requests by_definition(std::string_view text) {
  Requests requests;
  while (text.size() >= header_size) {
    Copy copy;
    copy.request.command = Command{word_at(text, 0)};
    copy.request.p1 = word_at(text, 4);
    copy.request.p2 = word_at(text, 8);
    copy.request.extension_size = word_at(text, 12);
    const std::size_t size = copy.request.extension_size;
    if (size >= TestDecoder::most_extension) {
      requests.hopeless = true;
      break;
    }
    text.remove_prefix(header_size);
    const bool streamed = copy.request.command == Command::serw;
    if (size > text.size() && !streamed) {
      break;
    }
    copy.oversize = !streamed && size > kept;
    copy.extension = text.substr(0, streamed ? 0 : std::min(size, kept));
    requests.all.push_back(copy);
    text.remove_prefix(std::min(size, text.size()));
  }
  return requests;
}

Requests decoded(std::string_view text, std::span<const std::size_t> lengths) {
  TestDecoder decoder;
  Requests requests;
  in_pieces(text, lengths, [&](std::string_view piece) {
    auto input = std::as_bytes(std::span(piece));
    while (!requests.hopeless && !input.empty()) {
      if (decoder.streaming() > 0) {
        const std::size_t count = std::min(decoder.streaming(), input.size());
        decoder.streamed(count);
        input = input.subspan(count);
        continue;
      }
      const auto status = decoder.decode(input);
      requests.hopeless = status == TestDecoder::Status::hopeless;
      if (status == TestDecoder::Status::request) {
        Copy copy{.request = decoder.request(), .extension = {}, .oversize = decoder.oversize()};
        for (const std::byte byte : copy.request.extension) {
          copy.extension.push_back(static_cast<char>(byte));
        }
        requests.all.push_back(copy);
      }
    }
  });
  return requests;
}

void check_codec(std::string_view text, const Requests& expected) {
  constexpr std::array<std::size_t, 1> whole{std::string::npos};
  constexpr std::array<std::size_t, 1> single{1};
  constexpr std::array<std::size_t, 3> mixed{3, 17, 5};
  for (const auto lengths :
       {std::span<const std::size_t>(whole), std::span<const std::size_t>(single),
        std::span<const std::size_t>(mixed)}) {
    const Requests found = decoded(text, lengths);
    require(found.hopeless == expected.hopeless);
    require(found.all == expected.all);
  }
}

void check_daemon(const Requests& requests) {
  PigpioHost host(28);
  Daemon daemon(host, host, host);
  daemon.open({.revision = 0xa02082});
  Instant now(std::chrono::seconds(1000));
  std::array<std::byte, 16> data{};
  ClientId client = 0;
  for (const Copy& copy : requests.all) {
    Request request = copy.request;
    request.extension = std::as_bytes(std::span(copy.extension));
    const Answer answer = daemon.execute(request, client, data, now);
    require(answer.data <= data.size());
    require(answer.data == 0 || answer.result == static_cast<std::int32_t>(answer.data));
    require(Daemon::serves(request.command) || answer.result == value(Code::unknown_command));
    require(answer.when != Answer::When::after_pulse || daemon.pulsing(request.p1));
    // What the world outside was told is what holds.
    require(std::popcount(host.channels) == daemon.notifications().open_count());
    require((host.watched & ~daemon.notifications().watched()) == 0);
    for (const Report& report : host.reports) {
      require(report.audience != 0 && (report.audience & ~host.channels) == 0);
    }
    host.reports.clear();
    // Lines change, time passes, clients come and go: as the request says, for want of other dice.
    const unsigned gpio = request.p1 % user_gpios;
    if ((host.watched >> gpio & 1U) != 0) {
      daemon.on_level(gpio, request.p2 % 2 == 1, now);
    }
    now += std::chrono::microseconds(request.p2 % 100'000);
    if (daemon.next_edge() <= now) {
      daemon.advance_pulses(now);
    }
    if (daemon.next_deadline() <= now) {
      daemon.advance(now);
    }
    require(daemon.next_deadline() > now);
    if (request.p1 % 7 == 0) {
      daemon.on_hang_up(client);
      client = static_cast<ClientId>(request.p2 % 3);
    }
    host.reports.clear();
  }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  const Requests expected = by_definition(text);
  check_codec(text, expected);
  check_daemon(expected);
  return 0;
}
