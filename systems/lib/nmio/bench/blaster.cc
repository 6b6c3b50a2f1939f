// SPDX-License-Identifier: Apache-2.0
// nmio_blaster: keeps a number of UDP frames in flight towards an echo and counts what comes back.
#include <arpa/inet.h>

#include <algorithm>

#include "nmio/bench/options.h"
#include "nmio/port.h"
#include "nmio/test_frames.h"

namespace {

using namespace stackrig::nmio;

struct Settings {
  std::string uri;
  std::string target;
  std::string source = "10.99.9.9";
  unsigned in_flight = 128;
  unsigned bytes = 64;
  double warmup = 0.2;
};

std::uint32_t ipv4(const std::string& text) {
  in_addr a{};
  if (inet_pton(AF_INET, text.c_str(), &a) != 1)
    throw SetupError("'" + text + "' is no IPv4 address; give one as in 10.77.0.2");
  return ntohl(a.s_addr);
}

/// Sends as long as fewer than `in_flight` frames are out; frames that do not come back are missed
/// after a while of silence and sent anew.
class Blaster {
 public:
  static constexpr Time kSilence = 20 * kMillisecond;

  Blaster(Queue& queue, const Settings& s, std::span<const std::uint8_t, 6> own_mac)
      : queue_(queue), settings_(s) {
    test::FrameSpec spec;
    spec.destination.fill(0xff);  // whoever claims the address
    std::copy(own_mac.begin(), own_mac.end(), spec.source.begin());
    spec.source_ip = ipv4(s.source);
    spec.destination_ip = ipv4(s.target);
    spec.payload = s.bytes < 60 ? 18 : s.bytes - 42;
    frame_ = test::make_frame(spec);
  }

  void turn(Time now, unsigned burst) {
    RxPacket received[LoopConfig::kMaxBurst];
    const unsigned n = queue_.receive({received, burst});
    for (unsigned i = 0; i < n; ++i) queue_.memory().give_back(received[i].chunk);
    echoes += n;
    out_ -= std::min(out_, n);
    if (n != 0) {
      heard_at_ = now;
    } else if (out_ != 0 && now - heard_at_ > kSilence) {
      lost += out_;
      out_ = 0;
      heard_at_ = now;
    }
    send(std::min(settings_.in_flight - out_, burst));
    queue_.reap();
  }

  std::uint64_t echoes = 0;
  std::uint64_t lost = 0;

 private:
  void send(unsigned n) {
    TxPacket packets[LoopConfig::kMaxBurst];
    unsigned made = 0;
    for (; made < n; ++made) {
      const ChunkId c = queue_.memory().take();
      if (c == kNoChunk) break;
      std::memcpy(queue_.memory().data(c), frame_.data(), frame_.size());
      packets[made] = {.data = queue_.memory().data(c),
                       .len = static_cast<std::uint32_t>(frame_.size()),
                       .chunk = c};
    }
    if (made == 0) return;
    const unsigned taken = queue_.put({packets, made});
    for (unsigned i = taken; i < made; ++i) queue_.memory().give_back(packets[i].chunk);
    out_ += taken;
    queue_.flush();
  }

  Queue& queue_;
  const Settings& settings_;
  test::Bytes frame_;
  unsigned out_ = 0;
  Time heard_at_ = Clock::now();
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Keeps UDP frames in flight towards an echo", "nmio_blaster");
  bench::Options options;
  options.duration = 2;
  options.add_to(app);
  Settings s;
  app.add_option("--port", s.uri, "port URI")->required();
  app.add_option("--target", s.target, "IPv4 address of the echo")->required();
  app.add_option("--source", s.source, "own IPv4 address, the one that the port claims");
  app.add_option("--in-flight", s.in_flight, "frames")->check(CLI::Range(1, 4096));
  app.add_option("--bytes", s.bytes, "length of a frame")->check(CLI::Range(60, 1514));
  app.add_option("--warmup", s.warmup, "seconds before counting");
  return bench::run_program(app, argc, argv, [&] {
    auto port = Port::open(s.uri);
    std::cerr << port->describe() << "\n";
    Blaster blaster(port->queue(0), s, port->mac());
    options.duration += s.warmup;
    options.begin();
    const Time counted_from = Clock::now() + static_cast<Time>(s.warmup * 1e9);
    std::uint64_t before = 0;
    std::uint64_t lost_before = 0;
    Time start = Clock::now();
    bool counting = false;
    while (!bench::stop.load(std::memory_order_relaxed)) {
      const Time now = Clock::now();
      if (!counting && now >= counted_from) {
        counting = true;
        before = blaster.echoes;
        lost_before = blaster.lost;
        start = now;
      }
      blaster.turn(now, options.burst);
    }
    const double seconds = static_cast<double>(Clock::now() - start) / 1e9;
    const std::uint64_t echoes = blaster.echoes - before;
    options.report("{\"schema\":1,\"tool\":\"nmio_blaster\",\"port\":\"" + s.uri +
                   "\",\"in_flight\":" + std::to_string(s.in_flight) + ",\"bytes\":" +
                   std::to_string(s.bytes) + ",\"duration_s\":" + std::to_string(seconds) +
                   ",\"echoes\":" + std::to_string(echoes) +
                   ",\"lost\":" + std::to_string(blaster.lost - lost_before) +
                   ",\"echoes_per_s\":" + std::to_string(static_cast<double>(echoes) / seconds) +
                   ",\"counters\":" + bench::counters_json(port->queue(0).counters()) + "}");
  });
}
