// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <cstddef>
#include <gtest/gtest.h>
#include <utility>

#include "firmware/reactor/ledger.hpp"

namespace millrace {
namespace {

template <std::size_t Number>
struct Numbered {
  static void run(const Message& /*message*/) {}
};

template <std::size_t Number>
Handler handler() {
  return Handler::to<&Numbered<Number>::run>();
}

template <std::size_t... I>
void record_each(Ledger& ledger, std::index_sequence<I...> /*numbers*/) {
  (ledger.record(handler<I>(), Duration(1), 0), ...);
}

TEST(Ledger, is_empty_at_first) {
  const Ledger ledger;
  EXPECT_FALSE(ledger.entry(0));
  EXPECT_EQ(ledger.total(), 0U);
  EXPECT_EQ(ledger.others(), 0U);
}

TEST(Ledger, keeps_the_worst_run_of_each_handler_and_what_waited_then) {
  Ledger ledger;
  ledger.record(handler<0>(), Duration(20), 2);
  ledger.record(handler<1>(), Duration(5), 9);
  ledger.record(handler<0>(), Duration(30), 3);
  ledger.record(handler<0>(), Duration(30), 4);  // no worse
  ledger.record(handler<0>(), Duration(10), 5);
  const auto first = ledger.entry(0);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->name, handler<0>().name());
  EXPECT_EQ(first->count, 4U);
  EXPECT_EQ(first->worst, Duration(30));
  EXPECT_EQ(first->backlog, 3U);
  const auto second = ledger.entry(1);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->name, handler<1>().name());
  EXPECT_EQ(second->count, 1U);
  EXPECT_EQ(second->worst, Duration(5));
  EXPECT_EQ(second->backlog, 9U);
  EXPECT_FALSE(ledger.entry(2));
  EXPECT_EQ(ledger.total(), 5U);
}

TEST(Ledger, that_is_full_counts_further_handlers_among_others) {
  Ledger ledger;
  record_each(ledger, std::make_index_sequence<Ledger::capacity + 3>());
  record_each(ledger, std::make_index_sequence<1>());
  EXPECT_EQ(ledger.total(), Ledger::capacity + 4);
  EXPECT_EQ(ledger.others(), 3U);
  EXPECT_EQ(ledger.entry(0)->count, 2U);
  EXPECT_EQ(ledger.entry(1)->count, 1U);
  EXPECT_TRUE(ledger.entry(Ledger::capacity - 1));
  EXPECT_FALSE(ledger.entry(Ledger::capacity));
}

}  // namespace
}  // namespace millrace
