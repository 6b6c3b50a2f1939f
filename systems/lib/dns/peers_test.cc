// SPDX-License-Identifier: Apache-2.0
// The same questions to this library, NSD 4.6 and Knot DNS 3.2, over the same random zones,
// unsigned and signed: the same answers, section by section.
//
// Where the two agree, so do we. Where they do not, one of them is followed, and which one is said
// below with the reason, which covers only the records that it speaks of; a difference that no
// reason covers fails the test. What is truncated is asked for again over TCP. Two things are not
// counted as differences:
//
//   NSD puts the zone's NS and their addresses behind every positive answer. RFC 1034 4.3.2 asks
//   for no such thing; Knot and we do not.
//
//   Knot ends an answer where an alias leaves the zone, or after 5 aliases. RFC 1034 4.3.2 goes on
//   in every zone that the server has; NSD and we do. So Knot is asked for the alias' target too,
//   and its answers are put together.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

#include "dns/test_compare.h"
#include "dns/test_corpus.h"
#include "dns/test_peers.h"
#include "dns/test_zones.h"
#include "dns/zone.h"

namespace stackrig::dns::testing {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kQuestions = 8000;  ///< of each seed

// --- the peers -----------------------------------------------------------------------------------

class PeersTest : public ::testing::TestWithParam<std::uint64_t> {
 protected:
  void SetUp() override {
    char name[] = "/tmp/stackrig-dns-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    for (const char* f : {"zones", "nsd", "knot", "knot/run", "knot/db"}) {
      fs::create_directories(folder_ / f);
    }
  }
  void TearDown() override {
    nsd_.reset();
    knot_.reset();
    fs::remove_all(folder_);
  }

  /// False where a peer is not installed; then the test is skipped.
  bool start(const std::vector<ZoneFile>& files) {
    zones_ = ZoneSet::load(files);
    nsd_ = Peer::nsd(folder_ / "nsd", files);
    knot_ = Peer::knot(folder_ / "knot", files);
    return nsd_ != nullptr && knot_ != nullptr;
  }

  Answer ours(const Question& q, Transport transport = Transport::udp) const {
    return read_answer(answer_to(*zones_, ask(q.name, q.qtype, q.edns), transport));
  }
  static Answer ask_peer(Peer& peer, const Question& q, Transport t) {
    const Bytes query = ask(q.name, q.qtype, q.edns);
    return read_answer(t == Transport::tcp ? peer.ask_over_tcp(query) : peer.ask(query));
  }
  bool is_hosted(const std::string& name) const {
    return zones_->find(Labels(Name::from_text(name)->data()), 0) != nullptr;
  }

  /// NSD's answer without the zone's NS, unless they are what was asked for.
  Answer from_nsd(const Question& q, const Answer& ours, Transport t = Transport::udp) {
    Answer a = ask_peer(*nsd_, q, t);
    unite(a);
    if (!a.authoritative() || has_type(ours.authority(), type::kNs)) return a;
    std::set<std::string> hosts;
    for (const std::string& r : a.authority()) {
      if (type_of(r) == type::kNs) hosts.insert(target_of(r));
    }
    std::erase_if(a.sections[1], [](const std::string& r) { return covers(r, type::kNs); });
    const auto& additional = ours.additional();
    std::erase_if(a.sections[2], [&](const std::string& r) {
      return hosts.contains(owner_of(r)) &&
             std::find(additional.begin(), additional.end(), r) == additional.end();
    });
    return a;
  }

