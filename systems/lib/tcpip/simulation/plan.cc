// SPDX-License-Identifier: Apache-2.0
#include "tcpip/simulation/plan.h"

#include <algorithm>
#include <cstdio>

#include "tcpip/simulation/random.h"

namespace stackrig::tcpip::simulation {
namespace {

using nmio::kMicrosecond;
using nmio::kMillisecond;
using nmio::kSecond;

Config config_of(Random& r) {
  Config c;
  c.max_connections = 64;
  c.max_time_wait = r.once_in(8) ? 2 : 64;
  c.max_backlog = static_cast<std::uint32_t>(r.pick({0, 1, 32, 32, 32}));
  c.max_held_chunks = static_cast<std::uint32_t>(r.between(16, 200));
  c.window_scaling = !r.once_in(4);
  c.receive_window = r.pick({2048U, 5000U, 16384U, 65535U, 65535U, 262144U});
  if (!c.window_scaling) c.receive_window = std::min(c.receive_window, 65535U);
  c.timestamps = !r.once_in(4);
  c.sack = !r.once_in(4);
  c.ecn = r.pick({Ecn::off, Ecn::accept, Ecn::request});
  c.max_sent_ranges = r.pick({0U, 0U, 0U, 3U, 16U});
  c.congestion_control =
      r.pick({CongestionControl::reno, CongestionControl::new_reno, CongestionControl::cubic});
  c.initial_window_segments = r.pick({1U, 2U, 10U, 10U});
  c.delayed_ack = r.pick({Time{0}, kMillisecond, 40 * kMillisecond, 200 * kMillisecond});
  c.min_rto = r.pick({200 * kMillisecond, 200 * kMillisecond, kSecond});
  c.nagle = r.once_in(4);
  c.time_wait = r.pick({kSecond, 5 * kSecond, 60 * kSecond});
  c.fin_wait_2_timeout = 60 * kSecond;
  c.max_retransmits = r.pick({4U, 8U, 12U, 12U});
  c.mtu = r.pick({1500U, 1500U, 1500U, 576U});
  c.secret[0] = r.next();
  c.secret[1] = r.next();
  return c;
}

nmio::SimLink link_of(Random& r) {
  nmio::SimLink l;
  l.delay = r.pick({5 * kMicrosecond, 500 * kMicrosecond, 5 * kMillisecond, 50 * kMillisecond,
                    150 * kMillisecond});
  if (r.once_in(3)) l.jitter = l.delay;
  l.loss = r.pick({0.0, 0.0, 0.001, 0.01, 0.03, 0.08});
  if (r.once_in(4)) l.duplicate = r.pick({0.01, 0.1});
  if (r.once_in(4)) l.corrupt = r.pick({0.002, 0.02});
  if (r.once_in(3)) l.mark = r.pick({0.01, 0.2});
  if (r.once_in(3)) {
    l.reorder = r.pick({0.01, 0.1});
    l.reorder_by = r.pick({l.delay / 4 + 1, l.delay, 3 * l.delay});
  }
  if (r.once_in(3)) {
    l.rate = r.pick({1'000'000U, 10'000'000U, 100'000'000U});
    l.queue_bytes = r.between(8'000, 100'000);
  }
  return l;
}

nmio::SimPortConfig port_of(Random& r, const Config& c) {
  nmio::SimPortConfig p;
  p.mtu = c.mtu;
  p.ring = r.pick({16U, 64U, 512U});
  p.chunks = r.pick({512U, 1024U});
  p.tx_checksum = r.once_in(2);
  p.rx_checksum = r.once_in(2);
  p.scatter_gather = r.once_in(2);
  p.segment = p.tx_checksum && p.scatter_gather && r.once_in(2);
  p.out = link_of(r);
  p.in.delay = 0;
  return p;
}

std::uint64_t bytes_of(Random& r) {
  switch (r.below(8)) {
    case 0:
      return 0;
    case 1:
    case 2:
      return r.between(1, 100);
    case 3:
    case 4:
      return r.between(100, 5000);
    case 5:
    case 6:
      return r.between(5000, 40'000);
    default:
      return r.between(40'000, 150'000);
  }
}

SidePlan side_of(Random& r) {
  SidePlan s;
  s.bytes = bytes_of(r);
  s.write_size =
      r.pick({std::uint64_t{1000}, std::uint64_t{1448}, std::uint64_t{7000}, s.bytes + 1});
  if (s.bytes <= 100 && r.once_in(3)) s.write_size = 7;
  s.owner = static_cast<OwnerKind>(r.below(kOwnerKinds));
  s.owner_delay = r.pick({50 * kMicrosecond, 3 * kMillisecond, 300 * kMillisecond});
  s.reader = r.pick({ReaderKind::eager, ReaderKind::eager, ReaderKind::crumbs, ReaderKind::late});
  s.reader_delay = r.pick({100 * kMicrosecond, 10 * kMillisecond, 700 * kMillisecond});
  return s;
}

// A network and stacks in which nothing may fail for good.
bool is_calm(const Plan& p) {
  if (!p.cuts.empty()) return false;
  for (unsigned i = 0; i < 2; ++i) {
    const nmio::SimLink& l = p.port[i].out;
    if (l.loss > 0.03 || l.corrupt > 0.01 || p.config[i].max_retransmits < 8 ||
        p.config[i].max_backlog < 2 || p.config[i].max_time_wait < 64) {
      return false;
    }
  }
  return std::none_of(p.connections.begin(), p.connections.end(),
                      [](const ConnectionPlan& c) { return c.side[0].aborts || c.side[1].aborts; });
}

std::string percent(double p) {
  char text[16];
  std::snprintf(text, sizeof text, "%.4g %%", p * 100);
  return text;
}

std::string milliseconds(Time t) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g ms", static_cast<double>(t) / 1e6);
  return text;
}

}  // namespace

Plan make_plan(std::uint64_t seed) {
  Random r(seed * 0x2545f4914f6cdd1d + 1);
  Plan p;
  p.seed = seed;
  for (unsigned i = 0; i < 2; ++i) {
    p.config[i] = config_of(r);
    p.port[i] = port_of(r, p.config[i]);
    p.port[i].name = i == 0 ? "client" : "server";
  }
  const auto connections = r.between(1, r.once_in(4) ? 8 : 3);
  Time start = 0;
  for (std::uint64_t i = 0; i < connections; ++i) {
    ConnectionPlan c;
    start += r.pick({Time{0}, 300 * kMicrosecond, 200 * kMillisecond, 5 * kSecond});
    c.start = start;
    c.port = static_cast<std::uint16_t>(10'000 + (r.once_in(3) ? 0 : i));
    for (SidePlan& s : c.side) s = side_of(r);
    const auto waits = r.below(3);
    if (waits < 2) c.side[waits].waits_for_fin = true;
    if (r.once_in(8)) {
      SidePlan& s = c.side[r.below(2)];
      s.aborts = true;
      s.abort_after = r.below(20'000);
    }
    p.connections.push_back(c);
  }
  if (r.once_in(5)) {
    Cut cut;
    cut.from = r.between(0, 2 * kSecond);
    cut.until = cut.from + r.pick({100 * kMillisecond, 3 * kSecond, 40 * kSecond, 2000 * kSecond});
    cut.up = !r.once_in(4);
    cut.down = !cut.up || !r.once_in(4);
    p.cuts.push_back(cut);
  }
  p.calm = is_calm(p);
  return p;
}

std::string describe(const Plan& plan) {
  std::string text = "seed " + std::to_string(plan.seed) + (plan.calm ? ", calm" : "") + "\n";
  for (unsigned i = 0; i < 2; ++i) {
    const Config& c = plan.config[i];
    const nmio::SimPortConfig& p = plan.port[i];
    const nmio::SimLink& l = p.out;
    text += p.name + ": mtu " + std::to_string(c.mtu) + ", window " +
            std::to_string(c.receive_window) + (c.window_scaling ? "" : ", no scaling") +
            (c.timestamps ? "" : ", no timestamps") + (c.sack ? "" : ", no SACK") +
            (c.ecn == Ecn::off      ? ""
             : c.ecn == Ecn::accept ? ", ECN"
                                    : ", asks for ECN") +
            (c.nagle ? ", nagle" : "") + ", delayed ACK " + milliseconds(c.delayed_ack) +
            ", backlog " + std::to_string(c.max_backlog) + ", ring " + std::to_string(p.ring) +
            (p.segment       ? ", TSO"
             : p.tx_checksum ? ", tx checksum"
                             : "") +
            "; link: " + milliseconds(l.delay) + ", loss " + percent(l.loss) + ", reorder " +
            percent(l.reorder) + ", duplicate " + percent(l.duplicate) + ", corrupt " +
            percent(l.corrupt) + ", mark " + percent(l.mark) +
            (l.rate != 0 ? ", " + std::to_string(l.rate) + " b/s" : "") + "\n";
  }
  for (const ConnectionPlan& c : plan.connections) {
    text += "connection from port " + std::to_string(c.port) + " at " + milliseconds(c.start) +
            ": " + std::to_string(c.side[0].bytes) + " bytes up, " +
            std::to_string(c.side[1].bytes) + " down";
    for (unsigned i = 0; i < 2; ++i) {
      if (c.side[i].aborts) {
        text += std::string(i == 0 ? ", client" : ", server") + " aborts after " +
                std::to_string(c.side[i].abort_after);
      }
    }
    text += "\n";
  }
  for (const Cut& c : plan.cuts) {
    text += "cut from " + milliseconds(c.from) + " to " + milliseconds(c.until) +
            (c.up && c.down ? ""
             : c.up         ? ", client to server"
                            : ", server to client") +
            "\n";
  }
  return text;
}

}  // namespace stackrig::tcpip::simulation
