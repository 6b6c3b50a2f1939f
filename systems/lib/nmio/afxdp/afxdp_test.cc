// SPDX-License-Identifier: Apache-2.0
// afxdp ports over a veth pair between namespaces that the tests make.
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <numeric>
#include <thread>

#include "nmio/afxdp/test_wire.h"
#include "nmio/clock.h"
#include "nmio/test_frames.h"
#include "nmio/test_rough.h"

namespace stackrig::nmio {
namespace {

using namespace test;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr Time kPatience =
    10 * kSecond;  // for what takes microseconds: only a failure waits so long

template <class Done>
bool until(Done done) {
  for (const Time end = Clock::monotonic() + kPatience; Clock::monotonic() < end;) {
    if (done()) return true;
  }
  return false;
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const SetupError& e) {
    return e.what();
  }
  return "no error";
}

Mac mac_of(const Port& p) {
  Mac m;
  std::copy(p.mac().begin(), p.mac().end(), m.begin());
  return m;
}

TEST(AfxdpUri, SetUpErrorsSayWhatToDo) {
  const auto error = [](const char* uri) { return error_of([uri] { Port::open(uri); }); };
  EXPECT_THAT(error("afxdp:lo"), HasSubstr("add address=A.B.C.D"));
  EXPECT_THAT(error("afxdp:l0?address=10.0.0.1"),
              AllOf(HasSubstr("no such interface"), HasSubstr("did you mean 'lo'?")));
  EXPECT_THAT(error("afxdp:lo?address=10.0.0.1"), HasSubstr("is no Ethernet interface"));
  EXPECT_THAT(error("afxdp:lo?adress=10.0.0.1"), HasSubstr("did you mean 'address'?"));
  EXPECT_THAT(error("afxdp:lo?address=10.0.0.1&mode=nativ"), HasSubstr("did you mean 'native'?"));
  EXPECT_THAT(error("afxdp:lo?address=10.0.0.300"), HasSubstr("give an IPv4 address"));
  EXPECT_THAT(error("afxdp:lo?address=10.0.0.1&queues=65"), HasSubstr("from 1 to 64"));
}

struct Afxdp : ::testing::Test {
  void SetUp() override {
    SKIP_UNLESS_ROOT();
    make_wire();
  }
  void make_wire(unsigned queues = 1, unsigned mtu = 1500) {
    wire = std::make_unique<VethWire>(queues, mtu);
  }
  std::string open_error(const std::string& keys) {
    return error_of([&] { wire->open_a(keys); });
  }
  std::unique_ptr<VethWire> wire;
};

/// An AF_PACKET socket on an interface: what the kernel's stack would get.
struct PacketSocket {
  explicit PacketSocket(const char* name)
      : fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL))) {
    sockaddr_ll a{};
    a.sll_family = AF_PACKET;
    a.sll_protocol = htons(ETH_P_ALL);
    a.sll_ifindex = static_cast<int>(if_nametoindex(name));
    if (bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) abort();
  }
  ~PacketSocket() { close(fd); }
  void send_frame(const Bytes& f) const {
    ASSERT_EQ(send(fd, f.data(), f.size(), 0), static_cast<ssize_t>(f.size()));
  }
  /// True where exactly these bytes have come in (the kernel's own chatter is looked over).
  bool has(const Bytes& wanted) const {
    Bytes b(70'000);
    for (ssize_t n = 0; (n = recv(fd, b.data(), b.size(), MSG_DONTWAIT)) > 0;) {
      if (static_cast<std::size_t>(n) == wanted.size() &&
          std::equal(wanted.begin(), wanted.end(), b.begin()))
        return true;
    }
    return false;
  }
  int fd;
};

Bytes arp(std::uint16_t operation, std::uint32_t target, const Mac& destination) {
  Bytes f(60);
  std::memcpy(f.data(), destination.data(), 6);
  f[6] = std::byte{2};
  put16(&f[12], 0x0806);
  put16(&f[14], 1);
  put16(&f[16], 0x0800);
  f[18] = std::byte{6};
  f[19] = std::byte{4};
  put16(&f[20], operation);
  put32(&f[28], 0x0a630002);
  put32(&f[38], target);
  return f;
}

Bytes with_type(Bytes f, std::uint16_t ethertype) {
  put16(&f[12], ethertype);
  return f;
}