  /// Knot's answer, and where it ends with an alias, its answer for what that leads to.
  Answer from_knot(const Question& q, Transport t = Transport::udp) {
    Answer a = ask_peer(*knot_, q, t);
    std::set<std::string> asked = {lower_text(q.name)};
    // A wildcard's proof may stand in the authority section before the end of the chain.
    while (!a.truncated() && a.rcode == 0 && !has_type(a.authority(), type::kSoa) &&
           !has_type(a.authority(), type::kNs)) {
      const std::string end = end_of_chain(a, lower_text(absolute(q.name)));
      const auto is_there = [&](const std::string& r) { return owner_of(r) == end; };
      if (std::any_of(a.answer().begin(), a.answer().end(), is_there) || !is_hosted(end) ||
          q.qtype == type::kCname || !asked.insert(end).second || asked.size() > 20) {
        break;
      }
      const Answer rest = ask_peer(*knot_, {end, q.qtype, q.edns}, t);
      a.rcode = rest.rcode;
      a.flags |= rest.flags & flag::kTruncated;
      for (int i = 0; i < 3; ++i) {
        a.sections[i].insert(a.sections[i].end(), rest.sections[i].begin(), rest.sections[i].end());
      }
    }
    unite(a);
    return a;
  }
  static std::string absolute(const std::string& name) {
    return name.ends_with('.') ? name : name + ".";
  }

  /// Whether a zone that does not answer for the name has it, below a cut.
  bool stands_elsewhere(const std::string& text) const {
    const auto name = Name::from_text(text);
    const Zone* answers = zones_->find(Labels(name->data()), 0);
    for (std::size_t i = 0; i < zones_->size(); ++i) {
      const Zone& z = (*zones_)[i];
      if (&z != answers && z.find(Labels(name->data())) != kNoNode) return true;
    }
    return false;
  }

  /// Why NSD is not followed; nullptr: it should be.
  const char* why_not_nsd(const Question& q, const Answer& us, const Answer& nsd) const;
  /// Why Knot is not followed; nullptr: it should be.
  const char* why_not_knot(const Question& q, const Answer& us, const Answer& knot) const;
  void compare(const Question& q, Transport t = Transport::udp);
  void compare_any(const Question& q);
  /// Whether there was little room left: an address with its signature takes no more.
  static bool is_short(const Answer& a, const Question& q) { return a.bytes + 256 > limit_of(q); }

  fs::path folder_;
  std::shared_ptr<const ZoneSet> zones_;
  std::unique_ptr<Peer> nsd_, knot_;
  std::map<std::string, unsigned> reasons_;
};

enum Section : int { answer, authority, additional };

/// Whether the answers are the same but for records of which `may(section, record, is_ours)` says
/// that they may differ.
template <class May>
bool differ_only_in(const Answer& us, const Answer& them, May&& may) {
  Answer header = them;
  std::ranges::copy(us.sections, header.sections);
  if (!same_answer(us, header)) return false;
  for (int s = 0; s < 3; ++s) {
    const auto& a = us.sections[s];
    const auto& b = them.sections[s];
    const auto covers_all = [&](const auto& those, const auto& others, bool is_ours) {
      return std::ranges::all_of(those, [&](const std::string& r) {
        return std::ranges::find(others, r) != others.end() || may(s, r, is_ours);
      });
    };
    if (!covers_all(a, b, true) || !covers_all(b, a, false)) return false;
  }
  return true;
}

bool is_denial(const std::string& record) {
  return covers(record, type::kNsec) || covers(record, type::kNsec3);
}

const char* PeersTest::why_not_nsd(const Question& q, const Answer& us, const Answer& nsd) const {
  const bool has_alias = has_type(us.answer(), type::kCname);
  if (q.qtype == type::kNsec3 && (has_alias || us.truncated())) {
    return "NSD: no alias is followed for NSEC3; RFC 1034 4.3.2 knows no such exception";
  }
  const auto left_out = [](int s, const std::string&, bool is_ours) {
    return s == additional && is_ours;
  };
  if (differ_only_in(us, nsd, left_out)) {
    return "NSD: has no room for addresses because of records that we do not add";
  }
  if (stands_elsewhere(q.name) ||
      stands_elsewhere(end_of_chain(us, lower_text(absolute(q.name))))) {
    return "NSD: a name counts as existing where only another zone has it, as glue";
  }
  const auto added_proof = [](int s, const std::string& r, bool is_ours) {
    return s == authority && !is_ours && covers(r, type::kNsec3);
  };
  if (q.edns.dnssec_ok && differ_only_in(us, nsd, added_proof)) {
    return "NSD: proves for a wildcard's own name what RFC 5155 7.2.3 does not ask for";
  }
  const auto other_proof = [](int s, const std::string& r, bool) {
    return s == authority && covers(r, type::kNsec);
  };
  if (q.edns.dnssec_ok && has_alias && differ_only_in(us, nsd, other_proof)) {
    return "NSD: leaves out an NSEC of a denial behind an alias (RFC 4035 3.1.3.2 wants both), or "
           "gives one that does not cover the name";
  }
  return nullptr;
}

