// SPDX-License-Identifier: Apache-2.0
// The XDP program by itself (BPF_PROG_TEST_RUN) beside the server: what it answers is what the
// server answers to the same frame, byte for byte where they stand on the wire; what it does not
// answer it leaves as it came.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "test_world.h"
#include "wire/checksum.h"
#include "xdp/layout.h"
#include "xdp/xdp_answers.h"

namespace stackrig::namestorm::testing {
namespace {

using Frame = std::vector<std::byte>;

constexpr std::size_t kIp = 14, kUdp = 34, kDns = 42;

std::size_t get16(const Frame& f, std::size_t at) {
  return std::to_integer<std::size_t>(f[at]) << 8 | std::to_integer<std::size_t>(f[at + 1]);
}
void set16(Frame& f, std::size_t at, std::size_t v) {
  f[at] = static_cast<std::byte>(v >> 8);
  f[at + 1] = static_cast<std::byte>(v);
}

/// Whether the UDP checksum of a whole, unfragmented frame without IP options is right.
bool udp_sum_is_right(const Frame& f) {
  const std::size_t length = get16(f, kUdp + 4);
  const std::uint8_t pseudo[4] = {0, 17, static_cast<std::uint8_t>(length >> 8),
                                  static_cast<std::uint8_t>(length)};
  return wire::fold(wire::sum(&f[kIp + 12], 8) + wire::sum(pseudo, 4) +
                    wire::sum(&f[kUdp], length)) == 0xffff;
}
bool ip_sum_is_right(const Frame& f) {
  return wire::fold(wire::sum(&f[kIp], 20)) == 0xffff;
}
void fix_ip_sum(Frame& f) {
  set16(f, kIp + 10, 0);
  const std::uint16_t sum = static_cast<std::uint16_t>(~wire::fold(wire::sum(&f[kIp], 20)));
  std::memcpy(&f[kIp + 10], &sum, 2);
}
Message message_in(const Frame& f) {
  const auto* p = reinterpret_cast<const std::uint8_t*>(f.data());
  return {p + kDns, p + kUdp + get16(f, kUdp + 4)};
}

std::string label(std::size_t bytes) {
  return std::string(bytes, 'L');
}

/// A name of `bytes` bytes in wire form, under example.com (13 bytes).
std::string name_of(std::size_t bytes) {
  const std::size_t left = bytes - 13;  // two labels and their length bytes
  return label(left / 2 - 1) + "." + label(left - left / 2 - 1) + ".example.com";
}

constexpr std::size_t kTxtAround = 13;  // of a tail: pointer, type, class, TTL, two lengths

std::shared_ptr<const dns::ZoneSet> boundary_zones() {
  std::string text = zone_text();
  for (const std::size_t n : {60U, 61U, 62U, 63U}) text += name_of(n) + ". A 192.0.2.1\n";
  for (const std::size_t n : {1U, 2U, 100U, 101U, 239U, 240U, 241U, 242U}) {
    if (n > kTxtAround)
      text += "tail" + std::to_string(n) + " TXT \"" + std::string(n - kTxtAround, 't') + "\"\n";
  }
  // Odd and even names before odd and even tails: the sums of the parts are placed by them.
  text += "odd TXT \"an odd text\"\nodd TXT \"even\"\nodder TXT \"an even text\"\n";
  const std::vector<dns::ZoneText> all = {
      {"example.com", text},
      {".", "@ 60 SOA a b 1 2 3 4 5\n@ 60 NS a\na 60 A 192.0.2.5\n"},
      {"signed",
       "$TTL 60\n@ SOA ns mail 1 1 1 1 60\n@ NS ns\n@ NSEC a NS SOA NSEC\na A 192.0.2.1\n"
       "a NSEC @ A\na RRSIG A 13 2 60 20300101000000 20200101000000 1 signed. AAAA\n"}};
  return dns::ZoneSet::parse(all);
}

class Xdp : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: it loads a BPF program";
    sockets_ = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "sockets", 4, 4, 64, nullptr);
    ASSERT_GE(sockets_, 0) << std::strerror(errno);
    program_ = std::make_unique<XdpAnswers>(config());
    world_ = std::make_unique<World<>>(WorldConfig{}, boundary_zones());
    program_->exchange(AnswersMap(table()));
  }
  void TearDown() override {
    if (sockets_ >= 0) ::close(sockets_);
  }

  [[nodiscard]] XdpConfig config() const {
    XdpConfig c;
    c.sockets_fd = sockets_;
    c.first_address = kServerIp.value;
    c.broadcast = 0x0a4dffff;
    c.mac = kServerMac;
    return c;
  }
  const dns::AnswerTable<dns::WireKey>& table() { return world_->publisher.current()->table; }

  /// The frame that brings `m`.
  Frame frame(const Message& m) {
    wire::UdpFrame f;
    f.ethernet.destination = kServerMac;
    std::copy(world_->client_port.mac().begin(), world_->client_port.mac().end(),
              f.ethernet.source.bytes.begin());
    f.ip = {.source = kClientIp, .destination = kServerIp, .protocol = wire::kProtocolUdp};
    f.udp = {.source_port = 4242, .destination_port = 53};
    const auto bytes = std::as_bytes(std::span(m));
    f.payload.assign(bytes.begin(), bytes.end());
    return f.emit();
  }

  /// The program's verdict on `f`, which becomes what it leaves.
  static std::uint32_t run(const XdpAnswers& program, Frame& f) {
    Frame out(4096);
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = f.data(), .data_out = out.data(),
                .data_size_in = static_cast<std::uint32_t>(f.size()),
                .data_size_out = static_cast<std::uint32_t>(out.size()), .repeat = 1);
    EXPECT_EQ(bpf_prog_test_run_opts(program.program_fd(), &options), 0) << std::strerror(errno);
    out.resize(options.data_size_out);
    f = std::move(out);
    return options.retval;
  }

  /// What the server sends for a frame, from and to the MAC addresses of the simulated wire:
  /// nothing where it does not answer.
  std::optional<wire::UdpFrame> served(Frame f) {
    std::copy(world_->server_port.mac().begin(), world_->server_port.mac().end(),
              reinterpret_cast<std::uint8_t*>(f.data()));
    std::copy(world_->client_port.mac().begin(), world_->client_port.mac().end(),
              reinterpret_cast<std::uint8_t*>(f.data()) + 6);
    EXPECT_TRUE(nmio::test::send_frame(world_->client_port.queue(0), f));
    world_->client_port.queue(0).reap();
    world_->run();
    if (world_->clients.answers.empty()) return {};
    auto answer = world_->clients.answers.front();
    world_->clients.answers.clear();
    return answer;
  }

  /// Whether the program answered `sent`; where it did, the answer is right.
  bool check(const Frame& sent) {
    Frame got = sent;
    const std::uint32_t verdict = run(*program_, got);
    if (verdict == XDP_PASS) {
      EXPECT_EQ(got, sent) << "what is handed on is untouched";
      return false;
    }
    EXPECT_EQ(verdict, std::uint32_t{XDP_TX});
    check_answer(sent, got);
    return true;
  }

  XdpAnswers& program() { return *program_; }
  World<>& world() { return *world_; }
  [[nodiscard]] int sockets() const { return sockets_; }

 private:
  static constexpr wire::MacAddress kServerMac{{2, 0, 0, 0, 0, 5}};

  void check_answer(const Frame& sent, const Frame& got) {
    const auto told = [&] { return ::testing::PrintToString(message_in(sent)); };
    ASSERT_EQ(got.size(), kUdp + get16(got, kUdp + 4)) << told();
    ASSERT_EQ(get16(got, kIp + 2), got.size() - kIp);
    ASSERT_TRUE(ip_sum_is_right(got));
    ASSERT_EQ(message_in(got), composed(world_->served(), message_in(sent))) << told();
    if (get16(sent, kUdp + 6) == 0) {
      ASSERT_EQ(get16(got, kUdp + 6), 0U) << "the client does without";
    } else {
      ASSERT_EQ(udp_sum_is_right(got), udp_sum_is_right(sent)) << told();
      if (!udp_sum_is_right(sent)) return;  // the client drops it; the server would have
    }
    const auto right = served(sent);
    ASSERT_TRUE(right) << "the server would not answer " << told();
    const auto answer = wire::UdpFrame::parse(got);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->payload, right->payload);
    EXPECT_EQ(answer->udp.source_port, right->udp.source_port);
    EXPECT_EQ(answer->udp.destination_port, right->udp.destination_port);
    EXPECT_EQ(answer->ethernet.source, kServerMac);
    EXPECT_TRUE(std::equal(&got[0], &got[6], &sent[6])) << "to who asked";
    EXPECT_TRUE(std::equal(&got[kIp], &got[kIp] + 20, ip_header(*right).begin()))
        << "the server's own header";
  }
  static Frame ip_header(const wire::UdpFrame& f) {
    const Frame whole = f.emit();
    return {&whole[kIp], &whole[kIp] + 20};
  }

  int sockets_ = -1;
  std::unique_ptr<XdpAnswers> program_;
  std::unique_ptr<World<>> world_;
};

