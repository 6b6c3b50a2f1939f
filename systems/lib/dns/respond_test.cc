// SPDX-License-Identifier: Apache-2.0
// What an authoritative server answers, case by case. That NSD and Knot DNS say the same is in
// peers_test.cc; here stands what the RFCs say, so that a failure points to a rule.
#include "dns/respond.h"

#include <gtest/gtest.h>
#include <memory>

#include "dns/test_messages.h"

namespace stackrig::dns {
namespace {

using namespace testing;
using Records = std::vector<std::string>;

constexpr std::string_view kParent = R"($TTL 3600
@ 3600 SOA ns mail 1 7200 3600 1209600 300
@ NS ns
@ MX 10 mail
ns A 192.0.2.1
mail A 192.0.2.2
mail AAAA 2001:db8::2
www CNAME web
web A 192.0.2.3
out CNAME www.elsewhere.org.
over CNAME www.other.net.
dead CNAME nothing
loop1 CNAME loop2
loop2 CNAME loop1
a.b.ent TXT "deep"
*.wild A 192.0.2.4
*.wild MX 10 mail
host.wild TXT "no wildcard here"
*.walias CNAME web
sub NS ns.sub
sub NS ns.other.net.
ns.sub A 192.0.2.5
kid NS ns.kid
ns.kid A 192.0.2.6
kid DS 1 13 2 e2d3c916f6deeac73294e8268fb5885044a833fc5459588f4a9184cfc41a5766
old DNAME new
old TXT "beside"
x.new A 192.0.2.7
_sip._tcp SRV 1 2 5060 mail
)";
constexpr std::string_view kOther =
    "$TTL 3600\n@ SOA ns mail 1 1 1 1 60\n@ NS ns\nns A 192.0.2.20\nwww A 192.0.2.21\n";
constexpr std::string_view kKid = "$TTL 3600\n@ SOA ns mail 1 1 1 1 60\n@ NS ns\nns A 192.0.2.6\n";

const std::string kSoa =
    "example.com. 300 6  ns.example.com. mail.example.com. "
    "0000000100001c2000000e10001275000000012c";

class RespondTest : public ::testing::Test {
 protected:
  RespondTest() {
    const ZoneText zones[] = {
        {"example.com.", kParent}, {"other.net.", kOther}, {"kid.example.com.", kKid}};
    zones_ = ZoneSet::parse(zones);
  }
  Answer get(std::string_view name, unsigned t, Edns e = kEdns,
             Transport transport = Transport::udp) const {
    return read_answer(answer_to(*zones_, ask(name, t, e), transport));
  }
  std::shared_ptr<const ZoneSet> zones_;
};

// --- RFC 1034, 2181: what is there ---------------------------------------------------------------

TEST_F(RespondTest, WhatIsThereIsGivenWithAuthority) {
  const Answer a = get("web.example.com", type::kA, kPlain);
  EXPECT_EQ(a.rcode, 0u);
  EXPECT_TRUE(a.authoritative());
  EXPECT_EQ(a.answer(), Records{"web.example.com. 3600 1 c0000203"});
  EXPECT_TRUE(a.authority().empty());
  EXPECT_TRUE(a.additional().empty());
}

TEST_F(RespondTest, TheQuestionKeepsItsCase) {
  const Answer a = get("wEb.eXample.COM", type::kA);
  EXPECT_EQ(a.question_name, "wEb.eXample.COM.");
  EXPECT_EQ(a.answer(), Records{"web.example.com. 3600 1 c0000203"});
}

TEST_F(RespondTest, IdAndRecursionDesiredAreEchoedAndNothingElse) {
  const Bytes m = answer_to(*zones_, ask("web.example.com", type::kA, kPlain, 0x07f0));
  EXPECT_EQ(read_answer(m).id, 0x1234u);
  EXPECT_EQ(read_answer(m).flags, 0x8500u);
  EXPECT_EQ(read_answer(answer_to(*zones_, ask("web.example.com", type::kA, kPlain, 0))).flags,
            0x8400u);
}

TEST_F(RespondTest, HostsThatAreNamedComeWithTheirAddresses) {
  const Records mail = {"mail.example.com. 3600 1 c0000202",
                        "mail.example.com. 3600 28 20010db8000000000000000000000002"};
  EXPECT_EQ(get("example.com", type::kMx).additional(), mail);
  EXPECT_EQ(get("_sip._tcp.example.com", type::kSrv).additional(), mail);
  EXPECT_EQ(get("example.com", type::kNs).additional(), Records{"ns.example.com. 3600 1 c0000201"});
}

TEST_F(RespondTest, NamesAreCompressed) {
  // Header, question, and of the record: pointer, fixed part, preference and pointer; then the
  // addresses of the host, each with a pointer.
  EXPECT_EQ(get("example.com", type::kMx, kPlain).bytes, 12u + 17 + (12 + 2 + 5 + 2) + 16 + 28);
}

// --- RFC 2308: what is not there -----------------------------------------------------------------

TEST_F(RespondTest, ANameThatIsNotThereIsDeniedWithTheSoa) {
  const Answer a = get("nothing.example.com", type::kA);
  EXPECT_EQ(a.rcode, 3u);
  EXPECT_TRUE(a.authoritative());
  EXPECT_EQ(a.authority(), Records{kSoa});  // its TTL is the lesser of 3600 and 300
}

TEST_F(RespondTest, ATypeThatIsNotThereIsDeniedWithTheSoa) {
  const Answer a = get("web.example.com", type::kAaaa);
  EXPECT_EQ(a.rcode, 0u);
  EXPECT_TRUE(a.answer().empty());
  EXPECT_EQ(a.authority(), Records{kSoa});
}

TEST_F(RespondTest, AnEmptyNonTerminalIsThere) {
  for (const char* name : {"b.ent.example.com", "ent.example.com", "_tcp.example.com"}) {
    EXPECT_EQ(get(name, type::kA).rcode, 0u) << name;
    EXPECT_EQ(get(name, type::kA).authority(), Records{kSoa}) << name;
  }
  EXPECT_EQ(get("c.ent.example.com", type::kA).rcode, 3u);
}

TEST_F(RespondTest, NamesOfOthersAreRefused) {
  for (const char* name : {"www.example.org", "com", ".", "notexample.com", "xexample.com"}) {
    const Answer a = get(name, type::kA);
    EXPECT_EQ(a.rcode, 5u) << name;
    EXPECT_FALSE(a.authoritative());
    EXPECT_TRUE(a.has_opt);
  }
}

TEST_F(RespondTest, OtherClassesAreRefused) {
  const auto in_class = [&](unsigned c) {
    return read_answer(answer_to(*zones_, ask("web.example.com", type::kA, kPlain, 0, c)));
  };
  EXPECT_EQ(in_class(3).rcode, 5u);
  EXPECT_EQ(in_class(0).rcode, 5u);
  EXPECT_EQ(in_class(255).answer().size(), 1u);
  EXPECT_FALSE(in_class(255).authoritative());  // RFC 1034 6.2.3
}

TEST_F(RespondTest, ZoneTransfersAreNotImplemented) {
  EXPECT_EQ(get("example.com", type::kAxfr).rcode, 4u);
  EXPECT_EQ(get("example.com", type::kIxfr).rcode, 4u);
  EXPECT_EQ(get("example.com", type::kAxfr, kPlain, Transport::tcp).rcode, 4u);
}

TEST_F(RespondTest, ZoneTransfersOfOthersZonesAreRefused) {
  EXPECT_EQ(get("example.org", type::kAxfr).rcode, 5u);
  EXPECT_EQ(get("example.org", type::kIxfr).rcode, 5u);
}

TEST_F(RespondTest, AnIxfrSaysWhichVersionTheClientHas) {
  const auto ixfr = [&](const char* zone) {
    const Bytes soa =
        name(zone) + be16(type::kSoa) + be16(kClassIn) + Bytes(4) + be16(22) + Bytes(22);
    return read_answer(
        answer_to(*zones_, header(0, 1, 0, 1) + question(zone, type::kIxfr) + soa, Transport::tcp));
  };
  EXPECT_EQ(ixfr("example.com").rcode, 4u);
  EXPECT_EQ(ixfr("example.org").rcode, 5u);
}

// --- RFC 1034 4.3.2, 9471: referrals -------------------------------------------------------------

TEST_F(RespondTest, WhatIsBelowACutIsReferred) {
  for (const char* name :
       {"sub.example.com", "x.sub.example.com", "a.b.c.sub.example.com", "ns.sub.example.com"}) {
    const Answer a = get(name, type::kA);
    EXPECT_EQ(a.rcode, 0u);
    EXPECT_FALSE(a.authoritative());
    EXPECT_TRUE(a.answer().empty());
    EXPECT_EQ(a.authority(), (Records{"sub.example.com. 3600 2  ns.other.net. ",
                                      "sub.example.com. 3600 2  ns.sub.example.com. "}));
    EXPECT_EQ(a.additional(), Records{"ns.sub.example.com. 3600 1 c0000205"});
  }
}

TEST_F(RespondTest, ReferralsThatLackGlueForWantOfRoomAreTruncated) {
  std::string text = "$TTL 60\n@ SOA a b 1 1 1 1 1\n@ NS a\nfew NS x.few\nx.few A 192.0.2.1\n";
  for (int i = 0; i < 20; ++i) {
    const std::string host = "ns" + std::to_string(i) + ".many";
    text += "many NS " + host + "\n" + host + " A 192.0.2.1\n" + host + " AAAA 2001:db8::1\n";
  }
  const ZoneText z{"example.com.", text};
  zones_ = ZoneSet::parse({&z, 1});
  const Answer a = get("www.many.example.com", type::kA, {true, 700, false});
  EXPECT_TRUE(a.truncated());
  EXPECT_EQ(a.authority().size(), 20u);
  EXPECT_FALSE(get("www.many.example.com", type::kA, kPlain, Transport::tcp).truncated());
  EXPECT_FALSE(get("www.few.example.com", type::kA, kPlain).truncated());
}

TEST_F(RespondTest, DsAtACutIsTheParents) {
  // RFC 4035 3.1.4.1, also where the child zone is served beside it.
  EXPECT_EQ(get("kid.example.com", type::kDs).answer().size(), 1u);
  EXPECT_TRUE(get("kid.example.com", type::kDs).authoritative());
  EXPECT_EQ(get("sub.example.com", type::kDs).authority(), Records{kSoa});
  EXPECT_EQ(get("example.com", type::kDs).authority(), Records{kSoa});
}

TEST_F(RespondTest, OfTwoZonesTheDeeperAnswers) {
  const Answer a = get("ns.kid.example.com", type::kA);
  EXPECT_TRUE(a.authoritative());
  EXPECT_EQ(get("x.kid.example.com", type::kA).rcode, 3u);
}

// --- RFC 1034 3.6.2, 6604: aliases ---------------------------------------------------------------

TEST_F(RespondTest, AnAliasIsFollowed) {
  EXPECT_EQ(
      get("www.example.com", type::kA).answer(),
      (Records{"web.example.com. 3600 1 c0000203", "www.example.com. 3600 5  web.example.com. "}));
}

TEST_F(RespondTest, AnAliasIsNotFollowedWhereItIsAskedFor) {
  EXPECT_EQ(get("www.example.com", type::kCname).answer(),
            Records{"www.example.com. 3600 5  web.example.com. "});
}

TEST_F(RespondTest, AnAliasIsFollowedIntoOurOtherZones) {
  EXPECT_EQ(get("over.example.com", type::kA).answer().size(), 2u);
  const Answer out = get("out.example.com", type::kA);
  EXPECT_EQ(out.answer().size(), 1u);
  EXPECT_EQ(out.rcode, 0u);
  EXPECT_TRUE(out.authority().empty());
}

TEST_F(RespondTest, TheRcodeIsThatOfTheEndOfTheChain) {
  const Answer a = get("dead.example.com", type::kA);
  EXPECT_EQ(a.rcode, 3u);
  EXPECT_EQ(a.answer().size(), 1u);
  EXPECT_EQ(a.authority(), Records{kSoa});
}

TEST_F(RespondTest, ALoopOfAliasesEnds) {
  EXPECT_EQ(get("loop1.example.com", type::kA).answer().size(), 2u);
}

TEST_F(RespondTest, AChainThatIsTooLongEnds) {
  std::string text = "$TTL 60\n@ SOA a b 1 1 1 1 1\n@ NS a\n";
  for (int i = 0; i < 50; ++i) {
    text += "c" + std::to_string(i) + " CNAME c" + std::to_string(i + 1) + "\n";
  }
  const ZoneText z{"example.com.", text};
  zones_ = ZoneSet::parse({&z, 1});
  EXPECT_EQ(get("c0.example.com", type::kA, kPlain, Transport::tcp).answer().size(), 20u);
  EXPECT_EQ(get("c40.example.com", type::kA, kPlain, Transport::tcp).answer().size(), 10u);
}

// --- RFC 6672: DNAME -----------------------------------------------------------------------------

TEST_F(RespondTest, ADnameMovesWhatIsBelowIt) {
  EXPECT_EQ(
      get("x.old.example.com", type::kA).answer(),
      (Records{"old.example.com. 3600 39  new.example.com. ", "x.new.example.com. 3600 1 c0000207",
               "x.old.example.com. 3600 5  x.new.example.com. "}));
  EXPECT_EQ(get("y.old.example.com", type::kA).rcode, 3u);
}

TEST_F(RespondTest, ADnameDoesNotMoveItsOwner) {
  EXPECT_EQ(get("old.example.com", type::kTxt).answer().size(), 1u);
  EXPECT_EQ(get("old.example.com", type::kA).authority(), Records{kSoa});
}

TEST_F(RespondTest, ADnameThatMakesTheNameTooLongSaysSo) {
  const std::string label(60, 'l');
  const std::string text = "$TTL 60\n@ SOA a b 1 1 1 1 1\n@ NS a\nd DNAME " + label + "." + label +
                           "." + label + ".example.com.\n";
  const ZoneText z{"example.com.", text};
  zones_ = ZoneSet::parse({&z, 1});
  const Answer a = get(label + ".d.example.com", type::kA);
  EXPECT_EQ(a.rcode, 6u);
  EXPECT_EQ(a.answer().size(), 1u);
}

// --- RFC 4592: wildcards -------------------------------------------------------------------------

TEST_F(RespondTest, AWildcardStandsForWhatIsNotThere) {
  EXPECT_EQ(get("x.wild.example.com", type::kA).answer(),
            Records{"x.wild.example.com. 3600 1 c0000204"});
  EXPECT_EQ(get("a.b.c.wild.example.com", type::kA).answer().size(), 1u);
  EXPECT_EQ(get("*.wild.example.com", type::kA).answer().size(), 1u);
  EXPECT_EQ(get("x.wild.example.com", type::kTxt).authority(), Records{kSoa});
}

TEST_F(RespondTest, AWildcardDoesNotStandForWhatIsThere) {
  EXPECT_EQ(get("host.wild.example.com", type::kA).authority(), Records{kSoa});
  EXPECT_EQ(get("host.wild.example.com", type::kA).rcode, 0u);
  EXPECT_EQ(get("x.host.wild.example.com", type::kA).rcode, 3u);
  EXPECT_EQ(get("wild.example.com", type::kA).authority(), Records{kSoa});
}

TEST_F(RespondTest, AWildcardMayBeAnAlias) {
  EXPECT_EQ(get("x.walias.example.com", type::kA).answer(),
            (Records{"web.example.com. 3600 1 c0000203",
                     "x.walias.example.com. 3600 5  web.example.com. "}));
}

// --- RFC 8482: ANY -------------------------------------------------------------------------------

TEST_F(RespondTest, AnyIsAnsweredWithOneSet) {
  EXPECT_EQ(get("mail.example.com", type::kAny).answer(),
            Records{"mail.example.com. 3600 1 c0000202"});
  EXPECT_EQ(get("www.example.com", type::kAny).answer().size(), 1u);
  EXPECT_EQ(get("x.wild.example.com", type::kAny).answer().size(), 1u);
  EXPECT_EQ(get("ent.example.com", type::kAny).authority(), Records{kSoa});
  EXPECT_EQ(get("none.example.com", type::kAny).rcode, 3u);
}

// --- RFC 6891, 2181 9: room ----------------------------------------------------------------------

TEST_F(RespondTest, OptIsAnsweredWithOpt) {
  EXPECT_FALSE(get("web.example.com", type::kA, kPlain).has_opt);
  const Answer a = get("web.example.com", type::kA, kEdns);
  EXPECT_TRUE(a.has_opt);
  EXPECT_EQ(a.payload_size, 1232u);
  EXPECT_FALSE(a.dnssec_ok);
  EXPECT_TRUE(get("web.example.com", type::kA, kDnssec).dnssec_ok);
}

TEST_F(RespondTest, WhatDoesNotFitIsTruncated) {
  std::string text = "$TTL 60\n@ SOA a b 1 1 1 1 1\n@ NS a\n";
  for (int i = 0; i < 100; ++i) text += "x A 192.0.2." + std::to_string(i) + "\n";
  const ZoneText z{"example.com.", text};
  zones_ = ZoneSet::parse({&z, 1});
  for (const Edns e : {kPlain, kEdns, Edns{true, 65535, false}, Edns{true, 100, true}}) {
    const Answer a = get("x.example.com", type::kA, e);
    EXPECT_TRUE(a.truncated());
    EXPECT_TRUE(a.answer().empty());
    EXPECT_EQ(a.has_opt, e.present);
    EXPECT_LE(a.bytes, 512u);
  }
  EXPECT_EQ(get("x.example.com", type::kA, kPlain, Transport::tcp).answer().size(), 100u);
}

TEST_F(RespondTest, AddressesForWhichThereIsNoRoomAreLeftOutWithoutTruncation) {
  std::string text = "$TTL 60\n@ SOA a b 1 1 1 1 1\n@ NS a\n";
  for (int i = 0; i < 12; ++i) {
    const std::string host = "mail" + std::to_string(i);
    text += "x MX 1 " + host + "\n" + host + " A 192.0.2.1\n" + host + " AAAA 2001:db8::1\n";
  }
  const ZoneText z{"example.com.", text};
  zones_ = ZoneSet::parse({&z, 1});
  const Answer a = get("x.example.com", type::kMx, kPlain);
  EXPECT_FALSE(a.truncated());
  EXPECT_EQ(a.answer().size(), 12u);
  EXPECT_FALSE(a.additional().empty());
  EXPECT_LT(a.additional().size(), 24u);
  EXPECT_LE(a.bytes, 512u);
}

TEST_F(RespondTest, EveryLimitIsKept) {
  for (const auto& [name, t] : std::vector<std::pair<const char*, unsigned>>{
           {"example.com", type::kMx}, {"x.sub.example.com", 1}, {"y.old.example.com", 1}}) {
    const Bytes m = ask(name, t, kEdns);
    Query q;
    Rcode rcode{};
    ASSERT_EQ(parse_query(m, q, rcode), Parsed::query);
    const std::size_t whole = answer_to(*zones_, m).size();
    for (std::size_t room = q.question_len + 12 + kOptSize; room <= whole + 1; ++room) {
      Bytes out(room);
      const std::size_t bytes = respond(*zones_, q, Transport::udp, out);
      ASSERT_LE(bytes, room);
      out.resize(bytes);
      EXPECT_NO_THROW(read_answer(out));
    }
  }
}

}  // namespace
}  // namespace stackrig::dns
