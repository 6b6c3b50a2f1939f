// SPDX-License-Identifier: Apache-2.0
// A DNS load down to its frames, against a server that answers at once.
#include "rigload/dns_lane.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <set>

#include "rigload/test_dns_server.h"
#include "runtime/errors.h"

namespace stackrig::rigload {
namespace {

using nmio::kMicrosecond;
using nmio::kMillisecond;
using nmio::kSecond;

struct Lane {
  explicit Lane(const DnsConfig& dns, bool checksum_offload = false,
                const std::string& pattern = "host{}.example.com", std::uint32_t names = 100,
                std::uint32_t addresses = 1)
      : queue(checksum_offload),
        queries(names_of_pattern(pattern, names, "A"), {}, {}),
        stats(std::make_unique<RunStats>()) {
    const DnsLaneConfig config{.queue = &queue,
                               .interface = {.address = *wire::parse_cidr("10.99.0.2/24"),
                                             .addresses = addresses,
                                             .mac = fake::kClientMac},
                               .sources = {.first = *wire::parse_ipv4("10.99.0.2"),
                                           .addresses = addresses,
                                           .target = fake::kDnsServer}};
    lane = std::make_unique<DnsQueueLane>(config, dns, queries, control, *stats);
  }
  void run(Time until = 60 * kSecond) {
    for (; !lane->client().done() && now < until; now += 10 * kMicrosecond) lane->turn(now);
  }

  fake::AnsweringQueue queue;
  DnsQueries queries;
  RunControl control;
  std::unique_ptr<RunStats> stats;
  std::unique_ptr<DnsQueueLane> lane;
  Time now = kSecond;
};

DnsConfig short_run() {
  return {.outstanding = 32, .flows = 8, .duration = 2 * kMillisecond, .check_every = 1};
}

TEST(DnsLane, FindsTheServerAsksAndCountsItsAnswers) {
  Lane l(short_run());
  l.run();
  ASSERT_TRUE(l.lane->client().done());
  EXPECT_EQ(l.lane->client().failure(), "");
  EXPECT_GT(l.stats->at(1).requests, 1000U);
  std::uint64_t all = 1;  // the first one, before the start
  for (const PhaseStats& s : *l.stats) {
    all += s.requests;
    EXPECT_EQ(s.unasked, 0U);
    for (const std::uint64_t errors : s.errors) EXPECT_EQ(errors, 0U);
  }
  EXPECT_EQ(all, l.queue.queries);
}

TEST(DnsLane, EveryFrameIsWellFormed) {
  Lane l(short_run(), false, "host{}.example.com", 100, 3);
  l.queue.keep = true;
  l.run();
  std::set<std::uint32_t> sources;
  for (const auto& bytes : l.queue.sent) {
    const auto frame = wire::UdpFrame::parse(bytes);  // lengths and checksums among it
    ASSERT_TRUE(frame) << wire::describe(bytes);
    EXPECT_EQ(frame->ethernet.destination, fake::kServerMac);
    EXPECT_EQ(frame->udp.destination_port, 53);
    sources.insert(frame->ip.source.value);
  }
  EXPECT_EQ(sources.size(), 3U);
}

TEST(DnsLane, LongNamesAreSentWhole) {
  const std::string label(63, 'a');
  Lane l(short_run(), false, "{}." + label + "." + label + "." + label + ".example", 10);
  l.queue.keep = true;
  l.run();
  ASSERT_FALSE(l.queue.sent.empty());
  for (const auto& bytes : l.queue.sent) {
    ASSERT_TRUE(wire::UdpFrame::parse(bytes)) << wire::describe(bytes);
  }
  EXPECT_GT(l.stats->at(1).requests, 0U);
}

TEST(DnsLane, WithChecksumOffloadTheFieldHoldsThePseudoHeadersSum) {
  Lane l(short_run(), true);
  l.queue.keep = true;
  l.run();
  ASSERT_FALSE(l.queue.sent.empty());
  const std::vector<std::byte>& bytes = l.queue.sent.front();
  const auto& udp = wire::UdpHeader::at(bytes.data() + DnsFlow::kUdp);
  EXPECT_EQ(udp.checksum.raw(), wire::fold(wire::pseudo_header_sum(
                                    *wire::parse_ipv4("10.99.0.2"), fake::kDnsServer.address,
                                    wire::kProtocolUdp, udp.length.get())));
}

TEST(DnsLane, LostAnswersAreTimeouts) {
  DnsConfig config = short_run();
  config.timeout = 5 * kMillisecond;
  Lane l(config);
  unsigned n = 0;
  l.queue.change = [&n](std::byte*, std::uint32_t len) { return ++n % 10 == 0 ? 0U : len; };
  l.run();
  std::uint64_t timeouts = 0;
  for (const PhaseStats& s : *l.stats) timeouts += s.error(ErrorKind::timeout);
  EXPECT_EQ(timeouts, l.queue.queries / 10);
}

TEST(DnsLane, ACorruptedAnswerIsDropped) {
  DnsConfig config = short_run();
  config.timeout = 5 * kMillisecond;
  Lane l(config);
  bool begun = false;
  l.queue.change = [&begun](std::byte* frame, std::uint32_t len) {
    if (begun) frame[DnsFlow::kUdp + 2] ^= std::byte{1};  // to a port that is not ours
    begun = true;
    return len;
  };
  l.run();
  for (const PhaseStats& s : *l.stats) EXPECT_EQ(s.requests, 0U);
}

TEST(DnsLane, FramesAreGivenBack) {
  Lane l(short_run());
  l.run();
  EXPECT_EQ(l.queue.memory().free_count(), l.queue.memory().chunks());
}

// --- what is read from files

class DnsFiles : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "rigload-dns-" + std::to_string(::getpid()) + ".txt";
  }
  void TearDown() override { ::unlink(path_.c_str()); }
  const std::string& write(const std::string& text) {
    std::ofstream(path_) << text;
    return path_;
  }
  /// What is said about a file of queries that cannot be.
  std::string complaint(const std::string& text) {
    try {
      read_queries_file(write(text));
    } catch (const runtime::UsageError& error) {
      return error.what();
    }
    return "";
  }
  std::string path_;
};

