// SPDX-License-Identifier: Apache-2.0
// What is a query, what is answered with an error, what is not answered at all.
#include "dns/query.h"

#include <gtest/gtest.h>

#include "dns/test_messages.h"

namespace stackrig::dns {
namespace {

using namespace testing;

struct Outcome {
  Parsed parsed;
  Rcode rcode{};
  Query query;
};

/// From a copy of its own: the address sanitizer sees a read past its end.
Outcome parse(const Bytes& message) {
  static Bytes copy;
  copy = Bytes(message.begin(), message.end());
  copy.shrink_to_fit();
  Outcome o{};
  o.parsed = parse_query(copy, o.query, o.rcode);
  return o;
}

void expect_error(const Bytes& message, Rcode rcode, const char* what) {
  const Outcome o = parse(message);
  EXPECT_EQ(o.parsed, Parsed::error) << what;
  EXPECT_EQ(o.rcode, rcode) << what;
}

const Bytes kQuestion = question("web.example.com", type::kA);
const Bytes kRecord = Bytes{1, 'x', 0} + be16(type::kA) + be16(1) + be16(0) + be16(60) + be16(4) +
                      Bytes{192, 0, 2, 1};

TEST(Query, IsReadFromAPlainMessage) {
  const Outcome o = parse(header(0x0130, 1) + question("WwW.Example.com", type::kMx));
  ASSERT_EQ(o.parsed, Parsed::query);
  EXPECT_EQ(o.query.id, 0x1234);
  EXPECT_EQ(o.query.flags, 0x0130);
  EXPECT_EQ(Bytes(o.query.qname, o.query.qname + o.query.qname_len), name("WwW.Example.com"));
  EXPECT_EQ(o.query.qtype, type::kMx);
  EXPECT_EQ(o.query.qclass, kClassIn);
  EXPECT_EQ(o.query.question_len, o.query.qname_len + 4);
  EXPECT_FALSE(o.query.edns);
  EXPECT_EQ(o.query.limit(Transport::udp), 512u);
  EXPECT_EQ(o.query.limit(Transport::tcp), 65535u);
}

TEST(Query, OfTheRootIsAQuery) {
  const Outcome o = parse(header(0, 1) + question(".", type::kNs));
  ASSERT_EQ(o.parsed, Parsed::query);
  EXPECT_EQ(o.query.qname_len, 1);
}

TEST(Query, HasWhatOptSays) {
  const Outcome o = parse(header(0x0100, 1, 0, 0, 1) + kQuestion + opt(1400, true));
  ASSERT_EQ(o.parsed, Parsed::query);
  EXPECT_TRUE(o.query.edns);
  EXPECT_TRUE(o.query.dnssec_ok);
  EXPECT_EQ(o.query.payload_size, 1400);
}

TEST(Query, LimitsTheAnswerToWhatBothSidesTake) {
  const auto limit = [](unsigned size) {
    return parse(header(0, 1, 0, 0, 1) + kQuestion + opt(size)).query.limit(Transport::udp);
  };
  EXPECT_EQ(limit(0), 512u);  // RFC 6891 6.2.3: less counts as 512
  EXPECT_EQ(limit(511), 512u);
  EXPECT_EQ(limit(1000), 1000u);
  EXPECT_EQ(limit(65535), kUdpPayload);
}

TEST(Query, MayHaveOptionsAndOtherAdditionalRecords) {
  const Bytes cookie = be16(10) + be16(8) + Bytes{1, 2, 3, 4, 5, 6, 7, 8};
  for (const Bytes& m :
       {header(0, 1, 0, 0, 1) + kQuestion + opt(4096, false, 0, cookie),
        header(0, 1, 0, 0, 1) + kQuestion + opt(4096, false, 0, be16(65001) + be16(0)),
        header(0, 1, 0, 0, 2) + kQuestion + kRecord + opt(),
        header(0, 1, 0, 0, 2) + kQuestion + opt() + kRecord}) {
    const Outcome o = parse(m);
    EXPECT_EQ(o.parsed, Parsed::query);
    EXPECT_TRUE(o.query.edns);
  }
  EXPECT_FALSE(parse(header(0, 1, 0, 0, 1) + kQuestion + kRecord).query.edns);
}

TEST(Query, NamesUpTo255BytesAreRead) {
  const std::string label(63, 'a');
  const std::string three = label + "." + label + "." + label + ".";
  EXPECT_EQ(parse(header(0, 1) + question(three + std::string(61, 'b'), 1)).query.qname_len, 255);
  Bytes long_name = name(three);
  long_name.pop_back();
  long_name = long_name + Bytes{62} + Bytes(62, 'b') + Bytes{0};
  expect_error(header(0, 1) + long_name + be16(1) + be16(1), Rcode::formerr, "256 bytes");
  std::string many;
  for (int i = 0; i < 127; ++i) many += "a.";
  EXPECT_EQ(parse(header(0, 1) + question(many, 1)).query.qname_len, 255);
}

TEST(NotAQuery, IsIgnoredWhereAnAnswerCouldLoop) {
  EXPECT_EQ(parse(header(0x8000, 1) + kQuestion).parsed, Parsed::ignore);
  EXPECT_EQ(parse(header(0x8500, 1, 1) + kQuestion + kRecord).parsed, Parsed::ignore);
  const Bytes whole = header(0, 1) + kQuestion;
  for (std::size_t n = 0; n < Header::kSize; ++n) {
    EXPECT_EQ(parse(Bytes(whole.begin(), whole.begin() + static_cast<long>(n))).parsed,
              Parsed::ignore);
  }
}

TEST(NotAQuery, EveryOtherOpcodeIsNotImplemented) {
  for (unsigned opcode = 1; opcode < 16; ++opcode) {
    expect_error(header(opcode << 11, 1) + kQuestion, Rcode::notimp, "opcode");
  }
}

TEST(Malformed, ByTheNumberOfQuestions) {
  expect_error(header(0, 0), Rcode::formerr, "none");
  expect_error(header(0, 0, 0, 0, 1) + opt(), Rcode::formerr, "none, but OPT");
  expect_error(header(0, 2) + kQuestion + kQuestion, Rcode::formerr, "two");
  expect_error(header(0, 65535) + kQuestion, Rcode::formerr, "many");
}

TEST(Malformed, WhereItEndsTooEarly) {
  const Bytes whole = header(0, 1, 0, 0, 1) + kQuestion + opt(4096, true, 0, be16(10) + be16(0));
  for (std::size_t n = Header::kSize; n < whole.size(); ++n) {
    expect_error(Bytes(whole.begin(), whole.begin() + static_cast<long>(n)), Rcode::formerr, "cut");
  }
  EXPECT_EQ(parse(whole).parsed, Parsed::query);
}

TEST(Malformed, ByACompressedQuestion) {
  const Bytes in = be16(1) + be16(1);
  expect_error(header(0, 1) + Bytes{0xc0, 12} + in, Rcode::formerr, "to itself");
  expect_error(header(0, 1) + Bytes{1, 'a', 0xc0, 12} + in, Rcode::formerr, "a loop");
  expect_error(header(0, 1) + Bytes{1, 'a', 0xc0, 2} + in, Rcode::formerr, "into the header");
  expect_error(header(0, 1) + Bytes{0xc0, 18} + in + name("x.y"), Rcode::formerr, "forward");
  expect_error(header(0, 1) + Bytes{0xff, 0xff} + in, Rcode::formerr, "outside");
}

TEST(Malformed, ByALabelOfTooManyBytes) {
  for (const unsigned length : {64u, 65u, 127u, 128u, 191u}) {
    const Bytes label = Bytes{static_cast<std::uint8_t>(length)} + Bytes(length, 'a') + Bytes{0};
    expect_error(header(0, 1) + label + be16(1) + be16(1), Rcode::formerr, "label");
  }
}

TEST(Malformed, ByRecordsWhereAQueryHasNone) {
  expect_error(header(0, 1, 1) + kQuestion + kRecord, Rcode::formerr, "answer");
  expect_error(header(0, 1, 0, 1) + kQuestion + kRecord, Rcode::formerr, "authority");
}

TEST(Query, OfAnIxfrHasTheClientsVersion) {
  const Bytes ixfr = question("example.com", type::kIxfr);
  const Bytes soa =
      name("example.com") + be16(type::kSoa) + be16(kClassIn) + Bytes(4) + be16(22) + Bytes(22);
  const Outcome o = parse(header(0, 1, 0, 1, 1) + ixfr + soa + opt());
  EXPECT_EQ(o.parsed, Parsed::query);
  EXPECT_TRUE(o.query.edns);
  EXPECT_EQ(parse(header(0, 1) + ixfr).parsed, Parsed::query);
  expect_error(header(0, 1, 0, 2) + ixfr + soa + soa, Rcode::formerr, "two versions");
  expect_error(header(0, 1, 0, 1) + ixfr + kRecord, Rcode::formerr, "no SOA");
  expect_error(header(0, 1, 1) + ixfr + soa, Rcode::formerr, "in the answer section");
  expect_error(header(0, 1, 0, 1) + question("example.com", type::kAxfr) + soa, Rcode::formerr,
               "AXFR");
  const Bytes whole = header(0, 1, 0, 1) + ixfr + soa;
  for (std::size_t n = Header::kSize; n < whole.size(); ++n) {
    expect_error(Bytes(whole.begin(), whole.begin() + static_cast<long>(n)), Rcode::formerr, "cut");
  }
}

TEST(Malformed, ByItsOpt) {
  expect_error(header(0, 1, 0, 0, 2) + kQuestion + opt() + opt(), Rcode::formerr, "twice");
  expect_error(header(0, 1, 0, 0, 1) + kQuestion + Bytes{1, 'x'} + opt(), Rcode::formerr, "owner");
  expect_error(
      header(0, 1, 0, 0, 1) + kQuestion + opt(512, false, 0, be16(10) + be16(9) + Bytes{1}),
      Rcode::formerr, "an option longer than OPT");
  expect_error(header(0, 1, 0, 0, 1) + kQuestion + opt(512, false, 0, Bytes{0, 1, 0}),
               Rcode::formerr, "half an option");
}

TEST(BadVersion, IsSaidWithVersionZero) {
  const Bytes m = header(0x0100, 1, 0, 0, 1) + kQuestion + opt(4096, true, 1);
  expect_error(m, Rcode::badvers, "version 1");
  Outcome o = parse(m);
  Bytes out(600);
  out.resize(write_error(o.query, o.rcode, out));
  const Answer a = read_answer(out);
  EXPECT_EQ(a.rcode, 16u);
  EXPECT_EQ(a.edns_version, 0u);
  EXPECT_TRUE(a.dnssec_ok);
  EXPECT_EQ(a.payload_size, kUdpPayload);
  EXPECT_EQ(a.question_name, "web.example.com.");
}

TEST(Error, EchoesWhatTheQueryHad) {
  Outcome o = parse(header(0x2930, 1) + kQuestion);
  Bytes out(600);
  out.resize(write_error(o.query, o.rcode, out));
  const Answer a = read_answer(out);
  EXPECT_EQ(a.id, 0x1234u);
  EXPECT_EQ(a.flags, 0x8000u | 0x2900u | 4u);  // response, opcode and RD of the query; no AD, no CD
  EXPECT_EQ(a.question_name, "");              // of another opcode, the question may mean anything
  EXPECT_FALSE(a.has_opt);
}

}  // namespace
}  // namespace stackrig::dns
