// SPDX-License-Identifier: Apache-2.0
// The neighbour table: a fixed array, hashed by address, looked through once per retry interval.
#include "ip/arp_table.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace stackrig::ip {

ArpTable::ArpTable(const ArpConfig& config, Events events)
    : config_(config),
      events_(std::move(events)),
      entries_(config.entries),
      buckets_(std::bit_ceil(config.entries), kNone) {
  for (Entry& e : entries_) e.held.chunk = nmio::kNoChunk;
}

std::uint32_t ArpTable::bucket_of(wire::Ipv4Address ip) const {
  return (ip.value * 0x9e3779b1U >> 16) & static_cast<std::uint32_t>(buckets_.size() - 1);
}

ArpTable::Entry* ArpTable::find(wire::Ipv4Address ip) {
  for (std::uint32_t i = buckets_[bucket_of(ip)]; i != kNone; i = entries_[i].next) {
    if (entries_[i].ip == ip) return &entries_[i];
  }
  return nullptr;
}

// An unused entry, else the one that was used longest ago.
std::uint32_t ArpTable::victim() const {
  std::uint32_t oldest = 0;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].state == State::unused) return i;
    if (entries_[i].used < entries_[oldest].used) oldest = i;
  }
  return oldest;
}

ArpTable::Entry& ArpTable::make(wire::Ipv4Address ip, Time now) {
  const std::uint32_t i = victim();
  if (entries_[i].state != State::unused) remove(i);
  if (in_use_++ == 0) next_scan_ = now + config_.retry;
  Entry& e = entries_[i];
  e.ip = ip;
  e.used = e.changed = now;
  e.attempts = 0;
  std::uint32_t& bucket = buckets_[bucket_of(ip)];
  e.next = bucket;
  bucket = i;
  return e;
}

void ArpTable::remove(std::uint32_t index) {
  Entry& e = entries_[index];
  std::uint32_t* at = &buckets_[bucket_of(e.ip)];
  while (*at != index) at = &entries_[*at].next;
  *at = e.next;
  const nmio::TxPacket held = std::exchange(e.held, nmio::TxPacket{.chunk = nmio::kNoChunk});
  e.state = State::unused;
  --in_use_;
  if (held.chunk != nmio::kNoChunk) events_.drop(held);
}

void ArpTable::ask(Entry& e, Time now, bool unicast) {
  e.changed = now;
  if (events_.send_request({e.ip, unicast ? e.mac : wire::MacAddress::broadcast()})) {
    ++e.attempts;
    return;
  }
  e.changed -= std::min(config_.retry, now);  // due again at the next scan
  next_scan_ = std::min(next_scan_, now + config_.retry_unsent);
}

Resolved ArpTable::resolve(wire::Ipv4Address target, Time now, wire::MacAddress& out) {
  Entry* e = find(target);
  if (e != nullptr) e->used = now;
  if (e == nullptr || (e->state == State::unreachable && now - e->changed >= config_.hold_down)) {
    if (e == nullptr) e = &make(target, now);
    e->state = State::resolving;
    e->attempts = 0;
    ask(*e, now, false);
    return Resolved::pending;
  }
  if (e->state == State::resolving) return Resolved::pending;
  if (e->state == State::unreachable) return Resolved::unreachable;
  if (e->state == State::reachable && now - e->changed >= config_.fresh_for) {
    e->state = State::probing;  // still used meanwhile
    e->attempts = 0;
    ask(*e, now, true);
  }
  out = e->mac;
  return Resolved::yes;
}

void ArpTable::hold(wire::Ipv4Address target, const nmio::TxPacket& packet) {
  Entry* e = find(target);
  if (e == nullptr || e->state != State::resolving) {
    events_.drop(packet);
    return;
  }
  const nmio::TxPacket before = std::exchange(e->held, packet);
  if (before.chunk != nmio::kNoChunk) events_.drop(before);
}

void ArpTable::settle(Entry& e, const wire::MacAddress* mac) {
  const nmio::TxPacket held = std::exchange(e.held, nmio::TxPacket{.chunk = nmio::kNoChunk});
  events_.settled(e.ip, mac, held);
}

void ArpTable::learn(wire::Ipv4Address ip, const wire::MacAddress& mac, Time now, bool create) {
  Entry* e = find(ip);
  if (e == nullptr) {
    if (!create) return;
    e = &make(ip, now);
  }
  const bool waited = e->state == State::resolving;
  e->mac = mac;
  e->state = State::reachable;
  e->changed = now;
  e->attempts = 0;
  if (waited) settle(*e, &mac);
}

void ArpTable::confirm(wire::Ipv4Address ip, Time now) {
  Entry* e = find(ip);
  if (e == nullptr || (e->state != State::reachable && e->state != State::probing)) return;
  e->state = State::reachable;
  e->changed = now;
  e->used = now;
}

// One entry's due step: the next request, giving up, or being forgotten.
void ArpTable::age(Entry& e, std::uint32_t index, Time now) {
  switch (e.state) {
    case State::resolving:
      if (now - e.changed < config_.retry) return;
      if (e.attempts < config_.attempts) {
        ask(e, now, false);
      } else {
        e.state = State::unreachable;
        e.changed = now;
        settle(e, nullptr);
      }
      return;
    case State::probing:
      if (now - e.changed < config_.retry) return;
      if (e.attempts < config_.attempts) {
        ask(e, now, true);
      } else {  // it does not answer at that address any more: ask everybody
        e.state = State::resolving;
        e.attempts = 0;
        ask(e, now, false);
      }
      return;
    case State::reachable:
    case State::unreachable:
      if (now - e.used >= config_.forget_after) remove(index);
      return;
    case State::unused:
      return;
  }
}

void ArpTable::run_timers(Time now) {
  if (in_use_ == 0 || now < next_scan_) return;
  next_scan_ = now + config_.retry;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) age(entries_[i], i, now);
}

}  // namespace stackrig::ip
