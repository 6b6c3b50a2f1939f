// SPDX-License-Identifier: Apache-2.0
// Congestion control at work: one flow fills a bottleneck, two share it.
#include <array>
#include <vector>

#include "tcpip/test_network.h"

namespace stackrig::tcpip::testing {
namespace {

/// As many bytes as anybody wants, all the same.
class Endless final : public ByteOwner {
 public:
  Fetched fetch(std::uint64_t, std::uint64_t, std::uint64_t limit, std::uint32_t max_segment,
                std::span<Segment> out) override {
    Fetched f;
    while (limit != 0 && f.segments < out.size()) {
      Segment g;
      g.data = bytes_.data();
      g.len = static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, max_segment));
      out[f.segments++] = g;
      limit -= g.len;
    }
    return f;
  }

 private:
  std::array<std::byte, 2048> bytes_{};
};

/// Flows through one bottleneck, by bytes received each.
std::vector<std::uint64_t> share_path(const nmio::SimLink& path, CongestionControl kind,
                                      unsigned flows, Time time, Counters& counters,
                                      bool sack = true) {
  SimNetwork net(42);
  SimPortConfig pc;
  pc.out = path;
  Config c;
  c.sack = sack;
  c.max_connections = 16;
  c.congestion_control = kind;
  c.secret[0] = 9;
  Config client_config = c;
  c.receive_window = 65535;
  client_config.receive_window = 4 << 20;
  Node server(net, pc, {0x0a000001}, c);
  Node client(net, {}, {0x0a000002}, client_config);
  struct Sink {
    Node* server;
    Endless endless;
    std::vector<std::uint64_t> got;
  } sink{&server, {}, std::vector<std::uint64_t>(flows)};
  Tcb* l = server.stack->tcp_new();
  server.stack->tcp_bind(*l, {}, 80);
  server.stack->tcp_app(*l, &sink);
  server.stack->tcp_accept(*l, [](void* p, Tcb& t) {
    auto& s = *static_cast<Sink*>(p);
    return s.server->stack->tcp_write(t, s.endless, 0, std::uint64_t{1} << 40, s.server->now_) ==
           Result::ok;
  });
  server.stack->tcp_listen(*l);
  for (unsigned i = 0; i < flows; ++i) {
    Tcb* t = client.stack->tcp_new();
    client.stack->tcp_bind(*t, {}, 0);
    client.stack->tcp_app(*t, &sink.got[i]);
    client.stack->tcp_recv(*t, [](void* p, Tcb&, std::span<const std::byte> b) {
      *static_cast<std::uint64_t*>(p) += b.size();
      return b.size();
    });
    EXPECT_EQ(client.stack->tcp_connect(*t, {{0x0a000001}, 80}, net.now()), Result::ok);
  }
  SimRunner runner(net);
  runner.attach(server.queue, server.batch, server);
  runner.attach(client.queue, client.batch, client);
  runner.run_for(time);
  counters = server.stack->counters();
  return sink.got;
}

nmio::SimLink bottleneck() {
  nmio::SimLink l;
  l.delay = 10 * kMillisecond;
  l.rate = 20'000'000;
  l.queue_bytes = 50000;  // the path's bandwidth-delay product
  return l;
}

class Bottleneck : public ::testing::TestWithParam<CongestionControl> {};

TEST_P(Bottleneck, OneFlowFillsItTwoShareIt) {
  constexpr Time kTime = 30 * kSecond;
  const double whole = 20e6 / 8 * 30;
  Counters counters{};
  const auto alone = share_path(bottleneck(), GetParam(), 1, kTime, counters);
  EXPECT_GT(static_cast<double>(alone[0]), 0.7 * whole);
  EXPECT_LT(static_cast<double>(alone[0]), whole);
  const auto two = share_path(bottleneck(), GetParam(), 2, kTime, counters);
  EXPECT_GT(static_cast<double>(two[0] + two[1]), 0.7 * whole);
  EXPECT_GT(std::min(two[0], two[1]) * 3, std::max(two[0], two[1])) << two[0] << " " << two[1];
}

std::string kind_name(const ::testing::TestParamInfo<CongestionControl>& p) {
  constexpr const char* kNames[] = {"Reno", "NewReno", "Cubic"};
  return kNames[static_cast<int>(p.param)];
}
INSTANTIATE_TEST_SUITE_P(Controllers, Bottleneck,
                         ::testing::Values(CongestionControl::reno, CongestionControl::new_reno,
                                           CongestionControl::cubic),
                         kind_name);

}  // namespace
}  // namespace stackrig::tcpip::testing
