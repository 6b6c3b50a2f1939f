// SPDX-License-Identifier: Apache-2.0
// From a burst of packets to a burst of answers.
#include "udp_service.h"

#include <algorithm>
#include <cstring>

#include "dns/message.h"
#include "dns/respond.h"

namespace stackrig::namestorm {
namespace {

std::uint8_t* bytes(std::byte* p) {
  return reinterpret_cast<std::uint8_t*>(p);
}

/// What any answer takes, with what is written behind it.
constexpr std::size_t kRoom = dns::kUdpPayload + dns::CutAnswer::kSlack;

/// The sum of a part of a payload that begins `offset` bytes into it.
wire::PartialSum placed(wire::PartialSum sum, std::size_t offset) {
  return offset % 2 == 0 ? sum : wire::swap_bytes(sum);
}

}  // namespace

template <class Key>
UdpService<Key>::UdpService(const UdpConfig& config, udpip::Stack& udp, nmio::PacketMemory& memory,
                            const Edition<Key>& edition, DnsCounters& counters)
    : udp_(udp), edition_(&edition), counters_(&counters), rate_limit_(config.rate_limit) {
  if (config.mode == SendMode::precopy) {
    const std::uint32_t spare = std::min(config.working_chunks, memory.chunks() / 2);
    copies_ = std::make_unique<FrameCopies>(memory, memory.chunks() - spare);
  }
  start_edition(edition);
  if (!copies_) return;
  edition.table.for_each([&](const dns::CutAnswer& cut) {  // thesis 3.2.3: at start-up
    const FrameCopies::Copy copy = copies_->take(cut);
    if (copy.chunk != nmio::kNoChunk) memory.give_back(copy.chunk);
  });
  counters_->copies_now = copies_->made();
}

template <class Key>
void UdpService<Key>::start_edition(const Edition<Key>& edition) {
  edition_ = &edition;
  if (copies_) copies_->start_edition(edition.number);
  counters_->edition_now = edition.number;
}

template <class Key>
void UdpService<Key>::on_burst(std::span<const nmio::RxPacket> burst, Time now) {
  others_count_ = 0;
  while (!burst.empty()) {
    const auto group = burst.first(std::min<std::size_t>(burst.size(), kGroup));
    const unsigned n = take(group, now);  // stage 1
    for (unsigned i = 0; i < n; ++i) edition_->table.prefetch_answer(waiting_[i].probe);
    for (unsigned i = 0; i < n; ++i) answer(waiting_[i]);  // stage 3
    burst = burst.subspan(group.size());
  }
  if (copies_) counters_->copies_now = copies_->made();
}

/// Stage 1. Returns how many queries wait for their answers.
template <class Key>
unsigned UdpService<Key>::take(std::span<const nmio::RxPacket> group, Time now) {
  for (const nmio::RxPacket& p : group) __builtin_prefetch(p.data);
  unsigned n = 0;
  for (const nmio::RxPacket& p : group) {
    Waiting& w = waiting_[n];
    switch (udp_.input(p, now, w.datagram)) {
      case udpip::Input::datagram:
        if (!understood(w, now)) break;
        edition_->table.probe(w.query, w.probe);
        edition_->table.prefetch(w.probe);
        ++n;
        break;
      case udpip::Input::other:
        others_[others_count_++] = p;
        break;
      case udpip::Input::taken:
        break;
    }
  }
  counters_->queries += n;
  return n;
}

/// False where the datagram is no query that can be looked up; it has been seen to then.
template <class Key>
bool UdpService<Key>::understood(Waiting& w, Time now) {
  dns::Rcode rcode{};
  const dns::Parsed parsed =
      dns::parse_query({bytes(w.datagram.payload), w.datagram.payload_len}, w.query, rcode);
  if (parsed == dns::Parsed::query && udp_.room(w.datagram) >= kRoom) [[likely]] {
    if (!rate_limit_.is_on() || within_rate(w, dns::Rcode::noerror, now)) return true;
    ++counters_->queries;  // take() counts those that it hands on
  } else if (parsed != dns::Parsed::error) {
    ++counters_->ignored;
    udp_.release(w.datagram);
  } else {
    ++counters_->errors;
    if (!rate_limit_.is_on() || within_rate(w, rcode, now)) send_error(w, rcode, false);
  }
  return false;
}

/// An error that slips says which it is, whole: it is no longer than a truncated answer, and
/// NOERROR would tell a client that its UPDATE was carried out.
template <class Key>
bool UdpService<Key>::within_rate(const Waiting& w, dns::Rcode rcode, Time now) {
  switch (rate_limit_.check(w.datagram.source, now)) {
    case Verdict::send:
      return true;
    case Verdict::truncate:
      ++counters_->slipped;
      send_error(w, rcode, rcode == dns::Rcode::noerror);
      return false;
    case Verdict::drop:
      break;
  }
  ++counters_->rate_limited;
  udp_.release(w.datagram);
  return false;
}

/// Stage 3.
template <class Key>
void UdpService<Key>::answer(const Waiting& w) {
  const dns::CutAnswer* cut = edition_->table.find(w.probe, w.query);
  if (cut == nullptr) [[unlikely]] {
    send_composed(w);
    return;
  }
  ++counters_->cut;
  if (copies_ && send_copy(w, *cut)) return;
  send_cut(w, *cut);
}

/// The header, and what stands behind the question, which itself stays where it lies: its case is
/// the sender's (0x20), and type and class are those that were looked up.
template <class Key>
void UdpService<Key>::send_cut(const Waiting& w, const dns::CutAnswer& cut) {
  const std::size_t length = cut.write_around(w.query, bytes(w.datagram.payload));
  udp_.reply(w.datagram, static_cast<std::uint32_t>(length));
}

template <class Key>
bool UdpService<Key>::send_copy(const Waiting& w, const dns::CutAnswer& cut) {
  const FrameCopies::Copy copy = copies_->take(cut);
  if (copy.chunk == nmio::kNoChunk) [[unlikely]] {
    ++counters_->no_copy;
    return false;
  }
  const std::size_t length = cut.stamp(w.query, bytes(copy.payload));
  wire::PartialSum sum = 0;
  if (!udp_.checksum_is_offloaded()) {
    const std::size_t tail = dns::Header::kSize + w.query.question_len;
    sum = wire::sum(copy.payload, tail) + placed(copy.tail_sum, tail) +
          placed(wire::sum(copy.payload + cut.length, length - cut.length), cut.length);
  }
  udp_.reply_with(w.datagram, copy.payload, static_cast<std::uint32_t>(length), sum, copy.chunk);
  udp_.release(w.datagram);
  return true;
}

template <class Key>
void UdpService<Key>::send_composed(const Waiting& w) {
  std::array<std::uint8_t, dns::kUdpPayload> out;
  const std::size_t length = dns::respond(*edition_->zones, w.query, dns::Transport::udp, out);
  ++counters_->composed;
  std::memcpy(w.datagram.payload, out.data(), length);
  udp_.reply(w.datagram, static_cast<std::uint32_t>(length));
}

/// Header and question alone. Truncated: the client is to ask again over TCP.
template <class Key>
void UdpService<Key>::send_error(const Waiting& w, dns::Rcode rcode, bool truncated) {
  std::array<std::uint8_t, dns::Header::kSize + dns::kMaxName + 4 + dns::kOptSize> out;
  const std::size_t length = dns::write_error(w.query, rcode, out);
  if (truncated) {
    auto& flags = dns::Header::at(out.data()).flags;
    flags.set(flags.get() | dns::flag::kTruncated);
  }
  std::memcpy(w.datagram.payload, out.data(), length);
  udp_.reply(w.datagram, static_cast<std::uint32_t>(length));
}

template class UdpService<dns::WireKey>;
template class UdpService<dns::FqdnKey>;

}  // namespace stackrig::namestorm
