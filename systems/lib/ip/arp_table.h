// SPDX-License-Identifier: Apache-2.0
// The neighbour table (RFC 826, RFC 1122 2.3.2): ageing, unicast probes, a bounded queue.
//
// Memory is bounded by `entries`; the least recently used one goes when it is full. What a stranger
// says without being asked changes only entries that exist already (RFC 826), so a flood of replies
// learns us nothing and fills nothing. The table sends nothing itself: it says what is to be sent.
//
// Thread: one. Time is an argument.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "nmio/packet.h"
#include "wire/address.h"
#include "wire/arp.h"

namespace stackrig::ip {

using nmio::Time;

struct ArpConfig {
  std::uint32_t entries = 512;
  Time fresh_for = 60 * nmio::kSecond;      ///< a neighbour in use is probed after this long
  Time forget_after = 600 * nmio::kSecond;  ///< an unused one is forgotten
  Time retry = nmio::kSecond;               ///< between requests: at most one per second (RFC 1122)
  Time hold_down = 5 * nmio::kSecond;       ///< no new request for a neighbour that did not answer
  Time retry_unsent = nmio::kMillisecond;   ///< where a request found no room in the ring
  unsigned attempts = 3;                    ///< requests before giving up
};

enum class Resolved : std::uint8_t { yes, pending, unreachable };

class ArpTable {
 public:
  /// Why a request is to be sent: `to` is the broadcast address, or the neighbour's for a probe.
  struct Request {
    wire::Ipv4Address target;
    wire::MacAddress to;
  };
  /// A neighbour that was waited for: with its address, or nullptr where it is given up. `held` is
  /// the packet that waited for it (chunk kNoChunk: none); it is the callee's.
  struct Events {
    std::function<bool(const Request&)> send_request;  ///< false: no room, ask again soon
    std::function<void(wire::Ipv4Address, const wire::MacAddress*, nmio::TxPacket held)> settled;
    std::function<void(nmio::TxPacket)> drop;  ///< a held packet that lost its place
  };

  ArpTable(const ArpConfig& config, Events events);

  /// The address of an on-link neighbour. `pending`: asked for; settled() will tell.
  Resolved resolve(wire::Ipv4Address target, Time now, wire::MacAddress& out);
  /// Holds one packet per neighbour until it answers; a newer one takes the older one's place
  /// (RFC 1122 2.3.2.2). Only after resolve() said `pending`.
  void hold(wire::Ipv4Address target, const nmio::TxPacket& packet);
  /// The sender's part of a received ARP packet: updates an entry; makes one only where `create`.
  void learn(wire::Ipv4Address ip, const wire::MacAddress& mac, Time now, bool create);
  /// The neighbour is alive (an upper layer made progress): no probe is needed.
  void confirm(wire::Ipv4Address ip, Time now);
  void run_timers(Time now);
  [[nodiscard]] Time next_deadline() const { return in_use_ == 0 ? nmio::kNever : next_scan_; }
  [[nodiscard]] std::uint32_t size() const { return in_use_; }

 private:
  enum class State : std::uint8_t { unused, resolving, reachable, probing, unreachable };
  struct Entry {
    wire::Ipv4Address ip;
    wire::MacAddress mac;
    State state = State::unused;
    std::uint8_t attempts = 0;
    std::uint32_t next = kNone;  ///< of the same bucket
    Time changed = 0;            ///< confirmed, or when the last request went out, or given up
    Time used = 0;
    nmio::TxPacket held{};
  };
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  [[nodiscard]] std::uint32_t bucket_of(wire::Ipv4Address ip) const;
  Entry* find(wire::Ipv4Address ip);
  Entry& make(wire::Ipv4Address ip, Time now);
  void remove(std::uint32_t index);
  std::uint32_t victim() const;
  void ask(Entry& e, Time now, bool unicast);
  void settle(Entry& e, const wire::MacAddress* mac);
  void age(Entry& e, std::uint32_t index, Time now);

  ArpConfig config_;
  Events events_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> buckets_;
  std::uint32_t in_use_ = 0;
  Time next_scan_ = 0;
};

}  // namespace stackrig::ip
