// SPDX-License-Identifier: Apache-2.0
// The whole client over our own TCP in a simulated network, against a server that may lie.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "nmio/sim.h"
#include "rigload/http_exchange.h"
#include "rigload/lane.h"
#include "rigload/test_replies.h"
#include "runtime/ports.h"

namespace stackrig::rigload {
namespace {

using fake::Reply;
using nmio::kMicrosecond;
using nmio::kMillisecond;
using nmio::kSecond;

constexpr wire::Ipv4Address kServer{0x0a000002}, kClient{0x0a000065};

/// An HTTP server on one simulated port: an App of nmio's loop.
class SimServer final : private tcpip::ByteOwner {
 public:
  SimServer(nmio::SimPort& port, std::uint32_t backlog)
      : stack_(config(port, backlog), port.queue(0).memory(), batch_) {
    tcpip::Tcb* l = stack_.tcp_new();
    stack_.tcp_app(*l, this);
    stack_.tcp_bind(*l, kServer, 80);
    stack_.tcp_accept(*l, [](void* app, tcpip::Tcb& t) {
      auto& self = *static_cast<SimServer*>(app);
      ++self.accepted;
      self.requests_[&t].clear();
      return true;
    });
    stack_.tcp_recv(*l, [](void* app, tcpip::Tcb& t, std::span<const std::byte> bytes) {
      static_cast<SimServer*>(app)->received(t, bytes);
      return bytes.size();
    });
    stack_.tcp_remote_closed(*l, [](void* app, tcpip::Tcb& t) {
      auto& self = *static_cast<SimServer*>(app);
      if (!tcpip::fin_queued(t)) self.stack_.tcp_close(t, self.now_);
    });
    EXPECT_EQ(stack_.tcp_listen(*l), tcpip::Result::ok);
  }

  void on_burst(std::span<const nmio::RxPacket> burst, Time now) {
    now_ = now;
    stack_.input(burst, now);
  }
  void on_idle(Time now) {
    now_ = now;
    stack_.run_timers(now);
    for (tcpip::Tcb* t : to_reset_) stack_.tcp_abort(*t, now);
    to_reset_.clear();
    stack_.poll_output(now);
  }
  [[nodiscard]] Time next_deadline() const { return stack_.next_deadline(); }
  nmio::TxBatch& batch() { return batch_; }

  std::uint64_t accepted = 0, answered = 0;

 private:
  static tcpip::Config config(nmio::SimPort& port, std::uint32_t backlog) {
    tcpip::Config c;
    c.address = {kServer, 24};
    c.mac = runtime::mac_of(port);
    c.offload = port.queue(0).offload();
    c.max_backlog = backlog;
    return c;
  }

  void received(tcpip::Tcb& t, std::span<const std::byte> bytes) {
    std::string& text = requests_[&t];
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::string path;
    bool close = false;
    while (fake::take_request(text, path, close)) answer(t, path, close);
  }

  void answer(tcpip::Tcb& t, const std::string& path, bool close) {
    ++answered;
    Reply reply = fake::reply_to(path);
    if (!reply.bytes.empty()) {
      const std::string& bytes = sent_[answered] = std::move(reply.bytes);
      stack_.tcp_write(t, *this, answered, bytes.size(), now_);
    }
    if (reply.then == Reply::Then::reset) to_reset_.push_back(&t);
    if (reply.then == Reply::Then::close || (reply.then == Reply::Then::as_asked && close))
      stack_.tcp_close(t, now_);
  }

  tcpip::Fetched fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                       std::uint32_t max_segment, std::span<tcpip::Segment> out) override {
    const auto len = static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, max_segment));
    out[0] = {.len = len, .data = reinterpret_cast<std::byte*>(sent_[cookie].data()) + offset};
    return {.segments = 1};
  }

  void released(std::uint64_t cookie) override { sent_.erase(cookie); }

  nmio::TxBatch batch_;
  std::map<std::uint64_t, std::string>
      sent_;  ///< not acknowledged yet; the stack refers to it until its end
  tcpip::Stack stack_;
  std::map<tcpip::Tcb*, std::string> requests_;
  std::vector<tcpip::Tcb*> to_reset_;
  Time now_ = 0;
};

struct Setting {
  std::vector<std::string> paths = {"/small"};
  LoadConfig load{.connections = 4, .duration = kSecond / 4, .timeout = kSecond};
  nmio::SimLink link{.delay = 20 * kMicrosecond};
  std::uint32_t check_every = 1;
  std::uint32_t backlog = 1024;
  bool server_is_there = true;
};

