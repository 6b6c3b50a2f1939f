// SPDX-License-Identifier: Apache-2.0
// What is sent to an echo server, and that a server that gives back anything else is found out.
#include "rigload/echo_exchange.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "wire/checksum.h"

namespace stackrig::rigload {
namespace {

using State = Progress::State;

std::string text_of(const Prepared& p) {
  return {reinterpret_cast<const char*>(p.data), p.len};
}

/// A new connection on a slot, past its size.
std::string first_buffers(EchoExchange& e, SlotId slot) {
  e.opened(slot);
  return text_of(e.begin(slot)).substr(4);
}

Progress receive(EchoExchange& e, SlotId slot, std::string_view text) {
  return e.receive(slot, std::as_bytes(std::span(text)));
}

TEST(EchoExchange, AConnectionBeginsWithItsSize) {
  EchoExchange e({.size = 0x0102}, 2);
  e.opened(0);
  const Prepared& first = e.begin(0);
  EXPECT_EQ(first.len, 4U + 0x0102);
  EXPECT_EQ(text_of(first).substr(0, 4), std::string("\0\0\1\2", 4));
  EXPECT_EQ(e.begin(0).len, 0x0102U);
  e.opened(0);
  EXPECT_EQ(e.begin(0).len, 4U + 0x0102) << "each connection does";
}

TEST(EchoExchange, SumsAreThoseOfTheBytes) {
  EchoExchange e({.size = 33, .pipeline = 3}, 1);
  e.opened(0);
  for (int i = 0; i < 70; ++i) {
    const Prepared& p = e.begin(0);
    EXPECT_EQ(p.sum, wire::fold(wire::sum(p.data, p.len)));
  }
}

TEST(EchoExchange, RoundTripsDifferFromThoseBeforeAndBeside) {
  EchoExchange e({.size = 32}, 2);
  std::set<std::string> texts = {first_buffers(e, 0)};
  first_buffers(e, 1);
  for (unsigned i = 1; i < EchoExchange::kWindows; ++i) texts.insert(text_of(e.begin(0)));
  EXPECT_EQ(texts.size(), EchoExchange::kWindows);
  EXPECT_NE(text_of(e.begin(0)), text_of(e.begin(1)));
}

TEST(EchoExchange, WhatComesBackInAnyPiecesIsCompared) {
  for (std::size_t first = 0; first <= 32; ++first) {
    EchoExchange e({.size = 8, .pipeline = 4}, 1);
    const std::string sent = first_buffers(e, 0);
    ASSERT_EQ(sent.size(), 32U);
    if (first != 0 && first != 32) {
      const Progress p = receive(e, 0, sent.substr(0, first));
      EXPECT_EQ(p.state, State::more);
      EXPECT_EQ(p.body_bytes, first);
    }
    const Progress p = receive(e, 0, first == 32 ? sent : sent.substr(first));
    EXPECT_EQ(p.state, State::finished);
    EXPECT_EQ(p.requests, 4U);
    EXPECT_FALSE(p.error);
  }
}

TEST(EchoExchange, EveryAlteredByteIsFound) {
  for (std::size_t at = 0; at < 32; ++at) {
    EchoExchange e({.size = 32}, 1);
    std::string back = first_buffers(e, 0);
    back[at] = static_cast<char>(back[at] ^ 1);
    const Progress p = receive(e, 0, back);
    EXPECT_EQ(p.state, State::broken);
    EXPECT_EQ(p.error, ErrorKind::content);
  }
}

TEST(EchoExchange, TheLastAnswerOverAgainIsFound) {
  EchoExchange e({.size = 32}, 1);
  const std::string first = first_buffers(e, 0);
  receive(e, 0, first);
  e.begin(0);
  EXPECT_EQ(receive(e, 0, first).error, ErrorKind::content);
}

TEST(EchoExchange, MoreThanWasSentIsFound) {
  EchoExchange e({.size = 32}, 1);
  EXPECT_EQ(receive(e, 0, first_buffers(e, 0) + "x").error, ErrorKind::length);
}

TEST(EchoExchange, AnEarlyEndIsResetOrLength) {
  EchoExchange e({.size = 32}, 1);
  const std::string sent = first_buffers(e, 0);
  EXPECT_EQ(e.cut_short(0), ErrorKind::reset);
  receive(e, 0, sent.substr(0, 5));
  EXPECT_EQ(e.cut_short(0), ErrorKind::length);
}

}  // namespace
}  // namespace stackrig::rigload
