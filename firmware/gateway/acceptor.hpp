// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "board/boards.hpp"
#include "firmware/reactor/reactor.hpp"
#include "hal/socket.hpp"

namespace millrace {

/// Listens on any number of addresses for the clients of one service, and hands each to its server.
/// Floods and the want of descriptors leave everybody else served. Loop thread only.
class Acceptor {
 public:
  /// Who serves the clients.
  class Server {
   public:
    /// A client has connected: no delay, and found out if it vanishes without a word.
    virtual void take_client(hal::Fd client) = 0;
    /// One has been turned away: no descriptor was free.
    virtual void on_client_refused() = 0;

   protected:
    ~Server() = default;
  };

  /// `out_of_descriptors` is what a client is sent that can't be accepted for want of one.
  Acceptor(Reactor& reactor, Server& server, std::string_view out_of_descriptors)
      : reactor_(reactor), server_(server), out_of_descriptors_(out_of_descriptors) {}

  /// Errors: those of Reactor::add_timer(); EMFILE.
  [[nodiscard]] Result<void> open();

  /// Listens at `address` too; returns it with the port that the kernel chose.
  /// Errors: those of hal::listen(); ENOSPC (Capacities::listeners).
  [[nodiscard]] Result<hal::SocketAddress> listen(const hal::SocketAddress& address);

  /// Stops listening.
  void close();

  [[nodiscard]] std::size_t listener_count() const { return listener_count_; }

 private:
  static constexpr Duration accept_pause = std::chrono::milliseconds(100);
  static constexpr int backlog = 64;
  static constexpr std::size_t accept_batch = 16;  ///< clients accepted in one go

  struct Listener {
    Acceptor* acceptor = nullptr;
    hal::Fd socket;
    hal::SocketFile file;
    WatchId watch;

    void on_ready(const Message& message);
  };

  void accept(Listener& listener);
  void pause();
  void on_pause_over(const Message& message);

  Reactor& reactor_;
  Server& server_;
  std::string_view out_of_descriptors_;
  TimerId resume_;
  hal::SpareFd spare_;
  std::size_t listener_count_ = 0;
  std::array<Listener, board::capacities.listeners> listeners_{};
};

}  // namespace millrace
