// SPDX-License-Identifier: Apache-2.0
// From the text of a script to its steps.
#include <fstream>
#include <sstream>

#include "tcpip/script/words.h"
#include "wire/icmp.h"
#include "wire/tcp.h"

namespace stackrig::tcpip::script {
namespace {

using What = Call::What;

class Parser {
 public:
  explicit Parser(const std::string& file) { script_.file = file; }

  void line(int number, const std::string& text) {
    Words words(script_.file, number, text);
    if (words.empty()) return;
    if (!header(words)) step(number, text, words);
  }

  Script finish() {
    const auto refuse = [&](const std::string& cause) {
      throw ScriptError(script_.file + ":1: " + cause);
    };
    if (script_.title.empty()) refuse("a script begins with 'title' and what it shows");
    if (script_.rfc.empty()) refuse("a script says 'rfc' and the section that it is about");
    if (script_.steps.empty()) refuse("a script without a step");
    return std::move(script_);
  }

 private:
  bool header(Words& words) {
    std::string* text = nullptr;
    if (words.took("title")) {
      text = &script_.title;
    } else if (words.took("rfc")) {
      text = &script_.rfc;
    } else if (words.took("only")) {
      if (words.take("'ours:'") != "ours:") {
        words.fail("a script may be 'only ours:', and a reason");
      }
      text = &script_.only_ours;
    } else if (words.took("set")) {
      if (!script_.steps.empty()) words.fail("settings stand before the first step");
      setting(words);
      words.finish();
      return true;
    } else {
      return false;
    }
    if (!text->empty()) words.fail("is said twice");
    *text = words.rest();
    if (text->empty()) words.fail("a text must follow");
    return true;
  }

  void setting(Words& words) {
    Settings& s = script_.settings;
    const std::string key = words.take("a setting");
    if (key == "timestamps") {
      s.timestamps = words.on_off();
    } else if (key == "scaling") {
      s.scaling = words.on_off();
    } else if (key == "sack") {
      s.sack = words.on_off();
    } else if (key == "ecn") {
      s.ecn = words.on_off();
    } else if (key == "nagle") {
      s.nagle = words.on_off();
    } else if (key == "delayed-ack") {
      s.delayed_ack = words.on_off();
    } else if (key == "mtu-probing") {
      s.mtu_probing = words.on_off();
    } else if (key == "window") {
      s.window = words.number("window", 1U << 30);
    } else if (key == "mtu") {
      s.mtu = words.number("mtu", 9000);
    } else if (key == "congestion") {
      s.congestion = words.take("congestion");
      if (s.congestion != "reno" && s.congestion != "cubic") words.fail("reno or cubic");
    } else if (key == "retries") {
      s.retries = words.number("retries", 30);
    } else if (key == "syn-retries") {
      s.syn_retries = words.number("syn-retries", 30);
    } else if (key == "backlog") {
      s.backlog = words.number("backlog", 1000);
    } else if (key == "initial-window") {
      s.initial_window = words.number("initial-window", 100);
    } else if (key == "time-wait") {
      s.time_wait = words.time("time-wait");
    } else if (key == "fin-timeout") {
      s.fin_timeout = words.time("fin-timeout");
    } else if (key == "user-timeout") {
      s.user_timeout = words.time("user-timeout");
    } else if (key == "keepalive") {
      s.keepalive_idle = words.time("keepalive: idle time");
      s.keepalive_interval = words.time("keepalive: interval");
      s.keepalive_count = words.number("keepalive: probes", 100);
    } else {
      words.fail("'" + key + "' is no setting");
    }
  }

