// SPDX-License-Identifier: Apache-2.0
#include "tcpip/script/player.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "tcpip/script/flow.h"

namespace stackrig::tcpip::script {
namespace {

/// A step that did not go as written.
struct Wrong {
  std::string expected;
  std::string came;
  std::string because;
};

std::string seconds(Time t) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6f s", static_cast<double>(t) / 1e9);
  return text;
}

class Player {
 public:
  Player(const Script& script, Target& target, Side side)
      : script_(script), target_(target), side_(side), tolerance_(target.tolerance()) {}

  Verdict run() {
    Verdict v;
    began_ = clock_ = target_.now();
    const Step* at = nullptr;
    try {
      for (const Step& s : script_.steps) {
        at = &s;
        if (s.side == Side::both || s.side == side_) step(s);
      }
      at = nullptr;
      nothing_came("the script is at its end");
      const std::string lost = target_.left_over();
      if (!lost.empty()) throw Wrong{"everything given back at the end", "", lost};
    } catch (const Wrong& w) {
      v.passed = false;
      const Step& s = at != nullptr ? *at : script_.steps.back();
      v.line = s.line;
      v.message = script_.file + ":" + std::to_string(s.line) + ": (" + name_of(side_) + ") " +
                  s.source + "\n";
      if (!w.expected.empty()) v.message += "  expected  " + w.expected + "\n";
      if (!w.came.empty()) v.message += "  came      " + w.came + "\n";
      v.message += "  because   " + w.because + "\n  again     tcp-script " + name_of(side_) +
                   " --trace " + script_.file;
    }
    v.trace = std::move(trace_);
    return v;
  }

 private:
  void step(const Step& s) {
    if (const auto* e = std::get_if<Expect>(&s.action)) {
      expect(s, *e);
      return;
    }
    if (s.timed) target_.wait_until(clock_ + s.least);
    if (const auto* i = std::get_if<Inject>(&s.action)) {
      nothing_came("the script is about to send");
      Flow& f = flow(s.flow);
      const auto frame = std::visit([&](const auto& what) { return f.frame_of(what); }, i->what);
      clock_ = target_.now();
      note(clock_, f.describe(frame));
      target_.inject(frame);
      return;
    }
    const Call& c = std::get<Call>(s.action);
    note(target_.now(), s.source);
    const std::string problem = call(s, c);
    if (!problem.empty()) throw Wrong{"", "", problem};
    if (c.what != Call::What::silence && c.what != Call::What::wait) {
      clock_ = std::max(clock_, target_.now());
    }
  }

  // What came, and when. `+T` counts from the step before.
  void expect(const Step& s, const Expect& e) {
    const Time least = clock_ + s.least;
    const Time most = clock_ + s.most;
    const Time patience = most + tolerance_.late +
                          static_cast<Time>(static_cast<double>(s.most) * tolerance_.late_share);
    const auto came = e.optional ? optional(s, e, patience) : target_.next(patience);
    if (!came) {
      if (e.optional) return;
      throw Wrong{s.source, "nothing until " + seconds(target_.now() - began_),
                  "it did not come in time"};
    }
    Flow& f = flow(s.flow);
    const std::string problem = f.compare(e.segment, came->frame);
    const std::string what = f.describe(came->frame) + "  (at " + seconds(came->at - began_) +
                             ", +" + seconds(came->at - std::min(came->at, clock_)) + ")";
    note(came->at, f.describe(came->frame));
    if (!problem.empty()) throw Wrong{s.source, what, problem};
    const Time allowed =
        tolerance_.early + static_cast<Time>(static_cast<double>(s.least) * tolerance_.early_share);
    if (s.timed && came->at + allowed < least) throw Wrong{s.source, what, "it came too early"};
    if (came->at > patience) throw Wrong{s.source, what, "it came too late"};
    clock_ = std::max(clock_, came->at);
  }