TEST_F(DnsFiles, QueriesAreNamesAndTypes) {
  const auto questions = read_queries_file(
      write("# a comment\nwww.Example.com A\n\nexample.com. TYPE65\n. NS\na\\.b.example ANY\n"));
  ASSERT_EQ(questions.size(), 4U);
  EXPECT_EQ(dns::name_to_text(questions[0].name.data()), "www.Example.com.");
  EXPECT_EQ(questions[1].type, 65);
  EXPECT_EQ(questions[2].name.size(), 1U);
  EXPECT_EQ(questions[3].name.size(), 13U) << "an escaped dot is part of a label";
}

TEST_F(DnsFiles, ABadLineIsNamed) {
  EXPECT_NE(complaint("a.example A\nb..example A\n").find(":2: 'b..example' is no domain name"),
            std::string::npos);
  EXPECT_NE(complaint("a.example NONE\n").find(":1: 'NONE' is no type"), std::string::npos);
  EXPECT_NE(complaint("\n").find("has no query"), std::string::npos);
}

TEST_F(DnsFiles, ExpectationsAreAsManyAsQueries) {
  const auto expected =
      read_expected_file(write("NOERROR 1 00ff\nNXDOMAIN 0 e3b0c44298fc1c14\n"), 2);
  EXPECT_EQ(expected[0].digest, 0xffU);
  EXPECT_EQ(expected[1].rcode, 3);
  EXPECT_THROW(read_expected_file(path_, 3), runtime::UsageError);
  EXPECT_THROW(read_expected_file(write("NOERROR one 00\n"), 1), runtime::UsageError);
}

TEST(DnsPattern, NamesAreNumberedToEqualLength) {
  const auto questions = names_of_pattern("h{}.example", 11, "AAAA");
  EXPECT_EQ(dns::name_to_text(questions[0].name.data()), "h00.example.");
  EXPECT_EQ(dns::name_to_text(questions[10].name.data()), "h10.example.");
  EXPECT_THROW(names_of_pattern("h.example", 2, "A"), runtime::UsageError);
}

}  // namespace
}  // namespace stackrig::rigload
