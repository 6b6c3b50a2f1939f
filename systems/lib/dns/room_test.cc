// SPDX-License-Identifier: Apache-2.0
// Answers that do not fit: whatever the limit is, nothing is written beyond it, nothing is read
// that was not written, and what is given out is a message.
#include <gtest/gtest.h>
#include <memory>

#include "dns/message_writer.h"
#include "dns/test_messages.h"
#include "dns/test_signing.h"

namespace stackrig::dns {
namespace {

using namespace testing;

// --- the writer ----------------------------------------------------------------------------------

TEST(MessageWriter, WritesNothingOfARecordThatDoesNotFit) {
  const Bytes message = ask("x.example.com", type::kA);
  const Bytes owner = name("a-label-of-its-own.example.com");
  const Bytes rdata = be16(1) + name("another-label.mail.example.com");
  Query q;
  Rcode rcode{};
  ASSERT_EQ(parse_query(message, q, rcode), Parsed::query);
  unsigned refused = 0;
  for (std::size_t limit = Header::kSize + q.question_len;; ++limit, ++refused) {
    Bytes out(limit);
    MessageWriter writer(q, out, limit);
    const MessageWriter::Mark before = writer.mark();
    if (writer.add(MessageWriter::answer, owner.data(), type::kMx, 60, rdata)) break;
    EXPECT_EQ(writer.mark(), before) << limit;
    // Were half of the first one known, a pointer to it would be all that this one takes.
    EXPECT_FALSE(writer.add(MessageWriter::answer, owner.data(), type::kMx, 60, rdata)) << limit;
  }
  EXPECT_GT(refused, 40u);
}

/// A name of which the end is missing is not looked for in the bytes behind the message.
TEST(MessageWriter, LooksForNamesOnlyInWhatIsWritten) {
  const Bytes message = ask("example.com", type::kA);
  const Bytes owner = name("a-label-of-its-own.example.com");
  Query q;
  Rcode rcode{};
  ASSERT_EQ(parse_query(message, q, rcode), Parsed::query);
  const std::size_t label = 19;
  for (const std::uint8_t fill : {0xc0, 0xff}) {
    // Room for the label and half of the pointer behind it.
    Bytes out(Header::kSize + q.question_len + label + 1, fill);
    MessageWriter writer(q, out, out.size());
    const Bytes address(4);
    for (int i = 0; i < 3; ++i) {
      EXPECT_FALSE(writer.add(MessageWriter::answer, owner.data(), type::kA, 60, address));
    }
    EXPECT_EQ(writer.mark().size, Header::kSize + q.question_len);
  }
}

// --- respond() -----------------------------------------------------------------------------------

constexpr const char* kZone = R"($TTL 3600
@ SOA a-name-server.hosts postmaster.mail 1 7200 3600 1209600 300
@ NS ns.hosts
@ NS ns2.hosts
@ MX 10 mail.hosts
ns.hosts A 192.0.2.1
ns2.hosts AAAA 2001:db8::53
mail.hosts A 192.0.2.2
mail.hosts AAAA 2001:db8::2
alias1 CNAME alias2.deeper
alias2.deeper CNAME alias3.deeper
alias3.deeper CNAME one.wild
lost CNAME not.there
b.ent TXT "deep"
*.wild A 192.0.2.4
*.wild MX 10 mail.hosts
*.walias CNAME gone.wild
sub NS ns.sub
sub NS ns.other.net.
ns.sub A 192.0.2.5
safe NS ns.safe
ns.safe A 192.0.2.6
safe DS 1 13 2 e2d3c916f6deeac73294e8268fb5885044a833fc5459588f4a9184cfc41a5766
old DNAME new.hosts
x.new.hosts A 192.0.2.7
_sip._tcp SRV 1 2 5060 mail.hosts
)";

class RoomTest : public ::testing::TestWithParam<Chain> {
 protected:
  RoomTest() {
    const std::string text = pretend_to_sign("example.com.", kZone, GetParam());
    const ZoneText z{"example.com.", text};
    zones_ = ZoneSet::parse({&z, 1});
  }

