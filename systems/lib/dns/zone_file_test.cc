// SPDX-License-Identifier: Apache-2.0
// Zone files: what is understood, and which line is named where one is not.
#include "dns/zone_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "dns/test_messages.h"
#include "dns/zone.h"

namespace stackrig::dns {
namespace {

using namespace testing;
namespace fs = std::filesystem;

const std::string kHead = "$TTL 3600\n@ SOA ns mail 1 7200 3600 1209600 300\n@ NS ns\n";

std::shared_ptr<const ZoneSet> parse(const std::string& text) {
  const ZoneText z{"example.com", text};
  return ZoneSet::parse({&z, 1});
}

std::vector<std::string> records(const ZoneSet& zones, const char* name, std::uint16_t t) {
  return read_answer(answer_to(zones, ask(name, t, kEdns), Transport::tcp)).answer();
}

/// Line 0: none was refused.
struct Refusal {
  std::size_t line = 0;
  std::string what;
};

Refusal refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const ZoneError& e) {
    return {e.line, e.what()};
  }
  return {};
}

void expect_refused(const std::string& text, std::size_t line, const char* words) {
  const Refusal r = refusal(text);
  EXPECT_EQ(r.line, line) << text;
  EXPECT_NE(r.what.find(words), std::string::npos) << text << r.what;
}

TEST(ZoneFile, OwnersMayBeRelativeAbsoluteOrLeftOut) {
  const auto zones = parse(kHead +
                           "www A 192.0.2.1\n"
                           "    A 192.0.2.2 ; the same owner\n"
                           "mail.example.com. 60 IN A 192.0.2.3\n"
                           "\n; nothing\n"
                           "$ORIGIN sub.example.com.\n"
                           "a IN 120 A 192.0.2.4\n"
                           "$ORIGIN deeper\n"
                           "@ A 192.0.2.5\n");
  EXPECT_EQ(records(*zones, "www.example.com", type::kA).size(), 2u);
  EXPECT_EQ(records(*zones, "mail.example.com", type::kA).at(0), "mail.example.com. 60 1 c0000203");
  EXPECT_EQ(records(*zones, "a.sub.example.com", type::kA).at(0),
            "a.sub.example.com. 120 1 c0000204");
  EXPECT_EQ(records(*zones, "deeper.sub.example.com", type::kA).at(0),
            "deeper.sub.example.com. 3600 1 c0000205");
}

TEST(ZoneFile, ARecordMayStandOnSeveralLines) {
  const auto zones = parse(
      "$TTL 1h\n@ SOA ns mail ( 1 ; serial\n 7200\n 3600 1209600\n 300 )\n@ NS ns\n"
      "t TXT ( \"a ; b\"\n \"c\" )\n");
  EXPECT_EQ(records(*zones, "example.com", type::kSoa).size(), 1u);
  EXPECT_EQ(records(*zones, "t.example.com", type::kTxt).at(0),
            "t.example.com. 3600 16 0561203b20620163");
}

TEST(ZoneFile, TypesThatNobodyKnowsAreServed) {
  const auto zones = parse(kHead + "x TYPE65280 \\# 3 0a0b0c\n");
  EXPECT_EQ(records(*zones, "x.example.com", 65280).at(0), "x.example.com. 3600 65280 0a0b0c");
}

TEST(ZoneFile, EscapesAndQuotesHideWhatElseHasAMeaning) {
  const auto zones = parse(kHead + "t TXT \"a(b\" c\\;d \"e\\\"f;\" ; \"a comment\n");
  EXPECT_EQ(records(*zones, "t.example.com", type::kTxt).at(0),
            "t.example.com. 3600 16 0361286203633b64046522663b");
}

TEST(ZoneFile, TheSameRecordTwiceIsOne) {
  const auto zones = parse(kHead + "x A 192.0.2.1\nX A 192.0.2.1\nx 60 A 192.0.2.2\n");
  // RFC 2181 5.2: one TTL, the lowest.
  EXPECT_EQ(
      records(*zones, "x.example.com", type::kA),
      (std::vector<std::string>{"x.example.com. 60 1 c0000201", "x.example.com. 60 1 c0000202"}));
}