const char* PeersTest::why_not_knot(const Question& q, const Answer& us, const Answer& knot) const {
  const auto left_out = [](int s, const std::string&, bool is_ours) {
    return s == additional && is_ours;
  };
  if (us.bytes + 64 > limit_of(q) && differ_only_in(us, knot, left_out)) {
    return "Knot: has no room where a better compression of names just fits";
  }
  const auto signature = [](int s, const std::string& r, bool is_ours) {
    return s == answer && is_ours && type_of(r) == type::kRrsig;
  };
  if (q.qtype == type::kRrsig && differ_only_in(us, knot, signature)) {
    return "Knot: one signature of several (RFC 8482 4.1); NSD gives all";
  }
  const bool is_of_dnssec = q.qtype == type::kNsec || q.qtype == type::kRrsig;
  if (is_of_dnssec && (has_type(us.answer(), type::kCname) || us.truncated())) {
    return "Knot: no alias is followed for NSEC and RRSIG; RFC 1034 4.3.2 knows no such exception";
  }
  if (has_type(us.answer(), type::kDname) && knot.answer().size() > us.answer().size()) {
    return "Knot: goes round a loop of DNAMEs";
  }
  if (q.qtype == type::kDs && has_type(us.answer(), type::kCname)) {
    return "Knot: DS behind an alias is looked for in the child zone (RFC 4035 3.1.4.1: the "
           "parent)";
  }
  const auto missing_proof = [](int s, const std::string& r, bool is_ours) {
    return s == authority && is_ours && is_denial(r);
  };
  if (q.edns.dnssec_ok && us.rcode == 0 && differ_only_in(us, knot, missing_proof)) {
    return "Knot: leaves out what denies a wildcard that is an empty non-terminal";
  }
  return nullptr;
}

void PeersTest::compare(const Question& q, Transport t) {
  Answer us = ours(q, t);
  unite(us);
  const Answer nsd = from_nsd(q, us, t);
  const Answer knot = from_knot(q, t);
  const bool is_nsd = same_answer(us, nsd);
  const bool is_knot = same_answer(us, knot);
  if (t == Transport::udp && (us.truncated() || nsd.truncated() || knot.truncated())) {
    // Of who truncates and who does not, each adds other records that it could do without, and
    // several answers of Knot's are more than one of ours: what they are about is compared whole.
    ++reasons_[is_nsd && is_knot ? "all: truncated" : "some: truncated"];
    return compare(q, Transport::tcp);
  }
  if (is_nsd && is_knot) return;
  const char* nsd_why = is_nsd ? "" : why_not_nsd(q, us, nsd);
  const char* knot_why = is_knot ? "" : why_not_knot(q, us, knot);
  const bool is_explained = (is_nsd || is_knot) && nsd_why != nullptr && knot_why != nullptr;
  if (!is_explained && t == Transport::udp &&
      (is_short(us, q) || is_short(nsd, q) || is_short(knot, q))) {
    // Where there is little room, each leaves out what it can do without: with enough of it they
    // must be the same again.
    ++reasons_["both: other records left out for want of room"];
    return compare(q, Transport::tcp);
  }
  const std::string all = q.name + " " + std::to_string(q.qtype) +
                          (t == Transport::tcp ? " TCP" : "") +
                          (q.edns.present ? " EDNS " + std::to_string(q.edns.payload_size) : "") +
                          (q.edns.dnssec_ok ? " DO\n" : "\n") + show("ours", us) +
                          show("NSD", nsd) + show("Knot", knot);
  EXPECT_TRUE(is_nsd || is_knot) << all;
  EXPECT_NE(nsd_why, nullptr) << "other than NSD: " << all;
  EXPECT_NE(knot_why, nullptr) << "other than Knot: " << all;
  for (const char* why : {nsd_why, knot_why}) {
    if (why != nullptr && *why != '\0') ++reasons_[why];
  }
}

