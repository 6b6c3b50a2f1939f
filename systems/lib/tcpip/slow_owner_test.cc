// SPDX-License-Identifier: Apache-2.0
// Senders whose owner has to fetch the bytes first, and to fetch them again for a retransmission
// (thesis 4.2: disk blocks), under loss: every kind of segment, every sender.
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "tcpip/frame_owner.h"
#include "tcpip/gather_owner.h"
#include "tcpip/test_network.h"

namespace stackrig::tcpip::testing {
namespace {

/// Stands before another owner: blocks are not there at first, come some time after they were asked
/// for, and are gone again soon after they were sent.
class SlowOwner final : public ByteOwner {
 public:
  static constexpr std::uint64_t kBlock = 6000;  // no multiple of a segment

  SlowOwner(ByteOwner& inner, std::uint64_t seed) : inner_(inner), random_(seed) {}

  Fetched fetch(std::uint64_t cookie, std::uint64_t offset, std::uint64_t limit,
                std::uint32_t max_segment, std::span<Segment> out) override {
    const std::uint64_t block = offset / kBlock;
    if (asked_.contains(block)) {
      ++asked_again;
      return {0, false};
    }
    if (!here_.contains(block)) {
      asked_.insert(block);
      if (!seen_.insert(block).second) ++fetched_again;
      ++not_ready;
      loads_.emplace(now + (1 + random_() % 30) * kMillisecond, block);
      return {0, false};
    }
    if (random_() % 4 == 0) here_.erase(block);  // what is sent may go
    return inner_.fetch(cookie, offset, std::min(limit, (block + 1) * kBlock - offset), max_segment,
                        out);
  }
  void acked(std::uint64_t cookie, std::uint64_t offset) override {
    EXPECT_GE(offset, acked_to);
    acked_to = offset;
    inner_.acked(cookie, offset);
  }
  void released(std::uint64_t cookie) override {
    ++releases;
    inner_.released(cookie);
  }
  /// Blocks that have come by now; true where the core is to be told.
  bool poll(Time at) {
    now = at;
    bool news = false;
    while (!loads_.empty() && loads_.begin()->first <= at) {
      here_.insert(loads_.begin()->second);
      asked_.erase(loads_.begin()->second);
      loads_.erase(loads_.begin());
      news = true;
    }
    told += news ? 1 : 0;
    return news;
  }
  [[nodiscard]] Time next() const { return loads_.empty() ? nmio::kNever : loads_.begin()->first; }

  Time now = 0;
  unsigned not_ready = 0, asked_again = 0, told = 0, fetched_again = 0, releases = 0;
  std::uint64_t acked_to = 0;

