// SPDX-License-Identifier: Apache-2.0
// Any bytes as a query, over a signed and an unsigned zone: nothing outside of them is read, the
// answer keeps its limit and is a message, and the two tables say what respond() says.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "dns/answer_table.h"
#include "dns/query.h"
#include "dns/respond.h"
#include "dns/test_messages.h"

namespace {

using namespace stackrig::dns;
using stackrig::dns::testing::read_answer;

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
constexpr const char* kSigned =
    "$TTL 60\n@ SOA ns mail 1 1 1 1 60\n@ NS ns\n@ NSEC a NS SOA NSEC\na A 192.0.2.1\na NSEC *.w "
    "A\n"
    "*.w A 192.0.2.2\n*.w NSEC @ A\n"
    "a RRSIG A 13 2 60 20300101000000 20200101000000 1 s. AAAA\n";
constexpr const char* kHashed =
    "$TTL 60\n@ SOA ns mail 1 1 1 1 60\n@ NS ns\n@ NSEC3PARAM 1 0 1 ab\nc NS d\n*.w A 192.0.2.2\n"
    "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 1 ab 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n"
    "2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 1 1 ab 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom A\n"
    "@ RRSIG SOA 13 1 60 20300101000000 20200101000000 1 h. AAAA\n";

struct World {
  World() {
    const ZoneText texts[] = {{"p", kPlain}, {"s", kSigned}, {"h", kHashed}};
    zones = ZoneSet::parse(texts);
    wire = std::make_unique<WireTable>(*zones);
    fqdn = std::make_unique<FqdnTable>(*zones);
  }
  std::shared_ptr<const ZoneSet> zones;
  std::unique_ptr<WireTable> wire;
  std::unique_ptr<FqdnTable> fqdn;
};

template <class Key>
bool check_table(const AnswerTable<Key>& table, const Query& q,
                 const std::vector<std::uint8_t>& whole) {
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const World world;
  // A copy of its own: the address sanitizer sees a read outside of it.
  const std::vector<std::uint8_t> message(data, data + size);
  Query q;
  Rcode rcode{};
  const Parsed parsed = parse_query(message, q, rcode);
  if (parsed == Parsed::ignore) return 0;
  std::vector<std::uint8_t> out(kMaxMessage);
  if (parsed == Parsed::error) {
    out.resize(write_error(q, rcode, out));
    read_answer(out);
    return 0;
  }
  for (const Transport t : {Transport::tcp, Transport::udp}) {
    out.assign(kMaxMessage, 0);
    const std::size_t bytes = respond(*world.zones, q, t, out);
    require(bytes <= q.limit(t));
    out.resize(bytes);
    read_answer(out);  // throws where it is malformed
  }
  require(check_table(*world.wire, q, out) == check_table(*world.fqdn, q, out));
  return 0;
}
