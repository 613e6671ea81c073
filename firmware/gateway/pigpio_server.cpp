// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/pigpio_server.hpp"

#include <algorithm>
#include <utility>

#include "hal/clock.hpp"
#include "hal/error_text.hpp"
#include "hal/fifo.hpp"
#include "hal/fixed_string.hpp"
#include "hal/io.hpp"
#include "hal/log.hpp"

namespace millrace {
namespace {

using hal::LogLevel;
using pigpio::Code;
using pigpio::Notification;

/// Reports written into a FIFO at once.
constexpr std::size_t fifo_batch = 32;

/// Where clients look for the reports of a handle that NO has given them.
FixedString<31> fifo_path(std::uint8_t handle) {
  return FixedString<31>("/dev/pigpio").append(handle);
}

}  // namespace

Instant PigpioServer::now() { return hal::SystemClock().now(); }

Result<void> PigpioServer::open(const board::Board& board) {
  // Deadlines of filters and watchdogs give way to edges that have come before them.
  const auto changed = reactor_.add_notifier(Handler::to<&PigpioServer::on_changed>(*this));
  const auto edge =
      reactor_.add_timer(Handler::to<&PigpioServer::on_edge>(*this), Priority::urgent);
  const auto deadline =
      reactor_.add_timer(Handler::to<&PigpioServer::on_deadline>(*this), Priority::background);
  if (!changed || !edge || !deadline) {
    return std::unexpected(!changed ? changed.error() : !edge ? edge.error() : deadline.error());
  }
  changed_ = *changed;
  edge_timer_ = *edge;
  deadline_timer_ = *deadline;
  for (Channel& channel : channels_) {
    channel.server = this;
  }
  gpio_.also_raise(changed_);
  uarts_.also_tell(*this);
  log_.attach(reader_);
  lines_.open();
  daemon_.open({.revision = board.pigpio_revision});
  return acceptor_.open();
}

void PigpioServer::close() {
  acceptor_.close();
  for (PigpioSession& session : sessions_) {
    if (session.is_open()) {
      session.close();
    }
  }
  for (std::uint8_t handle = 0; handle < pigpio::Notifications::count; ++handle) {
    if (channels_[handle].fifo) {
      close_channel(handle);
    }
  }
  serials_.close();
  reactor_.cancel(edge_timer_);
  reactor_.cancel(deadline_timer_);
}

// --- Connections -------------------------------------------------------------------------------

void PigpioServer::take_client(hal::Fd client) {
  const auto free = std::ranges::find(sessions_, false, &PigpioSession::is_open);
  if (free == sessions_.end()) {
    ++statistics_.refused;
    hal::refuse(std::move(client), {});
    return;
  }
  const auto id = static_cast<pigpio::ClientId>(free - sessions_.begin());
  if (const auto opened = free->open(*this, std::move(client), id); !opened) {
    ++statistics_.refused;
    hal::log(LogLevel::warning,
             "a client of pigpiod could not be served: ", describe(opened.error()));
    // NOLINTNEXTLINE(bugprone-use-after-move): open() has left it here
    hal::refuse(std::move(client), {});
    return;
  }
  ++statistics_.served;
  ++statistics_.open;
  statistics_.most = std::max(statistics_.most, statistics_.open);
}

void PigpioServer::on_closed(pigpio::ClientId client) {
  --statistics_.open;
  daemon_.on_hang_up(client);
}

pigpio::Answer PigpioServer::execute(const pigpio::Request& request, pigpio::ClientId client,
                                     std::span<std::byte> data) {
  ++statistics_.commands;
  const pigpio::Answer answer = daemon_.execute(request, client, data, now());
  // A client that compares levels with those of its last report must have that before the answer.
  deliver();
  return answer;
}

// --- What happens ------------------------------------------------------------------------------

void PigpioServer::on_changed(const Message& /*message*/) {
  serials_.balance();
  take_events();
  pump_waiting();
  settle();
}

void PigpioServer::take_events() {
  const Event* event = log_.peek(reader_);
  if (event == nullptr && reader_.lost() == 0) {
    return;
  }
  daemon_.refresh_unwatched();
  for (; event != nullptr; event = log_.peek(reader_)) {
    if (const auto gpio = lines_.number_of(event->line); gpio && *gpio < pigpio::user_gpios) {
      const bool known = event->kind != Event::Kind::config && event->kind != Event::Kind::gone;
      const bool level = known ? event->level : gpio_.level(event->line).value_or(false);
      daemon_.on_level(*gpio, level, event->time);
    }
    log_.skip(reader_);
  }
  if (reader_.take_lost() > 0) {
    // Edges were lost to us: at least all levels are right again.
    for (unsigned gpio = 0; gpio < pigpio::user_gpios; ++gpio) {
      const std::uint64_t bit = std::uint64_t{1} << gpio;
      if ((daemon_.notifications().watched() & bit) != 0) {
        daemon_.on_level(gpio, lines_.levels_of(bit) != 0, reactor_.now());
      }
    }
  }
}

void PigpioServer::on_edge(const Message& /*message*/) {
  edge_armed_ = never;
  daemon_.advance_pulses(now());
  pump_waiting();
  settle();
}

void PigpioServer::on_deadline(const Message& /*message*/) {
  deadline_armed_ = never;
  daemon_.advance(now());
  settle();
}

void PigpioServer::pump_waiting() {
  for (PigpioSession& session : sessions_) {
    if (session.is_open() && session.waits()) {
      session.pump();
    }
  }
}

void PigpioServer::settle() {
  deliver();
  if (const Instant edge = daemon_.next_edge(); edge != edge_armed_) {
    edge_armed_ = edge;
    reactor_.arm_at(edge_timer_, edge);
  }
  if (const Instant deadline = daemon_.next_deadline(); deadline != deadline_armed_) {
    deadline_armed_ = deadline;
    reactor_.arm_at(deadline_timer_, deadline);
  }
}

void PigpioServer::on_uart_data(UartIndex uart, std::span<const std::byte> data) {
  serials_.on_data(uart, data);
  reactor_.raise(changed_);
}

void PigpioServer::on_uart_room(UartIndex /*uart*/) { reactor_.raise(changed_); }

// --- Reports -----------------------------------------------------------------------------------

void PigpioServer::publish(const pigpio::Report& report) {
  reports_.append(report);
  undelivered_ = true;
}

Code PigpioServer::open_channel(std::uint8_t handle, bool own_channel) {
  Channel& channel = channels_[handle];
  if (own_channel) {
    auto fifo = hal::make_fifo(fifo_path(handle).c_str());
    if (!fifo) {
      hal::log(LogLevel::info, fifo_path(handle), ": ", describe(fifo.error()));
      return Code::bad_pathname;
    }
    const auto watch =
        reactor_.watch(fifo->get(), Events::none, Handler::to<&Channel::on_ready>(channel));
    if (!watch) {
      hal::remove_fifo(fifo_path(handle).c_str());
      return Code::no_handle;
    }
    channel.fifo = std::move(*fifo);
    channel.watch = *watch;
  }
  channel.sequence = 0;
  reports_.attach(report_readers_[handle]);
  report_readers_[handle].filter.handle = handle;
  return Code::ok;
}

void PigpioServer::close_channel(std::uint8_t handle) {
  Channel& channel = channels_[handle];
  reports_.detach(report_readers_[handle]);
  if (channel.fifo) {
    (void)reactor_.remove(channel.watch);
    channel.fifo.reset();
    hal::remove_fifo(fifo_path(handle).c_str());
  }
}

std::optional<std::array<std::byte, pigpio::Report::size>> PigpioServer::next_report(
    std::uint8_t handle) {
  ReportLog::Reader& reader = report_readers_[handle];
  const pigpio::Report* const report = reports_.peek(reader);
  if (report == nullptr) {
    return std::nullopt;
  }
  // Lost ones are numbered, too: the gap is how a client can tell.
  channels_[handle].sequence =
      static_cast<std::uint16_t>(channels_[handle].sequence + reader.take_lost());
  reports_.skip(reader);
  return report->encode(channels_[handle].sequence++);
}

void PigpioServer::deliver() {
  // Delivering may close a session, which never publishes: once is enough.
  if (!std::exchange(undelivered_, false)) {
    return;
  }
  for (std::uint8_t handle = 0; handle < pigpio::Notifications::count; ++handle) {
    deliver_to_handle(handle);
  }
}

void PigpioServer::deliver_to_handle(std::uint8_t handle) {
  const Notification& notification = daemon_.notifications().at(handle);
  if (!notification.is_open() || reports_.peek(report_readers_[handle]) == nullptr) {
    return;
  }
  if (notification.owner == pigpio::no_client) {
    write_fifo(handle);
  } else {
    sessions_[notification.owner].send_reports(handle);
  }
}

void PigpioServer::deliver_to(pigpio::ClientId client) {
  const std::uint8_t handle = daemon_.notifications().find(client);
  if (handle < channels_.size()) {
    deliver_to_handle(handle);
  }
}

void PigpioServer::Channel::on_ready(const Message& /*message*/) {
  server->write_fifo(static_cast<std::uint8_t>(this - server->channels_.data()));
}

void PigpioServer::write_fifo(std::uint8_t handle) {
  // A pipe takes what is less than a page whole or not at all: no report is ever cut.
  static_assert(fifo_batch * pigpio::Report::size <= 512, "POSIX's least PIPE_BUF");
  Channel& channel = channels_[handle];
  ReportLog::Reader& reader = report_readers_[handle];
  std::array<std::byte, fifo_batch * pigpio::Report::size> bytes;
  for (;;) {
    const ReportLog::Reader before = reader;
    const std::uint16_t sequence = channel.sequence;
    std::size_t size = 0;
    while (size < bytes.size()) {
      const auto report = next_report(handle);
      if (!report) {
        break;
      }
      std::ranges::copy(*report, bytes.begin() + static_cast<std::ptrdiff_t>(size));
      size += report->size();
    }
    if (size == 0) {
      break;
    }
    if (!hal::write(channel.fifo.get(), std::span(bytes).first(size)).done()) {
      // Nobody reads: these reports stay in the log, as long as it has them.
      reader = before;
      channel.sequence = sequence;
      (void)reactor_.modify(channel.watch, Events::writable);
      return;
    }
  }
  (void)reactor_.modify(channel.watch, Events::none);
}

}  // namespace millrace