  /// Names that are there, beside, above and below; long ones move the limit through the records.
  static std::vector<std::string> names() {
    std::vector<std::string> all;
    for (const char* n : {"",     "nothing.",   "not.there.",  "a.b.c.d.",  "alias1.", "lost.",
                          "ent.", "b.ent.",     "x.wild.",     "a.b.wild.", "*.wild.", "x.walias.",
                          "sub.", "x.sub.",     "safe.",       "x.safe.",   "x.old.",  "y.old.",
                          "old.", "_sip._tcp.", "mail.hosts.", "hosts."}) {
      all.push_back(std::string(n) + "example.com.");
    }
    all.push_back(std::string(63, 'l') + "." + std::string(60, 'k') + ".wild.example.com.");
    for (char c = 'a'; c <= 'd'; ++c) {
      all.push_back(std::string(63, 'l') + "." + std::string(60, c) + ".example.com.");
    }
    return all;
  }

  std::shared_ptr<const ZoneSet> zones_;
};

TEST_P(RoomTest, EverySizeIsKeptWhateverTheMemoryHeldBefore) {
  unsigned truncated = 0, whole = 0;
  for (const std::string& n : names()) {
    for (const std::uint16_t t : {type::kA, type::kMx, type::kDs, type::kAny, type::kRrsig}) {
      Bytes last;
      for (unsigned size = kPlainUdpPayload; size <= kUdpPayload; ++size) {
        const Bytes m = answer_to(*zones_, ask(n, t, {true, size, true}));
        ASSERT_LE(m.size(), size);
        if (m == last) continue;  // as it is for most sizes
        last = m;
        const Answer a = read_answer(m);
        ASSERT_TRUE(a.has_opt);
        ++(a.truncated() ? truncated : whole);
      }
    }
  }
  EXPECT_GT(truncated, 50u);
  EXPECT_GT(whole, 100u);
}

/// One NSEC3 that covers both the next closer name and the wildcard is asked for twice. Where the
/// limit lies between the hash in its owner and the pointer behind that, the second time must not
/// find the first.
TEST_P(RoomTest, ARecordThatDidNotFitIsNotFoundWhenItIsAskedForAgain) {
  unsigned tried = 0;
  // Of another closest encloser each, so that another NSEC3 covers the wildcard.
  const char* enclosers[] = {"", "hosts.", "deeper.", "ent.", "b.ent.", "_tcp.", "mail.hosts."};
  for (unsigned i = 0; i < 700; ++i) {
    const std::string n = std::string(63, 'l') + "." + std::string(60, 'k') + std::to_string(i) +
                          "." + enclosers[i % std::size(enclosers)] + "example.com.";
    const Answer whole = read_answer(answer_to(*zones_, ask(n, type::kA, kDnssec)));
    ASSERT_EQ(whole.rcode, 3u);
    const auto proofs = std::ranges::count_if(whole.authority(), [](const std::string& r) {
      return r.find(" 50 ") != std::string::npos || r.find(" 47 ") != std::string::npos;
    });
    if (proofs > (GetParam() == Chain::nsec ? 1 : 2)) continue;
    ++tried;
    for (unsigned size = kPlainUdpPayload; size <= whole.bytes; ++size) {
      const Answer a = read_answer(answer_to(*zones_, ask(n, type::kA, {true, size, true})));
      ASSERT_EQ(a.truncated(), size < whole.bytes);
    }
  }
  EXPECT_GT(tried, 10u);
}

/// With more room there is never less in the answer, and from some size on it is whole.
TEST_P(RoomTest, AnAnswerIsTruncatedBelowItsSizeAndWholeFromThereOn) {
  for (const std::string& n : names()) {
    const Bytes most = answer_to(*zones_, ask(n, type::kA, kDnssec), Transport::tcp);
    if (most.size() > kUdpPayload) continue;
    const Answer all = read_answer(most);
    if (!all.additional().empty()) continue;  // may be left out without truncation
    for (unsigned size = kPlainUdpPayload; size <= kUdpPayload; ++size) {
      const Bytes m = answer_to(*zones_, ask(n, type::kA, {true, size, true}));
      if (size >= most.size()) {
        ASSERT_EQ(m, most) << n << size;
      } else {
        ASSERT_TRUE(read_answer(m).truncated()) << n << size;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Chains, RoomTest,
                         ::testing::Values(Chain::nsec, Chain::nsec3, Chain::opt_out));

}  // namespace
}  // namespace stackrig::dns