TEST(ZoneFile, TheCaseOfNamesInDataIsKept) {
  const auto zones = parse(kHead + "a CNAME WwW.Example.NET.\n");
  const Bytes m = answer_to(*zones, ask("a.example.com", type::kCname));
  const std::string bytes(m.begin(), m.end());
  EXPECT_NE(bytes.find("WwW"), std::string::npos);
}

TEST(ZoneFile, ErrorsNameTheLine) {
  expect_refused(kHead + "www A 192.0.2.1\nwww A 192.0.2\n", 5, "example.com:5: ");
  expect_refused(kHead + "\n; a comment\n\nwww BLAH x\n", 7, "");
  expect_refused(kHead + "www MX mail\n", 4, "");
  expect_refused(kHead + "t TXT (\n \"a\"\n \"b\" )\nwww A nonsense\n", 7, "");
  expect_refused(kHead + "t TXT (\n \"a\"\n \"b\" )\n\nm MX (\n nonsense\n)\n", 8, "");
  expect_refused(kHead + "t TXT \"a\n", 4, "not closed");
  expect_refused(kHead + "t TXT a )\n", 4, "not opened");
  expect_refused(kHead + "www A 192.0.2", 4, "");
  expect_refused(kHead + "www.example.org. A 192.0.2.1\n", 4, "not below the zone's origin");
  expect_refused(kHead + "www CH TXT x\n", 4, "class");
  expect_refused(kHead + "$BLAH x\n", 4, "no such directive");
  expect_refused(kHead + "$TTL soon\n", 4, "no time");
  expect_refused(kHead + "$ORIGIN a..b\n", 4, "no name");
  expect_refused(kHead + "$INCLUDE other\n", 4, "no folder");
  expect_refused(kHead + "t TXT (\n\"a\"\n", 4, "not closed");
  expect_refused(kHead + "a CNAME b\na A 192.0.2.1\n", 4, "CNAME beside other records");
  expect_refused(kHead + "a CNAME b\na CNAME c\n", 5, "more than one CNAME");
  expect_refused(kHead + "a DNAME b\na DNAME c\n", 5, "more than one DNAME");
  expect_refused(kHead + "@ SOA ns mail 2 7200 3600 1209600 300\n", 4, "more than one SOA");
  expect_refused(kHead + "a SOA ns mail 2 7200 3600 1209600 300\n", 4, "not at the zone's origin");
  expect_refused(kHead + "a MX \\# 3 000a40\n", 4, "");
  expect_refused(kHead + "d DNAME b\nx.y.d A 192.0.2.1\n", 5, "below the DNAME of d.example.com.");
  expect_refused(kHead + "x.y.d A 192.0.2.1\nd DNAME b\n", 4, "below the DNAME of d.example.com.");
  expect_refused(kHead + "*.w NS ns\n", 4, "NS at a wildcard");
  expect_refused(kHead + "*.w DNAME ns\n", 4, "DNAME at a wildcard");
  expect_refused(kHead + "a TYPE255 \\# 0\n", 4, "cannot stand in a zone");
}

TEST(ZoneFile, AZoneNeedsASoaAndServers) {
  EXPECT_NE(refusal("@ 60 NS ns\n").what.find("no SOA for example.com."), std::string::npos);
  EXPECT_NE(refusal("@ 60 SOA a b 1 1 1 1 1\n").what.find("no NS for example.com."),
            std::string::npos);
  EXPECT_NE(refusal("; nothing\n").what.find("no SOA"), std::string::npos);
}

std::string addresses(unsigned count) {
  std::string text;
  for (unsigned i = 0; i < count; ++i) {
    text += "x A 10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256) + "\n";
  }
  return text;
}

/// What all of them take: 12 + 19 for header and question, 16 for each, 11 for OPT.
TEST(ZoneFile, AsManyRecordsAsAMessageHoldsAreServedAndNotOneMore) {
  const unsigned most = (65535 - 12 - 19 - 11) / 16;
  const auto zones = parse(kHead + addresses(most));
  const Answer a =
      read_answer(answer_to(*zones, ask("x.example.com", type::kA, kDnssec), Transport::tcp));
  EXPECT_FALSE(a.truncated());
  EXPECT_EQ(a.answer().size(), most);
  expect_refused(kHead + addresses(most + 1), 3 + most + 1, "65535");
}