TEST_F(Xdp, AnswersEveryQuestionOfTheTableThatFits) {
  std::size_t asked = 0, answered = 0;
  table().for_each([&](const dns::CutAnswer& cut) {
    const std::uint8_t* question = cut.payload() + dns::Header::kSize;
    const std::size_t tail = cut.length - dns::Header::kSize - cut.qname_len - 4U;
    const bool fits = cut.qname_len <= ANSWERS_MOST_NAME && tail <= ANSWERS_MOST_TAIL;
    for (const bool edns : {false, true}) {
      for (const bool upper : {false, true}) {
        Message m = query("", dns::type::kA, {.edns = edns});
        const Message opt(m.begin() + 17, m.end());
        m.resize(dns::Header::kSize);
        m.insert(m.end(), question, question + cut.qname_len + 4);
        if (upper) {
          std::transform(m.begin() + 12, m.end() - 4, m.begin() + 12,
                         [](int c) { return c >= 'a' && c <= 'z' ? c - 32 : c; });
        }
        m.insert(m.end(), opt.begin(), opt.end());
        ++asked;
        const bool did = check(frame(m));
        EXPECT_EQ(did, fits) << ::testing::PrintToString(m);
        answered += did ? 1 : 0;
      }
    }
  });
  EXPECT_GT(answered, 4 * 60U);
  EXPECT_LT(answered, asked);
  EXPECT_EQ(program().answers_sent(), answered);
}

