// SPDX-License-Identifier: Apache-2.0
// What the shared words mean, and what is said of words that are wrong.
#include "runtime/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <vector>

#include "runtime/errors.h"
#include "runtime/ports.h"
#include "runtime/tcp_words.h"

namespace stackrig::runtime {
namespace {

using ::testing::HasSubstr;

Options read(std::vector<const char*> words) {
  CLI::App app("test", "sandstorm");
  Options o;
  add_options(app, o);
  words.insert(words.begin(), "sandstorm");
  EXPECT_TRUE(parse(app, static_cast<int>(words.size()), words.data()));
  return o;
}

std::string refusal(const std::vector<const char*>& words) {
  try {
    read(words);
  } catch (const UsageError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(Options, Defaults) {
  const Options o = read({});
  EXPECT_TRUE(o.ports.empty());
  EXPECT_FALSE(o.chunks);
  EXPECT_EQ(o.ready_fd, -1);
  EXPECT_EQ(o.loop.idle, nmio::LoopConfig::Idle::adaptive);
  EXPECT_EQ(o.loop.tx_interval, 80 * nmio::kMicrosecond);
  EXPECT_EQ(o.loop.straggler, 5 * nmio::kMillisecond);
  EXPECT_EQ(o.loop.burst, 64U);
}

TEST(Options, EveryWordIsRead) {
  const Options o = read({"--port",         "afxdp:a",   "--address",        "10.77.0.2/24",
                          "--port",         "afxdp:b",   "--address",        "10.78.0.2/24",
                          "--gateway",      "10.77.0.1", "--core",           "1",
                          "--core",         "0",         "--telemetry",      "/x/y",
                          "--ready-fd",     "3",         "--idle",           "spin",
                          "--idle-spin-us", "20",        "--tx-interval-us", "100",
                          "--straggler-us", "2000",      "--burst",          "32",
                          "--chunks",       "4096",      "--log-level",      "info"});
  EXPECT_EQ(o.ports, (std::vector<std::string>{"afxdp:a", "afxdp:b"}));
  ASSERT_EQ(o.addresses.size(), 2U);
  EXPECT_EQ(wire::to_string(o.addresses[1].address), "10.78.0.2");
  EXPECT_EQ(o.addresses[1].prefix, 24);
  EXPECT_EQ(wire::to_string(o.gateway), "10.77.0.1");
  EXPECT_EQ(o.cores, (std::vector<unsigned>{1, 0}));
  EXPECT_EQ(o.telemetry, "/x/y");
  EXPECT_EQ(o.ready_fd, 3);
  EXPECT_EQ(o.loop.idle, nmio::LoopConfig::Idle::spin);
  EXPECT_EQ(o.loop.spin_for, 20 * nmio::kMicrosecond);
  EXPECT_EQ(o.loop.tx_interval, 100 * nmio::kMicrosecond);
  EXPECT_EQ(o.loop.straggler, 2 * nmio::kMillisecond);
  EXPECT_EQ(o.loop.burst, 32U);
  EXPECT_EQ(o.chunks, 4096U);
  EXPECT_EQ(o.log_level, "info");
}

TEST(Options, AnUnknownWordIsAnsweredWithTheNearest) {
  EXPECT_THAT(refusal({"--adress", "10.0.0.1/8"}), HasSubstr("did you mean '--address'?"));
  EXPECT_THAT(refusal({"--tx-interval=9"}), HasSubstr("did you mean '--tx-interval-us'?"));
}

TEST(Options, BadValuesAreNamed) {
  EXPECT_THAT(refusal({"--address", "10.0.0.256"}), HasSubstr("'10.0.0.256'"));
  EXPECT_THAT(refusal({"--gateway", "x"}), HasSubstr("--gateway"));
  EXPECT_THAT(refusal({"--idle", "sleep"}), HasSubstr("spin, yield or adaptive"));
  EXPECT_THAT(refusal({"--burst", "0"}), HasSubstr("--burst"));
  EXPECT_THAT(refusal({"--burst", "257"}), HasSubstr("--burst"));
  EXPECT_THAT(refusal({"--core", "-1"}), HasSubstr("--core"));
  EXPECT_THAT(refusal({"--ready-fd"}), HasSubstr("--ready-fd"));
  EXPECT_THAT(refusal({"--chunks", "many"}), HasSubstr("--chunks"));
}

TEST(Options, HelpIsAnsweredAndEndsTheProgram) {
  CLI::App app("test", "sandstorm");
  Options o;
  add_options(app, o);
  const char* words[] = {"sandstorm", "--help"};
  ::testing::internal::CaptureStdout();
  EXPECT_FALSE(parse(app, 2, words));
  const std::string help = ::testing::internal::GetCapturedStdout();
  for (const char* word : {"--port", "--address", "--gateway", "--core", "--telemetry",
                           "--ready-fd", "--idle", "--idle-spin-us", "--tx-interval-us",
                           "--straggler-us", "--burst", "--chunks", "--log-level"}) {
    EXPECT_THAT(help, HasSubstr(word));
  }
}

TEST(Ports, EachNeedsAnAddressOfItsOwn) {
  const auto complaint = [](const Options& o) -> std::string {
    try {
      check_ports(o);
    } catch (const UsageError& e) {
      return e.what();
    }
    return "accepted";
  };
  Options o;
  EXPECT_THAT(complaint(o), HasSubstr("--port: none given"));
  o.ports = {"afxdp:a", "afxdp:b"};
  o.addresses = {{*wire::parse_ipv4("10.77.0.2"), 24}};
  EXPECT_THAT(complaint(o), HasSubstr("2 ports but 1 address;"));
  o.addresses.push_back(o.addresses[0]);
  o.ports.pop_back();
  EXPECT_THAT(complaint(o), HasSubstr("1 port but 2 addresses;"));
  o.ports.push_back("afxdp:b");
  EXPECT_THAT(complaint(o), HasSubstr("given twice"));
  o.addresses[1].address.value += 256;
  EXPECT_EQ(complaint(o), "accepted");
  o.ports[1] = o.ports[0];
  EXPECT_THAT(complaint(o), HasSubstr("given twice"));
}

TEST(Ports, AKeyIsAddedToAUriUnlessItIsThere) {
  EXPECT_EQ(with_uri_key("afxdp:a", "chunks", "9"), "afxdp:a?chunks=9");
  EXPECT_EQ(with_uri_key("afxdp:a?queues=2", "chunks", "9"), "afxdp:a?queues=2&chunks=9");
  EXPECT_EQ(with_uri_key("afxdp:a?chunks=7", "chunks", "9"), "afxdp:a?chunks=7");
  EXPECT_EQ(with_uri_key("afxdp:a?queues=2&chunks=7", "chunks", "9"), "afxdp:a?queues=2&chunks=7");
  EXPECT_EQ(with_uri_key("afxdp:a?xchunks=7", "chunks", "9"), "afxdp:a?xchunks=7&chunks=9");
}

TcpWords read_tcp(std::vector<const char*> words) {
  CLI::App app("test", "sandstorm");
  Options o;
  TcpWords w;
  add_options(app, o);
  add_tcp_words(app, w);
  words.insert(words.begin(), "sandstorm");
  EXPECT_TRUE(parse(app, static_cast<int>(words.size()), words.data()));
  return w;
}

TEST(TcpWords, AreWhatTheConfigurationSaysOrWhatIsGiven) {
  tcpip::Config c;
  const tcpip::Config by_default;
  read_tcp({}).apply(c);
  EXPECT_EQ(c.congestion_control, by_default.congestion_control);
  EXPECT_EQ(c.ecn, by_default.ecn);
  EXPECT_EQ(c.sack, by_default.sack);
  read_tcp({"--congestion-control", "reno", "--ecn", "request", "--sack", "off"}).apply(c);
  EXPECT_EQ(c.congestion_control, tcpip::CongestionControl::reno);
  EXPECT_EQ(c.ecn, tcpip::Ecn::request);
  EXPECT_FALSE(c.sack);
}

TEST(TcpWords, AWordThatIsNoneIsAnsweredWithTheNearest) {
  try {
    read_tcp({"--congestion-control", "cubik"});
    FAIL() << "accepted";
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), HasSubstr("--congestion-control: there is no 'cubik'"));
    EXPECT_THAT(e.what(), HasSubstr("'cubic'"));
  }
}

}  // namespace
}  // namespace stackrig::runtime
