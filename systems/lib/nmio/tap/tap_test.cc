// SPDX-License-Identifier: Apache-2.0
// tap ports towards the kernel of a namespace that the test makes: both directions, offloads,
// queues, and what is left when a process dies.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <csignal>
#include <functional>
#include <thread>

#include "nmio/clock.h"
#include "nmio/test_frames.h"
#include "nmio/test_rough.h"

namespace stackrig::nmio {
namespace {

using namespace test;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr Time kPatience = 10 * kSecond;
constexpr std::uint32_t kKernel = 0x0a580001;  // 10.88.0.1
constexpr std::uint32_t kOurs = 0x0a580002;
constexpr const char* kUri = "tap:tcw0?kernel=10.88.0.1/24&pages=plain";

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

int own_namespace() {
  return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

void run(const std::string& command) {
  if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

/// A namespace of its own for the test, without a name: gone with the process.
struct Tap : ::testing::Test {
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: it makes a network namespace and TAP devices";
    home = own_namespace();
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    run("ip link set lo up");
  }
  void TearDown() override {
    if (home < 0) return;
    setns(home, CLONE_NEWNET);
    close(home);
  }
  int home = -1;
};

/// The kernel's end as AF_PACKET shows it.
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
      if (Bytes(b.begin(), b.begin() + n) == wanted) return true;
    }
    return false;
  }
  int fd;
};

/// Until a frame with these bytes is received; the kernel's own chatter is looked over.
bool receives(Queue& q, const Bytes& wanted) {
  return until([&] {
    for (const Received& r : receive_all(q)) {
      if (r.bytes == wanted) return true;
    }
    return false;
  });
}

TEST_F(Tap, FramesOfEveryLengthPassWholeBothWays) {
  auto port = Port::open(kUri);
  const PacketSocket kernel("tcw0");
  Queue& q = port->queue(0);
  for (std::size_t payload = 0; payload <= 1472; payload += 16) {
    const Bytes f = make_frame({.payload = payload, .fill = static_cast<std::uint8_t>(payload)});
    ASSERT_TRUE(send_frame(q, f));
    ASSERT_TRUE(until([&] { return kernel.has(f); })) << payload;
    Bytes back = f;
    back[0] = std::byte{0x06};  // not what has just gone the other way
    kernel.send_frame(back);
    ASSERT_TRUE(receives(q, back)) << payload;
    q.reap();
  }
  EXPECT_EQ(q.memory().free_count(), q.memory().total_count());
  EXPECT_THAT(port->describe(), AllOf(HasSubstr("tap tcw0: 1 queues"), HasSubstr("tso on")));
}

TEST_F(Tap, APacketOfSeveralDescriptorsIsOneFrame) {
  auto port = Port::open(kUri);
  const PacketSocket kernel("tcw0");
  Queue& q = port->queue(0);
  const Bytes f = make_frame({.payload = 1000});
  TxPacket parts[3];
  const std::size_t cuts[] = {0, 14, 500, f.size()};
  for (unsigned i = 0; i < 3; ++i) {
    parts[i] = in_chunk(q.memory(), std::span(f).subspan(cuts[i], cuts[i + 1] - cuts[i]));
    if (i != 2) parts[i].flags = TxPacket::kMore;
  }
  ASSERT_EQ(q.put(parts), 3U);
  q.flush();
  EXPECT_TRUE(until([&] { return kernel.has(f); }));
  EXPECT_EQ(q.reap(), 3U);
}

Mac kernel_mac() {
  Mac mac{};
  const auto hex = [] {
    std::string text;
    FILE* p = popen("ip -o link show tcw0 | sed 's/.*ether //;s/ .*//'", "r");
    char b[64];
    if (fgets(b, sizeof b, p) != nullptr) text = b;
    pclose(p);
    return text;
  }();
  for (unsigned i = 0; i < 6; ++i)
    mac[i] = static_cast<std::uint8_t>(std::stoul(hex.substr(3 * i, 2), nullptr, 16));
  return mac;
}

