// SPDX-License-Identifier: Apache-2.0
// nmio_softnic_bench: packets per second through the soft NIC between two threads on two cores, for
// a few frame lengths, one way and there and back; beside them, what one core copies with plain
// memcpy.
//
// What a call costs is counted in cycles of the TSC, on calls that moved packets only: waiting for
// the other side is not the soft NIC's cost.
#include <pthread.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "nmio/bench/options.h"
#include "nmio/port.h"
#include "nmio/test_frames.h"

namespace {

using namespace stackrig::nmio;

struct Settings {
  double seconds = 0.5;
  int server_core = 0;
  int client_core = 1;
  unsigned burst = 64;
  unsigned in_flight = 512;
  std::vector<unsigned> bytes = {64, 150, 350, 1514};
  std::string keys;
};

void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

/// Cost per packet, over calls: the median, which a machine that is busy otherwise moves little.
class Cost {
 public:
  void add(std::uint64_t cycles, unsigned packets) {
    if (samples_.size() < kMost) samples_.push_back(static_cast<double>(cycles) / packets);
  }
  void clear() { samples_.clear(); }
  [[nodiscard]] double nanoseconds() {
    if (samples_.empty()) return 0;
    const auto middle = samples_.begin() + static_cast<std::ptrdiff_t>(samples_.size() / 2);
    std::nth_element(samples_.begin(), middle, samples_.end());
    return *middle / static_cast<double>(Clock::cycles_per_second()) * 1e9;
  }

 private:
  static constexpr std::size_t kMost = 1'000'000;
  std::vector<double> samples_;
};

/// One side: sends what it may, takes what comes, echoes where it is told to.
class Side {
 public:
  Side(Queue& q, const Settings& s, unsigned bytes)
      : q_(q), s_(s), frame_(test::make_frame({.payload = bytes - 42})) {}

  unsigned receive() {
    const std::uint64_t t0 = Clock::cycles();
    const unsigned n = q_.receive({received_, s_.burst});
    if (n != 0) in.add(Clock::cycles() - t0, n);
    return n;
  }
  void let_go(unsigned n) {
    for (unsigned i = 0; i < n; ++i) q_.memory().give_back(received_[i].chunk);
  }
  void echo(unsigned n) {
    for (unsigned i = 0; i < n; ++i)
      out_[i] = {.data = received_[i].data, .len = received_[i].len, .chunk = received_[i].chunk};
    put(n);
  }
  /// Sends n fresh frames: their chunks are written, as a stack would.
  unsigned send(unsigned n) {
    n = std::min({n, s_.burst, q_.tx_room()});
    unsigned made = 0;
    for (; made < n; ++made) {
      const ChunkId c = q_.memory().take();
      if (c == kNoChunk) break;
      // A stack writes headers; payload lies there already (prepackaged frames).
      std::memcpy(q_.memory().data(c), frame_.data(), 54);
      out_[made] = {.data = q_.memory().data(c),
                    .len = static_cast<std::uint32_t>(frame_.size()),
                    .chunk = c};
    }
    return made == 0 ? 0 : put(made);
  }
  void reap() {
    const std::uint64_t t0 = Clock::cycles();
    if (const unsigned n = q_.reap(); n != 0) reaped.add(Clock::cycles() - t0, n);
  }
  Cost in;
  Cost out;
  Cost reaped;

 private:
  unsigned put(unsigned n) {
    const std::uint64_t t0 = Clock::cycles();
    const unsigned taken = q_.put({out_, n});
    q_.flush();
    if (taken != 0) out.add(Clock::cycles() - t0, taken);
    for (unsigned i = taken; i < n; ++i) q_.memory().give_back(out_[i].chunk);
    return taken;
  }