TEST_F(Xdp, NamesAndTailsUpToTheirBounds) {
  for (const std::size_t n : {60U, 61U, 62U, 63U}) {
    EXPECT_EQ(check(frame(query(name_of(n), dns::type::kA))), n <= ANSWERS_MOST_NAME) << n;
    EXPECT_EQ(check(frame(query(name_of(n), dns::type::kA, {.edns = true}))),
              n <= ANSWERS_MOST_NAME);
  }
  for (const std::size_t n : {100U, 101U, 239U, 240U, 241U, 242U}) {
    const std::string name = "tail" + std::to_string(n) + ".example.com";
    EXPECT_EQ(check(frame(query(name, dns::type::kTxt))), n <= ANSWERS_MOST_TAIL) << n;
    EXPECT_EQ(check(frame(query(name, dns::type::kTxt, {.edns = true}))), n <= ANSWERS_MOST_TAIL);
  }
  EXPECT_TRUE(check(frame(query("", dns::type::kSoa)))) << "the root";
  EXPECT_TRUE(check(frame(query("", dns::type::kNs, {.edns = true}))));
  EXPECT_TRUE(check(frame(query("", dns::type::kA)))) << "NODATA";
  EXPECT_FALSE(check(frame(query("", dns::type::kMx))));
}

TEST_F(Xdp, EdnsAsItIsAskedFor) {
  for (const std::uint16_t size : {0U, 100U, 511U, 512U, 1232U, 4096U, 65535U})
    EXPECT_TRUE(check(
        frame(query("www.example.com", dns::type::kA, {.edns = true, .payload_size = size}))));
  EXPECT_FALSE(check(frame(query("a.signed", dns::type::kA, {.edns = true, .dnssec_ok = true}))));
  EXPECT_TRUE(check(frame(query("a.signed", dns::type::kA, {.edns = true}))));
  const Message m = query("www.example.com", dns::type::kA, {.edns = true});
  unsigned answered = 0;
  for (std::size_t at = m.size() - dns::kOptSize; at < m.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Message changed = m;
      changed[at] ^= static_cast<std::uint8_t>(1U << bit);
      answered += check(frame(changed)) ? 1 : 0;
    }
  }
  EXPECT_GE(answered, 16U) << "the payload size is not looked at";
  Message option = m;
  option.back() = 4;
  option.insert(option.end(), {0, 10, 0, 0});
  EXPECT_FALSE(check(frame(option)));
}

TEST_F(Xdp, EveryOpcodeFlagAndCount) {
  unsigned answered = 0;
  for (unsigned flags = 0; flags < 0x10000; flags += 0x10)
    answered += check(frame(query("www.example.com", dns::type::kA,
                                  {.flags = static_cast<std::uint16_t>(flags)})))
                    ? 1
                    : 0;
  EXPECT_EQ(answered, 0x800U / 0x10) << "opcode QUERY, no response";
  for (const bool edns : {false, true}) {
    for (std::size_t at = 4; at < dns::Header::kSize; ++at) {
      for (unsigned v = 0; v < 4; ++v) {
        Message m = query("www.example.com", dns::type::kA, {.edns = edns});
        m[at] = static_cast<std::uint8_t>(v);
        check(frame(m));
      }
    }
  }
}