 private:
  ByteOwner& inner_;
  std::mt19937_64 random_;
  std::set<std::uint64_t> here_, asked_, seen_;
  std::multimap<Time, std::uint64_t> loads_;
};

enum class Kind { copy, frame, gather };

/// A node that tells its stack when blocks have come.
struct SlowNode : Node {
  using Node::Node;
  Time next_deadline() const {
    return std::min(Node::next_deadline(), owner != nullptr ? owner->next() : nmio::kNever);
  }
  SlowOwner* owner = nullptr;
  Tcb* tcb = nullptr;
};

class SlowOwners
    : public ::testing::TestWithParam<std::tuple<Kind, CongestionControl, bool, double>> {};

TEST_P(SlowOwners, DeliverEveryByteOnce) {
  const auto [kind, control, sack, loss] = GetParam();
  constexpr std::size_t kBytes = 300'000;
  SimNetwork net(7);
  SimPortConfig pc;
  pc.chunks = 4096;
  pc.scatter_gather = kind == Kind::gather;
  pc.out.delay = 5 * kMillisecond;
  pc.out.loss = loss;
  Config c;
  c.max_connections = 8;
  c.congestion_control = control;
  c.sack = sack;
  c.secret[0] = 4;
  SlowNode server(net, pc, {0x0a000001}, c);
  Node client(net, {}, {0x0a000002}, c);
  const std::string text = pattern(kBytes, 3);
  auto& memory = server.queue.memory();
  // The owner behind: one of each kind.
  StringOwner copies(text);
  PackagedContent frames(memory, {.mode = SendMode::precopy});
  GatherOwner references(memory, 4);
  ByteOwner* inner = &copies;
  std::uint64_t cookie = 5;
  if (kind == Kind::frame) {
    cookie = PackagedContent::cookie(
        frames.add({}, {reinterpret_cast<const std::byte*>(text.data()), text.size()}), 0);
    inner = &frames;
  } else if (kind == Kind::gather) {
    const auto chunks = static_cast<std::uint32_t>(kBytes / memory.chunk_size() + 1);
    const nmio::ChunkId first = memory.reserve_contiguous(chunks);
    ASSERT_NE(first, nmio::kNoChunk);
    std::memcpy(memory.data(first), text.data(), text.size());
    const Fragment all[] = {{memory.data(first), kBytes}};
    cookie = *references.add(all, nullptr, nullptr);
    inner = &references;
  }
  SlowOwner owner(*inner, 11);
  owner.now = net.now();
  server.owner = &owner;
  server.idle = [&](Time now) {
    references.poll();
    if (owner.poll(now) && server.tcb != nullptr) server.stack->tcp_output(*server.tcb, now);
  };
  struct Session {
    SlowNode* server;
    SlowOwner* owner;
    std::uint64_t cookie;
  } session{&server, &owner, cookie};
  Tcb* l = server.stack->tcp_new();
  server.stack->tcp_bind(*l, {}, 80);
  server.stack->tcp_app(*l, &session);
  server.stack->tcp_accept(*l, [](void* p, Tcb& t) {
    auto& s = *static_cast<Session*>(p);
    s.server->tcb = &t;
    EXPECT_EQ(s.server->stack->tcp_write(t, *s.owner, s.cookie, kBytes, s.server->now_),
              Result::ok);
    s.server->stack->tcp_close(t, s.server->now_);
    return true;
  });
  server.stack->tcp_closed(
      *l, [](void* p, Tcb&, Ended) { static_cast<Session*>(p)->server->tcb = nullptr; });
  server.stack->tcp_listen(*l);
  App app;
  app.on_remote_close = [&](Tcb& t) { client.stack->tcp_close(t, client.now_); };
  Tcb* t = client.stack->tcp_new();
  client.stack->tcp_bind(*t, {}, 0);
  set_callbacks(*client.stack, *t, app);
  ASSERT_EQ(client.stack->tcp_connect(*t, {{0x0a000001}, 80}, net.now()), Result::ok);
  SimRunner runner(net);
  runner.attach(server.queue, server.batch, server);
  runner.attach(client.queue, client.batch, client);
  runner.run_until_done([&] { return !app.ended.empty(); }, net.now() + 600 * kSecond);
  EXPECT_EQ(app.received.size(), kBytes);
  EXPECT_TRUE(app.received == text) << "wrong bytes";
  EXPECT_EQ(app.ended, std::vector<Ended>{Ended::normally});
  runner.run_for(200 * kSecond);
  EXPECT_EQ(owner.releases, 1u);
  EXPECT_EQ(owner.acked_to, kBytes);
  EXPECT_GE(owner.not_ready, kBytes / SlowOwner::kBlock) << "every block was waited for";
  const Counters& counters = server.stack->counters();
  EXPECT_LE(owner.asked_again, counters.rto_fired + counters.tail_probes + owner.told)
      << "by timers, or because another block had come";
  if (loss > 0) {
    EXPECT_GT(owner.fetched_again, 0u);
    EXPECT_GT(server.stack->counters().retransmits, 0u);
  }
  EXPECT_EQ(references.held(), 0u);
}

std::string slow_name(
    const ::testing::TestParamInfo<std::tuple<Kind, CongestionControl, bool, double>>& p) {
  constexpr const char* kKinds[] = {"Copy", "Frame", "Gather"};
  constexpr const char* kControls[] = {"Reno", "NewReno", "Cubic"};
  const auto [kind, control, sack, loss] = p.param;
  return std::string(kKinds[static_cast<int>(kind)]) + kControls[static_cast<int>(control)] +
         (sack ? "Sack" : "Plain") + (loss > 0 ? "Lossy" : "Clean");
}

INSTANTIATE_TEST_SUITE_P(
    All, SlowOwners,
    ::testing::Combine(::testing::Values(Kind::copy, Kind::frame, Kind::gather),
                       ::testing::Values(CongestionControl::reno, CongestionControl::new_reno,
                                         CongestionControl::cubic),
                       ::testing::Bool(), ::testing::Values(0.0, 0.03)),
    slow_name);

TEST(SlowOwner, NewBytesAreNotWaitedForByWhatIsLostNorTheOtherWayRound) {
  class Halves final : public ByteOwner {
   public:
    Fetched fetch(std::uint64_t, std::uint64_t offset, std::uint64_t limit, std::uint32_t most,
                  std::span<Segment> out) override {
      if (offset >= not_ready_from && offset < not_ready_to) return {0, false};
      Segment g;
      g.data = bytes_.data();
      g.len = static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, most));
      out[0] = g;
      return {1, true};
    }
    std::uint64_t not_ready_from = 0, not_ready_to = 0;

   private:
    std::array<std::byte, 2048> bytes_{};
  } owner;
  Script s;
  s.listen();
  wire::TcpOptions o = mss_option(1000);
  o.sack_permitted = true;
  s.establish(o, 65535, 20 * kMillisecond);
  s.stack.tcp_write(*s.app.tcb, owner, 1, 100'000, s.now);
  s.tick();
  EXPECT_EQ(s.sent.size(), 10u);
  s.forget();
  s.advance(20 * kMillisecond);
  const auto report = [&](std::uint32_t from, std::uint32_t to) {
    In i = s.data("", 0, 0);
    i.options.sack_blocks = 1;
    i.options.sack[0] = {s.iss + 1 + from, s.iss + 1 + to};
    s.in(i);
  };
  owner.not_ready_to = 1000;  // what is lost was evicted
  report(1000, 9000);
  EXPECT_FALSE(s.sent.empty()) << "new bytes go on";
  while (!s.sent.empty()) EXPECT_GE(s.out().seq(), s.iss + 1 + 10'000);
  owner.not_ready_from = 10'000;  // now new ones are waited for
  owner.not_ready_to = 100'000;
  s.stack.tcp_output(*s.app.tcb, s.now);
  s.tick();
  report(1000, 11'000);  // what was sent in its place arrives, and makes room
  EXPECT_EQ(s.out().seq(), s.iss + 1);
}

}  // namespace
}  // namespace stackrig::tcpip::testing
