// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "hal/events.hpp"
#include "hal/slice.hpp"
#include "hal/time.hpp"

namespace millrace {

/// In which order messages run: urgent before normal before background. What waits below is never
/// starved: see Reactor.
enum class Priority : std::uint8_t { urgent, normal, background };
inline constexpr std::size_t priority_count = 3;

/// What a message reports.
enum class MessageKind : std::uint8_t {
  posted,  ///< sent by post(): the code and payload are the sender's
  ready,   ///< a watched descriptor is ready: Ready
  timer,   ///< a timer has expired: Expiry
  notice,  ///< a notifier was raised, once or more since the last notice
  quit     ///< the loop ends: to those registered with at_quit()
};

/// Names one watch for as long as it lives. A later watch of the same descriptor number has another
/// generation, so that nothing meant for the one ever reaches the other.
struct WatchId {
  std::int32_t fd = -1;
  std::uint32_t generation = 0;

  friend bool operator==(WatchId, WatchId) = default;
};

/// Names one timer for as long as it lives.
struct TimerId {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;  ///< 0: no timer

  friend bool operator==(TimerId, TimerId) = default;
};

/// Names one notifier for as long as it lives.
struct NotifierId {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;  ///< 0: no notifier

  friend bool operator==(NotifierId, NotifierId) = default;
};

struct Message;

/// What runs when a message is taken from the queue: a function and the object it is called on. Two
/// pointers, copied freely; owns nothing, so the object must outlive what refers to it.
class Handler {
 public:
  Handler() = default;

  /// `Handler::to<&Session::on_ready>(session)`: a member function taking `const Message&`.
  template <auto Method, class Object>
  [[nodiscard]] static constexpr Handler to(Object& object) {
    return {&type_of_method<Method, Object>, &object};
  }

  /// `Handler::to<&on_tick>()`: a free function taking `const Message&`.
  template <auto Function>
  [[nodiscard]] static constexpr Handler to() {
    return {&type_of_function<Function>, nullptr};
  }

  void operator()(const Message& message) const { type_->invoke(object_, message); }
  [[nodiscard]] explicit operator bool() const { return type_ != nullptr; }

  /// As the source has it, for example "millrace::Session::on_ready". A string literal.
  [[nodiscard]] std::string_view name() const { return type_ == nullptr ? "" : type_->name; }

  /// Where name() is kept: outlives every handler.
  [[nodiscard]] const std::string_view* name_address() const { return &type_->name; }

  friend bool operator==(const Handler&, const Handler&) = default;

 private:
  struct Type {
    std::string_view name;
    void (*invoke)(void* object, const Message& message);
  };

  constexpr Handler(const Type* type, void* object) : type_(type), object_(object) {}

  template <auto Function>
  [[nodiscard]] static constexpr std::string_view name_of() {
    // "… [with auto Function = &ns::Class::method; …]" (g++), "… [Function = &…]" (clang)
    std::string_view text = __PRETTY_FUNCTION__;
    text.remove_prefix(text.find("Function = ") + std::string_view("Function = ").size());
    text = slice(text, 0, text.find_first_of(";]"));
    while (text.starts_with('(') || text.starts_with('&')) {
      text.remove_prefix(1);
    }
    while (text.ends_with(')')) {
      text.remove_suffix(1);
    }
    return text;
  }

  template <auto Method, class Object>
  static void invoke_method(void* object, const Message& message) {
    (static_cast<Object*>(object)->*Method)(message);
  }
  template <auto Function>
  static void invoke_function(void* /*object*/, const Message& message) {
    Function(message);
  }

  template <auto Method, class Object>
  static constexpr Type type_of_method{name_of<Method>(), &invoke_method<Method, Object>};
  template <auto Function>
  static constexpr Type type_of_function{name_of<Function>(), &invoke_function<Function>};

  const Type* type_ = nullptr;
  void* object_ = nullptr;
};

/// Payload of MessageKind::ready.
struct Ready {
  WatchId watch;
  Events events = Events::none;
};

/// Payload of MessageKind::timer.
struct Expiry {
  TimerId timer;
  std::uint32_t missed = 0;  ///< periods that passed unserved before this one
  Instant deadline;  ///< when it was due; if periods were missed, when the first of them was
};

/// The one thing that the loop moves: a small value, copied into the queue and out of it.
struct Message {
  static constexpr std::size_t payload_size = 24;

  Handler handler;
  MessageKind kind = MessageKind::posted;
  Priority priority = Priority::normal;
  std::uint16_t code = 0;   ///< posted: what the sender means by it
  std::uint32_t value = 0;  ///< posted: the sender's; saves a payload where a number is enough
  alignas(8) std::array<std::byte, payload_size> payload{};

  /// Puts a value of the sender's own type into the payload.
  template <class T>
  void store(const T& data) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= payload_size);
    std::memcpy(payload.data(), &data, sizeof(T));
  }

  /// Reads the payload back. The type must be the one that was stored.
  template <class T>
  [[nodiscard]] T load() const {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= payload_size);
    T data;
    std::memcpy(&data, payload.data(), sizeof(T));
    return data;
  }

  [[nodiscard]] Ready ready() const { return load<Ready>(); }
  [[nodiscard]] Expiry expiry() const { return load<Expiry>(); }
};
static_assert(std::is_trivially_copyable_v<Message> && sizeof(Message) == 2 * sizeof(void*) + 32);

}  // namespace millrace
