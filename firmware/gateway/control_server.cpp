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

// A client that vanishes without a word is found out after a minute and a half at most.
constexpr Duration keep_alive_idle = std::chrono::seconds(45);
constexpr Duration keep_alive_interval = std::chrono::seconds(10);
constexpr int keep_alive_probes = 4;
constexpr Duration keep_alive_timeout = std::chrono::seconds(90);

}  // namespace

Result<void> ControlServer::open(GpioService& gpio, UartService& uarts, const board::Board& board) {
  gpio_ = &gpio;
  uarts_ = &uarts;
  board_ = &board;
  started_ = reactor_.now();
  const auto changed = reactor_.add_notifier(Handler::to<&ControlServer::on_changed>(*this));
  if (!changed) {
    return std::unexpected(changed.error());
  }
  const auto resume = reactor_.add_timer(Handler::to<&ControlServer::on_pause_over>(*this));
  if (!resume) {
    return std::unexpected(resume.error());
  }
  auto spare = hal::SpareFd::open();
  if (!spare) {
    return std::unexpected(spare.error());
  }
  changed_ = *changed;
  resume_ = *resume;
  spare_ = std::move(*spare);
  return {};
}

Result<hal::SocketAddress> ControlServer::listen(const hal::SocketAddress& address) {
  if (listener_count_ == listeners_.size()) {
    return fail(ENOSPC, "too many addresses to listen at",
                "raise listeners in the board's capacities");
  }
  auto socket = hal::listen(address, backlog);
  if (!socket) {
    return std::unexpected(socket.error());
  }
  const auto actual = hal::local_address(socket->get());
  if (!actual) {
    return std::unexpected(actual.error());
  }
  Listener& listener = listeners_[listener_count_];
  const auto watch =
      reactor_.watch(socket->get(), Events::readable, Handler::to<&Listener::on_ready>(listener));
  if (!watch) {
    return std::unexpected(watch.error());
  }
  listener = {.server = this, .socket = std::move(*socket), .address = *actual, .watch = *watch};
  ++listener_count_;
  return *actual;
}

void ControlServer::Listener::on_ready(const Message& /*message*/) { server->accept(*this); }

void ControlServer::accept(Listener& listener) {
  for (std::size_t n = 0; n < accept_batch; ++n) {
    auto accepted = hal::accept(listener.socket.get());
    if (!accepted) {
      hal::log(LogLevel::warning, "clients can't be accepted: ", describe(accepted.error()));
      // The kernel looks for a descriptor first: it may be that nobody waits.
      if (spare_.refuse_one(listener.socket.get(), no_descriptor)) {
        ++statistics_.refused;
      } else {
        pause();
      }
      return;
    }
    if (!*accepted) {
      return;
    }
    admit(std::move(**accepted));
  }
}

void ControlServer::admit(hal::Accepted accepted) {
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
    hal::refuse(std::move(accepted.fd), no_session);
    return;
  }
  (void)hal::no_delay(accepted.fd.get());
  (void)hal::keep_alive(accepted.fd.get(), keep_alive_idle, keep_alive_interval, keep_alive_probes,
                        keep_alive_timeout);
  auto& reader = readers_[static_cast<std::size_t>(free - sessions_.begin())];
  if (const auto opened = free->open(*this, std::move(accepted.fd), reader); !opened) {
    ++statistics_.refused;
    hal::log(LogLevel::warning, "a client could not be served: ", describe(opened.error()));
    hal::refuse(std::move(accepted.fd), no_descriptor);
    return;
  }
  ++statistics_.served;
  ++statistics_.open;
  statistics_.most = std::max(statistics_.most, statistics_.open);
}

void ControlServer::pause() {
  for (const Listener& listener : std::span(listeners_).first(listener_count_)) {
    (void)reactor_.modify(listener.watch, Events::none);
  }
  reactor_.arm_after(resume_, accept_pause);
}

void ControlServer::on_pause_over(const Message& /*message*/) {
  for (const Listener& listener : std::span(listeners_).first(listener_count_)) {
    (void)reactor_.modify(listener.watch, Events::readable);
  }
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
  for (Listener& listener : std::span(listeners_).first(listener_count_)) {
    (void)reactor_.remove(listener.watch);
    hal::remove_socket_file(listener.address);
    listener.socket.reset();
  }
  listener_count_ = 0;
  reactor_.cancel(resume_);
  for (ControlSession& session : sessions_) {
    if (session.is_open()) {
      session.close();
    }
  }
}

}  // namespace millrace