/// One run from beginning to end.
class SimRun {
 public:
  explicit SimRun(const Setting& setting) : net_(7), stats_(std::make_unique<RunStats>()) {
    make_files();
    nmio::SimPort& server_port = net_.add_port({.name = "server", .chunks = 16384});
    nmio::SimPort& client_port =
        net_.add_port({.name = "client", .chunks = 16384, .out = setting.link, .in = setting.link});
    nmio::SimRunner runner(net_);
    if (setting.server_is_there) {
      server = std::make_unique<SimServer>(server_port, setting.backlog);
      runner.attach(server_port.queue(0), server->batch(), *server);
    }
    make_lane(setting, client_port);
    runner.attach(client_port.queue(0), lane_->batch(), lane_->app());
    LoadClient& client = lane_->client();
    EXPECT_TRUE(runner.run_until_done([&] { return control_.connected == 1 || client.done(); },
                                      100 * kSecond));
    control_.start_at = net_.now() + kMillisecond;
    EXPECT_TRUE(runner.run_until_done([&] { return client.done(); }, 1000 * kSecond));
    runner.run_for(2 * kSecond);
    failure = client.failure();
    compared = exchange_->compared();
  }
  ~SimRun() { std::filesystem::remove_all(root_); }

  [[nodiscard]] const PhaseStats& measure() const {
    return (*stats_)[static_cast<unsigned>(Phase::measure)];
  }
  [[nodiscard]] std::uint64_t all(std::uint64_t PhaseStats::*field) const {
    std::uint64_t sum = 0;
    for (const PhaseStats& s : *stats_) sum += s.*field;
    return sum;
  }
  [[nodiscard]] std::uint64_t errors() const {
    std::uint64_t sum = 0;
    for (const PhaseStats& s : *stats_) {
      for (const std::uint64_t e : s.errors) sum += e;
    }
    return sum;
  }
  [[nodiscard]] std::uint64_t errors(ErrorKind kind) const {
    std::uint64_t sum = 0;
    for (const PhaseStats& s : *stats_) sum += s.error(kind);
    return sum;
  }
  /// That error came, and no other.
  void expect_only(ErrorKind kind) const {
    EXPECT_GT(errors(kind), 0U);
    EXPECT_EQ(errors(), errors(kind));
  }

  std::unique_ptr<SimServer> server;
  std::string failure;
  std::uint64_t compared = 0;

 private:
  void make_files() {
    root_ = std::filesystem::temp_directory_path() / ("rigt-sim-" + std::to_string(::getpid()));
    std::filesystem::create_directories(root_);
    for (const auto& [path, content] : fake::files())
      std::ofstream(root_.string() + path) << content;
  }
  void make_lane(const Setting& setting, nmio::SimPort& port) {
    std::vector<UrlPath> paths;
    for (const std::string& path : setting.paths) {
      paths.push_back({path, "--path"});
      contents_.push_back(Content::map(root_.string() + *file_of(path), "--path"));
    }
    urls_ = std::make_unique<UrlSet>(paths, contents_, "10.0.0.2", setting.load.keepalive);
    const std::uint32_t slots = setting.load.connections + setting.load.hold;
    ClientParts parts{.config = setting.load, .control = &control_, .stats = stats_.get()};
    auto exchange = std::make_unique<HttpExchange>(
        HttpExchangeConfig{.seed = 3, .check_every = setting.check_every},
        std::vector<const UrlSet*>{urls_.get()}, slots);
    exchange_ = exchange.get();
    parts.exchange = std::move(exchange);
    NmioLane::Config config{.queue = &port.queue(0)};
    config.stack.address = {kClient, 24};
    config.stack.address_count = 2;
    config.stack.mac = runtime::mac_of(port);
    config.stack.offload = port.queue(0).offload();
    config.sources = {.first = kClient, .addresses = 2, .target = {kServer, 80}};
    lane_ = std::make_unique<NmioLane>(config, std::move(parts));
  }

  nmio::SimNetwork net_;
  std::filesystem::path root_;
  std::vector<Content> contents_;
  std::unique_ptr<UrlSet> urls_;
  RunControl control_;
  std::unique_ptr<RunStats> stats_;
  HttpExchange* exchange_ = nullptr;
  std::unique_ptr<NmioLane> lane_;
};

Setting keepalive(std::string path) {
  Setting s{.paths = {std::move(path)}};
  s.load.keepalive = true;
  return s;
}

Setting close_each(std::string path) {
  return {.paths = {std::move(path)}};
}