TEST_F(Xdp, ChecksumsThatAreNotThereOrAreWrong) {
  for (const char* name : {"www.example.com", "host1.example.com", "odd.example.com"}) {
    for (const bool edns : {false, true}) {
      const std::uint16_t type = name[0] == 'o' ? dns::type::kTxt : dns::type::kA;
      Frame f = frame(query(name, type, {.edns = edns}));
      const std::size_t right = get16(f, kUdp + 6);
      set16(f, kUdp + 6, 0);
      EXPECT_TRUE(check(f));
      for (const std::size_t wrong : {right ^ 1U, right ^ 0x8000U, std::size_t{0xffff}}) {
        set16(f, kUdp + 6, wrong);
        EXPECT_TRUE(check(f)) << "wrong in the same way: the client drops it";
      }
    }
  }
  // Every checksum that an answer can have, those that are sent as 0xffff among them.
  for (unsigned id = 0; id < 0x10000; id += 3) {
    Message m = query("www.example.com", dns::type::kA);
    m[0] = static_cast<std::uint8_t>(id >> 8);
    m[1] = static_cast<std::uint8_t>(id);
    ASSERT_TRUE(check(frame(m)));
    if (::testing::Test::HasFailure()) return;
  }
}

TEST_F(Xdp, FramesWithMoreOrLessThanTheirQuestion) {
  for (const bool edns : {false, true}) {
    const Message m = query("www.example.com", dns::type::kA, {.edns = edns});
    for (std::size_t n = 1; n < 80; ++n) {  // an Ethernet device pads what is too short
      Frame padded = frame(m);
      padded.insert(padded.end(), n, std::byte{0xaa});
      EXPECT_TRUE(check(padded)) << n;
      Message trailing = m;
      trailing.insert(trailing.end(), n, 0);
      EXPECT_FALSE(check(frame(trailing))) << n;
    }
    for (std::size_t n = 0; n < m.size(); ++n)
      EXPECT_FALSE(check(frame(Message(m.begin(), m.begin() + static_cast<long>(n))))) << n;
    for (std::size_t n = kIp; n < kDns + m.size(); ++n) {
      Frame cut = frame(m);
      cut.resize(n);
      EXPECT_FALSE(check(cut)) << n;
    }
  }
}

TEST_F(Xdp, HeadersThatAreNotPlain) {
  const Frame plain = frame(query("www.example.com", dns::type::kA));
  ASSERT_TRUE(check(plain));
  Frame options = plain;
  options.insert(options.begin() + kUdp, 4, std::byte{1});
  options[kIp] = std::byte{0x46};
  set16(options, kIp + 2, get16(options, kIp + 2) + 4);
  set16(options, kIp + 10, 0);
  const auto sum = static_cast<std::uint16_t>(~wire::fold(wire::sum(&options[kIp], 24)));
  std::memcpy(&options[kIp + 10], &sum, 2);
  EXPECT_FALSE(check(options));

  const auto with = [&](std::size_t at, std::size_t v) {
    Frame f = plain;
    set16(f, at, v);
    if (at < kUdp) fix_ip_sum(f);
    return f;
  };
  EXPECT_FALSE(check(with(kIp + 6, 0x2000))) << "more fragments";
  EXPECT_FALSE(check(with(kIp + 6, 0x0001))) << "an offset";
  EXPECT_TRUE(check(with(kIp + 6, 0x4000))) << "DF";
  EXPECT_FALSE(check(with(kUdp, 0))) << "from port 0";
  EXPECT_FALSE(check(with(kUdp + 2, 54))) << "to another port";
  EXPECT_FALSE(check(with(kIp + 12, 0x7f00))) << "from 127.0.0.0/8";
  EXPECT_FALSE(check(with(kIp + 12, 0xe000))) << "from a multicast address";
  EXPECT_FALSE(check(with(kIp + 16, 0x0a4e))) << "to another address";
  Frame own = plain;
  std::copy_n(plain.begin() + kIp + 16, 4, own.begin() + kIp + 12);
  fix_ip_sum(own);
  EXPECT_FALSE(check(own)) << "from the server itself";
  Frame other_mac = plain;
  other_mac[5] ^= std::byte{1};
  EXPECT_FALSE(check(other_mac));
  Frame bad_sum = plain;
  bad_sum[kIp + 10] ^= std::byte{1};
  EXPECT_FALSE(check(bad_sum));
}