/// RFC 8482 4.1 leaves it to the server which RRset answers ANY: NSD, Knot and we have a choice of
/// our own. Ours is the first by type, whole; what it is, Knot says when it is asked for that type.
void PeersTest::compare_any(const Question& q) {
  Answer us = ours(q);
  const Answer nsd = from_nsd(q, us);
  const Answer knot = from_knot(q);
  const std::string all =
      q.name + " ANY\n" + show("ours", us) + show("NSD", nsd) + show("Knot", knot);
  EXPECT_TRUE(us.rcode == nsd.rcode || us.rcode == knot.rcode) << all;
  EXPECT_EQ(us.authoritative(), knot.authoritative()) << all;
  EXPECT_EQ(us.answer().empty(), us.truncated() || knot.answer().empty()) << all;
  if (us.answer().empty() || has_type(us.answer(), type::kDname)) return;
  Question one = q;
  for (const std::string& r : us.answer()) {
    if (type_of(r) != type::kRrsig) one.qtype = type_of(r);
  }
  us = ours(q, Transport::tcp);
  unite(us);
  const Answer whole = from_knot(one);
  if (!whole.truncated() && one.qtype != type::kCname) {
    EXPECT_EQ(us.answer(), whole.answer()) << all;
  }
}

TEST_P(PeersTest, AnswerEveryQuestionAsWeDo) {
  if (!is_installed("ldns-signzone") || !is_installed("ldns-keygen")) {
    GTEST_SKIP() << "ldns-signzone or ldns-keygen is not installed: ./bootstrap does it";
  }
  Corpus corpus(folder_ / "zones", GetParam(), true);
  if (!start(corpus.files())) GTEST_SKIP() << "nsd or knotd is not installed: ./bootstrap does it";
  for (unsigned i = 0; i < kQuestions; ++i) {
    Question q{corpus.maker().question_name(corpus.any_zone()), corpus.maker().question_type(),
               corpus.maker().edns()};
    if (q.qtype == type::kAny) {
      compare_any(q);
    } else {
      compare(q);
    }
  }
  for (const auto& [why, count] : reasons_) std::printf("%5u  %s\n", count, why.c_str());
}

// --- messages that are no well-formed query ------------------------------------------------------

struct Malformed {
  const char* what;
  Bytes message;
};

/// What an IXFR has in its authority section.
Bytes version(const char* zone) {
  return name(zone) + be16(type::kSoa) + be16(kClassIn) + Bytes(4) + be16(22) + Bytes(22);
}