/// 802.1Q tag before the frame's type.
Bytes with_vlan(const Bytes& f) {
  Bytes v(f.begin(), f.begin() + 12);
  for (const int b : {0x81, 0x00, 0x00, 0x05}) v.push_back(static_cast<std::byte>(b));
  v.insert(v.end(), f.begin() + 12, f.end());
  return v;
}

struct Modes : Afxdp, ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Each, Modes, ::testing::Values("native", "generic"));

TEST_P(Modes, OnlyFramesForThePortsOwnAddressesAreTaken) {
  auto port = wire->open_a(std::string("address=10.99.0.10&addresses=3&mode=") + GetParam());
  const PacketSocket kernel = wire->in_a([] { return PacketSocket("va"); });
  const PacketSocket peer = wire->in_b([] { return PacketSocket("vb"); });
  const Mac mac = mac_of(*port);
  const Mac everyone = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  const auto ip = [&](std::uint32_t to, bool tcp = false) {
    return make_frame({.destination = mac, .destination_ip = to, .tcp = tcp});
  };
  constexpr std::uint32_t kOurs = 0x0a63000a;
  Bytes cut_short = ip(kOurs);
  cut_short.resize(30);
  const std::vector<std::pair<const char*, Bytes>> ours = {
      {"UDP to the first address", ip(kOurs)},
      {"TCP to the last address", ip(kOurs + 2, true)},
      {"ARP request for ours", arp(1, kOurs + 1, everyone)},
      {"ARP reply to ours", arp(2, kOurs, mac)},
  };
  const std::vector<std::pair<const char*, Bytes>> kernels = {
      {"the kernel's address", ip(0x0a630001)},
      {"the address below", ip(kOurs - 1)},
      {"the address above", ip(kOurs + 3)},
      {"broadcast", ip(0x0a6300ff)},
      {"ARP request for another", arp(1, 0x0a630001, everyone)},
      {"ARP reply to another", arp(2, 0x0a630001, mac)},
      {"IPv6", with_type(ip(kOurs), 0x86dd)},
      {"VLAN", with_vlan(ip(kOurs))},
      {"an unknown type", with_type(ip(kOurs), 0x88b5)},
      {"a frame too short for IPv4", cut_short},
  };
  for (const auto& [what, frame] : ours) {
    peer.send_frame(frame);
    std::vector<Received> got;
    EXPECT_TRUE(until([&] { return !(got = receive_all(port->queue(0))).empty(); })) << what;
    ASSERT_EQ(got.size(), 1U) << what;
    EXPECT_EQ(got[0].bytes, frame) << what;
    EXPECT_FALSE(kernel.has(frame)) << what;
  }
  for (const auto& [what, frame] : kernels) {
    peer.send_frame(frame);
    // AF_PACKET strips the VLAN tag into metadata: that frame is known by what is left.
    const Bytes seen = with_vlan(ip(kOurs)) == frame ? ip(kOurs) : frame;
    EXPECT_TRUE(until([&] { return kernel.has(seen); })) << what;
    EXPECT_TRUE(receive_all(port->queue(0)).empty()) << what;
  }
}

TEST_P(Modes, TakeAllIsGivenWhateverIsIpv4OrArp) {
  auto port = wire->open_a(std::string("take=all&mode=") + GetParam());
  const PacketSocket peer = wire->in_b([] { return PacketSocket("vb"); });
  const Mac elsewhere = {2, 9, 9, 9, 9, 9};
  for (const Bytes& frame :
       {make_frame({.destination = elsewhere, .destination_ip = 0x01020304}),
        make_frame({.destination = elsewhere, .destination_ip = 0xdfffffff, .tcp = true}),
        arp(1, 0x01020304, elsewhere)}) {
    peer.send_frame(frame);
    bool got = false;
    EXPECT_TRUE(until([&] {
      for (const Received& r : receive_all(port->queue(0))) got = got || r.bytes == frame;
      return got;
    }));
  }
}

TEST_F(Afxdp, OneThreadWaitsForSeveralQueues) {
  const auto a = wire->open_a("address=10.0.0.2");
  const auto b = wire->open_b("address=10.0.0.2");
  std::thread sleeper([&] {
    const std::array<Queue*, 2> both = {&a->queue(0), &b->queue(0)};
    RxPacket burst[1];
    while (both[0]->receive(burst) + both[1]->receive(burst) == 0)
      wait_any(both, Clock::now(), Clock::now() + 100 * kSecond);
  });
  const PacketSocket sender = wire->in_a([] { return PacketSocket("va"); });
  sender.send_frame(make_frame({}));
  sleeper.join();
}

