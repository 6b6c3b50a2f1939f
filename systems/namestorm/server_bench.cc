// SPDX-License-Identifier: Apache-2.0
// namestorm_server_bench: what a query costs in the server, and over the soft NIC.
//
//   namestorm_server_bench --names 10000 --burst 32                 the server alone, fed by a
//   script namestorm_server_bench --names 10000 --burst 32 --softnic       the loop on a soft NIC,
//   asked from
//                                                                   another core
//
// Cycles (TSC) and instructions of the server alone are those of its own calls; instructions:
//   valgrind --tool=callgrind --collect-atstart=no --toggle-collect='server_turn*'
//   namestorm_server_bench ...
// Every answer's id, flags and number of records are looked at. Queries are for names at random.
#include <pthread.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "dns/message.h"
#include "edition.h"
#include "nmio/bench/options.h"
#include "nmio/loop.h"
#include "nmio/port.h"
#include "nmio/test_frames.h"
#include "server.h"

namespace {

using namespace stackrig;
using namespace stackrig::namestorm;
using nmio::ChunkId;
using nmio::Clock;

struct Options {
  unsigned names = 1;
  unsigned burst = 32;
  std::string variant = "memcpy", key = "wire";
  bool edns = false, softnic = false, software_checksums = false;
  std::uint64_t count = 2'000'000;
  double seconds = 2;
  unsigned in_flight = 512;
  int server_core = 0, client_core = 1;
  std::string json;
};

std::shared_ptr<const dns::ZoneSet> zone_of(unsigned names) {
  std::string text = "$TTL 3600\n@ SOA ns admin 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.1\n";
  for (unsigned i = 0; i < names; ++i)
    text += "host" + std::to_string(i) + " A 192.0.2." + std::to_string(i % 256) + "\n";
  const std::vector<dns::ZoneText> zones = {{"example.com", text}};
  return dns::ZoneSet::parse(zones);
}

/// Frames of queries, one per name, all as long as the longest.
class Questions {
 public:
  explicit Questions(const Options& o) : o_(o), random_(1) {
    for (unsigned i = 0; i < std::min(o.names, kMost); ++i) {
      // Evenly over the names where there are more than kMost.
      const std::uint64_t name = std::uint64_t{i} * o.names / std::min(o.names, kMost);
      frames_.push_back(make("host" + std::to_string(name)));
    }
  }
  const nmio::test::Bytes& next() { return frames_[random_() % frames_.size()]; }

 private:
  static constexpr unsigned kMost = 1U << 20;

  nmio::test::Bytes make(const std::string& label) const {
    std::vector<std::uint8_t> m = {0, 0, 0, 0, 0, 1,
                                   0, 0, 0, 0, 0, o_.edns ? std::uint8_t{1} : std::uint8_t{0}};
    for (const std::string& l : {label, std::string("example"), std::string("com")}) {
      m.push_back(static_cast<std::uint8_t>(l.size()));
      m.insert(m.end(), l.begin(), l.end());
    }
    m.insert(m.end(), {0, 0, 1, 0, 1});
    if (o_.edns) m.insert(m.end(), {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0});
    auto f = nmio::test::make_frame({.destination = {2, 0, 0, 0, 0, 2},
                                     .source = {2, 0, 0, 0, 0, 1},
                                     .source_ip = 0x0a000001,
                                     .destination_ip = 0x0a000002,
                                     .source_port = 4242,
                                     .destination_port = 53,
                                     .payload = m.size()});
    std::memcpy(f.data() + udpip::kHeaders, m.data(), m.size());
    nmio::L4Place place;
    if (nmio::find_l4(f, place)) nmio::fill_checksum(f, place);
    return f;
  }

