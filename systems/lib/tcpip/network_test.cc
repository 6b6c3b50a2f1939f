// SPDX-License-Identifier: Apache-2.0
// Two stacks and a bad network in virtual time: every byte arrives once and in order, or the
// connection is reported dead; all buffers come home; no state is left. A failing seed is printed
// and replays alone:
//   STACKRIG_SEED=1234 tcpip_network_test --gtest_filter=...
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "tcpip/frame_owner.h"
#include "tcpip/gather_owner.h"
#include "tcpip/test_network.h"

namespace stackrig::tcpip::testing {
namespace {

/// How a server's bytes are owned.
enum class Kind { copy, precopy, memcpy_frames, gather };

/// A server that answers each request "GET n\n" with content n; "C" after the number: and closes.
class Server {
 public:
  Server(Node& node, Kind kind, const std::vector<std::string>& contents)
      : node_(node), contents_(contents), gather_(node.queue.memory(), 256) {
    auto& memory = node.queue.memory();
    if (kind == Kind::precopy || kind == Kind::memcpy_frames) {
      PackagedContent::Config pc;
      pc.mode = kind == Kind::precopy ? SendMode::precopy : SendMode::memcpy;
      packaged_ = std::make_unique<PackagedContent>(memory, pc);
      for (const auto& text : contents) packaged_->add({}, bytes_of(text));
    }
    if (kind == Kind::gather) {
      for (const auto& text : contents) {
        const auto chunks = static_cast<std::uint32_t>(text.size() / memory.chunk_size() + 1);
        const nmio::ChunkId first = memory.reserve_contiguous(chunks);
        EXPECT_NE(first, nmio::kNoChunk);
        std::memcpy(memory.data(first), text.data(), text.size());
        placed_.push_back(memory.data(first));
      }
    }
    for (const auto& text : contents) copies_.push_back(std::make_unique<StringOwner>(text, true));
    kind_ = kind;
    Tcb* l = node.stack->tcp_new();
    EXPECT_EQ(node.stack->tcp_bind(*l, {}, 80), Result::ok);
    node.stack->tcp_app(*l, this);
    node.stack->tcp_accept(*l, [](void*, Tcb&) { return true; });
    node.stack->tcp_recv(*l, [](void* p, Tcb& t, std::span<const std::byte> b) {
      return static_cast<Server*>(p)->on_bytes(t, b);
    });
    node.stack->tcp_remote_closed(*l, [](void* p, Tcb& t) {
      auto& self = *static_cast<Server*>(p);
      self.node_.stack->tcp_close(t, self.node_.now_);
    });
    EXPECT_EQ(node.stack->tcp_listen(*l), Result::ok);
    node.idle = [this](Time) { gather_.poll(); };
  }
  static std::span<const std::byte> bytes_of(const std::string& s) {
    return {reinterpret_cast<const std::byte*>(s.data()), s.size()};
  }
  [[nodiscard]] std::uint32_t gather_held() const { return gather_.held(); }

 private:
  std::size_t on_bytes(Tcb& t, std::span<const std::byte> bytes) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return 0;  // wait for the rest of the request
    const std::size_t n = static_cast<std::size_t>(std::atoi(text.data() + 4)) % contents_.size();
    answer(t, n);
    if (text[end - 1] == 'C') node_.stack->tcp_close(t, node_.now_);
    return end + 1;
  }
  void answer(Tcb& t, std::size_t n) {
    Stack& s = *node_.stack;
    const std::uint64_t bytes = contents_[n].size();
    Result r = Result::ok;
    switch (kind_) {
      case Kind::copy:
        r = s.tcp_write(t, *copies_[n], n, bytes, node_.now_);
        break;
      case Kind::precopy:
      case Kind::memcpy_frames:
        r = s.tcp_write(t, *packaged_, PackagedContent::cookie(static_cast<ContentId>(n), 0), bytes,
                        node_.now_);
        break;
      case Kind::gather: {
        // In three parts, cut at odd places.
        const auto third = static_cast<std::uint32_t>(bytes / 3);
        const Fragment parts[] = {
            {placed_[n], third},
            {placed_[n] + third, third},
            {placed_[n] + 2 * third, static_cast<std::uint32_t>(bytes) - 2 * third}};
        const auto cookie = gather_.add(parts, nullptr, nullptr);
        EXPECT_TRUE(cookie);
        r = s.tcp_write(t, gather_, *cookie, bytes, node_.now_);
        break;
      }
    }
    EXPECT_EQ(r, Result::ok);
  }

