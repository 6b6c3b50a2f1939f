// SPDX-License-Identifier: Apache-2.0
// Connections that wait for a neighbour: they cost nothing when they end, and go when it answers.
#include <cstdlib>
#include <new>

#include "tcpip/test_support.h"

namespace {
std::size_t allocated = 0;  ///< bytes that operator new was asked for
}

[[gnu::noinline]] void* operator new(std::size_t n) {
  allocated += n;
  if (void* p = std::malloc(n)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}

namespace stackrig::tcpip::testing {
namespace {

TEST(WaitingForArp, ManyThatEndUnansweredTakeNoMemory) {
  Script s;
  constexpr unsigned kConnections = 20000;
  std::size_t bytes = 0;
  for (unsigned i = 0; i < kConnections; ++i) {
    const std::size_t before = allocated;
    Tcb* t = s.stack.tcp_new();
    ASSERT_NE(t, nullptr);
    ASSERT_EQ(s.stack.tcp_connect(*t, {kPeerIp, 4000}, s.now), Result::ok);
    s.stack.tcp_abort(*t, s.now);
    s.stack.poll_output(s.now);
    bytes += allocated - before;
    s.collect();
    s.forget();
  }
  EXPECT_EQ(bytes, 0u);
}

TEST(WaitingForArp, WhoStillWaitsGoesWhenTheNeighbourAnswers) {
  Script s;
  App app;
  for (int i = 0; i < 10; ++i) {
    Tcb* t = s.stack.tcp_new();
    ASSERT_EQ(s.stack.tcp_connect(*t, {kPeerIp, 4000}, s.now), Result::ok);
    if (i % 2 == 0) s.stack.tcp_abort(*t, s.now);
  }
  s.tick();
  s.forget();
  wire::ArpFrame a;
  a.ethernet = {kOurMac, kPeerMac, wire::kEtherTypeArp};
  a.arp = {wire::kArpReply, kPeerMac, kPeerIp, kOurMac, kOurIp};
  s.in_frame(a.emit());
  s.tick();
  EXPECT_EQ(s.sent.size(), 5u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(s.out().flags(), kSyn);
}

}  // namespace
}  // namespace stackrig::tcpip::testing
