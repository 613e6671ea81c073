// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/control_server.hpp"

#include <algorithm>
#include <utility>

#include "hal/error_text.hpp"
#include "hal/log.hpp"

namespace millrace {
namespace {

using hal::LogLevel;

constexpr std::string_view no_session =
    "error: all connections are in use, this gateway, "
    "try later or raise connections in the board's capacities\n";
constexpr std::string_view no_descriptor =
    "error: out of file descriptors, this gateway, try later or raise its limit of open files\n";

}  // namespace

ControlServer::ControlServer(Reactor& reactor, GatewayLog& log,
                             std::span<GatewayLog::Reader> readers)
    : reactor_(reactor), log_(log), readers_(readers), acceptor_(reactor, *this, no_descriptor) {}

Result<void> ControlServer::open(GpioService& gpio, UartService& uarts, const board::Board& board) {
  gpio_ = &gpio;
  uarts_ = &uarts;
  board_ = &board;
  started_ = reactor_.now();
  const auto changed = reactor_.add_notifier(Handler::to<&ControlServer::on_changed>(*this));
  if (!changed) {
    return std::unexpected(changed.error());
  }
  changed_ = *changed;
  return acceptor_.open();
}

void ControlServer::take_client(hal::Fd client) {
  auto* free = std::ranges::find(sessions_, false, &ControlSession::is_open);
  if (free == sessions_.end()) {
    // One that has stopped sending may have left long ago: it gives its place to who comes now.
    free = std::ranges::find_if(sessions_, &ControlSession::only_listens);
    if (free != sessions_.end()) {
      ++statistics_.displaced;
      free->close();
    }
  }
  if (free == sessions_.end()) {
    ++statistics_.refused;
    hal::refuse(std::move(client), no_session);
    return;
  }
  auto& reader = readers_[static_cast<std::size_t>(free - sessions_.begin())];
  if (const auto opened = free->open(*this, std::move(client), reader); !opened) {
    ++statistics_.refused;
    hal::log(LogLevel::warning, "a client could not be served: ", describe(opened.error()));
    // NOLINTNEXTLINE(bugprone-use-after-move): open() has left it here
    hal::refuse(std::move(client), no_descriptor);
    return;
  }
  ++statistics_.served;
  ++statistics_.open;
  statistics_.most = std::max(statistics_.most, statistics_.open);
}

void ControlServer::on_changed(const Message& /*message*/) {
  for (ControlSession& session : sessions_) {
    if (session.is_open()) {
      session.pump();
    }
  }
}

void ControlServer::on_uart_data(UartIndex uart, std::span<const std::byte> data) {
  for (ControlSession& session : sessions_) {
    session.on_uart_data(uart, data);
  }
}

void ControlServer::on_uart_room(UartIndex /*uart*/) { reactor_.raise(changed_); }

void ControlServer::on_uart_presence(UartIndex uart, bool present) {
  for (ControlSession& session : sessions_) {
    session.on_uart_presence(uart, present);
  }
  reactor_.raise(changed_);
}

void ControlServer::close() {
  acceptor_.close();
  for (ControlSession& session : sessions_) {
    if (session.is_open()) {
      session.close();
    }
  }
}

}  // namespace millrace