  void step(int number, const std::string& text, Words& words) {
    if (words.took("differs")) {
      if (words.rest().find("RFC ") == std::string::npos) {
        words.fail("'differs' says which RFC section decides: differs RFC 9293 3.8.1: why");
      }
      may_differ_ = true;
      return;
    }
    Step s;
    s.line = number;
    s.source = text.substr(text.find_first_not_of(" \t"));
    if (words.took("ours")) s.side = Side::ours;
    if (words.took("linux")) s.side = Side::linux;
    if (s.side != Side::both && !may_differ_) {
      words.fail("before lines for one side alone stands 'differs', and which RFC section decides");
    }
    if (words.peek().starts_with('@')) {
      s.flow = static_cast<std::uint16_t>(
          words.integer_of(words.take("a port").substr(1), "the peer's port"));
    }
    if (words.peek().starts_with('+')) times(words, s);
    if (words.took("handshake")) {
      handshake(words, s);
    } else if (words.took("<")) {
      s.action = inject(words);
      script_.steps.push_back(std::move(s));
    } else if (words.took(">") || words.peek() == ">?") {
      const bool maybe = words.took(">?");
      s.action = Expect{parse_segment(words, true), maybe};
      script_.steps.push_back(std::move(s));
    } else {
      s.action = call(words);
      script_.steps.push_back(std::move(s));
    }
    words.finish();
  }

  static void times(Words& words, Step& s) {
    const std::string word = words.take("a time").substr(1);
    const std::size_t dots = word.find("..");
    s.timed = true;
    s.least = words.time_of(word.substr(0, dots), "the time after +");
    s.most = dots == std::string::npos ? s.least
                                       : words.time_of(word.substr(dots + 2), "the time after ..");
    if (s.most < s.least) words.fail("the later time stands first in '+" + word + "'");
  }

  static Inject inject(Words& words) {
    if (!words.took("icmp")) return {parse_segment(words, false)};
    IcmpSpec icmp;
    const std::string name = words.take("which ICMP error");
    if (name == "net-unreachable") {
      icmp.code = wire::kIcmpNetUnreachable;
    } else if (name == "host-unreachable") {
      icmp.code = wire::kIcmpHostUnreachable;
    } else if (name == "protocol-unreachable") {
      icmp.code = wire::kIcmpProtocolUnreachable;
    } else if (name == "port-unreachable") {
      icmp.code = wire::kIcmpPortUnreachable;
    } else if (name == "fragmentation-needed") {
      icmp.code = wire::kIcmpFragmentationNeeded;
      if (words.took("mtu")) icmp.mtu = static_cast<std::uint16_t>(words.number("mtu", 65535));
    } else {
      words.fail("'" + name + "' is no ICMP error that scripts know");
    }
    if (!words.took("about")) words.fail("'about SEQ' says which segment the error quotes");
    icmp.about = words.integer("about");
    return {icmp};
  }

  static Call call(Words& words) {
    struct Known {
      const char* name;
      What what;
      enum Takes { nothing, content, word, time, number } takes;
    };
    constexpr Known kKnown[] = {
        {"listen", What::listen, Known::nothing},   {"unlisten", What::unlisten, Known::nothing},
        {"connect", What::connect, Known::nothing}, {"accept", What::accept, Known::nothing},
        {"write", What::write, Known::content},     {"read", What::read, Known::content},
        {"reader", What::reader, Known::word},      {"shutdown", What::shutdown, Known::nothing},
        {"close", What::close, Known::nothing},     {"abort", What::abort, Known::nothing},
        {"state", What::state, Known::word},        {"ended", What::ended, Known::word},
        {"silence", What::silence, Known::time},    {"wait", What::wait, Known::time},
        {"fresh", What::fresh, Known::nothing},     {"isn", What::isn, Known::number}};
    const std::string name = words.take("a step");
    Call c{};
    for (const Known& k : kKnown) {
      if (name != k.name) continue;
      c.what = k.what;
      switch (k.takes) {
        case Known::nothing:
          break;
        case Known::word:
          c.text = words.take("a word");
          break;
        case Known::time:
          c.number = words.time("how long");
          break;
        case Known::number:
          c.number = words.number("a number");
          break;
        case Known::content:
          bytes(words, c);
          break;
      }
      check(words, c);
      return c;
    }
    words.fail("'" + name + "' is no step: segments begin with < or >, calls are named in " +
               "docs/tcp-scripts.md");
  }

