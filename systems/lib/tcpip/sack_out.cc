// SPDX-License-Identifier: Apache-2.0
// Telling the sender what is held beyond a gap (RFC 2018 4), and what came twice (RFC 2883).
#include <algorithm>
#include <cstring>
#include <utility>

#include "tcpip/impl.h"

namespace stackrig::tcpip {
namespace {

constexpr std::uint8_t kQuickAcks = 16;

void store32(std::byte* p, std::uint32_t v) {
  v = __builtin_bswap32(v);
  std::memcpy(p, &v, sizeof v);
}

}  // namespace

// [from, to) is held now: its block comes first, joined with those that it touches.
void Stack::Impl::note_held(Tcb& t, Seq from, Seq to) {
  if (!t.has(kSackOn) || from == to) return;  // a FIN alone is no byte
  Extra& x = extra(t);
  wire::SackBlock first{from, to};
  unsigned kept = 0;
  for (unsigned i = 0; i < x.held_count; ++i) {
    const wire::SackBlock b = x.held[i];
    if (seq_le(b.left, first.right) && seq_ge(b.right, first.left)) {
      first.left = seq_gt(first.left, b.left) ? b.left : first.left;
      first.right = seq_max(first.right, b.right);
    } else {
      x.held[kept++] = b;
    }
  }
  kept = std::min<unsigned>(kept, wire::TcpOptions::kMaxSackBlocks - 1);
  for (unsigned i = kept; i > 0; --i) x.held[i] = x.held[i - 1];
  x.held[0] = first;
  x.held_count = static_cast<std::uint8_t>(kept + 1);
  x.quick_acks = kQuickAcks;
}

// After a gap the sender's window is small and its clock are our ACKs: they are not delayed for a
// while (RFC 5681 4.2 asks for them at once while there is a gap).
bool Stack::Impl::acks_quickly(Tcb& t) {
  if (!has_extra(t) || extra(t).quick_acks == 0) return false;
  --extra(t).quick_acks;
  return true;
}

// Nothing of [from, to) is held any more: it was received in order, or had to go.
void Stack::Impl::note_not_held(Tcb& t, Seq from, Seq to) {
  if (!has_extra(t)) return;
  Extra& x = extra(t);
  unsigned kept = 0;
  for (unsigned i = 0; i < x.held_count; ++i) {
    wire::SackBlock b = x.held[i];
    if (seq_lt(b.left, to) && seq_gt(b.right, from)) {
      // What is dropped is the end of a block, what is received its beginning, or all.
      if (seq_lt(b.left, from)) {
        b.right = from;
      } else {
        b.left = seq_gt(b.right, to) ? to : b.right;
      }
      if (b.left == b.right) continue;
    }
    x.held[kept++] = b;
  }
  x.held_count = static_cast<std::uint8_t>(kept);
}

void Stack::Impl::note_came_twice(Tcb& t, Seq from, Seq to) {
  if (!t.has(kSackOn) || !seq_lt(from, to)) return;
  twice = {from, to};
  any_twice = true;
}

// Writes the option for an ACK to `at`; returns its length, 0 where there is nothing to say.
std::uint32_t Stack::Impl::write_sack(Tcb& t, std::byte* at) {
  const unsigned held = has_extra(t) ? extra(t).held_count : 0;
  const bool say_twice = std::exchange(any_twice, false);
  const unsigned most = t.has(kTimestampsOn) ? 3 : 4;
  const unsigned blocks = std::min(held + (say_twice ? 1 : 0), most);
  if (blocks == 0) return 0;
  store32(at, std::uint32_t{wire::kTcpOptionNop} << 24 | std::uint32_t{wire::kTcpOptionNop} << 16 |
                  std::uint32_t{wire::kTcpOptionSack} << 8 | (2 + 8 * blocks));
  std::byte* p = at + 4;
  for (unsigned i = 0; i < blocks; ++i, p += 8) {
    const wire::SackBlock b =
        say_twice ? (i == 0 ? twice : extra(t).held[i - 1]) : extra(t).held[i];
    store32(p, b.left);
    store32(p + 4, b.right);
  }
  return 4 + 8 * blocks;
}

}  // namespace stackrig::tcpip
