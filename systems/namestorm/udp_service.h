// SPDX-License-Identifier: Apache-2.0
// Queries over UDP: a burst of them to a burst of answers (thesis 3.2.3).
//
// In stages over groups of a burst, so that the cache misses of different queries overlap:
//
//   1  each packet: check, parse, hash of its question   -> prefetch its bucket
//   2  each query: the answer that the bucket refers to   -> prefetch
//   3  each query: find the answer, send it
//
// Two ways to send an answer that was cut at start-up:
//
//   memcpy   it is copied behind the question, where that lies: the query's own frame goes out
//   precopy  a ready frame goes out (frame_copies.h); where none is free, as memcpy
//
// What was not cut is composed by dns::respond() and copied. Thread: the queue's.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "dns/query.h"
#include "edition.h"
#include "frame_copies.h"
#include "nmio/loop.h"
#include "nmio/packet.h"
#include "rate_limit.h"
#include "telemetry.h"
#include "udpip/stack.h"

namespace stackrig::namestorm {

enum class SendMode : std::uint8_t { precopy, memcpy };

struct UdpConfig {
  SendMode mode = SendMode::memcpy;
  /// precopy: chunks that stay free of copies, for the rings and what is between them.
  std::uint32_t working_chunks = 12288;
  RateLimitConfig rate_limit;
};

template <class Key>
class UdpService {
 public:
  /// Makes the first copies. All but `config` outlive the service. Throws std::invalid_argument,
  /// std::bad_alloc.
  UdpService(const UdpConfig& config, udpip::Stack& udp, nmio::PacketMemory& memory,
             const Edition<Key>& edition, DnsCounters& counters);

  /// The chunks of the burst are the service's, but those of `others()` afterwards.
  void on_burst(std::span<const nmio::RxPacket> burst, Time now);
  /// TCP packets of the burst before, whose chunks are the caller's.
  [[nodiscard]] std::span<const nmio::RxPacket> others() const {
    return {others_.data(), others_count_};
  }

  /// Between two bursts.
  void start_edition(const Edition<Key>& edition);
  void place_counters(DnsCounters& counters) { counters_ = &counters; }

 private:
  /// Queries between the stages. Of more, what is kept would push each other out of the first-level
  /// cache. (A probe of FqdnKey has room for the longest text, 1 KiB; a name's own text is
  /// touched.)
  static constexpr unsigned kGroup = 32;
  struct Waiting {
    udpip::Datagram datagram;
    dns::Query query;
    typename Key::Probe probe;
  };

  unsigned take(std::span<const nmio::RxPacket> group, Time now);
  bool understood(Waiting& w, Time now);
  void answer(const Waiting& w);
  void send_cut(const Waiting& w, const dns::CutAnswer& cut);
  bool send_copy(const Waiting& w, const dns::CutAnswer& cut);
  void send_composed(const Waiting& w);
  void send_error(const Waiting& w, dns::Rcode rcode, bool truncated);
  /// Whether the client is within its rate; where not, it has been seen to. `rcode`: of the answer
  /// where the message is an error, else noerror.
  bool within_rate(const Waiting& w, dns::Rcode rcode, Time now);

  udpip::Stack& udp_;
  const Edition<Key>* edition_;
  DnsCounters* counters_;
  RateLimit rate_limit_;
  std::unique_ptr<FrameCopies> copies_;  ///< precopy
  std::array<Waiting, kGroup> waiting_;
  std::array<nmio::RxPacket, nmio::LoopConfig::kMaxBurst> others_;
  unsigned others_count_ = 0;
};

extern template class UdpService<dns::WireKey>;
extern template class UdpService<dns::FqdnKey>;

}  // namespace stackrig::namestorm
