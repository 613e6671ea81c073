// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include "firmware/gateway/pigpio_session.hpp"

#include <array>
#include <utility>

#include "firmware/gateway/client_stream.hpp"
#include "firmware/gateway/pigpio_server.hpp"

namespace millrace {
namespace {

using pigpio::Answer;
using pigpio::Code;

/// What a session does in one go before others get their turn.
constexpr int rounds = 64;

}  // namespace

Result<void> PigpioSession::open(PigpioServer& server, hal::Fd&& connection, pigpio::ClientId id) {
  const auto watch = server.reactor().watch(connection.get(), Events::readable | Events::error,
                                            Handler::to<&PigpioSession::on_ready>(*this));
  if (!watch) {
    return std::unexpected(watch.error());
  }
  server_ = &server;
  connection_ = std::move(connection);
  watch_ = *watch;
  id_ = id;
  return {};
}

void PigpioSession::close() {
  (void)server_->reactor().remove(watch_);
  connection_.reset();
  waiting_ = Waiting::nothing;
  input_ended_ = false;
  hung_up_ = false;
  decoder_.reset();
  input_.clear();
  output_.clear();
  server_->on_closed(id_);
}

// --- Moving bytes ------------------------------------------------------------------------------

void PigpioSession::on_ready(const Message& message) {
  const Events events = message.ready().events;
  hung_up_ = hung_up_ || any(events, always_reported);
  if (any(events, Events::readable | always_reported)) {
    receive();
  }
  if (is_open()) {
    pump();
  }
  if (is_open()) {
    server_->deliver_to(id_);  // there may be room for reports again
  }
  server_->settle();
}

void PigpioSession::receive() {
  if (input_ended_ || input_.full()) {
    return;
  }
  const Input input = receive_into(input_, connection_.get());
  input_ended_ = input == Input::ended;
  if (input == Input::broken) {
    close();
  }
}

void PigpioSession::flush() {
  if (!send_from(output_, connection_.get())) {
    close();
  }
}

void PigpioSession::update_interest(bool more) {
  (void)server_->reactor().modify(
      watch_, interest_in(!input_ended_ && !input_.full(), !output_.empty() || more, hung_up_));
}

void PigpioSession::pump() {
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
  // pigpiod, too, closes what its client has closed for sending, answers and reports sent.
  const bool starved = waiting_ == Waiting::nothing || (waits() && waiting_ != Waiting::pulse);
  if (input_ended_ && input_.empty() && (output_.empty() || hung_up_) && starved) {
    close();
    return;
  }
  update_interest(round == rounds);
}

void PigpioSession::send_reports(std::uint8_t handle) {
  bool more = true;
  for (int round = 0; more && round < rounds; ++round) {
    while (more && output_.space() >= reserve + pigpio::Report::size) {
      const auto report = server_->next_report(handle);
      more = report.has_value();
      if (more) {
        output_.write(*report);
      }
    }
    if (!output_.empty()) {
      flush();
    }
    if (!is_open()) {
      return;
    }
    if (!output_.empty()) {
      break;  // the client has to read first
    }
  }
  update_interest(more);
}

// --- Work --------------------------------------------------------------------------------------

/// Does one thing, if there is something to do and room for what comes of it.
bool PigpioSession::work() {
  if (!has_room()) {
    return false;
  }
  switch (waiting_) {
    case Waiting::nothing:
      return execute();
    case Waiting::pulse:
      if (server_->daemon().pulsing(decoder_.request().p1)) {
        return false;
      }
      put_answer(decoder_.request(), result_);
      waiting_ = Waiting::nothing;
      return true;
    case Waiting::stream:
    case Waiting::passing:
      break;
  }
  return stream();
}

bool PigpioSession::execute() {
  using Decoded = decltype(decoder_)::Status;
  const auto received = input_.claim_read().first;
  auto rest = received;
  const auto decoded = decoder_.decode(rest);
  input_.commit_read(received.size() - rest.size());
  if (decoded == Decoded::hopeless) {
    close();
    return false;
  }
  if (decoded == Decoded::incomplete) {
    return !input_.empty();  // the ring's second piece
  }
  const pigpio::Request& request = decoder_.request();
  if (decoder_.oversize() && pigpio::Daemon::serves(request.command)) {
    put_answer(request, value(Code::message_too_big));
    return true;
  }
  std::array<std::byte, longest_data> data;
  const Answer answer = server_->execute(request, id_, data);
  if (!is_open()) {
    return false;  // its reports could not be sent
  }
  result_ = answer.result;
  if (answer.when == Answer::When::after_pulse) {
    waiting_ = Waiting::pulse;
  } else if (decoder_.streaming() > 0) {
    waiting_ = answer.when == Answer::When::after_stream ? Waiting::stream : Waiting::passing;
  } else {
    put_answer(request, answer.result);
    output_.write(std::span(data).first(answer.data));
  }
  return true;
}

bool PigpioSession::stream() {
  const pigpio::Request& request = decoder_.request();
  if (waiting_ == Waiting::stream && !server_->serials().has_serial(request.p1)) {
    waiting_ = Waiting::passing;  // somebody has closed it
    result_ = value(Code::bad_handle);
  }
  auto piece = input_.claim_read().first;
  piece = piece.first(std::min(piece.size(), decoder_.streaming()));
  const std::size_t taken = waiting_ == Waiting::passing || piece.empty()
                                ? piece.size()
                                : server_->serials().put_serial(request.p1, piece);
  input_.commit_read(taken);
  decoder_.streamed(taken);
  if (decoder_.streaming() > 0) {
    return taken > 0;
  }
  waiting_ = Waiting::nothing;
  put_answer(request, result_);
  return true;
}

void PigpioSession::put_answer(const pigpio::Request& request, std::int32_t result) {
  output_.write(pigpio::encode_answer(request, result));
}

}  // namespace millrace