/// The pseudo header's sum in the field, as a sender leaves it to a device.
void leave_checksum(Bytes& f, bool tcp) {
  Bytes pseudo(f.begin() + 26, f.begin() + 34);
  const std::size_t l4 = f.size() - 34;
  for (const std::size_t b : {std::size_t{0}, std::size_t{tcp ? 6U : 17U}, l4 >> 8, l4 & 0xff})
    pseudo.push_back(static_cast<std::byte>(b));
  const auto sum = static_cast<std::uint16_t>(~checksum_finish(checksum_add(0, pseudo)));
  std::memcpy(&f[tcp ? 50 : 40], &sum, 2);
}

TEST_F(Tap, AChecksumLeftToTheDeviceReachesTheKernelsSocket) {
  auto port = Port::open(kUri);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_port = htons(7777);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
  const FrameSpec spec{.destination = kernel_mac(),
                       .source_ip = kOurs,
                       .destination_ip = kKernel,
                       .destination_port = 7777,
                       .payload = 99};
  Bytes wrong = make_frame(spec);
  wrong[41] ^= std::byte{1};
  ASSERT_TRUE(send_frame(port->queue(0), wrong));
  Bytes left = make_frame(spec);
  leave_checksum(left, false);
  ASSERT_TRUE(send_frame(port->queue(0), left, TxPacket::kChecksum));
  pollfd got = {fd, POLLIN, 0};
  ASSERT_EQ(poll(&got, 1, static_cast<int>(kPatience / kMillisecond)), 1);
  Bytes datagram(200);
  EXPECT_EQ(recv(fd, datagram.data(), datagram.size(), 0), 99);
  EXPECT_EQ(recv(fd, datagram.data(), datagram.size(), MSG_DONTWAIT), -1) << "the wrong one too";
  close(fd);
}

TEST_F(Tap, ALargePacketEntersTheKernelWhole) {
  auto port = Port::open(kUri);
  const PacketSocket kernel("tcw0");
  Queue& q = port->queue(0);
  const Bytes f = make_frame({.source_ip = kOurs, .payload = 20000, .tcp = true});
  Bytes left = f;
  leave_checksum(left, true);
  std::vector<TxPacket> parts;
  for (std::size_t at = 0; at < left.size(); at += 2000) {
    const std::size_t n = std::min<std::size_t>(2000, left.size() - at);
    parts.push_back(in_chunk(q.memory(), std::span(left).subspan(at, n)));
    parts.back().flags = TxPacket::kMore;
  }
  parts.back().flags = 0;
  parts[0].flags |= TxPacket::kSegment;
  parts[0].segment_size = 1448;
  parts[0].l4_offset = 34;
  parts[0].header_len = 54;
  ASSERT_EQ(q.put(parts), parts.size());
  q.flush();
  EXPECT_TRUE(until([&] { return kernel.has(left); }));
  EXPECT_EQ(q.counters().tx_dropped, 0U);
}

TEST_F(Tap, TheKernelsChecksumsComeAsGood) {
  auto port = Port::open(kUri);
  run("ip neigh add 10.88.0.2 lladdr 02:00:00:00:00:02 dev tcw0");
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = htonl(kOurs);
  ASSERT_EQ(sendto(fd, "hello", 5, 0, reinterpret_cast<sockaddr*>(&to), sizeof to), 5);
  close(fd);
  EXPECT_TRUE(until([&] {
    for (const Received& r : receive_all(port->queue(0))) {
      L4Place place;
      if (find_l4(r.bytes, place) && get32(&r.bytes[30]) == kOurs && r.bytes[23] == std::byte{17})
        return (r.flags & RxPacket::kChecksumGood) != 0;
    }
    return false;
  }));
}

TEST_F(Tap, AFlowComesBackOnTheQueueThatItWentOutOn) {
  auto port = Port::open(std::string(kUri) + "&queues=3");
  run("ip neigh add 10.88.0.2 lladdr 02:00:00:00:00:02 dev tcw0");
  const Mac mac = kernel_mac();
  for (unsigned i = 0; i < 3; ++i) {
    const auto ours = static_cast<std::uint16_t>(1000 + i);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_port = htons(static_cast<std::uint16_t>(8000 + i));
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof here), 0);
    ASSERT_TRUE(send_frame(port->queue(i),
                           make_frame({.destination = mac,
                                       .source_ip = kOurs,
                                       .destination_ip = kKernel,
                                       .source_port = ours,
                                       .destination_port = static_cast<std::uint16_t>(8000 + i)})));
    pollfd got = {fd, POLLIN, 0};
    ASSERT_EQ(poll(&got, 1, static_cast<int>(kPatience / kMillisecond)), 1);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(ours);
    to.sin_addr.s_addr = htonl(kOurs);
    ASSERT_EQ(sendto(fd, "back", 4, 0, reinterpret_cast<sockaddr*>(&to), sizeof to), 4);
    close(fd);
    const auto is_it = [&](const Received& r) {
      return r.bytes.size() >= 42 && r.bytes[23] == std::byte{17} && get16(&r.bytes[36]) == ours;
    };
    EXPECT_TRUE(until([&] {
      const auto all = receive_all(port->queue(i));
      return std::any_of(all.begin(), all.end(), is_it);
    })) << "queue "
        << i;
  }
}