std::vector<Malformed> malformed() {
  const Bytes q = question("a.ready.test", type::kA);
  const Bytes record =
      Bytes{1, 'x', 0} + be16(1) + be16(1) + be16(0) + be16(60) + be16(4) + Bytes(4);
  const Bytes in = be16(1) + be16(1);
  std::vector<Malformed> all = {
      {"no question", header(0x0100, 0)},
      {"two questions", header(0x0100, 2) + q + q},
      {"a question that is missing", header(0x0100, 1)},
      {"half a name", header(0x0100, 1) + Bytes(q.begin(), q.begin() + 5)},
      {"no class", header(0x0100, 1) + Bytes(q.begin(), q.end() - 2)},
      {"a label of 64", header(0x0100, 1) + Bytes{64} + Bytes(64, 'a') + Bytes{0} + in},
      {"a pointer to itself", header(0x0100, 1) + Bytes{0xc0, 12} + in},
      {"a loop of pointers", header(0x0100, 1) + Bytes{1, 'a', 0xc0, 12} + in},
      {"a pointer forward", header(0x0100, 1) + Bytes{0xc0, 18} + in + name("ready.test")},
      {"an answer in the query", header(0x0100, 1, 1) + q + record},
      {"authority in the query", header(0x0100, 1, 0, 1) + q + record},
      {"OPT twice", header(0x0100, 1, 0, 0, 2) + q + opt() + opt()},
      {"an OPT that is cut off", header(0x0100, 1, 0, 0, 1) + q + Bytes{0, 0, 41}},
      {"an OPT with half an option",
       header(0x0100, 1, 0, 0, 1) + q + opt(512, false, 0, {0, 1, 0})},
      {"an OPT that is missing", header(0x0100, 1, 0, 0, 1) + q},
      {"EDNS version 1", header(0x0100, 1, 0, 0, 1) + q + opt(4096, false, 1)},
      {"EDNS version 1 for a name that is not ours",
       header(0x0100, 1, 0, 0, 1) + question("x.y", 1) + opt(4096, true, 1)},
      {"a response", header(0x8100, 1) + q},
      {"a name that is not ours", header(0x0100, 1) + question("x.y", 1)},
      {"class CHAOS", header(0x0100, 1) + question("ready.test", type::kA, 3)},
      {"AXFR", header(0x0100, 1) + question("ready.test", type::kAxfr)},
  };
  for (unsigned opcode : {1u, 2u, 3u, 6u, 7u, 15u}) {
    all.push_back({"an opcode", header(0x0100 | opcode << 11, 1) + q});
  }
  return all;
}

/// Rcode, or -1 for no answer.
int rcode_of(const Bytes& reply) {
  return reply.empty() ? -1 : static_cast<int>(read_answer(reply).rcode);
}

TEST_P(PeersTest, RefuseWhatIsNoQueryAsWeDo) {
  Corpus corpus(folder_ / "zones", GetParam(), false);
  if (!start(corpus.files())) GTEST_SKIP() << "nsd or knotd is not installed: ./bootstrap does it";
  for (const Malformed& m : malformed()) {
    const int us = rcode_of(answer_to(*zones_, m.message));
    const int nsd = rcode_of(nsd_->ask_once(m.message));
    // Knot drops most of what it cannot parse, and answers queries that carry records. RFC 1035
    // 4.1.1 wants FORMERR of the former; for the latter NSD is followed.
    EXPECT_EQ(us, nsd) << m.what;
  }
}

/// Over TCP, where transfers are made. Neither peer is told to allow any.
TEST_P(PeersTest, RefuseTransfersAsWeDo) {
  Corpus corpus(folder_ / "zones", GetParam(), false);
  if (!start(corpus.files())) GTEST_SKIP() << "nsd or knotd is not installed: ./bootstrap does it";
  for (const char* zone : {"ready.test", "x.y"}) {
    for (const std::uint16_t t : {type::kAxfr, type::kIxfr}) {
      Bytes m = header(0, 1, 0, t == type::kIxfr ? 1 : 0) + question(zone, t);
      if (t == type::kIxfr) m = m + version(zone);
      const int us = rcode_of(answer_to(*zones_, m, Transport::tcp));
      // NOTIMP of our zones and REFUSED of others', as for every other question about those. NSD
      // says REFUSED and NOTAUTH (9, RFC 8945), Knot NOTAUTH of both.
      EXPECT_EQ(us, zone == std::string("x.y") ? 5 : 4);
      for (const int theirs : {rcode_of(nsd_->ask_over_tcp(m)), rcode_of(knot_->ask_over_tcp(m))}) {
        EXPECT_TRUE(theirs == 5 || theirs == 9) << zone << " " << t << ": " << theirs;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PeersTest, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace stackrig::dns::testing
