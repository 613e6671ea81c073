// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <vector>

#include "firmware/reactor/message.hpp"

namespace millrace {
namespace {

std::vector<std::uint32_t> calls;

void note(const Message& message) { calls.push_back(message.value); }
void note_twice(const Message& message) { calls.insert(calls.end(), 2, message.value); }

struct Counter {
  void add(const Message& message) { sum += message.value; }
  void subtract(const Message& message) { sum -= message.value; }
  void read(const Message& message) const { calls.push_back(sum + message.value); }

  std::uint32_t sum = 0;
};

Message with(std::uint32_t value) {
  Message message;
  message.value = value;
  return message;
}

TEST(Handler, calls_the_member_function_it_was_made_of_on_its_object) {
  Counter one;
  Counter other;
  Handler::to<&Counter::add>(one)(with(7));
  Handler::to<&Counter::add>(other)(with(100));
  Handler::to<&Counter::subtract>(other)(with(1));
  EXPECT_EQ(one.sum, 7U);
  EXPECT_EQ(other.sum, 99U);
  calls.clear();
  Handler::to<&Counter::read>(one)(with(1));
  EXPECT_EQ(calls, (std::vector{8U}));
}

TEST(Handler, calls_the_free_function_it_was_made_of) {
  calls.clear();
  Handler::to<&note>()(with(1));
  Handler::to<&note_twice>()(with(2));
  EXPECT_EQ(calls, (std::vector{1U, 2U, 2U}));
}

TEST(Handler, is_equal_to_another_of_the_same_function_and_object_only) {
  Counter one;
  Counter other;
  const auto handler = Handler::to<&Counter::add>(one);
  EXPECT_EQ(handler, Handler::to<&Counter::add>(one));
  EXPECT_NE(handler, Handler::to<&Counter::add>(other));
  EXPECT_NE(handler, Handler::to<&Counter::subtract>(one));
  EXPECT_NE(handler, Handler());
  EXPECT_NE(Handler::to<&note>(), Handler::to<&note_twice>());
  EXPECT_EQ(Handler::to<&note>(), Handler::to<&note>());
}

TEST(Handler, that_is_empty_says_so) {
  EXPECT_FALSE(Handler());
  EXPECT_EQ(Handler().name(), "");
  EXPECT_TRUE(Handler::to<&note>());
}

TEST(Handler, has_the_name_of_its_function_and_keeps_it_beyond_itself) {
  Counter counter;
  const auto method = Handler::to<&Counter::add>(counter).name();
  EXPECT_TRUE(method.starts_with("millrace::")) << method;
  EXPECT_TRUE(method.ends_with("Counter::add")) << method;
  const auto function = Handler::to<&note>().name();
  EXPECT_TRUE(function.starts_with("millrace::")) << function;
  EXPECT_TRUE(function.ends_with("note")) << function;
  EXPECT_EQ(Handler::to<&note>().name_address(), Handler::to<&note>().name_address());
  EXPECT_EQ(*Handler::to<&note>().name_address(), function);
}

template <class Id>
void is_equal_only_if_both_parts_are(const Id& id, const Id& another, const Id& later) {
  EXPECT_EQ(id, Id(id));
  EXPECT_NE(id, another);
  EXPECT_NE(id, later);
  EXPECT_NE(id, Id());
}

TEST(Ids, are_equal_only_if_place_and_generation_are) {
  is_equal_only_if_both_parts_are(WatchId{.fd = 3, .generation = 1},
                                  WatchId{.fd = 4, .generation = 1},
                                  WatchId{.fd = 3, .generation = 2});
  is_equal_only_if_both_parts_are(TimerId{.index = 3, .generation = 1},
                                  TimerId{.index = 4, .generation = 1},
                                  TimerId{.index = 3, .generation = 2});
  is_equal_only_if_both_parts_are(NotifierId{.index = 3, .generation = 1},
                                  NotifierId{.index = 4, .generation = 1},
                                  NotifierId{.index = 3, .generation = 2});
}

TEST(Message, gives_a_payload_back_as_it_was_stored) {
  struct Sample {
    std::uint64_t time;
    std::array<std::uint8_t, Message::payload_size - sizeof(std::uint64_t)> bytes;
    bool operator==(const Sample&) const = default;
  };
  static_assert(sizeof(Sample) == Message::payload_size);
  Sample sample{.time = 0x0123'4567'89ab'cdef, .bytes = {}};
  sample.bytes.fill(0x5a);
  Message message = with(1);
  message.store(sample);
  const Message copy = message;
  EXPECT_EQ(copy.load<Sample>(), sample);
  EXPECT_EQ(copy.value, 1U);
}

TEST(Message, stores_no_more_than_the_value_has) {
  Message message;
  message.payload.fill(std::byte{0x77});
  message.store(std::uint16_t{0});
  EXPECT_EQ(message.payload[1], std::byte{0});
  EXPECT_EQ(message.payload[2], std::byte{0x77});
}

TEST(Message, of_the_loop_is_read_as_what_its_kind_says) {
  Message message;
  message.store(Ready{.watch = {.fd = 5, .generation = 2}, .events = Events::writable});
  EXPECT_EQ(message.ready().watch, (WatchId{.fd = 5, .generation = 2}));
  EXPECT_EQ(message.ready().events, Events::writable);
  message.store(Expiry{
      .timer = {.index = 6, .generation = 3}, .missed = 4, .deadline = Instant(Duration(9))});
  EXPECT_EQ(message.expiry().timer, (TimerId{.index = 6, .generation = 3}));
  EXPECT_EQ(message.expiry().missed, 4U);
  EXPECT_EQ(message.expiry().deadline, Instant(Duration(9)));
}

}  // namespace
}  // namespace millrace
