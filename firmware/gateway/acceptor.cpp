// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/acceptor.hpp"

#include <chrono>
#include <span>
#include <utility>

#include "hal/error_text.hpp"
#include "hal/log.hpp"

namespace millrace {
namespace {

// A client that vanishes without a word is found out after a minute and a half at most.
constexpr Duration keep_alive_idle = std::chrono::seconds(45);
constexpr Duration keep_alive_interval = std::chrono::seconds(10);
constexpr int keep_alive_probes = 4;
constexpr Duration keep_alive_timeout = std::chrono::seconds(90);

}  // namespace

Result<void> Acceptor::open() {
  const auto resume = reactor_.add_timer(Handler::to<&Acceptor::on_pause_over>(*this));
  if (!resume) {
    return std::unexpected(resume.error());
  }
  auto spare = hal::SpareFd::open();
  if (!spare) {
    return std::unexpected(spare.error());
  }
  resume_ = *resume;
  spare_ = std::move(*spare);
  return {};
}

Result<hal::SocketAddress> Acceptor::listen(const hal::SocketAddress& address) {
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
  listener = {.acceptor = this,
              .socket = std::move(*socket),
              .file = hal::SocketFile(*actual),
              .watch = *watch};
  ++listener_count_;
  return *actual;
}

void Acceptor::Listener::on_ready(const Message& /*message*/) { acceptor->accept(*this); }

void Acceptor::accept(Listener& listener) {
  for (std::size_t n = 0; n < accept_batch; ++n) {
    auto accepted = hal::accept(listener.socket.get());
    if (!accepted) {
      hal::log(hal::LogLevel::warning, "clients can't be accepted: ", describe(accepted.error()));
      // The kernel looks for a descriptor first: it may be that nobody waits.
      if (spare_.refuse_one(listener.socket.get(), out_of_descriptors_)) {
        server_.on_client_refused();
      } else {
        pause();
      }
      return;
    }
    if (!*accepted) {
      return;
    }
    hal::Fd client = std::move((*accepted)->fd);
    (void)hal::no_delay(client.get());
    (void)hal::keep_alive(client.get(), keep_alive_idle, keep_alive_interval, keep_alive_probes,
                          keep_alive_timeout);
    server_.take_client(std::move(client));
  }
}

void Acceptor::pause() {
  for (const Listener& listener : std::span(listeners_).first(listener_count_)) {
    (void)reactor_.modify(listener.watch, Events::none);
  }
  reactor_.arm_after(resume_, accept_pause);
}

void Acceptor::on_pause_over(const Message& /*message*/) {
  for (const Listener& listener : std::span(listeners_).first(listener_count_)) {
    (void)reactor_.modify(listener.watch, Events::readable);
  }
}

void Acceptor::close() {
  for (Listener& listener : std::span(listeners_).first(listener_count_)) {
    (void)reactor_.remove(listener.watch);
    listener.file.remove();
    listener.socket.reset();
  }
  listener_count_ = 0;
  reactor_.cancel(resume_);
}

}  // namespace millrace