  Node& node_;
  const std::vector<std::string>& contents_;
  Kind kind_ = Kind::copy;
  std::vector<std::unique_ptr<StringOwner>> copies_;
  std::unique_ptr<PackagedContent> packaged_;
  GatherOwner gather_;
  std::vector<std::byte*> placed_;
};

/// A client that makes `total` connections with some requests each, and checks every byte.
class Client {
 public:
  Client(Node& node, const std::vector<std::string>& contents, std::uint64_t seed, unsigned total,
         unsigned at_once, wire::Ipv4Address server)
      : node_(node), contents_(contents), random_(seed), left_(total), server_(server) {
    connections_.resize(at_once);
    for (auto& c : connections_) c.client = this;
    node.idle = [this](Time now) {
      for (auto& c : connections_) {
        if (c.tcb == nullptr && left_ != 0) open(c, now);
      }
    };
  }
  [[nodiscard]] bool done() const { return left_ == 0 && open_ == 0; }
  unsigned completed = 0, died = 0, requests = 0;
  std::string problem;

 private:
  struct Connection {
    Client* client = nullptr;
    Tcb* tcb = nullptr;
    unsigned requests_left = 0;
    std::size_t wanted = 0;  ///< content of the request that is out
    std::size_t received = 0;
    bool close_last = false;
    bool finished = false;
    std::unique_ptr<StringOwner> request;
  };

  void open(Connection& c, Time now) {
    --left_;
    Stack& s = *node_.stack;
    Tcb* t = s.tcp_new();
    if (t == nullptr) {
      ++left_;
      return;
    }
    s.tcp_bind(*t, {}, 0);
    s.tcp_app(*t, &c);
    s.tcp_connected(*t, [](void* p, Tcb& tcb) {
      auto& self = *static_cast<Connection*>(p);
      self.client->send_request(self, tcb);
    });
    s.tcp_recv(*t, [](void* p, Tcb& tcb, std::span<const std::byte> b) {
      auto& self = *static_cast<Connection*>(p);
      return self.client->on_bytes(self, tcb, b);
    });
    s.tcp_remote_closed(*t, [](void* p, Tcb& tcb) {
      auto& self = *static_cast<Connection*>(p);
      self.client->node_.stack->tcp_close(tcb, self.client->node_.now_);
    });
    s.tcp_closed(*t, [](void* p, Tcb&, Ended why) {
      auto& self = *static_cast<Connection*>(p);
      self.client->on_closed(self, why);
    });
    c.tcb = t;
    c.requests_left = 1 + static_cast<unsigned>(random_() % 3);
    c.close_last = random_() % 2 == 0;
    c.finished = false;
    ++open_;
    EXPECT_EQ(s.tcp_connect(*t, {server_, 80}, now), Result::ok);
  }
  void send_request(Connection& c, Tcb& t) {
    c.wanted = random_() % contents_.size();
    c.received = 0;
    --c.requests_left;
    const bool last = c.requests_left == 0;
    c.request = std::make_unique<StringOwner>("GET " + std::to_string(c.wanted) +
                                              (last && c.close_last ? "C\n" : "\n"));
    EXPECT_EQ(node_.stack->tcp_write(t, *c.request, 0, c.request->size(), node_.now_), Result::ok);
  }
  std::size_t on_bytes(Connection& c, Tcb& t, std::span<const std::byte> bytes) {
    const std::string& want = contents_[c.wanted];
    // Now and then a slow reader: some bytes are left for later.
    std::size_t n = bytes.size();
    if (random_() % 8 == 0) n = random_() % (n + 1);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), n);
    if (c.received + n > want.size() || want.compare(c.received, n, text) != 0) {
      problem = "wrong bytes at " + std::to_string(c.received) + " of content " +
                std::to_string(c.wanted);
    }
    c.received += n;
    if (c.received == want.size() && !c.finished) {
      ++requests;
      if (c.requests_left != 0) {
        send_request(c, t);
      } else {
        c.finished = true;
        if (!c.close_last) node_.stack->tcp_close(t, node_.now_);
      }
    }
    if (n < bytes.size()) resume_later_.push_back(&c);
    return n;
  }
  void on_closed(Connection& c, Ended why) {
    --open_;
    c.tcb = nullptr;
    if (c.finished && why == Ended::normally) {
      ++completed;
    } else if (c.finished) {
      ++completed;  // every byte came; only the goodbye was lost
    } else if (why == Ended::normally) {
      problem = "closed normally before all bytes came";
    } else {
      ++died;
    }
  }

 public:
  void resume(Time now) {
    auto later = std::move(resume_later_);
    resume_later_.clear();
    for (Connection* c : later) {
      if (c->tcb != nullptr) node_.stack->tcp_resume(*c->tcb, now);
    }
  }
  [[nodiscard]] bool wants_resume() const { return !resume_later_.empty(); }

 private:
  Node& node_;
  const std::vector<std::string>& contents_;
  std::mt19937_64 random_;
  unsigned left_;
  unsigned open_ = 0;
  wire::Ipv4Address server_;
  std::vector<Connection> connections_;
  std::vector<Connection*> resume_later_;
};

