// SPDX-License-Identifier: Apache-2.0
// A whole server, its clients and sinks on a simulated wire: the input is what clients say and how
// it is cut, and when who stops reading, goes on, ends or vanishes. What the echo sends is what it
// was sent, in whole buffers; what sinks get is whole messages, each of which was sent to that key,
// once where nobody vanished; and in the end nothing is left of anybody.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "echo/echo_service.h"
#include "forward/test_calls.h"
#include "test_world.h"

namespace {

using namespace stackrig;
using namespace stackrig::rtc;
using namespace stackrig::rtc::testing;

void require(bool held) {
  if (!held) std::abort();
}

/// Takes numbers off the input; zeros when it is used up.
class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const std::uint8_t b = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return b;
  }
  std::uint32_t word() {
    const std::uint32_t high = byte();
    return high << 8 | byte();
  }
  std::string bytes(std::size_t most) {
    std::string s;
    for (std::size_t n = byte() % (most + 1); n != 0 && !empty(); --n) {
      s.push_back(static_cast<char>(byte()));
    }
    return s;
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

WorldConfig small_world() {
  WorldConfig c;
  for (nmio::SimPortConfig* p : {&c.server_port, &c.client_port, &c.sink_port}) p->chunks = 512;
  for (tcpip::Config* t : {&c.tcp, &c.peers}) {
    t->max_connections = 16;
    t->max_backlog = 8;
    t->max_time_wait = 64;
    t->max_held_chunks = 64;
  }
  c.service.connections = 4;
  c.service.backends = 4;
  c.service.large_messages = 1;
  c.service.largest_message = 16384;
  c.service.backend_bytes = 20480;
  c.service.idle_timeout = 3600 * kSecond;
  c.service.connect_timeout = 3 * kSecond;
  c.pool = {.blocks = 48, .writes = 96};
  return c;
}

/// What both kinds of clients are made to do.
template <class S>
class Play {
 public:
  struct One {
    Client* client = nullptr;
    std::string sent;
    bool closed = false, vanished = false;
  };

  Play() : w_(small_world()) { ones_.reserve(3); }

  One& client(Input& in) {
    const std::size_t i = in.byte() % 3;
    if (i >= ones_.size()) {
      ones_.push_back({.client = &w_.connect()});
      return ones_.back();
    }
    return ones_[i];
  }
  /// Cut into writes, each a segment or more, with time between them or not.
  void say(One& one, const std::string& text, Input& in) {
    if (one.closed || one.vanished || one.client->gone()) return;
    one.sent += text;
    for (std::size_t at = 0; at < text.size();) {
      const std::uint32_t step = in.word();
      const std::size_t n = 1 + step % (step % 3 == 0 ? 2000 : 16);
      one.client->send(text.substr(at, n));
      at += n;
      if (step % 5 == 0) w_.run(kMillisecond);
    }
  }
  void act(One& one, Input& in) {
    if (one.client->gone()) return;
    switch (in.byte() % 6) {
      case 0:
        one.client->stop_reading();
        break;
      case 1:
        one.client->read_again();
        break;
      case 2:
        one.closed = true;
        one.client->close();
        break;
      case 3:
        one.vanished = true;
        one.client->abort();
        break;
      default:
        w_.run(Time{in.word()} * kMillisecond);
        break;
    }
  }
  void end() {
    for (One& o : ones_) {
      if (!o.client->gone()) o.client->read_again();
    }
    w_.run(100 * kSecond);
    for (One& o : ones_) {
      if (!o.client->gone()) o.client->close();
    }
    w_.run(100 * kSecond);
  }

  World<S> w_;
  std::vector<One> ones_;
};

void fuzz_echo(Input& in) {
  Play<EchoService> p;
  while (!in.empty()) {
    auto& one = p.client(in);
    const std::uint8_t what = in.byte();
    if (what % 4 == 0) {
      p.act(one, in);
      continue;
    }
    if (one.sent.empty() && what % 16 != 1) {
      const std::uint32_t size = in.word() % (what % 3 == 0 ? 20000 : 100);
      const auto word = stackrig::echo::size_word(size);
      p.say(one, {reinterpret_cast<const char*>(word.data()), word.size()}, in);
    } else {
      p.say(one, what % 16 == 5 ? pattern(in.word() % 20000, what) : in.bytes(200), in);
    }
  }
  p.end();
  for (auto& one : p.ones_) {
    const std::string got = one.client->received();
    stackrig::echo::SizeReader size;
    std::span<const std::byte> rest = std::as_bytes(std::span(one.sent));
    using State = stackrig::echo::SizeReader::State;
    if (rest.empty() || size.take(rest) != State::known) {
      require(got.empty());
      continue;
    }
    const std::size_t whole = rest.size() / size.size() * size.size();
    require(got.size() <= whole && one.sent.compare(4, got.size(), got) == 0);
    const auto& c = p.w_.service->counters();
    if (!one.vanished && c.no_memory + c.timed_out == 0) require(got.size() == whole);
  }
  p.w_.expect_all_home();
}

constexpr unsigned kSinks = 2;

std::string something_to_say(Input& in, bool& calls) {
  const std::uint8_t what = in.byte();
  if (what < 24) return in.bytes(60);
  std::string m;
  if (what < 32) {
    m = call(what % 2 == 0 ? "some" : "other", what, what % 3 == 0);
  } else if (what < 40) {
    calls = true;
    m = what % 4 == 0 ? close_call(what)
                      : connect_call(in.byte() % 4, what % 4 == 1 ? "10.77.9.9" : kSinkHost,
                                     5000 + in.byte() % 3, what);
  } else {
    const std::size_t size = what % 8 == 0 ? in.word() % 16400 : in.byte();
    m = msg(in.byte() % 3, pattern(size, what), what);
  }
  if (what % 16 == 9) {
    m[in.word() % m.size()] ^= static_cast<char>(in.byte());
    calls = calls || m.find("connect") != std::string::npos || m.find("close") != std::string::npos;
  }
  return m;
}

void fuzz_forward(Input& in) {
  Play<ForwardService> p;
  std::vector<Sink*> sinks;
  Client& control = connect_sinks(p.w_, kSinks, &sinks);
  control.close();
  p.w_.run(kSecond);
  bool calls = false, sink_died = false;
  while (!in.empty()) {
    const std::uint8_t what = in.byte();
    if (what % 8 == 0) {
      const unsigned k = what / 8 % kSinks;
      if (sinks[k]->connections() == 0 || sinks[k]->at(0).tcb == nullptr) continue;
      if (what / 16 % 4 == 0) sinks[k]->stop_reading();
      if (what / 16 % 4 == 1) sinks[k]->read_again();
      if (what / 16 == 15) {
        sink_died = true;
        sinks[k]->abort();
      }
      continue;
    }
    auto& one = p.client(in);
    if (what % 8 == 1) {
      p.act(one, in);
    } else {
      p.say(one, something_to_say(in, calls), in);
    }
  }
  for (Sink* s : sinks) {
    for (std::size_t i = 0; i < s->connections(); ++i) {
      if (s->at(i).tcb != nullptr) s->read_again(i);
    }
  }
  p.end();
  const bool all_is_known =
      !calls && !sink_died &&
      p.w_.service->counters().timed_out + p.w_.service->counters().no_memory == 0;
  // What was sent to each key.
  std::map<std::int32_t, std::multiset<std::string>> wanted;
  bool all_arrives = all_is_known;
  for (const auto& one : p.ones_) {
    std::string_view rest = one.sent;
    all_arrives = all_arrives && !one.vanished;
    while (!rest.empty()) {
      const auto m = thrift::next(std::as_bytes(std::span(rest)), {.message = 16384});
      if (m.status != thrift::Status::message) break;
      if (m.kind == thrift::Kind::msg) wanted[m.key].emplace(rest.substr(0, m.length));
      rest = rest.substr(m.length);
    }
  }
  for (unsigned k = 0; k < kSinks; ++k) {
    for (std::size_t i = 0; i < sinks[k]->connections(); ++i) {
      std::string_view rest = sinks[k]->received(i);
      while (!rest.empty()) {
        const auto m = thrift::next(std::as_bytes(std::span(rest)));
        if (sink_died && m.status == thrift::Status::partial) break;
        require(m.status == thrift::Status::message);
        const std::int32_t key = calls ? m.key : static_cast<std::int32_t>(k);
        const auto at = wanted[key].find(std::string(rest.substr(0, m.length)));
        require(at != wanted[key].end());
        wanted[key].erase(at);
        rest = rest.substr(m.length);
      }
    }
    if (all_arrives) require(wanted[static_cast<std::int32_t>(k)].empty());
  }
  Client& last = p.w_.connect();
  last.send(close_call());
  p.w_.run(100 * kSecond);
  last.close();
  p.w_.run(100 * kSecond);
  require(p.w_.service->backends_used() == 0);
  require(p.w_.service->free_large_buffers() == 1);
  p.w_.expect_all_home();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  GTEST_FLAG_SET(break_on_failure, true);  // EXPECT_ in what is shared with the tests
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in({data, std::min<std::size_t>(size, 2000)});
  if (in.byte() % 2 == 0) {
    fuzz_echo(in);
  } else {
    fuzz_forward(in);
  }
  return 0;
}