/// One ICMP echo through the kernel's stacks; true where the answer comes.
bool ping(std::uint32_t address) {
  const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(address);
  Bytes echo(16);
  echo[0] = std::byte{8};
  const std::uint16_t sum = checksum_finish(checksum_add(0, echo));
  std::memcpy(&echo[2], &sum, 2);
  sendto(fd, echo.data(), echo.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
  pollfd p = {fd, POLLIN, 0};
  const bool answered = poll(&p, 1, static_cast<int>(kPatience / kMillisecond)) == 1;
  close(fd);
  return answered;
}

TEST_P(Modes, TheKernelAnswersForItsOwnAddressMeanwhile) {
  auto port = wire->open_a(std::string("address=10.99.0.10&mode=") + GetParam());
  EXPECT_TRUE(wire->in_b([] { return ping(0x0a630001); }));
}

unsigned program_on(VethWire& wire, const char* name) {
  return wire.in_a([name] {
    unsigned id = 0;
    bpf_xdp_query_id(static_cast<int>(if_nametoindex(name)), 0, &id);
    return id;
  });
}

TEST_P(Modes, TheProgramIsGoneWithTheProcessAlsoAfterSigkill) {
  const std::string keys = std::string("address=10.99.0.10&mode=") + GetParam();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto port = wire->open_a(keys);
    (void)!write(ready[1], "x", 1);
    for (;;) pause();
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_NE(program_on(*wire, "va"), 0U);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(until([&] { return program_on(*wire, "va") == 0; }));
  EXPECT_TRUE(wire->in_b([] { return ping(0x0a630001); }));
  auto next = wire->open_a(keys);  // and its queue can be had again
  EXPECT_NE(program_on(*wire, "va"), 0U);
  next.reset();
  EXPECT_EQ(program_on(*wire, "va"), 0U);
  close(ready[0]);
  close(ready[1]);
}

TEST_F(Afxdp, TroubleWithTheInterfaceIsNamed) {
  EXPECT_THAT(open_error("address=10.99.0.10&queues=2"),
              HasSubstr("the interface has 1 receive queues and the port 2"));
  EXPECT_THAT(error_of([&] { wire->in_a([] { Port::open("afxdp:vaa?address=10.99.0.10"); }); }),
              HasSubstr("did you mean 'va'?"));
  EXPECT_THAT(open_error("address=10.99.0.10&zerocopy=on"), HasSubstr("zerocopy=off"));
  auto first = wire->open_a("address=10.99.0.10");
  EXPECT_THAT(open_error("address=10.99.0.11"), HasSubstr("ip link set dev va xdp off"));
  first.reset();
  wire->in_a([] { VethWire::run("ip link set va down"); });
  EXPECT_THAT(open_error("address=10.99.0.10"), HasSubstr("ip link set va up"));
}

/// A port at either end. Frames of make_frame() go to 10.0.0.2, which both claim.
struct BothEnds {
  BothEnds(VethWire& wire, const std::string& keys)
      : a(wire.open_a("address=10.0.0.2" + keys)), b(wire.open_b("address=10.0.0.2" + keys)) {}
  std::unique_ptr<Port> a;
  std::unique_ptr<Port> b;
};

std::vector<Received> receive_some(Queue& q, std::size_t wanted) {
  std::vector<Received> all;
  until([&] {
    for (Received& r : receive_all(q)) all.push_back(std::move(r));
    return all.size() >= wanted;
  });
  return all;
}

TEST_P(Modes, FramesOfEveryLengthArriveWhole) {
  BothEnds ends(*wire, std::string("&mode=") + GetParam());
  Queue& q = ends.a->queue(0);
  for (std::size_t payload = 0; payload <= 1472; payload += 3) {
    const Bytes f = make_frame({.payload = payload, .fill = static_cast<std::uint8_t>(payload)});
    ASSERT_TRUE(send_frame(q, f));
    const auto got = receive_some(ends.b->queue(0), 1);
    ASSERT_EQ(got.size(), 1U);
    ASSERT_EQ(got[0].bytes, f);
    q.reap();
  }
  EXPECT_THAT(ends.a->describe(), AllOf(HasSubstr("afxdp va: 1 queues"),
                                        HasSubstr(std::string(GetParam()) + " mode, copy")));
}

TEST_F(Afxdp, EachQueueArrivesOnItsOwn) {
  make_wire(3);
  BothEnds ends(*wire, "&queues=3&chunks=4096");
  for (unsigned i = 0; i < 3; ++i) {
    const Bytes f = make_frame({.fill = static_cast<std::uint8_t>(i)});
    ASSERT_TRUE(send_frame(ends.a->queue(i), f));
    const auto got = receive_some(ends.b->queue(i), 1);
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].bytes, f);
  }
}