  const Options& o_;
  std::minstd_rand random_;
  std::vector<nmio::test::Bytes> frames_;
};

bool is_answer(const std::byte* frame, std::uint32_t len) {
  if (len < udpip::kHeaders + dns::Header::kSize) return false;
  const auto& h = dns::Header::at(reinterpret_cast<const std::uint8_t*>(frame) + udpip::kHeaders);
  return h.id.get() == 0 && h.flags.get() == 0x8400 && h.answers.get() == 1;
}

tcpip::Config tcp_config(const nmio::Offload& offload) {
  tcpip::Config c;
  c.address = {{0x0a000002}, 24};
  c.mac = {{2, 0, 0, 0, 0, 2}};
  c.offload = offload;
  c.secret[0] = 1;
  return c;
}

template <class Key>
struct Host {
  Host(const Options& o, nmio::PacketMemory& memory, const nmio::Offload& offload,
       std::span<const std::uint8_t, 6> mac)
      : publisher(std::make_unique<Edition<Key>>(zone_of(o.names))) {
    ServerConfig c;
    c.udp.mode = o.variant == "precopy" ? SendMode::precopy : SendMode::memcpy;
    tcpip::Config t = tcp_config(offload);
    std::copy(mac.begin(), mac.end(), t.mac.bytes.begin());
    stack = std::make_unique<tcpip::Stack>(t, memory, batch);
    server = std::make_unique<Server<Key>>(c, publisher, *stack, t.max_connections, batch, offload,
                                           Clock::now());
  }
  nmio::TxBatch batch;
  Publisher<Key> publisher;
  std::unique_ptr<tcpip::Stack> stack;
  std::unique_ptr<Server<Key>> server;
};

// --- the server alone --------------------------------------------------------------------------

template <class App>
[[gnu::noinline]] std::uint64_t server_turn(App& app, std::span<const nmio::RxPacket> burst,
                                            nmio::Time now) {
  const std::uint64_t from = Clock::cycles();
  app.on_burst(burst, now);
  app.on_idle(now);
  return Clock::cycles() - from;
}

std::uint32_t chunks_for(const Options& o) {
  return 16384 + (o.variant == "precopy" ? o.names + 4096 : 0);
}

template <class Key>
nlohmann::json run_alone(const Options& o) {
  const nmio::Offload offload{.tx_checksum = !o.software_checksums};
  const auto memory = nmio::PacketMemory::create({.chunks = chunks_for(o)});
  const std::uint8_t mac[6] = {2, 0, 0, 0, 0, 2};
  Host<Key> host(o, *memory, offload, mac);
  Questions questions(o);
  std::vector<nmio::RxPacket> burst;
  std::uint64_t cycles = 0, wrong = 0, answers = 0;
  for (std::uint64_t done = 0; done < o.count; done += o.burst) {
    burst.clear();
    for (unsigned i = 0; i < o.burst; ++i) {
      const auto& q = questions.next();
      const ChunkId c = memory->take();
      std::byte* at = memory->data(c) + 64 + std::size_t{c % 8} * 64;
      std::memcpy(at, q.data(), q.size());
      const std::uint16_t flags = o.software_checksums ? 0 : nmio::RxPacket::kChecksumGood;
      burst.push_back({at, static_cast<std::uint32_t>(q.size()), c, 0, flags});
    }
    host.batch.count = 0;
    host.batch.room = nmio::TxBatch::kCapacity;
    cycles += server_turn(*host.server, burst, nmio::kSecond + done);
    for (unsigned i = 0; i < host.batch.count; ++i) {
      const nmio::TxPacket& p = host.batch.packets[i];
      wrong += is_answer(p.data, p.len) ? 0 : 1;
      memory->give_back(p.chunk);
    }
    answers += host.batch.count;
  }
  if (wrong != 0 || answers < o.count) throw std::runtime_error("answers are wrong or missing");
  return {{"mode", "alone"},
          {"answers", answers},
          {"cycles_per_answer", static_cast<double>(cycles) / static_cast<double>(answers)},
          {"table_bytes", host.publisher.current()->table.memory()},
          {"zone_bytes", host.publisher.current()->zones->memory()}};
}

// --- over the soft NIC -------------------------------------------------------------------------

void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

struct Asked {
  std::uint64_t answers = 0, wrong = 0;
};

/// Keeps `in_flight` queries under way until `stop`.
void ask(nmio::Queue& q, const Options& o, const std::uint8_t (&server_mac)[6],
         const std::atomic<bool>& stop, std::atomic<std::uint64_t>& answers,
         std::atomic<std::uint64_t>& wrong) {
  Questions questions(o);
  std::uint64_t under_way = 0;
  nmio::RxPacket in[64];
  nmio::TxPacket out[64];
  while (!stop.load(std::memory_order_relaxed)) {
    const unsigned n = q.receive(in);
    std::uint64_t bad = 0;
    for (unsigned i = 0; i < n; ++i) {
      bad += is_answer(in[i].data, in[i].len) ? 0 : 1;
      q.memory().give_back(in[i].chunk);
    }
    under_way -= std::min<std::uint64_t>(under_way, n);
    answers.store(answers.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    wrong.store(wrong.load(std::memory_order_relaxed) + bad, std::memory_order_relaxed);
    unsigned made = 0;
    const unsigned room = std::min(64U, q.tx_room());
    for (; made < room && under_way + made < o.in_flight; ++made) {
      const ChunkId c = q.memory().take();
      if (c == nmio::kNoChunk) break;
      const auto& frame = questions.next();
      std::memcpy(q.memory().data(c), frame.data(), frame.size());
      std::memcpy(q.memory().data(c), server_mac, 6);
      out[made] = {.data = q.memory().data(c),
                   .len = static_cast<std::uint32_t>(frame.size()),
                   .chunk = c,
                   .flags = nmio::TxPacket::kChecksum,
                   .l4_offset = 34};
    }
    const unsigned taken = q.put({out, made});
    for (unsigned i = taken; i < made; ++i) q.memory().give_back(out[i].chunk);
    under_way += taken;
    q.flush();
    q.reap();
  }
}

template <class Key>
nlohmann::json run_softnic(const Options& o) {
  const std::string name = "namestorm-bench-" + std::to_string(getpid());
  const auto server = nmio::Port::open(
      "shm:" + name + "?side=server&pause=on&chunks=" + std::to_string(chunks_for(o)));
  const auto client = nmio::Port::open("shm:" + name + "?side=client&pause=on");
  Host<Key> host(o, server->queue(0).memory(), server->queue(0).offload(), server->mac());
  std::uint8_t mac[6];
  std::copy(server->mac().begin(), server->mac().end(), mac);

  std::atomic<bool> stop_client = false, stop_server = false;
  std::atomic<std::uint64_t> answers = 0, wrong = 0;
  nmio::LoopCounters counters;
  std::thread server_thread([&] {
    pin(o.server_core);
    nmio::run(server->queue(0), host.batch, *host.server,
              {.idle = nmio::LoopConfig::Idle::spin, .tx_interval = 0, .burst = o.burst}, counters,
              stop_server);
  });
  std::thread client_thread([&] {
    pin(o.client_core);
    ask(client->queue(0), o, mac, stop_client, answers, wrong);
  });
  const auto sleep = [](double s) {
    std::this_thread::sleep_for(std::chrono::duration<double>(s));
  };
  sleep(0.3);
  const std::uint64_t before = answers;
  const std::uint64_t busy_before = __atomic_load_n(&counters.busy_cycles, __ATOMIC_RELAXED);
  const nmio::Time from = Clock::monotonic();
  sleep(o.seconds);
  const std::uint64_t n = answers - before;
  const std::uint64_t busy = __atomic_load_n(&counters.busy_cycles, __ATOMIC_RELAXED) - busy_before;
  const double seconds = static_cast<double>(Clock::monotonic() - from) / 1e9;
  stop_client = true;
  client_thread.join();
  stop_server = true;
  server_thread.join();
  if (wrong != 0 || n == 0) throw std::runtime_error("answers are wrong or missing");
  return {{"mode", "softnic"},
          {"answers_per_s", static_cast<double>(n) / seconds},
          {"server_busy",
           static_cast<double>(busy) / (seconds * static_cast<double>(Clock::cycles_per_second()))},
          {"answers_per_busy_s",
           static_cast<double>(n) /
               (static_cast<double>(busy) / static_cast<double>(Clock::cycles_per_second()))}};
}

template <class Key>
nlohmann::json run(const Options& o) {
  return o.softnic ? run_softnic<Key>(o) : run_alone<Key>(o);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What a query costs Namestorm", "namestorm_server_bench");
  Options o;
  app.add_option("--names", o.names, "names in the zone")->check(CLI::Range(1U, 10'000'000U));
  app.add_option("--burst", o.burst, "packets per receive")
      ->check(CLI::Range(1U, nmio::LoopConfig::kMaxBurst));
  app.add_option("--variant", o.variant, "memcpy, precopy")
      ->check(CLI::IsMember({"memcpy", "precopy"}));
  app.add_option("--key", o.key, "wire, fqdn")->check(CLI::IsMember({"wire", "fqdn"}));
  app.add_flag("--edns", o.edns, "queries have EDNS");
  app.add_flag("--softnic", o.softnic, "over the soft NIC, from another core");
  app.add_flag("--software-checksums", o.software_checksums, "nothing is offloaded (alone)");
  app.add_option("--count", o.count, "queries (alone)");
  app.add_option("--duration", o.seconds, "seconds (soft NIC)");
  app.add_option("--in-flight", o.in_flight, "queries under way (soft NIC)");
  app.add_option("--server-core", o.server_core, "");
  app.add_option("--client-core", o.client_core, "");
  app.add_option("--json", o.json, "file for the result, - for standard output");
  return nmio::bench::run_program(app, argc, argv, [&] {
    nlohmann::json j = o.key == "wire" ? run<dns::WireKey>(o) : run<dns::FqdnKey>(o);
    j.update({{"tool", "namestorm_server_bench"},
              {"names", o.names},
              {"burst", o.burst},
              {"variant", o.variant},
              {"key", o.key}});
    if (o.json.empty() || o.json == "-") {
      std::cout << j.dump() << std::endl;
    } else {
      std::ofstream(o.json) << j.dump(2) << "\n";
    }
  });
}