  static void bytes(Words& words, Call& c) {
    if (c.what == What::read && words.took("eof")) {
      c.what = What::read_eof;
    } else if (words.peek().starts_with('"')) {
      c.text = unquoted(words.take("the bytes"), words);
      c.has_text = true;
      c.number = c.text.size();
    } else {
      c.number = words.number("how many bytes");
    }
  }

  static void check(const Words& words, const Call& c) {
    const auto one_of = [&](std::initializer_list<const char*> names) {
      std::string all;
      for (const char* n : names) {
        if (c.text == n) return;
        all += (all.empty() ? "" : ", ") + std::string(n);
      }
      words.fail("'" + c.text + "' is none of " + all);
    };
    if (c.what == What::reader) one_of({"lazy", "eager"});
    if (c.what == What::ended)
      one_of({"normally", "reset", "timed-out", "refused", "aborted", "no"});
    if (c.what == What::state) {
      one_of({"listen", "syn-sent", "syn-received", "established", "fin-wait-1", "fin-wait-2",
              "close-wait", "closing", "last-ack", "time-wait", "none"});
    }
  }

  // The three segments (and two calls) with which most scripts begin. With `rtt` the peer takes so
  // long to answer.
  void handshake(Words& words, const Step& like) {
    const std::string side = words.take("server or client");
    if (side != "server" && side != "client")
      words.fail("'handshake server' or 'handshake client'");
    SegmentSpec syn;
    syn.window = 65535;
    Time rtt = 0;
    if (words.took("rtt")) rtt = words.time("rtt");
    if (words.took("win")) syn.window = words.number("win", 65535);
    syn.options = parse_options(
        words.peek().starts_with('<') ? words.take("options") : "<mss 1460>", words, false);
    SegmentSpec ack;
    ack.flags = wire::kTcpAck;
    ack.seq = 1;
    ack.ack = 1;
    SegmentSpec answer;
    const auto add = [&](std::variant<Inject, Expect, Call> action, Time after = 0) {
      Step s = like;
      s.timed = after != 0;
      s.least = s.most = after;
      s.action = std::move(action);
      script_.steps.push_back(std::move(s));
    };
    if (side == "server") {
      if (!listens_) add(Call{.what = What::listen});
      listens_ = true;
      syn.flags = wire::kTcpSyn;
      add(Inject{syn});
      answer.flags = wire::kTcpSyn | wire::kTcpAck;
      answer.ack = 1;
      add(Expect{answer});
      ack.window = syn.window;
      for (const OptionSpec& o : *syn.options) {
        if (o.kind != OptionSpec::Kind::ts) continue;
        OptionSpec ts = o;
        ts.ts_echo = {0, OptionSpec::Number::Word::last};
        ack.options = std::vector<OptionSpec>{ts};
      }
      add(Inject{ack}, rtt);
      add(Call{.what = What::accept});
      return;
    }
    add(Call{.what = What::connect});
    answer.flags = wire::kTcpSyn;
    add(Expect{answer});
    syn.flags = wire::kTcpSyn | wire::kTcpAck;
    syn.ack = 1;
    for (OptionSpec& o : *syn.options) {
      if (o.kind == OptionSpec::Kind::ts) o.ts_echo = {0, OptionSpec::Number::Word::last};
    }
    add(Inject{syn}, rtt);
    add(Expect{ack});
  }

  Script script_;
  bool may_differ_ = false;
  bool listens_ = false;
};

}  // namespace

Script parse(const std::string& file, const std::string& text) {
  Parser parser(file);
  std::istringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) parser.line(++number, line);
  return parser.finish();
}

Script read_script(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw ScriptError(file + ": cannot be read");
  std::ostringstream text;
  text << in.rdbuf();
  return parse(file, text.str());
}

char stream_byte(std::uint64_t offset) {
  const std::uint64_t x = (offset + 1) * 0x9e3779b97f4a7c15;
  return static_cast<char>('!' + (x >> 40) % 90);
}

std::string stream_bytes(std::uint64_t offset, std::size_t count) {
  std::string s(count, 0);
  for (std::size_t i = 0; i < count; ++i) s[i] = stream_byte(offset + i);
  return s;
}

}  // namespace stackrig::tcpip::script