TEST(ZoneFile, SignaturesCountAmongWhatAMessageHolds) {
  const unsigned most = (65535 - 12 - 19 - 11) / 16;
  const std::string signature =
      "x 3600 RRSIG A 13 3 3600 20300101000000 20200101000000 1 example.com. AAAA\n";
  expect_refused(kHead + addresses(most) + signature, 3 + most + 1, "with their signatures");
  EXPECT_NO_THROW(parse(kHead + addresses(most - 4) + signature));
}

TEST(ZoneFile, NamesInTheDataCountAsTheyAreCompressed) {
  std::string text = kHead;
  const std::string domain = "." + std::string(60, 'd') + "." + std::string(60, 'e');
  for (unsigned i = 0; i < 1500; ++i) text += "x NS n" + std::to_string(i) + domain + "\n";
  const auto zones = parse(text);
  const Answer a = read_answer(answer_to(*zones, ask("x.example.com", type::kNs), Transport::tcp));
  EXPECT_EQ(a.authority().size(), 1500u);
}

TEST(ZoneFile, MoreRecordsThanAMessageHoldsAreRefused) {
  std::string text = kHead;
  for (int i = 0; i < 400; ++i) {
    text += "x TXT \"" + std::to_string(i) + std::string(200, 'a') + "\"\n";
  }
  EXPECT_NE(refusal(text).what.find("65535"), std::string::npos);
}

TEST(ZoneSet, RefusesTheSameOriginTwice) {
  const ZoneText z{"example.com", kHead};
  const ZoneText both[] = {z, {"EXAMPLE.com.", z.text}};
  EXPECT_THROW(ZoneSet::parse(both), ZoneError);
}

class ZoneFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/stackrig-zones-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path write(const char* name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  std::shared_ptr<const ZoneSet> load(const fs::path& file) {
    const ZoneFile f{"example.com", file};
    return ZoneSet::load({&f, 1});
  }
  fs::path folder_;
};

TEST_F(ZoneFolder, FilesMayIncludeOthers) {
  write("parts/hosts", "www A 192.0.2.1\n$ORIGIN elsewhere.example.com.\nx A 192.0.2.2\n");
  write("more", "y A 192.0.2.3\n");
  const auto zones =
      load(write("zone", kHead + "first A 192.0.2.9\n$INCLUDE parts/hosts\n" +
                             "  A 192.0.2.8\n$INCLUDE more sub\nlast A 192.0.2.4\n"));
  for (const char* name :
       {"www.example.com", "x.elsewhere.example.com", "y.sub.example.com", "last.example.com"}) {
    EXPECT_EQ(records(*zones, name, type::kA).size(), 1u) << name;
  }
  // RFC 1035 5.1: neither the origin nor the last owner of the included file reaches the other.
  EXPECT_EQ(records(*zones, "first.example.com", type::kA).size(), 2u);
}

TEST_F(ZoneFolder, AnErrorNamesTheIncludedFile) {
  const fs::path inner = write("inner", "\nwww A x\n");
  try {
    load(write("zone", kHead + "$INCLUDE inner\n"));
    FAIL();
  } catch (const ZoneError& e) {
    EXPECT_EQ(e.file, inner);
    EXPECT_EQ(e.line, 2u);
  }
}

TEST_F(ZoneFolder, AFileThatIncludesItselfIsRefused) {
  EXPECT_THROW(load(write("zone", kHead + "$INCLUDE zone\n")), ZoneError);
}

TEST_F(ZoneFolder, AFileThatIsNotThereIsNamed) {
  try {
    load(folder_ / "none");
    FAIL();
  } catch (const ZoneError& e) {
    EXPECT_EQ(std::string(e.what()),
              (folder_ / "none").string() + ": cannot be opened: No such file or directory");
  }
  EXPECT_THROW(load(folder_), ZoneError);
}

}  // namespace
}  // namespace stackrig::dns