// --- an honest server
// ------------------------------------------------------------------------------

TEST(OverSim, AConnectionPerRequest) {
  const SimRun run(close_each("/small"));
  EXPECT_EQ(run.failure, "");
  EXPECT_EQ(run.errors(), 0U);
  // A round trip is 4 link delays of 20 us (two links) with the server's 5 us each: SYN, GET, FIN.
  EXPECT_GT(run.measure().requests, 1000U);
  EXPECT_EQ(run.all(&PhaseStats::requests), run.server->answered);
  EXPECT_EQ(run.all(&PhaseStats::connections_opened), run.server->accepted);
  EXPECT_EQ(run.all(&PhaseStats::body_bytes), run.server->answered * 16);
  EXPECT_EQ(run.compared, run.all(&PhaseStats::requests));
  EXPECT_EQ(run.all(&PhaseStats::connections), run.all(&PhaseStats::requests));
}

TEST(OverSim, PersistentConnections) {
  const SimRun run(keepalive("/small"));
  EXPECT_EQ(run.errors(), 0U);
  EXPECT_EQ(run.server->accepted, 4U);
  EXPECT_EQ(run.all(&PhaseStats::requests), run.server->answered);
  EXPECT_GT(run.measure().requests, 2000U);
}

TEST(OverSim, LatencyIsTheRoundTrip) {
  Setting s = keepalive("/small");
  s.link.delay = 10 * kMillisecond;
  const SimRun run(s);
  // Client's links 10 ms out and in, the server's 5 us each.
  EXPECT_EQ(run.measure().latency.min, 20 * kMillisecond + 10 * kMicrosecond);
  const SimRun close([&] {
    s.load.keepalive = false;
    return s;
  }());
  // SYN and GET; the first request of the first connection needed no SYN of its own.
  EXPECT_EQ(close.measure().latency.quantile(0.5) / kMillisecond, 40U);
}

TEST(OverSim, ManyFilesAtRandomOverALossyLink) {
  Setting s;
  s.paths = {"/small", "/large", "/empty"};
  s.load.duration = 2 * kSecond;
  s.load.timeout = 20 * kSecond;
  s.link.loss = 0.01;
  s.link.reorder = 0.01;
  s.link.duplicate = 0.01;
  const SimRun run(s);
  EXPECT_EQ(run.errors(), 0U);
  EXPECT_GT(run.all(&PhaseStats::requests), 20U);
  EXPECT_EQ(run.compared, run.all(&PhaseStats::requests));
}

TEST(OverSim, CorruptedFramesNeverReachTheChecks) {
  Setting s = keepalive("/large");
  s.link.corrupt = 0.005;
  s.load.duration = 2 * kSecond;
  s.load.timeout = 20 * kSecond;
  const SimRun run(s);
  EXPECT_EQ(run.errors(), 0U);
  EXPECT_GT(run.compared, 3U);
}

TEST(OverSim, AnOpenLoopMeetsItsRate) {
  Setting s = keepalive("/small");
  s.load.arrivals = Arrivals::Config{.kind = ArrivalKind::uniform, .rate = 2000};
  s.load.connections = 16;
  const SimRun run(s);
  EXPECT_EQ(run.errors(), 0U);
  EXPECT_EQ(run.all(&PhaseStats::requests), 500U);
  EXPECT_EQ(run.measure().latency.count, 500U);
}

TEST(OverSim, AnOpenLoopBeyondWhatTheConnectionsCarryShowsInLatencyAndUnsent) {
  Setting s = keepalive("/small");
  s.link.delay = 5 * kMillisecond;  // one connection carries 100 requests per second
  s.load.connections = 1;
  s.load.arrivals = Arrivals::Config{.kind = ArrivalKind::uniform, .rate = 1000};
  const SimRun run(s);
  EXPECT_NEAR(static_cast<double>(run.all(&PhaseStats::requests)), 25, 2);
  EXPECT_EQ(run.all(&PhaseStats::requests) + run.errors(ErrorKind::unsent), 250U);
  EXPECT_GT(run.measure().latency.max, 200 * kMillisecond);
}

TEST(OverSim, HeldConnectionsDoNotDisturb) {
  Setting s = keepalive("/small");
  s.load.hold = 500;
  const SimRun run(s);
  EXPECT_EQ(run.errors(), 0U);
  EXPECT_EQ(run.server->accepted, 504U);
}

/// Every answer is wrong: a few suffice.
Setting liar(Setting s) {
  s.load.duration = kSecond / 20;
  return s;
}

// --- one that lies
// ---------------------------------------------------------------------------------