  // It may be that what comes next is something else: then that stays for the next step.
  std::optional<Came> optional(const Step& s, const Expect& e, Time patience) {
    const Time until = s.timed ? patience : std::min(patience, target_.now());
    target_.wait_until(until);
    const Came* first = target_.peek();
    Flow copy = flow(s.flow);
    if (first == nullptr || !copy.compare(e.segment, first->frame).empty()) return std::nullopt;
    return target_.next(target_.now());
  }

  void nothing_came(const std::string& why) {
    const Came* came = target_.peek();
    if (came == nullptr) return;
    const std::string text = flow(kPeerPort).describe(came->frame);
    note(came->at, text);
    throw Wrong{"nothing more before this step", text + "  (at " + seconds(came->at - began_) + ")",
                why + " and this was not expected"};
  }

  std::string call(const Step& s, const Call& c) {
    using What = Call::What;
    switch (c.what) {
      case What::listen:
        return target_.listen();
      case What::unlisten:
        return target_.unlisten();
      case What::connect:
        return target_.connect(s.flow);
      case What::accept:
        return target_.accept(s.flow);
      case What::write:
        return write(s, c);
      case What::read:
        return read(s, c);
      case What::read_eof:
        return target_.read_eof(s.flow);
      case What::reader:
        target_.lazy(s.flow, c.text == "lazy");
        return {};
      case What::shutdown:
        return target_.shutdown(s.flow);
      case What::close:
        return target_.close(s.flow);
      case What::abort:
        return target_.abort(s.flow);
      case What::state:
        return until_is(
            c.text, [&] { return target_.state(s.flow); }, "the state");
      case What::ended:
        return until_is(
            c.text, [&] { return target_.ended(s.flow); }, "the end");
      case What::silence: {
        clock_ = std::max(clock_, target_.now()) + c.number;
        target_.wait_until(clock_);
        nothing_came("there should be silence");
        return {};
      }
      case What::wait:
        clock_ = std::max(clock_, target_.now()) + c.number;
        target_.wait_until(clock_);
        return {};
      case What::fresh:
        flow(s.flow).fresh();
        return {};
      case What::isn:
        flow(s.flow).set_isn(static_cast<std::uint32_t>(c.number));
        return {};
    }
    return {};
  }

  std::string write(const Step& s, const Call& c) {
    Flow& f = flow(s.flow);
    const std::string bytes = c.has_text ? c.text : stream_bytes(written_[s.flow], c.number);
    written_[s.flow] += bytes.size();
    f.wrote(bytes);
    return target_.write(s.flow, bytes);
  }

  std::string read(const Step& s, const Call& c) {
    const std::string expected = flow(s.flow).take_expected(c.number);
    std::string bytes;
    std::string problem = target_.read(s.flow, c.number, bytes);
    if (!problem.empty()) return problem;
    if (bytes != (c.has_text ? c.text : expected)) {
      return c.has_text ? "the bytes are \"" + bytes + "\"" : "the bytes are others";
    }
    return {};
  }

  template <class F>
  std::string until_is(const std::string& wanted, F what, const std::string& name) {
    const Time until = target_.now() + tolerance_.late;
    for (;;) {
      const std::string is = what();
      if (is == wanted) return {};
      if (target_.now() >= until)
        return std::string(name).append(" is '").append(is).append("', not '").append(wanted) +=
               "'";
      target_.wait_until(std::min(until, target_.now() + 5 * nmio::kMillisecond));
    }
  }

  Flow& flow(std::uint16_t port) { return flows_.try_emplace(port, port).first->second; }
  void note(Time at, const std::string& what) {
    trace_ += "  " + seconds(at - std::min(at, began_)) + "  " + what + "\n";
  }

  const Script& script_;
  Target& target_;
  Side side_;
  Tolerance tolerance_;
  Time began_ = 0;
  Time clock_ = 0;  ///< of the last step: what the next one's time counts from
  std::map<std::uint16_t, Flow> flows_;
  std::map<std::uint16_t, std::uint64_t> written_;
  std::string trace_;
};

}  // namespace

const char* name_of(Side side) {
  return side == Side::linux ? "linux" : "core";
}

Verdict play(const Script& script, Target& target, Side side) {
  return Player(script, target, side).run();
}

}  // namespace stackrig::tcpip::script
