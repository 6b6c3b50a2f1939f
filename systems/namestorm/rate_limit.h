// SPDX-License-Identifier: Apache-2.0
// Response rate limiting: a server that anybody can ask in anybody's name must not become the
// amplifier of somebody's attack. What BIND, NSD and Knot DNS offer too; off unless asked for.
//
// Answers over UDP to one client prefix leak from a bucket at a fixed rate. Beyond it they are
// dropped, but every `slip`-th is sent truncated instead: whoever really asked comes again over
// TCP, which cannot be forged. Memory is fixed: sets of four buckets, found by a keyed hash; in a
// full set the emptiest bucket gives way, so that a flood from many prefixes cannot push out the
// bucket of a prefix that is being limited.
//
// Thread: one; nothing is shared between instances, so the rate is per queue. Time is an argument.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "hash/siphash.h"
#include "nmio/packet.h"
#include "wire/address.h"

namespace stackrig::namestorm {

using nmio::Time;

struct RateLimitConfig {
  std::uint32_t per_second = 0;   ///< answers per client prefix; 0: no limit
  std::uint32_t slip = 2;         ///< of those over it, every so many is truncated; 0: none
  std::uint8_t prefix = 24;       ///< bits of a client's address, 1 to 32
  std::uint32_t sets = 1U << 14;  ///< of four buckets, 64 bytes; a power of two
  std::uint64_t secret[2] = {0, 0};
};

enum class Verdict : std::uint8_t { send, truncate, drop };

class RateLimit {
 public:
  /// A second's worth of answers may come at once.
  explicit RateLimit(const RateLimitConfig& config)
      : config_(config),
        interval_(config.per_second == 0 ? 0 : nmio::kSecond / config.per_second),
        shift_(32U - config.prefix),
        sets_(config.per_second == 0 ? 0 : config.sets) {}

  [[nodiscard]] bool is_on() const { return interval_ != 0; }

  Verdict check(wire::Ipv4Address client, Time now) {
    Bucket& b = bucket(client.value >> shift_, now);
    const Time level = b.empty_at > now ? b.empty_at - now : 0;
    if (level + interval_ <= nmio::kSecond) {
      b.empty_at = now + level + interval_;
      return Verdict::send;
    }
    if (config_.slip == 0 || ++b.over % config_.slip != 0) return Verdict::drop;
    return Verdict::truncate;
  }

 private:
  struct Bucket {
    std::uint32_t prefix = 0;
    std::uint32_t over = 0;  ///< answers over the limit
    Time empty_at = 0;       ///< when all has leaked out
  };
  struct alignas(64) Set {
    std::array<Bucket, 4> buckets;
  };

  Bucket& bucket(std::uint32_t prefix, Time now) {
    const std::uint64_t word = prefix;
    const std::uint64_t hash = hash::siphash<1, 3>(config_.secret, &word, 1);
    Set& set = sets_[hash & (sets_.size() - 1)];
    Bucket* emptiest = &set.buckets[0];
    for (Bucket& b : set.buckets) {
      if (b.prefix == prefix && b.empty_at > now) return b;
      if (b.empty_at < emptiest->empty_at) emptiest = &b;
    }
    *emptiest = {.prefix = prefix, .over = 0, .empty_at = now};
    return *emptiest;
  }

  RateLimitConfig config_;
  Time interval_;  ///< ns that an answer takes to leak out
  unsigned shift_;
  std::vector<Set> sets_;
};

}  // namespace stackrig::namestorm