TEST(OverSim, AWrongByteIsFoundOut) {
  const SimRun run(liar(keepalive("/large?wrong-byte")));
  run.expect_only(ErrorKind::content);
  EXPECT_EQ(run.all(&PhaseStats::requests), 0U);
}

TEST(OverSim, AShorterFileIsFoundOutThoughItSaysSo) {
  Setting s = liar(keepalive("/large?shorter-file"));
  s.check_every = 0;
  SimRun(s).expect_only(ErrorKind::length);
}

TEST(OverSim, AnAnswerThatStopsShortIsFoundOut) {
  const SimRun run(liar(close_each("/small?cut-short")));
  run.expect_only(ErrorKind::length);
  EXPECT_EQ(run.all(&PhaseStats::requests), 0U);
}

TEST(OverSim, MoreThanAnnouncedIsFoundOut) {
  SimRun(liar(keepalive("/small?too-much"))).expect_only(ErrorKind::length);
}

TEST(OverSim, AnotherStatusIsFoundOut) {
  const SimRun run(liar(keepalive("/small?error")));
  run.expect_only(ErrorKind::status);
  EXPECT_EQ(run.server->accepted, 4U);
}

TEST(OverSim, NonsenseIsFoundOut) {
  SimRun(liar(keepalive("/small?nonsense"))).expect_only(ErrorKind::status);
}

TEST(OverSim, ResetsAreCounted) {
  SimRun(liar(close_each("/small?reset"))).expect_only(ErrorKind::reset);
  SimRun(liar(keepalive("/large?reset-in-body"))).expect_only(ErrorKind::reset);
}

TEST(OverSim, ACloseWithoutAnAnswerIsAReset) {
  SimRun(liar(close_each("/small?close"))).expect_only(ErrorKind::reset);
}

TEST(OverSim, SilenceIsATimeout) {
  Setting s = liar(keepalive("/small?silent"));
  s.load.timeout = 10 * kMillisecond;
  SimRun(s).expect_only(ErrorKind::timeout);
}

TEST(OverSim, AServerThatNeverClosesIsAnEndingBehindARightAnswer) {
  Setting s = liar(close_each("/small?never-closes"));
  s.load.timeout = 10 * kMillisecond;
  const SimRun run(s);
  run.expect_only(ErrorKind::ending);
  EXPECT_GT(run.all(&PhaseStats::requests), 0U);
  EXPECT_EQ(run.all(&PhaseStats::connections), 0U);
}

TEST(OverSim, AServerThatAnnouncesItsCloseIsNoError) {
  const SimRun run(liar(keepalive("/small?announces-close")));
  EXPECT_EQ(run.errors(), 0U);
  EXPECT_GT(run.server->accepted, 100U);
}

TEST(OverSim, ACloseUnderTheNextRequestIsAReset) {
  SimRun(liar(keepalive("/small?closes-unannounced"))).expect_only(ErrorKind::reset);
}

// --- no server
// -------------------------------------------------------------------------------------

TEST(OverSim, NobodyAnswersArp) {
  Setting s;
  s.server_is_there = false;
  s.load.targets = {"10.0.0.2:80"};
  const SimRun run(s);
  EXPECT_EQ(run.failure.find("target 10.0.0.2:80: "), 0U) << run.failure;
}

// --- source ports
// ----------------------------------------------------------------------------------

TEST(SourcePorts, GoThroughAllBeforeOneComesAgain) {
  SourcePorts ports({.first = kClient, .addresses = 3, .target = {kServer, 80}, .begin_at = 12345});
  std::map<wire::Endpoint, unsigned> seen;
  for (std::uint32_t i = 0; i < ports.round(); ++i) ++seen[ports.next()];
  EXPECT_EQ(seen.size(), ports.round());
  EXPECT_EQ(seen.begin()->first.address, kClient);
  EXPECT_GE(seen.begin()->first.port, SourcePorts::kFirstPort);
  EXPECT_EQ(seen.rbegin()->first.address.value, kClient.value + 2);
}

TEST(SourcePorts, OfSeveralQueuesShareThemOut) {
  std::map<wire::Endpoint, unsigned> seen;
  for (unsigned q = 0; q < 3; ++q) {
    SourcePorts ports({.first = kClient, .target = {kServer, 80}, .queue = q, .queues = 3});
    for (unsigned i = 0; i < 5000; ++i) ++seen[ports.next()];
  }
  EXPECT_EQ(seen.size(), 15'000U);
}

}  // namespace
}  // namespace stackrig::rigload
