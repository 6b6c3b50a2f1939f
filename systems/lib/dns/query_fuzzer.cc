// SPDX-License-Identifier: Apache-2.0
// Any bytes as a query, over an unsigned zone and zones signed with NSEC and with NSEC3: nothing
// outside of them is read, the answer keeps its limit and is a message, and the two tables say what
// respond() says. The memory that answers are made in is as large as the limit and full of bytes
// of the input; each question is asked as it stands, and with DO and a payload size that the input
// chooses.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "dns/answer_table.h"
#include "dns/query.h"
#include "dns/respond.h"
#include "dns/test_messages.h"
#include "dns/test_signing.h"

namespace {

using namespace stackrig::dns;
using stackrig::dns::testing::Chain;
using stackrig::dns::testing::pretend_to_sign;
using stackrig::dns::testing::read_answer;
using Bytes = std::vector<std::uint8_t>;

void require(bool held) {
  if (!held) std::abort();
}

constexpr const char* kPlain =
    "$TTL 60\n@ SOA ns mail 1 1 1 1 60\n@ NS ns\nns A 192.0.2.1\n@ MX 1 ns\na CNAME b\nb CNAME a\n"
    "c CNAME x.d\nd DNAME e\nx.e A 192.0.2.2\ng DNAME g.g\n*.w CNAME w.w\nsub NS ns.sub\n"
    "ns.sub A 192.0.2.3\n*.v A 192.0.2.4\na.b.ent TXT t\nt TXT \"a long text, so that there is "
    "more "
    "to be said than has room in an answer of the least size that there is over UDP, which is "
    "512\"\n"
    "t TXT \"and another long text, so that there is more to be said than has room in an answer of "
    "the least size that there is over UDP without EDNS, which is 512 bytes, header and all\"\n"
    "t TXT \"and another long text, so that there is more to be said than has room in an answer of "
    "the least size that there is over UDP without EDNS, which is 512 bytes, header and all.\"\n";
constexpr const char* kToSign =
    "$TTL 60\n@ SOA ns mail 1 1 1 1 60\n@ NS ns\n@ MX 1 ns\nns A 192.0.2.1\na CNAME b.b\n"
    "b.b CNAME x.w\nc CNAME none\nd DNAME e\nx.e A 192.0.2.2\n*.w A 192.0.2.2\n*.w MX 1 y.w\n"
    "*.v CNAME none.v\nsub NS ns.sub\nns.sub A 192.0.2.3\nsafe NS ns.sub\n"
    "safe DS 1 13 2 e2d3c916f6deeac73294e8268fb5885044a833fc5459588f4a9184cfc41a5766\n"
    "a.b.ent TXT t\n";

struct World {
  World() {
    const std::string with_nsec = pretend_to_sign("s.", kToSign, Chain::nsec);
    const std::string with_nsec3 = pretend_to_sign("h.", kToSign, Chain::nsec3);
    const std::string with_opt_out = pretend_to_sign("o.", kToSign, Chain::opt_out);
    const ZoneText texts[] = {
        {"p", kPlain}, {"s", with_nsec}, {"h", with_nsec3}, {"o", with_opt_out}};
    zones = ZoneSet::parse(texts);
    wire = std::make_unique<WireTable>(*zones);
    fqdn = std::make_unique<FqdnTable>(*zones);
  }
  std::shared_ptr<const ZoneSet> zones;
  std::unique_ptr<WireTable> wire;
  std::unique_ptr<FqdnTable> fqdn;
};

template <class Key>
bool check_table(const AnswerTable<Key>& table, const Query& q, const Bytes& whole) {
  const auto probe = std::make_unique<typename Key::Probe>();
  table.probe(q, *probe);
  table.prefetch_answer(*probe);
  const CutAnswer* cut = table.find(*probe, q);
  if (cut == nullptr) return false;
  std::vector<std::uint8_t> out(cut->length + kOptSize);
  std::memcpy(out.data(), cut->payload(), cut->length);
  out.resize(cut->stamp(q, out.data()));
  require(out == whole);
  out.assign(cut->length + kOptSize + CutAnswer::kSlack, 0);
  std::memcpy(out.data() + Header::kSize, q.qname, q.question_len);
  out.resize(cut->write_around(q, out.data()));
  require(out == whole);
  return true;
}

/// Memory of `size` bytes that holds the input over and over.
Bytes room(std::size_t size, const Bytes& input) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = input[i % input.size()];
  return out;
}

void check(const World& world, const Query& q, const Bytes& input) {
  Bytes out;
  for (const Transport t : {Transport::tcp, Transport::udp}) {
    out = room(q.limit(t), input);
    const std::size_t bytes = respond(*world.zones, q, t, out);
    require(bytes <= q.limit(t));
    out.resize(bytes);
    read_answer(out);  // throws where it is malformed
  }
  require(check_table(*world.wire, q, out) == check_table(*world.fqdn, q, out));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const World world;
  // A copy of its own: the address sanitizer sees a read outside of it.
  const Bytes message(data, data + size);
  Query q;
  Rcode rcode{};
  const Parsed parsed = parse_query(message, q, rcode);
  if (parsed == Parsed::ignore) return 0;
  if (parsed == Parsed::error) {
    Bytes out = room(Header::kSize + q.question_len + (q.edns ? kOptSize : 0), message);
    out.resize(write_error(q, rcode, out));
    read_answer(out);
    return 0;
  }
  check(world, q, message);
  q.edns = true;
  q.dnssec_ok = true;
  // By the id, on which nothing else depends.
  q.payload_size =
      static_cast<std::uint16_t>(kPlainUdpPayload + q.id % (kUdpPayload - kPlainUdpPayload + 1));
  check(world, q, message);
  return 0;
}