TEST_F(Xdp, MangledAndRandomFrames) {
  std::mt19937_64 random(1);
  unsigned answered = 0;
  const auto corpus = [&] {
    const char* names[] = {"www.example.com",   "odd.example.com",     "a.signed",
                           "host7.example.com", "nothing.example.com", ""};
    const std::uint16_t types[] = {dns::type::kA, dns::type::kTxt, dns::type::kSoa};
    return frame(query(names[random() % std::size(names)], types[random() % std::size(types)],
                       {.id = static_cast<std::uint16_t>(random()),
                        .edns = random() % 2 == 0,
                        .dnssec_ok = random() % 8 == 0}));
  };
  for (int i = 0; i < 20000 && !HasFailure(); ++i) {
    Frame f = corpus();
    const std::size_t from = random() % 2 == 0 ? kDns : 0;
    for (auto n = random() % 4; n != 0; --n)
      f[from + random() % (f.size() - from)] ^= static_cast<std::byte>(1U << random() % 8);
    if (random() % 4 == 0) fix_ip_sum(f);
    if (random() % 4 == 0) f.resize(std::max<std::size_t>(kIp, random() % (f.size() + 20)));
    answered += check(f) ? 1 : 0;
  }
  EXPECT_GT(answered, 1000U);
  for (int i = 0; i < 5000 && !HasFailure(); ++i) {
    Message m(random() % 200);
    for (std::uint8_t& b : m)
      b = static_cast<std::uint8_t>(random() % (random() % 2 == 0 ? 256 : 4));
    check(frame(m));
  }
}

TEST_F(Xdp, TheMapHasRoomForWhatFitsAndNoMore) {
  std::uint32_t asked_for = 0;
  const AnswersMap map(table(), [&](std::uint32_t entries) {
    asked_for = entries;
    return AnswersMap::create_in_kernel(entries);
  });
  EXPECT_EQ(asked_for, map.size());
  EXPECT_LT(map.size(), table().size()) << "long names and tails are not in it";
  EXPECT_EQ(map.left_out(), 0U);
}

TEST_F(Xdp, WhatTheKernelHasNoMemoryForIsTheServers) {
  ::testing::internal::CaptureStdout();
  const AnswersMap map(table(), [](std::uint32_t entries) {
    if (entries <= 20) return AnswersMap::create_in_kernel(entries);
    errno = ENOMEM;
    return -1;
  });
  const std::string log = ::testing::internal::GetCapturedStdout();
  EXPECT_GT(map.size(), 9U);
  EXPECT_LE(map.size(), 20U);
  EXPECT_EQ(map.size() + map.left_out(), AnswersMap(table()).size());
  EXPECT_NE(log.find("Cannot allocate memory"), std::string::npos) << log;
  program().exchange(map);
  std::size_t answered = 0;
  for (unsigned i = 0; i < 50; ++i)
    answered += check(frame(query("host" + std::to_string(i) + ".example.com", dns::type::kA)));
  EXPECT_LE(answered, map.size());
}

TEST_F(Xdp, WithoutAnyMapNothingOfAnEarlierEditionIsSent) {
  const Frame f = frame(query("www.example.com", dns::type::kA));
  ASSERT_TRUE(check(f));
  const AnswersMap none(table(), [](std::uint32_t) {
    errno = ENOMEM;
    return -1;
  });
  EXPECT_EQ(none.size(), 0U);
  program().exchange(none);
  EXPECT_FALSE(check(f));
  program().exchange(none);
  EXPECT_FALSE(check(f));
  program().exchange(AnswersMap(table()));
  EXPECT_TRUE(check(f));
}

TEST_F(Xdp, AllPortsAnswerFromOneMap) {
  XdpAnswers second(config());
  Frame a = frame(query("www.example.com", dns::type::kA)), b = a;
  EXPECT_EQ(run(second, a), std::uint32_t{XDP_PASS});
  const dns::AnswerTable<dns::WireKey> next(*zones(zone_text(2, "192.0.2.81")));
  {
    const AnswersMap map(next);
    program().exchange(map);
    second.exchange(map);
  }
  EXPECT_EQ(run(second, a), std::uint32_t{XDP_TX});
  EXPECT_EQ(run(program(), b), std::uint32_t{XDP_TX});
  EXPECT_EQ(a, b);
  EXPECT_EQ(a.back(), std::byte{81});
}

}  // namespace
}  // namespace stackrig::namestorm::testing
