// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <ostream>
#include <string_view>
#include <utility>

#include "firmware/reactor/message.hpp"
#include "hal/fixed_string.hpp"

namespace millrace::test {

/// What ran, in order: words with a space between. Compared as a whole, so that a test sees what
/// ran too often or too early as well as what did not run. Allocates nothing.
class Trace {
 public:
  template <class... Parts>
  void add(const Parts&... parts) {
    if (!text_.empty()) {
      text_.append(' ');
    }
    text_.append(parts...);
  }

  [[nodiscard]] std::string_view text() const {
    return text_.truncated() ? "the trace is full" : text_.view();
  }
  void clear() { text_.clear(); }

  friend bool operator==(const Trace& trace, std::string_view text) { return trace.text() == text; }
  friend void PrintTo(const Trace& trace, std::ostream* out) { *out << '"' << trace.text() << '"'; }

 private:
  FixedString<16383> text_;
};

/// A handler made of a lambda: `On a{[&](const Message& message) { … }};`, then `a` wherever a
/// Handler is asked for.
template <class Function>
class On {
 public:
  explicit On(Function function) : function_(std::move(function)) {}
  On(const On&) = delete;
  On& operator=(const On&) = delete;

  void call(const Message& message) { function_(message); }
  operator Handler() { return Handler::to<&On::call>(*this); }

 private:
  Function function_;
};

/// A handler that writes its name into a trace.
class Note {
 public:
  Note(Trace& trace, std::string_view name) : trace_(&trace), name_(name) {}
  Note(const Note&) = delete;
  Note& operator=(const Note&) = delete;

  void call(const Message& /*message*/) { trace_->add(name_); }
  operator Handler() { return Handler::to<&Note::call>(*this); }

 private:
  Trace* trace_;
  std::string_view name_;
};

}  // namespace millrace::test