Config config_for(std::mt19937_64& random) {
  Config c;
  c.max_connections = 64;
  c.max_time_wait = 256;
  c.max_backlog = random() % 4 == 0 ? 1 : 32;
  c.max_held_chunks = 64 + static_cast<std::uint32_t>(random() % 512);
  constexpr std::uint32_t kWindows[] = {2048, 16384, 65535, 262144};
  c.receive_window = kWindows[random() % 4];
  c.timestamps = random() % 4 != 0;
  c.congestion_control = static_cast<CongestionControl>(random() % 3);
  c.sack = random() % 4 != 0;
  constexpr std::uint32_t kRanges[] = {0, 0, 0, 1, 4, 16};
  c.max_sent_ranges = kRanges[random() % 6];
  c.nagle = random() % 4 == 0;
  c.time_wait = 5 * nmio::kSecond;
  c.secret[0] = random();
  c.secret[1] = random();
  return c;
}

nmio::SimLink link_for(std::mt19937_64& random) {
  nmio::SimLink l;
  l.delay = (1 + random() % 20) * (random() % 2 == 0 ? 100 * kMicrosecond : kMillisecond);
  l.loss = static_cast<double>(random() % 5) * 0.02;
  l.duplicate = random() % 3 == 0 ? 0.05 : 0;
  l.reorder = random() % 2 == 0 ? 0.05 : 0;
  l.reorder_by = l.delay;
  l.corrupt = random() % 3 == 0 ? 0.01 : 0;
  if (random() % 3 == 0) {
    l.rate = 20'000'000;
    l.queue_bytes = 30000;
  }
  return l;
}

struct Outcome {
  unsigned completed = 0, died = 0;
  std::uint64_t retransmits = 0, fast_retransmits = 0;
};

