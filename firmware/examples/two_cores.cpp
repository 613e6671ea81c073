// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// An echo server on two processors. Each has a reactor of its own, and they share the port: the
// kernel deals the connections out. What each has echoed goes to the first, which says it.

#include <array>
#include <optional>

#include "firmware/reactor/spsc_channel.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/error_text.hpp"
#include "hal/io.hpp"
#include "hal/log.hpp"
#include "hal/or_exit.hpp"
#include "hal/print.hpp"
#include "hal/socket.hpp"
#include "hal/system.hpp"
#include "hal/thread.hpp"

using namespace millrace;

namespace {

class Core {
 public:
  void open(std::size_t number, const hal::SocketAddress& address) {
    number_ = number;
    or_exit(reactor_.open(), "loop");
    listener_ = or_exit(hal::listen(address, 64, hal::PortUse::shared), "listen");
    (void)or_exit(
        reactor_.watch(listener_.get(), Events::readable, Handler::to<&Core::on_client>(*this)),
        "listen");
  }
  [[nodiscard]] int listener() const { return listener_.get(); }
  [[nodiscard]] Reactor& reactor() { return reactor_; }

  /// Tells, on its own processor, whatever the other one sends.
  void hear(Core& other) {
    or_exit(other.echoed_.open(reactor_, Handler::to<&Core::on_echoed>(other)), "channel");
  }
  static void run(void* core) {
    auto& self = *static_cast<Core*>(core);
    (void)hal::run_on_processor(self.number_);  // a machine that has only one runs both there
    (void)or_exit(self.reactor_.run(), "loop");
  }

 private:
  struct Client {
    Core* core = nullptr;
    hal::Fd fd;
    WatchId watch;

    void on_ready(const Message& /*message*/) {
      std::array<std::byte, 4096> bytes;
      const auto got = hal::read(fd.get(), bytes);
      // One that does not read what it has sent is not waited for.
      if (got.done() && hal::send(fd.get(), std::span(bytes).first(got.count)).count == got.count) {
        (void)core->echoed_.push(got.count);  // full: counted by the channel
      } else if (got.done() || got.ended()) {
        (void)core->reactor_.remove(watch);
        fd.reset();
      }
    }
  };

  void on_client(const Message& /*message*/) {
    auto accepted = hal::accept(listener_.get());
    if (!accepted) {
      hal::log(hal::LogLevel::warning, "accept: ", describe(accepted.error()));
      return;
    }
    if (!*accepted) {
      return;  // the client has gone
    }
    for (Client& client : clients_) {
      if (!client.fd) {
        client.core = this;
        client.fd = std::move((*accepted)->fd);
        client.watch = or_exit(reactor_.watch(client.fd.get(), Events::readable,
                                              Handler::to<&Client::on_ready>(client)),
                               "client");
        return;
      }
    }
    hal::log(hal::LogLevel::warning, "processor ", number_, " has no room for one more client");
  }
  void on_echoed(const Message& /*message*/) {
    std::size_t sum = 0;
    while (const auto count = echoed_.pop()) {
      sum += *count;
    }
    hal::print("processor ", number_, " has echoed ", sum, " bytes");
    if (echoed_.refused() != told_refused_) {
      told_refused_ = echoed_.refused();
      hal::print("processor ", number_, " was too quick to count ", told_refused_, " times");
    }
  }

  StaticReactor<ReactorLimits{}> reactor_;
  std::size_t number_ = 0;
  hal::Fd listener_;
  std::array<Client, 16> clients_;
  SpscChannel<std::size_t, 256> echoed_;
  std::uint64_t told_refused_ = 0;
};

std::array<Core, 2> cores;
hal::ThreadStack<hal::default_thread_stack> stack;
hal::Thread second;

}  // namespace

int main() {
  cores[0].open(0, or_exit(hal::SocketAddress::parse("127.0.0.1:0"), "address"));
  const auto address = or_exit(hal::local_address(cores[0].listener()), "address");
  cores[1].open(1, address);
  cores[0].hear(cores[0]);
  cores[0].hear(cores[1]);
  or_exit(second.start(stack.bytes, "second", &Core::run, &cores[1]), "thread");
  hal::print("echoing at ", address.text());
  Core::run(cores.data());
  return 0;
}
