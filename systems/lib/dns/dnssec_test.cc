// SPDX-License-Identifier: Apache-2.0
// Signed zones: which signatures and which denials come with an answer to whom asks with DO. The
// signatures here are not real, nor need they be: they are served as they stand in the file.
#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <cstdlib>
#include <memory>
#include <set>

#include "dns/nsec3.h"
#include "dns/test_messages.h"
#include "dns/test_signing.h"

namespace stackrig::dns {
namespace {

using namespace testing;

/// What OpenSSL allocates. It takes other functions only before its first call.
std::size_t openssl_allocations = 0;
const bool counts_allocations = CRYPTO_set_mem_functions(
                                    [](std::size_t n, const char*, int) {
                                      ++openssl_allocations;
                                      return std::malloc(n);
                                    },
                                    [](void* p, std::size_t n, const char*, int) {
                                      ++openssl_allocations;
                                      return std::realloc(p, n);
                                    },
                                    [](void* p, const char*, int) { std::free(p); }) == 1;

std::string signature(const std::string& owner, const char* t, int ttl = 60) {
  return owner + " " + std::to_string(ttl) + " RRSIG " + t + " 13 2 " + std::to_string(ttl) +
         " 20300101000000 20200101000000 1 example.com. AAAA\n";
}

/// "owner type": what a section has.
std::set<std::string> what(const std::vector<std::string>& records) {
  std::set<std::string> s;
  for (const std::string& r : records) {
    const std::size_t ttl = r.find(' ') + 1;
    const std::size_t t = r.find(' ', ttl) + 1;
    s.insert(r.substr(0, ttl) + r.substr(t, r.find(' ', t) - t));
  }
  return s;
}
using What = std::set<std::string>;

const std::string kNsecZone =
    "$TTL 60\n@ SOA ns mail 1 1 1 1 60\n@ NS ns\n@ NSEC a NS SOA RRSIG NSEC\n" +
    signature("@", "SOA") + signature("@", "NS") + signature("@", "NSEC") +
    "a A 192.0.2.1\na NSEC cut A RRSIG NSEC\n" + signature("a", "A") + signature("a", "NSEC") +
    "cut NS ns.cut\nns.cut A 192.0.2.9\ncut NSEC b.ent NS RRSIG NSEC\n" + signature("cut", "NSEC") +
    "b.ent A 192.0.2.2\nb.ent NSEC safe A RRSIG NSEC\n" + signature("b.ent", "A") +
    signature("b.ent", "NSEC") +
    "safe NS ns.safe\nns.safe A 192.0.2.9\n"
    "safe DS 1 13 2 e2d3c916f6deeac73294e8268fb5885044a833fc5459588f4a9184cfc41a5766\n"
    "safe NSEC *.w NS DS RRSIG NSEC\n" +
    signature("safe", "DS") + signature("safe", "NSEC") +
    "*.w A 192.0.2.3\n*.w NSEC @ A RRSIG NSEC\n" + signature("*.w", "A") + signature("*.w", "NSEC");

class NsecTest : public ::testing::Test {
 protected:
  NsecTest() {
    const ZoneText z{"example.com.", kNsecZone};
    zones_ = ZoneSet::parse({&z, 1});
  }
  Answer get(const char* name, unsigned t, Edns e = kDnssec) const {
    return read_answer(answer_to(*zones_, ask(name, t, e)));
  }
  std::shared_ptr<const ZoneSet> zones_;
};

TEST_F(NsecTest, SignaturesComeWithDoOnly) {
  EXPECT_EQ(what(get("a.example.com", 1).answer()),
            (What{"a.example.com. 1", "a.example.com. 46"}));
  EXPECT_EQ(what(get("a.example.com", 1, kEdns).answer()), What{"a.example.com. 1"});
  EXPECT_EQ(what(get("nothing.example.com", 1, kEdns).authority()), What{"example.com. 6"});
}

TEST_F(NsecTest, ANameThatIsNotThereIsBetweenTwoThatAre) {
  // RFC 4035 3.1.3.2: one NSEC over the name, one over the wildcard.
  EXPECT_EQ(what(get("b.example.com", 1).authority()),
            (What{"example.com. 6", "example.com. 46", "example.com. 47", "a.example.com. 47",
                  "a.example.com. 46"}));
}

TEST_F(NsecTest, ATypeThatIsNotThereIsNotInTheListOfTypes) {
  EXPECT_EQ(what(get("a.example.com", type::kMx).authority()),
            (What{"example.com. 6", "example.com. 46", "a.example.com. 47", "a.example.com. 46"}));
}

TEST_F(NsecTest, AnEmptyNonTerminalIsDeniedByTheOneBefore) {
  EXPECT_EQ(
      what(get("ent.example.com", 1).authority()),
      (What{"example.com. 6", "example.com. 46", "cut.example.com. 47", "cut.example.com. 46"}));
}

TEST_F(NsecTest, AReferralSaysWhetherTheChildIsSigned) {
  EXPECT_EQ(what(get("x.safe.example.com", 1).authority()),
            (What{"safe.example.com. 2", "safe.example.com. 43", "safe.example.com. 46"}));
  EXPECT_EQ(what(get("x.cut.example.com", 1).authority()),
            (What{"cut.example.com. 2", "cut.example.com. 47", "cut.example.com. 46"}));
  EXPECT_EQ(
      what(get("cut.example.com", type::kDs).authority()),
      (What{"example.com. 6", "example.com. 46", "cut.example.com. 47", "cut.example.com. 46"}));
}

TEST_F(NsecTest, AWildcardsAnswerProvesThatTheNameIsNotThere) {
  const Answer a = get("x.w.example.com", 1);
  EXPECT_EQ(what(a.answer()), (What{"x.w.example.com. 1", "x.w.example.com. 46"}));
  EXPECT_EQ(what(a.authority()), (What{"*.w.example.com. 47", "*.w.example.com. 46"}));
}

TEST_F(NsecTest, SignaturesAreGivenToWhomAsksForThem) {
  EXPECT_EQ(get("a.example.com", type::kRrsig, kEdns).answer().size(), 2u);
}

// --- NSEC3 ---------------------------------------------------------------------------------------

TEST(Nsec3Hash, IsThatOfTheExampleInTheRfc) {
  // RFC 5155 appendix A: salt aabbccdd, 12 iterations.
  Nsec3Parameters p;
  p.iterations = 12;
  p.salt_length = 4;
  p.salt = {0xaa, 0xbb, 0xcc, 0xdd};
  const auto text = [&](const char* name) {
    const auto label = nsec3_label(nsec3_hash(p, Name::from_text(name)->data()));
    return std::string(label.begin() + 1, label.end());
  };
  EXPECT_EQ(text("example"), "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom");
  EXPECT_EQ(text("a.example"), "35mthgpgcu1qg68fab165klnsnk3dpvl");
  EXPECT_EQ(text("A.ExAmPle"), "35mthgpgcu1qg68fab165klnsnk3dpvl");
  EXPECT_EQ(text("*.w.example"), "r53bq7cc2uvmubfu5ocmm6pers9tk9en");
}

TEST(Nsec3Hash, TextReadsBack) {
  for (unsigned i = 0; i < 256; ++i) {
    Nsec3Hash h{};
    for (std::size_t b = 0; b < h.size(); ++b) h[b] = static_cast<std::uint8_t>(i * (b + 7));
    const auto label = nsec3_label(h);
    Nsec3Hash back{};
    ASSERT_TRUE(nsec3_hash_of({reinterpret_cast<const char*>(&label[1]), 32}, back));
    EXPECT_EQ(back, h);
  }
  Nsec3Hash h{};
  EXPECT_FALSE(nsec3_hash_of("0p9mhaveqvm6t7vbl5lop2u3t2rp3to", h));
  EXPECT_FALSE(nsec3_hash_of("0p9mhaveqvm6t7vbl5lop2u3t2rp3tow", h));
}

TEST(Nsec3Hash, AllocatesNothing) {
  ASSERT_TRUE(counts_allocations);
  const std::size_t at_first = openssl_allocations;
  OPENSSL_free(OPENSSL_malloc(1));
  ASSERT_EQ(openssl_allocations, at_first + 1);
  const Nsec3Parameters p{.iterations = 3};
  const std::size_t before = openssl_allocations;
  for (const char* text : {"example", "a.example", "b.a.example"}) {
    nsec3_hash(p, Name::from_text(text)->data());
  }
  EXPECT_EQ(openssl_allocations, before);
}

/// The zone of RFC 5155 appendix A, as far as its example answers (appendix B) need it.
class Nsec3Test : public ::testing::Test {
 protected:
  Nsec3Test() {
    std::string text =
        "$TTL 3600\n$ORIGIN example.\n@ SOA ns1 bugs 1 3600 300 3600000 3600\n@ NS ns1\n@ NS ns2\n"
        "@ MX 1 xx\n@ NSEC3PARAM 1 0 12 aabbccdd\na NS ns1.a\nns1.a A 192.0.2.5\n"
        "a DS 58470 5 1 3079F1593EBAD6DC121E202A8B766A6A4837206C\n"
        "c NS ns1.c\nns1.c A 192.0.2.7\nai A 192.0.2.9\nns1 A 192.0.2.1\nns2 A 192.0.2.2\n"
        "*.w MX 1 ai\nx.w MX 1 xx\nx.y.w MX 1 xx\nxx A 192.0.2.10\n";
    const char* chain[][3] = {
        {"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom", "2t7b4g4vsa5smi47k61mv5bv1a22bojr", "NS SOA MX"},
        {"2t7b4g4vsa5smi47k61mv5bv1a22bojr", "2vptu5timamqttgl4luu9kg21e0aor3s", "A"},
        {"2vptu5timamqttgl4luu9kg21e0aor3s", "35mthgpgcu1qg68fab165klnsnk3dpvl", "MX"},
        {"35mthgpgcu1qg68fab165klnsnk3dpvl", "b4um86eghhds6nea196smvmlo4ors995", "NS DS"},
        {"b4um86eghhds6nea196smvmlo4ors995", "gjeqe526plbf1g8mklp59enfd789njgi", "MX"},
        {"gjeqe526plbf1g8mklp59enfd789njgi", "ji6neoaepv8b5o6k4ev33abha8ht9fgc", "A"},
        {"ji6neoaepv8b5o6k4ev33abha8ht9fgc", "k8udemvp1j2f7eg6jebps17vp3n8i58h", ""},
        {"k8udemvp1j2f7eg6jebps17vp3n8i58h", "kohar7mbb8dc2ce8a9qvl8hon4k53uhi", ""},
        {"kohar7mbb8dc2ce8a9qvl8hon4k53uhi", "q04jkcevqvmu85r014c7dkba38o0ji5r", "A"},
        {"q04jkcevqvmu85r014c7dkba38o0ji5r", "r53bq7cc2uvmubfu5ocmm6pers9tk9en", "A"},
        {"r53bq7cc2uvmubfu5ocmm6pers9tk9en", "t644ebqk9bibcna874givr6joj62mlhv", "MX"},
        {"t644ebqk9bibcna874givr6joj62mlhv", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom", "A"}};
    for (const auto& [owner, next, types] : chain) {
      text += std::string(owner) + " NSEC3 1 1 12 aabbccdd " + next + " " + types + "\n";
    }
    // One signature makes the zone a signed one.
    text += "@ RRSIG SOA 7 1 3600 20300101000000 20200101000000 1 example. AAAA\n";
    const ZoneText z{"example.", text};
    zones_ = ZoneSet::parse({&z, 1});
  }
  /// First four letters of the owners of the NSEC3s in the authority section.
  std::set<std::string> proof(const char* name, unsigned t) const {
    std::set<std::string> s;
    const Answer a = read_answer(answer_to(*zones_, ask(name, t, kDnssec)));
    for (const std::string& r : a.authority()) {
      if (r.find(" 50 ") != std::string::npos) s.insert(r.substr(0, 4));
    }
    return s;
  }
  std::shared_ptr<const ZoneSet> zones_;
};

TEST_F(Nsec3Test, NameError) {  // B.1
  EXPECT_EQ(proof("a.c.x.w.example", 1), (std::set<std::string>{"0p9m", "b4um", "35mt"}));
}

TEST_F(Nsec3Test, NoData) {  // B.2
  EXPECT_EQ(proof("ns1.example", type::kMx), (std::set<std::string>{"2t7b"}));
}

TEST_F(Nsec3Test, NoDataOfAnEmptyNonTerminal) {  // B.2.1
  EXPECT_EQ(proof("y.w.example", 1), (std::set<std::string>{"ji6n"}));
}

TEST_F(Nsec3Test, ReferralToAnOptOutZone) {  // B.3
  EXPECT_EQ(proof("mc.c.example", type::kMx), (std::set<std::string>{"35mt", "0p9m"}));
}

TEST_F(Nsec3Test, WildcardExpansion) {  // B.4
  EXPECT_EQ(proof("a.z.w.example", type::kMx), (std::set<std::string>{"q04j"}));
}

TEST_F(Nsec3Test, WildcardNoData) {  // B.5
  EXPECT_EQ(proof("a.z.w.example", type::kAaaa), (std::set<std::string>{"k8ud", "q04j", "r53b"}));
}

TEST_F(Nsec3Test, DsOfTheZoneItself) {  // B.6
  EXPECT_EQ(proof("example", type::kDs), (std::set<std::string>{"0p9m"}));
}

TEST_F(Nsec3Test, TheHashedNamesAreNotThemselvesThere) {  // 7.2.8
  const Answer a = read_answer(
      answer_to(*zones_, ask("2t7b4g4vsa5smi47k61mv5bv1a22bojr.example", type::kNsec3, kPlain)));
  EXPECT_EQ(a.rcode, 3u);
}

TEST(Nsec3Zone, WithMoreIterationsThanAreSensibleIsRefused) {
  const auto load = [](unsigned iterations) {
    const std::string n = std::to_string(iterations);
    const std::string text = "$TTL 60\n@ SOA ns mail 1 1 1 1 60\n@ NS ns\n@ NSEC3PARAM 1 0 " + n +
                             " -\n0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 0 " + n +
                             " - 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NS SOA\n";
    const ZoneText z{"example.", text};
    return ZoneSet::parse({&z, 1});
  };
  EXPECT_NO_THROW(load(150));
  try {
    load(151);
    FAIL();
  } catch (const ZoneError& e) {
    EXPECT_NE(std::string(e.what()).find("NSEC3 with 151 iterations"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("at most 150"), std::string::npos);
  }
}

}  // namespace
}  // namespace stackrig::dns
