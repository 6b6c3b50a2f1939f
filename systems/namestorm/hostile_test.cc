// SPDX-License-Identifier: Apache-2.0
// Broken and hostile messages: answered as the general path would, or not at all; nothing is kept,
// and others are served meanwhile.
#include <gtest/gtest.h>

#include <random>

#include "test_world.h"

namespace stackrig::namestorm::testing {
namespace {

template <class V>
class Hostile : public ::testing::Test {};
TYPED_TEST_SUITE(Hostile, Variants);

Message www() {
  return query("www.example.com", dns::type::kA);
}

template <class W>
void expect_like_general_path(W& w, const Message& m) {
  ASSERT_EQ(w.ask(m), composed(w.served(), m)) << ::testing::PrintToString(m);
}

TYPED_TEST(Hostile, RandomBytesOfEveryLength) {
  World<typename TypeParam::Key> w(TypeParam::config());
  std::mt19937_64 random(1);
  for (int i = 0; i < 3000; ++i) {
    Message m(random() % (i % 10 == 0 ? 1400 : 60));
    for (std::uint8_t& b : m)
      b = static_cast<std::uint8_t>(random() % (random() % 2 == 0 ? 256 : 4));
    expect_like_general_path(w, m);
  }
  expect_like_general_path(w, www());
  w.expect_all_home();
}

TYPED_TEST(Hostile, AQueryCutShortAnywhereOrDrawnOut) {
  World<typename TypeParam::Key> w(TypeParam::config());
  const Message whole = query("www.example.com", dns::type::kA, {.edns = true});
  for (std::size_t n = 0; n <= whole.size(); ++n)
    expect_like_general_path(w, Message(whole.begin(), whole.begin() + static_cast<long>(n)));
  for (const std::size_t n : {50U, 100U, 511U, 512U, 513U, 1232U, 1472U}) {
    Message longer = whole;
    longer.resize(n, 0xc0);
    expect_like_general_path(w, longer);
  }
  w.expect_all_home();
}

TYPED_TEST(Hostile, QueriesWithBytesChanged) {
  World<typename TypeParam::Key> w(TypeParam::config());
  std::mt19937_64 random(2);
  for (int i = 0; i < 5000; ++i) {
    Message m = query(i % 2 == 0 ? "www.example.com" : "a.b.c.deep.example.com", dns::type::kA,
                      {.edns = i % 3 == 0});
    for (auto n = 1 + random() % 3; n != 0; --n)
      m[random() % m.size()] = static_cast<std::uint8_t>(random());
    expect_like_general_path(w, m);
  }
  w.expect_all_home();
}

TYPED_TEST(Hostile, CompressionPointersInTheQuestion) {
  World<typename TypeParam::Key> w(TypeParam::config());
  for (const unsigned target : {0U, 4U, 11U, 12U, 13U, 14U, 20U, 0x3fffU}) {
    for (const bool after_label : {false, true}) {
      Message m = query("", dns::type::kA);
      m.resize(dns::Header::kSize);
      if (after_label) m.insert(m.end(), {3, 'w', 'w', 'w'});
      put16(m, 0xc000 | target);
      put16(m, dns::type::kA);
      put16(m, dns::kClassIn);
      expect_like_general_path(w, m);
    }
  }
  w.expect_all_home();
}

TYPED_TEST(Hostile, EveryOpcodeAndFlagAndCount) {
  World<typename TypeParam::Key> w(TypeParam::config());
  for (unsigned flags = 0; flags < 0x10000; flags += 0x80)
    expect_like_general_path(
        w, query("www.example.com", dns::type::kA, {.flags = static_cast<std::uint16_t>(flags)}));
  for (std::size_t at = 4; at < dns::Header::kSize; ++at) {
    for (const unsigned v : {0U, 1U, 2U, 255U}) {
      Message m = www();
      m[at] = static_cast<std::uint8_t>(v);
      expect_like_general_path(w, m);
    }
  }
  w.expect_all_home();
}

TYPED_TEST(Hostile, AResponseIsNeverAnswered) {
  World<typename TypeParam::Key> w(TypeParam::config());
  const Message answer = w.ask(www());
  EXPECT_EQ(w.ask(answer), Message{}) << "two servers would answer each other for ever";
  EXPECT_EQ(w.server().counters().ignored, 1U);
}

TYPED_TEST(Hostile, AFloodOfEverythingLeavesNoMemoryBehindAndOthersAreServed) {
  WorldConfig config = TypeParam::config();
  config.server_port.ring = 256;
  World<typename TypeParam::Key> w(config);
  std::mt19937_64 random(3);
  const Message good = www();
  for (int round = 0; round < 300; ++round) {
    const bool overload = round % 2 == 1;
    for (unsigned i = 0; i < (overload ? 400U : 40U); ++i) {
      Message m =
          query("host" + std::to_string(random() % 60) + ".example.com",
                static_cast<std::uint16_t>(random() % 60),
                {.id = static_cast<std::uint16_t>(random() | 1), .edns = random() % 2 == 0});
      if (random() % 4 == 0) m[random() % m.size()] ^= static_cast<std::uint8_t>(random());
      w.send(m, static_cast<std::uint16_t>(1024 + random() % 1000));
    }
    w.run();
    w.take_answers();
    ASSERT_EQ(w.ask(good), composed(w.served(), good));
  }
  w.expect_all_home();
}

}  // namespace
}  // namespace stackrig::namestorm::testing