  Queue& q_;
  const Settings& s_;
  test::Bytes frame_;
  RxPacket received_[LoopConfig::kMaxBurst];
  TxPacket out_[LoopConfig::kMaxBurst];
};

enum class Pattern { one_way, echo };

nlohmann::json measure(const Settings& s, unsigned bytes, Pattern pattern) {
  const std::string name = "bench-" + std::to_string(getpid());
  auto server = Port::open("shm:" + name + "?side=server&pause=on" + s.keys);
  auto client = Port::open("shm:" + name + "?side=client&pause=on" + s.keys);
  std::atomic<bool> done = false;
  Side at_server(server->queue(0), s, bytes);
  Side at_client(client->queue(0), s, bytes);

  std::thread other([&] {
    pin(s.client_core);
    std::uint64_t out = 0;
    std::uint64_t back = 0;
    while (!done.load(std::memory_order_relaxed)) {
      const unsigned n = at_client.receive();
      at_client.let_go(n);
      back += n;
      const std::uint64_t limit =
          pattern == Pattern::one_way
              ? s.burst
              : s.in_flight - std::min<std::uint64_t>(out - back, s.in_flight);
      out += at_client.send(static_cast<unsigned>(limit));
      at_client.reap();
    }
  });
  pin(s.server_core);
  const Time warm = Clock::now() + static_cast<Time>(s.seconds * 0.2e9);
  const Time end = warm + static_cast<Time>(s.seconds * 1e9);
  std::uint64_t packets = 0;
  Time now = Clock::now();
  Time start = now;
  bool counting = false;
  for (; now < end; now = Clock::now()) {
    if (!counting && now >= warm) {
      counting = true;
      packets = 0;
      start = now;
      at_server.in.clear();
    }
    const unsigned n = at_server.receive();
    packets += n;
    if (pattern == Pattern::echo && n != 0) {
      at_server.echo(n);
    } else {
      at_server.let_go(n);
    }
    at_server.reap();
  }
  done = true;
  other.join();
  const double seconds = static_cast<double>(now - start) / 1e9;
  Side& sender = pattern == Pattern::one_way ? at_client : at_server;
  return {{"bytes", bytes},
          {"pattern", pattern == Pattern::one_way ? "one-way" : "echo"},
          {"packets_per_s", static_cast<double>(packets) / seconds},
          {"gbit_per_s", static_cast<double>(packets) * bytes * 8 / seconds / 1e9},
          {"receive_ns", at_server.in.nanoseconds()},
          {"send_ns", sender.out.nanoseconds()},
          {"reap_ns", sender.reaped.nanoseconds()}};
}

/// Copies of frames from one chunk to another, 2 KiB apart, over as many chunks as the rings hold.
nlohmann::json memcpy_ceiling(const Settings& s, unsigned bytes) {
  constexpr std::size_t kChunks = 256;  // a working set as warm as the soft NIC's
  std::vector<std::byte> from(kChunks * 2048);
  std::vector<std::byte> to(kChunks * 2048);
  pin(s.server_core);
  std::uint64_t copies = 0;
  const Time start = Clock::now();
  const Time end = start + static_cast<Time>(s.seconds * 1e9);
  Time now = start;
  for (; now < end; now = Clock::now()) {
    for (std::size_t i = 0; i < kChunks; ++i) {
      std::memcpy(&to[i * 2048], &from[i * 2048], bytes);
      asm volatile("" ::: "memory");
    }
    copies += kChunks;
  }
  const double seconds = static_cast<double>(now - start) / 1e9;
  return {{"bytes", bytes},
          {"pattern", "memcpy"},
          {"packets_per_s", static_cast<double>(copies) / seconds},
          {"gbit_per_s", static_cast<double>(copies) * bytes * 8 / seconds / 1e9}};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Packets per second through the soft NIC", "nmio_softnic_bench");
  Settings s;
  std::string json;
  unsigned rounds = 1;
  app.add_option("--duration", s.seconds, "seconds per point");
  app.add_option("--server-core", s.server_core, "receives; the figure is its own");
  app.add_option("--client-core", s.client_core, "sends");
  app.add_option("--burst", s.burst, "packets per call")
      ->check(CLI::Range(1U, LoopConfig::kMaxBurst));
  app.add_option("--in-flight", s.in_flight, "packets under way in the echo");
  app.add_option("--bytes", s.bytes, "frame lengths")->check(CLI::Range(60, 1514));
  app.add_option("--keys", s.keys, "more URI keys for both sides, as in &csum=verify");
  app.add_option("--rounds", rounds, "repetitions, interleaved");
  app.add_option("--json", json, "file for the results, - for standard output");
  return bench::run_program(app, argc, argv, [&] {
    nlohmann::json results = nlohmann::json::array();
    for (unsigned r = 0; r < rounds; ++r) {
      for (const unsigned bytes : s.bytes) {
        for (nlohmann::json j : {memcpy_ceiling(s, bytes), measure(s, bytes, Pattern::one_way),
                                 measure(s, bytes, Pattern::echo)}) {
          std::fprintf(stderr,
                       "%5u B %-8s %7.2f M packets/s %7.1f Gb/s  receive %5.1f ns  send %5.1f ns  "
                       "reap %5.1f ns\n",
                       bytes, j["pattern"].get<std::string>().c_str(),
                       j["packets_per_s"].get<double>() / 1e6, j["gbit_per_s"].get<double>(),
                       j.value("receive_ns", 0.0), j.value("send_ns", 0.0),
                       j.value("reap_ns", 0.0));
          results.push_back(std::move(j));
        }
      }
    }
    const nlohmann::json all = {
        {"schema", 1}, {"tool", "nmio_softnic_bench"}, {"results", results}};
    if (json == "-") {
      std::cout << all.dump() << std::endl;
    } else if (!json.empty()) {
      std::ofstream(json) << all.dump(2) << "\n";
    }
  });
}