void run_seed(std::uint64_t seed, Kind kind, Outcome* outcome = nullptr) {
  SCOPED_TRACE("seed " + std::to_string(seed) + " owner " + std::to_string(static_cast<int>(kind)));
  std::mt19937_64 random(seed);
  SimNetwork net(seed);
  SimPortConfig pc;
  pc.chunks = 4096;
  pc.tx_checksum = random() % 2 == 0;
  pc.rx_checksum = random() % 2 == 0;
  pc.scatter_gather = random() % 2 == 0;
  pc.segment = pc.scatter_gather && pc.tx_checksum && random() % 2 == 0;
  pc.out = link_for(random);
  SimPortConfig cc;
  cc.chunks = 2048;
  cc.out = link_for(random);
  Node server_node(net, pc, {0x0a000001}, config_for(random));
  Node client_node(net, cc, {0x0a000002}, config_for(random));
  std::vector<std::string> contents;
  for (const std::size_t n : {1U, 64U, 1447U, 1448U, 1449U, 20000U, 100000U}) {
    contents.push_back(pattern(n, static_cast<unsigned>(seed + n)));
  }
  Server server(server_node, kind, contents);
  Client client(client_node, contents, seed, 12, 4, {0x0a000001});
  SimRunner runner(net);
  runner.attach(server_node.queue, server_node.batch, server_node);
  runner.attach(client_node.queue, client_node.batch, client_node);
  const Time limit = net.now() + 1000 * nmio::kSecond;
  while (!client.done() && net.now() < limit && client.problem.empty()) {
    runner.run_until_done([&] { return client.done() || client.wants_resume(); }, limit);
    client_node.now_ = net.now();
    client.resume(net.now());
  }
  EXPECT_EQ(client.problem, "");
  EXPECT_TRUE(client.done()) << "connections hang";
  // A peer that is gone is given up in time; then nothing is left on either side.
  runner.run_for(1500 * nmio::kSecond);
  for (Node* n : {&server_node, &client_node}) {
    const Counters& c = n->stack->counters();
    EXPECT_EQ(c.connections_now, 0u);
    EXPECT_EQ(c.half_open_now, 0u);
    EXPECT_EQ(c.time_wait_now, 0u);
    EXPECT_EQ(c.held_chunks_now, 0u);
  }
  EXPECT_EQ(server.gather_held(), 0u);
  // Every chunk is home: in the pool, or (frames) in its set.
  auto& memory = server_node.queue.memory();
  for (nmio::HomeId h = 0; h < 2; ++h) {
    if (h == nmio::kBorrowed) continue;
    EXPECT_GE(memory.free_count(h) + 1024, memory.total_count(h)) << "beyond the receive ring";
  }
  if (outcome != nullptr) {
    outcome->completed += client.completed;
    outcome->died += client.died;
    outcome->retransmits += server_node.stack->counters().retransmits;
    outcome->fast_retransmits += server_node.stack->counters().fast_retransmits;
  }
}

std::uint64_t first_seed(std::uint64_t by_default) {
  const char* s = std::getenv("STACKRIG_SEED");
  return s != nullptr ? std::strtoull(s, nullptr, 10) : by_default;
}
unsigned seeds(unsigned by_default) {
  if (std::getenv("STACKRIG_SEED") != nullptr) return 1;
  const char* s = std::getenv("STACKRIG_SEEDS");
  return s != nullptr ? static_cast<unsigned>(std::strtoul(s, nullptr, 10)) : by_default;
}

class BadNetwork : public ::testing::TestWithParam<Kind> {};

TEST_P(BadNetwork, EveryByteArrivesOnceAndInOrder) {
  Outcome all;
  const std::uint64_t first = first_seed(1000 * (1 + static_cast<std::uint64_t>(GetParam())));
  for (unsigned i = 0; i < seeds(60); ++i) {
    run_seed(first + i, GetParam(), &all);
    if (HasFailure()) {
      ADD_FAILURE() << "replay: STACKRIG_SEED=" << first + i
                    << " tcpip_network_test --gtest_filter='*"
                    << "EveryByteArrives*'";
      return;
    }
  }
  // Losses of up to 8 % each way kill hardly any connection, and losses there were.
  EXPECT_GT(all.completed, all.died * 20);
  EXPECT_GT(all.retransmits, all.completed);
  EXPECT_GT(all.fast_retransmits, 0u);
  RecordProperty("completed", std::to_string(all.completed));
  RecordProperty("died", std::to_string(all.died));
}

std::string kind_name(const ::testing::TestParamInfo<Kind>& p) {
  constexpr const char* kNames[] = {"Copy", "Precopy", "Memcpy", "Gather"};
  return kNames[static_cast<int>(p.param)];
}
INSTANTIATE_TEST_SUITE_P(Owners, BadNetwork,
                         ::testing::Values(Kind::copy, Kind::precopy, Kind::memcpy_frames,
                                           Kind::gather),
                         kind_name);

}  // namespace
}  // namespace stackrig::tcpip::testing