TEST_F(Tap, ASleeperIsWokenByAPacket) {
  auto port = Port::open(kUri);
  const PacketSocket kernel("tcw0");
  std::thread sleeper([&] {
    Queue& q = port->queue(0);
    const Bytes wanted = make_frame({});
    while (!receives(q, wanted)) q.wait(Clock::now(), Clock::now() + 100 * kSecond);
  });
  kernel.send_frame(make_frame({}));
  sleeper.join();
}

TEST_F(Tap, TheDeviceIsGoneWithTheProcessAlsoAfterSigkill) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto port = Port::open(kUri);
    (void)!write(ready[1], "x", 1);
    for (;;) pause();
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_NE(if_nametoindex("tcw0"), 0U);
  EXPECT_THAT(error_of([] { Port::open(kUri); }), HasSubstr("another process has it"));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(until([] { return if_nametoindex("tcw0") == 0; }));
  auto next = Port::open(kUri);
  EXPECT_NE(if_nametoindex("tcw0"), 0U);
  next.reset();
  EXPECT_TRUE(until([] { return if_nametoindex("tcw0") == 0; }));
  close(ready[0]);
  close(ready[1]);
}

TEST_F(Tap, ADeviceThatIsThereIsJoinedAndStays) {
  run("ip tuntap add dev tcw1 mode tap vnet_hdr && ip link set tcw1 mtu 9000");
  {
    auto port = Port::open("tap:tcw1?pages=plain");
    EXPECT_EQ(port->mtu(), 9000U);
    const PacketSocket kernel("tcw1");
    const Bytes f = make_frame({.payload = 8972});
    ASSERT_TRUE(send_frame(port->queue(0), f));
    EXPECT_TRUE(until([&] { return kernel.has(f); }));
  }
  EXPECT_NE(if_nametoindex("tcw1"), 0U);
}

TEST_F(Tap, SetUpErrorsSayWhatToDo) {
  const auto error = [](const std::string& uri) {
    return error_of([&] { Port::open("tap:" + uri); });
  };
  EXPECT_THAT(error("lo"), HasSubstr("choose another name"));
  EXPECT_THAT(error("a-name-that-is-too-long"), HasSubstr("at most 15 characters"));
  EXPECT_THAT(error("tcw0?kernel=10.0.0.1"), HasSubstr("as in 10.77.0.1/24"));
  EXPECT_THAT(error("tcw0?kernel=10.0.0.1/33"), HasSubstr("as in 10.77.0.1/24"));
  EXPECT_THAT(error("tcw0?lro=on&csum=off"), HasSubstr("lro=on needs csum=on"));
  EXPECT_THAT(error("tcw0?tos=on"), HasSubstr("did you mean 'tso'?"));
  EXPECT_THAT(error("tcw0?queues=65"), HasSubstr("from 1 to 64"));
  EXPECT_EQ(if_nametoindex("tcw0"), 0U) << "a refused port leaves nothing";
}

TEST_F(Tap, PacketsOfRandomSizesLoseNoBuffer) {
  auto port = Port::open(std::string(kUri) + "&ring=256&chunks=1024");
  Rough side(*port, 1);
  while (side.sent < 100'000) side.turn();
  while (!side.kept.empty()) side.let_go();
  Queue& q = port->queue(0);
  EXPECT_TRUE(until([&] {
    q.flush();
    receive_all(q);
    q.reap();
    return q.memory().free_count() == 1024;
  }));
  EXPECT_GT(q.counters().tx_packets, 50'000U) << "the test meant to send";
}

}  // namespace
}  // namespace stackrig::nmio