TEST_F(Afxdp, JumboFramesPassInPieces) {
  make_wire(1, 9000);
  BothEnds ends(*wire, "&chunks=4096");
  const Bytes f = make_frame({.payload = 8972});
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(send_frame(ends.a->queue(0), f));
    const auto got = receive_some(ends.b->queue(0), 1);
    ASSERT_EQ(got.size(), 1U);
    ASSERT_EQ(got[0].bytes, f);
    ends.a->queue(0).reap();
  }
  for (Port* port : {ends.a.get(), ends.b.get()}) {
    Queue& q = port->queue(0);
    EXPECT_TRUE(until([&] {
      q.reap();
      q.wait(Clock::now(), Clock::now() + kMicrosecond);  // fills the fill ring up
      return q.memory().free_count() + 2048 == q.memory().total_count();
    })) << port->describe();
  }
}

TEST_F(Afxdp, ApplicationMemoryIsSentByReferenceOverTheEndsOfChunks) {
  BothEnds ends(*wire, "");
  Queue& q = ends.a->queue(0);
  PacketMemory& m = q.memory();
  const ChunkId first = m.reserve_contiguous(4);
  Bytes content(8192);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::byte>(i / 7);
  std::memcpy(m.data(first), content.data(), content.size());
  const Bytes header = make_frame({.payload = 0});
  for (int round = 0; round < 50; ++round) {
    // 1000 bytes over the first border, then exactly from the second one on.
    const std::pair<std::size_t, std::uint32_t> pieces[] = {{1500, 1000}, {4096, 400}};
    for (const auto& [at, len] : pieces) {
      const ChunkId chunk = m.chunk_of(m.data(first) + at);
      m.add_in_flight(chunk);
      TxPacket parts[2] = {in_chunk(m, header),
                           {.data = m.data(first) + at, .len = len, .chunk = chunk}};
      parts[0].flags = TxPacket::kMore;
      ASSERT_EQ(q.put(parts), 2U);
      q.flush();
      const auto got = receive_some(ends.b->queue(0), 1);
      ASSERT_EQ(got.size(), 1U);
      const auto from = content.begin() + static_cast<std::ptrdiff_t>(at);
      EXPECT_EQ(Bytes(got[0].bytes.begin() + 42, got[0].bytes.end()), Bytes(from, from + len));
    }
  }
  const auto in_flight = [&] {
    q.reap();
    return std::accumulate(&first, &first + 1, 0U, [&](unsigned, ChunkId) {
      unsigned n = 0;
      for (unsigned i = 0; i < 4; ++i) n += m.in_flight(first + i);
      return n;
    });
  };
  EXPECT_TRUE(until([&] { return in_flight() == 0; }));
  EXPECT_EQ(m.free_count() + 2048, m.total_count());
}

TEST_F(Afxdp, ASleeperIsWokenByAPacket) {
  BothEnds ends(*wire, "");
  std::thread sleeper([&] {
    RxPacket burst[1];
    Queue& q = ends.b->queue(0);
    while (q.receive(burst) == 0) q.wait(Clock::now(), Clock::now() + 100 * kSecond);
    q.memory().give_back(burst[0].chunk);
  });
  send_frame(ends.a->queue(0), make_frame({}));
  sleeper.join();
}

