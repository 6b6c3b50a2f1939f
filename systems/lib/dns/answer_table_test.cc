// SPDX-License-Identifier: Apache-2.0
// What the table holds is what respond() would have said, byte for byte; what it must not answer,
// it does not.
#include "dns/answer_table.h"

#include <gtest/gtest.h>
#include <cstring>
#include <type_traits>

#include "dns/test_signing.h"
#include "dns/test_zones.h"
#include "dns/zone.h"

namespace stackrig::dns {
namespace {

using namespace testing;

constexpr std::string_view kZone = R"(
$TTL 3600
@ SOA ns mail 1 7200 3600 1209600 300
@ NS ns
ns A 192.0.2.1
www A 192.0.2.2
www AAAA 2001:db8::2
alias CNAME www
gone CNAME nothing
sub NS ns.sub
sub DS 1 13 2 e2d3c916f6deeac73294e8268fb5885044a833fc5459588f4a9184cfc41a5766
ns.sub A 192.0.2.3
*.wild A 192.0.2.4
a\.b\255 TXT "odd"
long TXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
long TXT "1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
long TXT "2123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
)";

std::shared_ptr<const ZoneSet> zone(std::string_view text = kZone) {
  const ZoneText z{"example.com.", text};
  return ZoneSet::parse({&z, 1});
}

/// What the table answers to a message; empty where it leaves that to respond(). The message lies
/// in memory of its own, so that the address sanitizer sees a read outside of it.
template <class Key>
Bytes answer_of(const AnswerTable<Key>& table, const Bytes& message) {
  Query q;
  Rcode rcode{};
  Bytes copy(message);
  copy.shrink_to_fit();
  if (parse_query(copy, q, rcode) != Parsed::query) return {};
  const auto probe = std::make_unique<typename Key::Probe>();
  table.probe(q, *probe);
  table.prefetch(*probe);
  table.prefetch_answer(*probe);
  const CutAnswer* cut = table.find(*probe, q);
  if (cut == nullptr) return {};
  Bytes out(cut->length + kOptSize);
  std::memcpy(out.data(), cut->payload(), cut->length);
  out.resize(cut->stamp(q, out.data()));
  Bytes around(message.begin(), message.begin() + Header::kSize + q.question_len);
  around.resize(cut->length + kOptSize + CutAnswer::kSlack, 0xee);
  around.resize(cut->write_around(q, around.data()));
  EXPECT_EQ(around, out);
  return out;
}

template <class Key>
class AnswerTableTest : public ::testing::Test {};
using Keys = ::testing::Types<WireKey, FqdnKey>;
TYPED_TEST_SUITE(AnswerTableTest, Keys);

TYPED_TEST(AnswerTableTest, HoldsWhatIsAskedOfEveryNameThatIsThere) {
  const auto zones = zone();
  const AnswerTable<TypeParam> table(*zones);
  for (const auto& [name, t] :
       std::vector<std::pair<const char*, std::uint16_t>>{{"example.com", type::kSoa},
                                                          {"example.com", type::kNs},
                                                          {"ns.example.com", type::kA},
                                                          {"www.example.com", type::kA},
                                                          {"www.example.com", type::kAaaa},
                                                          {"alias.example.com", type::kCname},
                                                          {"alias.example.com", type::kA},
                                                          {"alias.example.com", type::kAaaa},
                                                          {"gone.example.com", type::kA},
                                                          {"sub.example.com", type::kDs},
                                                          {"sub.example.com", type::kNs},
                                                          {"sub.example.com", type::kA},
                                                          {"sub.example.com", type::kAaaa},
                                                          {"ns.example.com", type::kAaaa},
                                                          {"example.com", type::kA},
                                                          {"wild.example.com", type::kA},
                                                          {"*.wild.example.com", type::kA},
                                                          {"a\\.b\\255.example.com", type::kTxt},
                                                          {"long.example.com", type::kTxt}}) {
    const Bytes m = ask(name, t, kEdns);
    EXPECT_EQ(answer_of(table, m), answer_to(*zones, m)) << name << " " << t;
    EXPECT_FALSE(answer_of(table, m).empty());
  }
  EXPECT_EQ(table.size(), 28u);
}

TYPED_TEST(AnswerTableTest, LeavesTheRestToRespond) {
  const AnswerTable<TypeParam> table(*zone());
  for (const auto& [name, t] : std::vector<std::pair<const char*, std::uint16_t>>{
           {"www.example.com", type::kMx},    // NODATA
           {"none.example.com", type::kA},    // NXDOMAIN
           {"www.example.org", type::kA},     // REFUSED
           {"ns.sub.example.com", type::kA},  // a referral from below the cut
           {"sub.example.com", type::kTxt},   // another
           {"x.wild.example.com", type::kA},  // made from a wildcard
           {"www.example.com", type::kAny},
           {"a.b\\255.example.com", type::kTxt}}) {  // another name with the same bytes
    EXPECT_TRUE(answer_of(table, ask(name, t)).empty()) << name << " " << t;
  }
  EXPECT_TRUE(answer_of(table, ask("www.example.com", type::kA, kPlain, 0x0100, 255)).empty());
  EXPECT_TRUE(answer_of(table, ask("www.example.com", type::kA, kPlain, 0x0100, 3)).empty());
}

TYPED_TEST(AnswerTableTest, EchoesIdFlagsAndTheCaseOfTheName) {
  const auto zones = zone();
  const AnswerTable<TypeParam> table(*zones);
  for (const unsigned flags : {0x0000u, 0x0100u, 0x0130u, 0x07ffu}) {
    for (const char* name : {"www.example.com", "WWW.EXAMPLE.COM", "wWw.eXaMpLe.CoM"}) {
      for (const Edns e : {kPlain, kEdns, kDnssec}) {
        Bytes m = ask(name, type::kA, e, flags & 0x07f0);
        m[0] = 0xab;
        EXPECT_EQ(answer_of(table, m), answer_to(*zones, m));
        EXPECT_FALSE(answer_of(table, m).empty());
      }
    }
  }
}

TYPED_TEST(AnswerTableTest, AnswersOnlyWhatTheClientHasRoomFor) {
  const auto zones = zone();
  const AnswerTable<TypeParam> table(*zones);
  const auto holds = [&](Edns e) {
    return !answer_of(table, ask("long.example.com", type::kTxt, e)).empty();
  };
  const std::size_t size = answer_to(*zones, ask("long.example.com", type::kTxt, kEdns)).size();
  ASSERT_GT(size, 512u);
  EXPECT_FALSE(holds(kPlain));
  EXPECT_FALSE(holds({true, static_cast<unsigned>(size) - 1, false}));
  EXPECT_TRUE(holds({true, static_cast<unsigned>(size), false}));
}

TYPED_TEST(AnswerTableTest, ACopyThatWasStampedCanBeStampedAgain) {
  const auto zones = zone();
  const AnswerTable<TypeParam> table(*zones);
  Query q;
  Rcode rcode{};
  const Bytes first = ask("WWW.example.com", type::kA, kDnssec, 0x0100);
  ASSERT_EQ(parse_query(first, q, rcode), Parsed::query);
  const auto probe = std::make_unique<typename TypeParam::Probe>();
  table.probe(q, *probe);
  const CutAnswer* cut = table.find(*probe, q);
  ASSERT_NE(cut, nullptr);
  Bytes copy(cut->length + kOptSize);
  std::memcpy(copy.data(), cut->payload(), cut->length);
  cut->stamp(q, copy.data());
  const Bytes second = ask("www.example.COM", type::kA, kPlain, 0x0000);
  ASSERT_EQ(parse_query(second, q, rcode), Parsed::query);
  const std::size_t bytes = cut->stamp(q, copy.data());
  EXPECT_EQ(Bytes(copy.begin(), copy.begin() + static_cast<long>(bytes)),
            answer_to(*zones, second));
}

TYPED_TEST(AnswerTableTest, NumbersItsAnswersInOrder) {
  const AnswerTable<TypeParam> table(*zone());
  std::uint32_t next = 0;
  table.for_each([&](const CutAnswer& cut) {
    EXPECT_EQ(cut.number, next++);
    const Answer a = read_answer(Bytes(cut.payload(), cut.payload() + cut.length));
    EXPECT_EQ(a.id, 0u);
    EXPECT_FALSE(a.has_opt);
    EXPECT_EQ(cut.additionals, a.additional().size());
  });
  EXPECT_EQ(next, table.size());
}

TYPED_TEST(AnswerTableTest, HoldsOneAnswerWhereTwoZonesHaveTheName) {
  const ZoneText both[] = {
      {"example.com.", "@ 60 SOA a b 1 1 1 1 1\n@ 60 NS a\nsub 60 A 192.0.2.1\n"},
      {"sub.example.com.", "@ 60 SOA a b 1 1 1 1 1\n@ 60 NS a\n@ 60 A 192.0.2.2\n"}};
  const auto zones = ZoneSet::parse(both);
  const AnswerTable<TypeParam> table(*zones);
  const Bytes m = ask("sub.example.com", type::kA);
  EXPECT_EQ(answer_of(table, m), answer_to(*zones, m));
  EXPECT_EQ(read_answer(answer_of(table, m)).answer().at(0), "sub.example.com. 60 1 c0000202");
}

TYPED_TEST(AnswerTableTest, DoesNotHoldWhatNoMessageHolds) {
  std::string text = "$TTL 60\n@ SOA a b 1 1 1 1 1\n@ NS a\nalias CNAME x\n";
  for (unsigned i = 0; i < 4093; ++i) {
    text += "x A 10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256) + "\n";
  }
  const auto zones = zone(text);
  const AnswerTable<TypeParam> table(*zones);
  const Bytes m = ask("alias.example.com", type::kA);
  ASSERT_TRUE(read_answer(answer_to(*zones, m, Transport::tcp)).truncated());
  EXPECT_TRUE(answer_of(table, m).empty());
}

TYPED_TEST(AnswerTableTest, OfNoZoneIsEmpty) {
  const AnswerTable<TypeParam> table(*ZoneSet::parse({}));
  EXPECT_EQ(table.size(), 0u);
  EXPECT_TRUE(answer_of(table, ask("www.example.com", type::kA)).empty());
}

/// Whatever the table answers, respond() answers likewise, and what it holds it answers for every
/// client that has the room. Returns how many of the questions it answers.
template <class Key>
unsigned compare_with_respond(ZoneMaker& maker, const RandomZone& z, const std::string& text,
                              unsigned questions) {
  const ZoneText zone_text{z.origin, text};
  const auto zones = ZoneSet::parse({&zone_text, 1});
  const AnswerTable<Key> table(*zones);
  unsigned answered = 0;
  for (unsigned i = 0; i < questions; ++i) {
    const std::string name = maker.question_name(z);  // one after the other: test_zones.h
    const std::uint16_t qtype = maker.question_type();
    const Bytes m = ask(name, qtype, maker.edns());
    const Bytes got = answer_of(table, m);
    if (got.empty()) continue;
    ++answered;
    EXPECT_EQ(got, answer_to(*zones, m)) << name << " " << qtype;
  }
  table.for_each([&](const CutAnswer& cut) {
    const std::uint8_t* q = cut.payload() + Header::kSize;
    for (const bool dnssec_ok : {false, true}) {
      if (!is_among(dnssec_ok, cut.clients)) continue;
      const Bytes m =
          header(0, 1, 0, 0, 1) + Bytes(q, q + cut.qname_len + 4) + opt(4096, dnssec_ok);
      EXPECT_EQ(answer_of(table, m), answer_to(*zones, m));
    }
  });
  return answered;
}

TYPED_TEST(AnswerTableTest, SaysWhatRespondSays) {
  ZoneMaker maker(7);
  unsigned answered = 0, asked = 0;
  for (int round = 0; round < 20; ++round, asked += 1000) {
    const RandomZone z = maker.zone("z.example.", {"www.z.example."});
    answered += compare_with_respond<TypeParam>(maker, z, z.text, 1000);
  }
  EXPECT_GT(answered, asked / 10);
}

TYPED_TEST(AnswerTableTest, SaysWhatRespondSaysOfSignedZones) {
  ZoneMaker maker(8);
  unsigned answered = 0, asked = 0;
  for (int round = 0; round < 8; ++round) {
    const RandomZone z = maker.zone("z.example.", {"www.z.example."});
    for (const Chain c : {Chain::nsec, Chain::nsec3, Chain::opt_out}) {
      const std::string text = pretend_to_sign(z.origin, z.text, c);
      answered += compare_with_respond<TypeParam>(maker, z, text, 500);
      asked += 500;
    }
  }
  EXPECT_GT(answered, asked / 10);
}

TEST(SignedZones, AreAnsweredFromTheTableWithAndWithoutDo) {
  // A signature that nobody has made: it is served as it stands.
  const std::string zone_text =
      "$TTL 60\n@ SOA a b 1 1 1 1 1\n@ NS a\nwww A 192.0.2.1\nplain TXT t\n"
      "www RRSIG A 13 3 60 20300101000000 20200101000000 1 example.com. AAAA\n";
  const auto zones = zone(zone_text);
  const WireTable table(*zones);
  for (const Edns e : {kPlain, kEdns, kDnssec}) {
    for (const Bytes& m : {ask("www.example.com", type::kA, e), ask("www.example.com", 28, e),
                           ask("plain.example.com", type::kTxt, e)}) {
      EXPECT_EQ(answer_of(table, m), answer_to(*zones, m));
    }
  }
  const Answer a = read_answer(answer_of(table, ask("www.example.com", type::kA, kDnssec)));
  EXPECT_EQ(a.answer().size(), 2u);
}

}  // namespace
}  // namespace stackrig::dns
