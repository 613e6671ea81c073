// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/control_session.hpp"

#include <array>
#include <ranges>
#include <utility>

#include "firmware/gateway/client_stream.hpp"
#include "firmware/gateway/control_server.hpp"
#include "hal/io.hpp"
#include "hal/slice.hpp"

namespace millrace {
namespace {

/// What a session does in one go before others get their turn.
constexpr int rounds = 64;
/// Events that a client is told before a command of its gets its turn.
constexpr std::uint32_t most_events_in_a_row = 16;

FixedString<ControlSession::longest_row> to_text(const Event& event, std::string_view line) {
  FixedString<ControlSession::longest_row> text;
  constexpr std::int64_t second = 1'000'000'000;
  const std::int64_t time = event.time.time_since_epoch().count();
  switch (event.kind) {
    case Event::Kind::edge:
      text.append("event edge ", line, event.level ? " rising" : " falling", " level=", event.level,
                  " seq=", event.sequence);
      break;
    case Event::Kind::set:
      text.append("event set ", line, " level=", event.level);
      break;
    case Event::Kind::config:
      text.append("event config ", line);
      break;
    case Event::Kind::gap:
      text.append("event gap ", line, " lost=", event.count, " level=", event.level);
      break;
    case Event::Kind::gone:
      text.append("event gone ", line);
      break;
    case Event::Kind::seen:  // not for clients: EventFilter
    case Event::Kind::unseen:
      break;
  }
  std::array<char, 9> nanoseconds{};
  std::int64_t rest = time % second;
  for (char& digit : std::views::reverse(nanoseconds)) {
    digit = static_cast<char>('0' + rest % 10);
    rest /= 10;
  }
  text.append(" time=", time / second, '.', std::string_view(nanoseconds.data(), 9));
  return text;
}

}  // namespace

Result<void> ControlSession::open(ControlServer& server, hal::Fd&& connection,
                                  GatewayLog::Reader& reader) {
  // As update_interest() has it, so that nothing changes as long as the client reads.
  const auto watch = server.reactor().watch(connection.get(), Events::readable | Events::error,
                                            Handler::to<&ControlSession::on_ready>(*this));
  if (!watch) {
    return std::unexpected(watch.error());
  }
  server_ = &server;
  connection_ = std::move(connection);
  watch_ = *watch;
  events_ = &reader;
  server.log().attach(reader);
  return {};
}

void ControlSession::close() {
  if (attachment_) {
    server_->uarts().detach(attachment_->uart);
  }
  server_->gpio().unwatch(events_->filter.rising, events_->filter.falling);
  server_->log().detach(*events_);
  (void)server_->reactor().remove(watch_);
  connection_.reset();
  commands_.reset();
  attachment_.reset();
  input_ended_ = false;
  hung_up_ = false;
  events_in_a_row_ = 0;
  closing_ = false;
  decoder_.reset();
  escape_.reset();
  input_.clear();
  output_.clear();
  server_->on_closed();
}

// --- Moving bytes ------------------------------------------------------------------------------

void ControlSession::on_ready(const Message& message) {
  const Events events = message.ready().events;
  hung_up_ = hung_up_ || any(events, always_reported);
  if (any(events, Events::readable | always_reported)) {
    receive();
  }
  if (is_open()) {
    pump();
  }
}

void ControlSession::receive() {
  if (input_ended_ || input_.full()) {
    return;
  }
  const Input input = receive_into(input_, connection_.get());
  input_ended_ = input == Input::ended;
  if (input == Input::broken) {
    close();
  }
}

void ControlSession::flush() {
  if (!send_from(output_, connection_.get())) {
    close();
  }
}

void ControlSession::update_interest(bool more) {
  (void)server_->reactor().modify(
      watch_, interest_in(!input_ended_ && !input_.full(), !output_.empty() || more, hung_up_));
}

void ControlSession::pump() {
  int round = 0;
  for (; round < rounds; ++round) {
    while (is_open() && work()) {
    }
    if (!is_open() || output_.empty()) {
      break;
    }
    const std::size_t before = output_.size();
    flush();
    if (!is_open() || output_.size() == before) {
      break;
    }
  }
  if (!is_open()) {
    return;
  }
  if (finished()) {
    drain();
    close();
    return;
  }
  update_interest(round == rounds);
}

/// Reads what the client goes on sending, unless it is very much: closing a connection with bytes
/// unread resets it, and takes from the client the answers that it has not read yet.
void ControlSession::drain() {
  std::array<std::byte, 4096> ignored;
  for (int n = 0; n < 16 && hal::read(connection_.get(), ignored).done(); ++n) {
  }
}

bool ControlSession::finished() const {
  if (!output_.empty()) {
    return false;
  }
  if (input_ended_ && hung_up_ && input_.empty()) {
    return true;  // both directions are closed, or the connection was reset
  }
  // A client that has half-closed its connection still gets the events that it watches, and what
  // the serial port says, until it closes the other half.
  return closing_ || (input_ended_ && input_.empty() && !attachment_ && !commands_.answering() &&
                      events_->filter.lines().none());
}

// --- Work --------------------------------------------------------------------------------------

/// Does one thing, if there is something to do and room for what comes of it.
bool ControlSession::work() {
  if (closing_ || !has_room()) {
    return false;
  }
  if (commands_.answering()) {
    commands_.answer();
    return true;
  }
  if (attachment_) {
    return feed_uart();
  }
  // Now and then a command goes first: a client that is behind must be able to unwatch.
  if (events_in_a_row_ >= most_events_in_a_row && execute_line()) {
    events_in_a_row_ = 0;
    return true;
  }
  if (pass_on_events()) {
    ++events_in_a_row_;
    return true;
  }
  events_in_a_row_ = 0;
  return execute_line();
}

bool ControlSession::pass_on_events() {
  if (const std::uint32_t lost = events_->take_lost(); lost > 0) {
    FixedString<longest_row> text;
    text.append("event lost ", lost);
    put(text);
    return true;
  }
  const Event* const event = server_->log().peek(*events_);
  if (event == nullptr) {
    return false;
  }
  put(to_text(*event, server_->gpio().line(event->line).name));
  server_->log().skip(*events_);
  return true;
}

bool ControlSession::execute_line() {
  using Decoded = decltype(decoder_)::Status;
  const auto received = input_.claim_read().first;
  auto rest = received;
  const auto decoded = decoder_.decode(rest);
  input_.commit_read(received.size() - rest.size());
  switch (decoded) {
    case Decoded::line:
      commands_.execute(decoder_.line());
      return true;
    case Decoded::oversize:
      put("error: line too long, this command, keep it within the line-length that limits shows");
      return true;
    case Decoded::incomplete:
      break;
  }
  if (!input_.empty()) {
    return true;  // the ring's second piece
  }
  if (input_ended_ && decoder_.pending()) {
    put("error: command not executed, the last line, end it with a newline");
    decoder_.reset();
    return true;
  }
  return false;
}

void ControlSession::put(std::string_view line) {
  output_.write(slice(line, 0, longest_row));
  output_.write("\n");
}

// --- Serial ports ------------------------------------------------------------------------------

Result<void> ControlSession::attach(UartIndex uart, bool escapes) {
  auto attached = server_->uarts().attach(uart);
  if (attached) {
    attachment_ = Attachment{.uart = uart, .escapes = escapes};
    attachment_->gone = server_->uarts().port(uart).lost;
    escape_.reset();
  }
  return attached;
}

bool ControlSession::feed_uart() {
  if (std::exchange(attachment_->gone, false)) {
    put_uart_event("gone");
    return true;
  }
  if (std::exchange(attachment_->back, false)) {
    put_uart_event("back");
    return true;
  }
  if (input_.empty()) {
    return false;
  }
  const auto received = input_.claim_read().first;
  auto rest = received;
  const auto before = escape_;
  const auto decoded = attachment_->escapes
                           ? escape_.decode(rest)
                           : control::EscapeDecoder::Decoded{std::exchange(rest, {}), false};
  const std::size_t taken =
      decoded.data.empty() ? 0 : server_->uarts().send(attachment_->uart, decoded.data);
  attachment_->sent += taken;
  if (taken < decoded.data.size()) {
    input_.commit_read(taken);
    escape_ = taken == 0 ? before : control::EscapeDecoder();  // the rest is decoded again
    return false;
  }
  input_.commit_read(received.size() - rest.size());
  if (decoded.ended) {
    detach();
  }
  return true;
}

void ControlSession::put_uart_event(std::string_view what) {
  if (!attachment_->escapes) {
    return;  // raw: every byte is the port's
  }
  FixedString<longest_row> text;
  text.append("\nevent ", what, ' ', server_->uarts().port(attachment_->uart).config.name);
  put(text);
}

void ControlSession::detach() {
  server_->uarts().detach(attachment_->uart);
  FixedString<longest_row> text;
  text.append("\nok detached ", server_->uarts().port(attachment_->uart).config.name,
              " received=", attachment_->received, " sent=", attachment_->sent,
              " dropped=", attachment_->dropped);
  put(text);
  attachment_.reset();
}

void ControlSession::on_uart_data(UartIndex uart, std::span<const std::byte> data) {
  if (!attachment_ || attachment_->uart != uart) {
    return;
  }
  std::size_t written = output_.write(data);
  if (written < data.size()) {
    flush();
    if (!is_open()) {
      return;
    }
    written += output_.write(data.subspan(written));
  }
  attachment_->received += written;
  attachment_->dropped += data.size() - written;
  server_->uarts().count_dropped(uart, data.size() - written);
  flush();
  if (is_open()) {
    // What waited for room in the send ring goes on, now that nothing else may make it writable.
    update_interest(!input_.empty() || attachment_->gone || attachment_->back);
  }
}

void ControlSession::on_uart_presence(UartIndex uart, bool present) {
  if (attachment_ && attachment_->uart == uart) {
    attachment_->gone = attachment_->gone || !present;
    attachment_->back = present;
  }
}

}  // namespace millrace