TEST_F(Afxdp, AQueueThatRunsOutOfBuffersCountsWhatIsLost) {
  BothEnds ends(*wire, "&ring=64&chunks=128");
  Queue& to = ends.b->queue(0);
  std::vector<ChunkId> kept;
  const auto lost = [&] {
    for (int i = 0; i < 32; ++i) send_frame(ends.a->queue(0), make_frame({}));
    ends.a->queue(0).reap();
    RxPacket burst[64];
    const unsigned n = to.receive(burst);
    for (unsigned i = 0; i < n; ++i) kept.push_back(burst[i].chunk);
    to.wait(Clock::now(), Clock::now() + kMicrosecond);  // looks at the kernel's counters
    return to.counters().rx_dropped != 0;
  };
  EXPECT_TRUE(until(lost));
  EXPECT_EQ(kept.size(), 128U);
  for (const ChunkId c : kept) to.memory().give_back(c);
  EXPECT_TRUE(until([&] {
    send_frame(ends.a->queue(0), make_frame({}));
    ends.a->queue(0).reap();
    return !receive_all(to).empty();
  })) << "it goes on once there are buffers again";
}

TEST_F(Afxdp, ChecksumsLeftToTheDeviceReachTheKernelsSocket) {
  std::unique_ptr<Port> port;
  try {
    port = wire->open_a("address=10.99.0.10&csum=offload");
  } catch (const SetupError& e) {
    GTEST_SKIP() << "this kernel has no transmit metadata: " << e.what();
  }
  EXPECT_TRUE(port->queue(0).offload().tx_checksum);
  const int fd = wire->in_b([] {
    const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = htons(7777);
    if (bind(s, reinterpret_cast<sockaddr*>(&any), sizeof any) != 0) abort();
    return s;
  });
  Mac vb{};
  wire->in_b([&] {
    auto probe = Port::open("afxdp:vb?address=10.99.0.77");
    vb = mac_of(*probe);
  });
  Bytes f = make_frame({.destination = vb,
                        .source_ip = 0x0a63000a,
                        .destination_ip = 0x0a630002,
                        .destination_port = 7777,
                        .payload = 99});
  // The field holds the pseudo header's sum: addresses, protocol, length.
  Bytes pseudo(f.begin() + 26, f.begin() + 34);
  for (const int b : {0, 17, 0, 107}) pseudo.push_back(static_cast<std::byte>(b));
  const auto sum = static_cast<std::uint16_t>(~checksum_finish(checksum_add(0, pseudo)));
  std::memcpy(&f[40], &sum, 2);
  Queue& q = port->queue(0);
  TxPacket p = in_chunk(q.memory(), Bytes(64));
  std::byte* data = q.memory().data(p.chunk) + 64;  // room before it for the metadata
  std::memcpy(data, f.data(), f.size());
  p = {.data = data,
       .len = static_cast<std::uint32_t>(f.size()),
       .chunk = p.chunk,
       .flags = TxPacket::kChecksum,
       .l4_offset = 34};
  ASSERT_EQ(q.put({&p, 1}), 1U);
  q.flush();
  pollfd got = {fd, POLLIN, 0};
  ASSERT_EQ(poll(&got, 1, static_cast<int>(kPatience / kMillisecond)), 1);
  Bytes datagram(200);
  ASSERT_EQ(recv(fd, datagram.data(), datagram.size(), 0), 99);
  close(fd);
}

TEST_P(Modes, AMillionPacketsOfRandomSizesLoseNoBuffer) {
  BothEnds ends(*wire, std::string("&ring=256&chunks=1024&mode=") + GetParam());
  Rough a(*ends.a, 1);
  Rough b(*ends.b, 2);
  while (a.sent + b.sent < 1'000'000) {
    a.turn();
    b.turn();
  }
  for (Rough* side : {&a, &b}) {
    while (!side->kept.empty()) side->let_go();
  }
  const auto settled = [&] {
    bool all = true;
    for (Rough* side : {&a, &b}) {
      Queue& q = side->port.queue(0);
      q.flush();
      receive_all(q);
      q.reap();
      q.wait(Clock::now(), Clock::now() + kMicrosecond);  // fills the fill ring up
      all = all && q.memory().free_count() == 1024 - 256;
    }
    return all;
  };
  EXPECT_TRUE(until(settled)) << ends.a->queue(0).memory().free_count() << " and "
                              << ends.b->queue(0).memory().free_count() << " of " << 1024 - 256;
  EXPECT_GT(a.port.queue(0).counters().tx_dropped, 1000U) << "the test meant to drop packets";
  EXPECT_GT(a.port.queue(0).counters().rx_packets, 100'000U);
}

}  // namespace
}  // namespace stackrig::nmio
