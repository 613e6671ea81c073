// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <utility>

#include "hal/gpio.hpp"

namespace millrace::test {

/// What became of random_requests().
struct RandomRequests {
  std::size_t requests = 0;
  std::size_t releases = 0;
  std::size_t changes = 0;
  std::size_t unexpected = 0;  ///< calls that should have succeeded and did not, or the reverse
  Error error;                 ///< of the last of those
};

/// Requests, releases and reconfigures lines `calls` times at random: one to three lines at a time,
/// now and then as many as there are, up to `most` requests held at once. Takes `lines` of them,
/// from `first` on, at most 64. Allocates nothing, and gives all back at the end.
inline RandomRequests random_requests(hal::Gpio& gpio, hal::LineAddress first, std::size_t lines,
                                      std::size_t most, std::size_t calls) {
  constexpr std::size_t max_lines = hal::Gpio::max_lines_per_request;
  struct Held {
    hal::RequestId request{};
    std::uint64_t lines = 0;
    std::size_t size = 0;
  };
  RandomRequests result;
  std::array<Held, max_lines> held{};
  std::size_t count = 0;
  std::uint64_t taken = 0;
  std::array<hal::LineAddress, max_lines> addresses{};
  std::array<hal::LineSettings, max_lines> settings{};
  std::mt19937 random(20261120);
  const auto expect = [&result](const auto& outcome, bool success) {
    if (outcome.has_value() != success) {
      ++result.unexpected;
      result.error = outcome ? Error{} : outcome.error();
    }
  };
  const auto vary_settings = [&] {
    for (std::size_t i = 0; i < settings.size(); ++i) {
      // The kernel takes no more than ten different ones at once.
      settings[i] = i < 5 ? hal::LineSettings{.direction = hal::Direction::input,
                                              .bias = static_cast<hal::Bias>(random() % 4),
                                              .active_low = random() % 2 == 0}
                          : hal::LineSettings{.direction = hal::Direction::output};
    }
  };
  const auto release = [&] {
    gpio.release(held[--count].request);
    taken &= ~held[count].lines;
    ++result.releases;
  };
  for (std::size_t call = 0; call < calls; ++call) {
    const auto choice = random() % 3;
    if (count > 0) {
      std::swap(held[random() % count], held[count - 1]);
    }
    if (choice == 0 || count == 0) {
      const std::size_t wanted = random() % 64 == 0 ? max_lines : 1 + random() % 3;
      Held made;
      for (std::size_t i = 0, line = random() % lines; i < lines && made.size < wanted;
           ++i, line = (line + 1) % lines) {
        if ((taken >> line & 1) == 0) {
          addresses[made.size++] = {.chip = first.chip,
                                    .offset = static_cast<std::uint16_t>(first.offset + line)};
          made.lines |= std::uint64_t{1} << line;
        }
      }
      if (made.size == 0) {
        release();
        continue;
      }
      vary_settings();
      const auto request = gpio.request(std::span(addresses).first(made.size),
                                        std::span(settings).first(made.size), "test");
      expect(request, count < most);
      if (request) {
        made.request = *request;
        taken |= made.lines;
        held[count++] = made;
        ++result.requests;
      }
    } else if (choice == 1) {
      release();
    } else {
      vary_settings();
      expect(gpio.reconfigure(held[count - 1].request,
                              std::span(settings).first(held[count - 1].size)),
             true);
      ++result.changes;
    }
  }
  while (count > 0) {
    release();
  }
  return result;
}

}  // namespace millrace::test
