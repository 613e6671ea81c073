// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/uart_service.hpp"

#include <algorithm>
#include <utility>

#include "hal/error_text.hpp"
#include "hal/log.hpp"

namespace millrace {
namespace {

using hal::log;
using hal::LogLevel;

}  // namespace

Result<void> UartService::add(const Config& config) {
  if (find(config.name)) {
    return fail(EEXIST, "a serial port of that name is there already", "choose another name");
  }
  if (count_ == ports_.size()) {
    return fail(ENOSPC, "too many serial ports", "raise uarts in the board's capacities");
  }
  const UartIndex uart{static_cast<std::uint8_t>(count_)};
  Slot& slot = slots_[count_];
  slot.service = this;
  const auto timer = reactor_.add_timer(Handler::to<&Slot::on_retry>(slot), Priority::background);
  if (!timer) {
    return std::unexpected(timer.error());
  }
  slot.retry = *timer;
  ports_[count_].config = config;
  ++count_;
  return config.open_at_start ? open(uart) : Result<void>();
}

std::optional<UartIndex> UartService::find(std::string_view name) const {
  for (std::size_t i = 0; i < count_; ++i) {
    if (ports_[i].config.name == name) {
      return UartIndex(static_cast<std::uint8_t>(i));
    }
  }
  return std::nullopt;
}

UartIndex UartService::index_of(const Slot& slot) const {
  return UartIndex(static_cast<std::uint8_t>(&slot - slots_.data()));
}

Result<void> UartService::open(UartIndex uart) {
  Port& port = ports_[index(uart)];
  Slot& slot = slots_[index(uart)];
  auto opened = port.simulated()
                    ? hal::Uart::open_simulated(port.config.settings)
                    : hal::Uart::open(port.config.paths[0].c_str(), port.config.settings);
  if (!opened && !port.config.paths[1].empty()) {
    auto second = hal::Uart::open(port.config.paths[1].c_str(), port.config.settings);
    // Neither will do: what is wrong with the one that is there matters more than one missing.
    if (second || opened.error().number == ENOENT) {
      opened = std::move(second);
    }
  }
  if (!opened) {
    return std::unexpected(opened.error());
  }
  const auto watch = reactor_.watch(opened->fd(), Events::none, Handler::to<&Slot::on_ready>(slot));
  if (!watch) {
    return std::unexpected(watch.error());
  }
  port.uart = std::move(*opened);
  port.lost = false;
  slot.watch = *watch;
  slot.retry_after = first_retry;
  update_interest(uart);
  return {};
}

Result<void> UartService::attach(UartIndex uart) {
  Port& port = ports_[index(uart)];
  if (!port.uart.is_open() && !port.lost) {
    if (auto opened = open(uart); !opened) {
      return opened;
    }
  }
  ++port.attached;
  update_interest(uart);
  return {};
}

void UartService::detach(UartIndex uart) {
  --ports_[index(uart)].attached;
  update_interest(uart);
}

Result<void> UartService::configure(UartIndex uart, const hal::UartSettings& settings) {
  Port& port = ports_[index(uart)];
  if (port.uart.is_open()) {
    if (auto configured = port.uart.configure(settings); !configured) {
      return configured;
    }
  }
  port.config.settings = settings;
  return {};
}

void UartService::update_interest(UartIndex uart) {
  const Port& port = ports_[index(uart)];
  const Slot& slot = slots_[index(uart)];
  if (!port.uart.is_open()) {
    return;
  }
  Events interest = Events::none;
  if (port.attached > 0) {
    interest |= Events::readable;
  }
  if (!slot.output.empty() || slot.wants_room) {
    interest |= Events::writable;
  }
  (void)reactor_.modify(slot.watch, interest);
}

void UartService::Slot::on_ready(const Message& message) {
  const UartIndex uart = service->index_of(*this);
  const Events events = message.ready().events;
  if (any(events, Events::writable)) {
    service->transmit(uart);
  }
  if (any(events, Events::readable | always_reported) &&
      service->ports_[index(uart)].uart.is_open()) {
    service->receive(uart);
  }
}

void UartService::receive(UartIndex uart) {
  Port& port = ports_[index(uart)];
  const auto transfer = port.uart.read(received_);
  switch (transfer.status) {
    case hal::Transfer::Status::done:
      port.received += transfer.count;
      for (UartObserver* const observer : std::span(observers_).first(observer_count_)) {
        observer->on_uart_data(uart, std::span(received_).first(transfer.count));
      }
      break;
    case hal::Transfer::Status::would_block:
      break;
    case hal::Transfer::Status::closed:
    case hal::Transfer::Status::failed:
      lose(uart);
      break;
  }
}

void UartService::flush(UartIndex uart) {
  Port& port = ports_[index(uart)];
  Slot& slot = slots_[index(uart)];
  while (!slot.output.empty()) {
    const auto transfer = port.uart.write(slot.output.claim_read().first);
    if (transfer.done()) {
      slot.output.commit_read(transfer.count);
      port.sent += transfer.count;
    } else if (transfer.status == hal::Transfer::Status::would_block) {
      break;
    } else {
      lose(uart);
      return;
    }
  }
  update_interest(uart);
}

void UartService::transmit(UartIndex uart) {
  flush(uart);
  Slot& slot = slots_[index(uart)];
  if (slot.wants_room && slot.output.space() >= board::capacities.uart_ring / 2) {
    slot.wants_room = false;
    tell_room(uart);
  }
}

std::size_t UartService::send(UartIndex uart, std::span<const std::byte> data) {
  Port& port = ports_[index(uart)];
  Slot& slot = slots_[index(uart)];
  if (!port.uart.is_open()) {
    port.discarded += data.size();
    return data.size();
  }
  std::size_t taken = slot.output.write(data);
  flush(uart);
  if (!port.uart.is_open()) {
    port.discarded += data.size() - taken;  // flush() has counted the rest
    return data.size();
  }
  taken += slot.output.write(data.subspan(taken));
  slot.wants_room = slot.wants_room || taken < data.size();
  update_interest(uart);
  return taken;
}

void UartService::lose(UartIndex uart) {
  Port& port = ports_[index(uart)];
  Slot& slot = slots_[index(uart)];
  log(LogLevel::warning, port.config.name, ": ", port.uart.path(),
      " has gone; it is opened again when it is back");
  (void)reactor_.remove(slot.watch);
  port.uart.close();
  port.lost = true;
  port.discarded += slot.output.size();
  slot.output.clear();
  slot.retry_after = first_retry;
  slot.last_error = 0;
  reactor_.arm_after(slot.retry, slot.retry_after);
  tell_presence(uart, false);
}

void UartService::Slot::on_retry(const Message& /*message*/) {
  service->retry(service->index_of(*this));
}

void UartService::retry(UartIndex uart) {
  Port& port = ports_[index(uart)];
  Slot& slot = slots_[index(uart)];
  if (port.attached == 0 && !port.config.open_at_start) {
    port.lost = false;  // nobody waits for it: it is opened when somebody attaches
    return;
  }
  if (const auto opened = open(uart); !opened) {
    if (opened.error().number != ENOENT && opened.error().number != slot.last_error) {
      log(LogLevel::warning, port.config.name,
          " can't be opened again: ", describe(opened.error()));
      slot.last_error = opened.error().number;
    }
    slot.retry_after = std::min(slot.retry_after * 2, last_retry);
    reactor_.arm_after(slot.retry, slot.retry_after);
    return;
  }
  ++port.reopened;
  log(LogLevel::info, port.config.name, ": ", port.uart.path(), " is back");
  tell_presence(uart, true);
  if (slot.wants_room) {
    slot.wants_room = false;
    tell_room(uart);
  }
}

void UartService::tell_room(UartIndex uart) {
  for (UartObserver* const observer : std::span(observers_).first(observer_count_)) {
    observer->on_uart_room(uart);
  }
}

void UartService::tell_presence(UartIndex uart, bool present) {
  for (UartObserver* const observer : std::span(observers_).first(observer_count_)) {
    observer->on_uart_presence(uart, present);
  }
}

void UartService::close() {
  for (std::size_t i = 0; i < count_; ++i) {
    const UartIndex uart{static_cast<std::uint8_t>(i)};
    if (ports_[i].uart.is_open()) {
      flush(uart);
      (void)reactor_.remove(slots_[i].watch);
      ports_[i].uart.close();
    }
    reactor_.cancel(slots_[i].retry);
  }
}

}  // namespace millrace
