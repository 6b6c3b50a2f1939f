// SPDX-License-Identifier: Apache-2.0
// The load itself: phases, senders, sinks, and what each event counts as.
#include "rigload/forward_client.h"

#include <algorithm>

namespace stackrig::rigload {
namespace {

/// Longer than any run: a run of so many messages ends when they have arrived.
constexpr Time kNoEnd = Time{365} * 24 * 3600 * nmio::kSecond;
/// How often silence is looked for.
constexpr Time kLook = 10 * nmio::kMillisecond;

std::uint64_t share(std::uint64_t whole, std::uint32_t part, std::uint32_t parts) {
  return whole / parts + (part < whole % parts ? 1 : 0);
}

}  // namespace

ForwardClient::ForwardClient(const ForwardConfig& config, ForwardTransport& transport,
                             UsageMeter& meter, RunControl& control, RunStats& stats)
    : ClientState(meter, control, stats),
      config_(config),
      transport_(transport),
      messages_(config.shape),
      slots_(slots(config.shape), Open::no) {
  senders_.reserve(shape().senders);
  for (std::uint32_t s = 0; s < shape().senders; ++s) {
    const std::uint64_t most =
        config.messages == 0 ? ~std::uint64_t{0} : share(config.messages, s, shape().senders);
    senders_.emplace_back(messages_, s, most);
  }
  sinks_.reserve(shape().sinks);
  for (std::uint32_t k = 0; k < shape().sinks; ++k) sinks_.emplace_back(messages_, senders_, k);
}

std::uint64_t ForwardClient::sent() const {
  std::uint64_t sum = 0;
  for (const ForwardSender& s : senders_) sum += s.sent();
  return sum;
}

std::uint64_t ForwardClient::arrived() const {
  std::uint64_t sum = 0;
  for (const ForwardSink& s : sinks_) sum += s.arrived();
  return sum;
}

void ForwardClient::turn(Time now) {
  last_turn_ = now;
  tick(now);
  if (done()) return;
  if (stop_is_asked_for()) return finish(now);
  switch (stage_) {
    case Stage::set_up:
      if (another_failed()) return finish(now);
      if (deadline_ == nmio::kNever) return open_control(now);
      if (now >= deadline_) fail(now, "target " + config_.target + ": " + awaited());
      return;
    case Stage::gated:
      if (another_failed()) return finish(now);
      if (now >= start_at()) start(start_at());
      return;
    case Stage::running:
      if (config_.messages != 0 && sent() == config_.messages) begin_drain(now);
      return;
    case Stage::draining:
      return drain(now);
    case Stage::closing:
      return see_whether_all_have_ended(now);
    case Stage::done:
      return;
  }
}

Time ForwardClient::next_deadline() const {
  switch (stage_) {
    case Stage::set_up:
    case Stage::gated:
      return last_turn_ + kGatePoll;
    case Stage::running:
      return std::min(phase_ends(), last_turn_ + kLook);
    case Stage::draining:
      return last_turn_ + kLook;
    case Stage::closing:
      return deadline_;
    case Stage::done:
      return nmio::kNever;
  }
  return nmio::kNever;
}

void ForwardClient::fail(Time now, const std::string& why) {
  set_failure(why);
  finish(now);
}

void ForwardClient::finish(Time now) {
  for (SlotId slot = 0; slot < slots_.size(); ++slot) {
    const bool there = slots_[slot] != Open::no && slots_[slot] != Open::ended;
    slots_[slot] = Open::ended;
    if (there) transport_.drop(slot, now);
  }
  if (config_.totals != nullptr) *config_.totals = {.sent = sent(), .arrived = arrived()};
  stage_ = Stage::done;
  end(now);
}

// --- phases
// ----------------------------------------------------------------------------------------

void ForwardClient::start(Time at) {
  stage_ = Stage::running;
  last_arrival_ = at;
  const bool counted = config_.messages != 0;
  begin_phases(at, counted ? 0 : config_.warmup, counted ? kNoEnd : config_.duration);
  for (std::uint32_t s = 0; s < shape().senders; ++s) send_more(sender_slot(s), at);
}

void ForwardClient::advance_phase(Time now) {
  while (now >= phase_ends()) {
    if (phase() == Phase::warmup) {
      enter(Phase::measure);
    } else {
      enter(Phase::drain);
      begin_drain(now);
    }
  }
}

/// Nothing new is sent from here on. A run of so many messages is still being measured.
void ForwardClient::begin_drain(Time now) {
  stage_ = Stage::draining;
  last_arrival_ = now;
  for (std::uint32_t s = 0; s < shape().senders; ++s) {
    senders_[s].stop();
    end_sender(sender_slot(s), now);
  }
}

void ForwardClient::drain(Time now) {
  const bool all = arrived() == sent();
  const bool silent = now - std::min(now, last_arrival_) >= config_.timeout;
  if (!all && !silent) return;
  if (phase() == Phase::measure) {
    end_measure(all ? last_arrival_ : now);
    enter(Phase::drain);
  }
  count_lost();
  close_backends(now);
}

void ForwardClient::count_lost() {
  for (const ForwardSink& sink : sinks_) {
    stats_now().errors[static_cast<unsigned>(ErrorKind::lost)] += sink.lost();
  }
}

// --- senders
// ---------------------------------------------------------------------------------------

void ForwardClient::send_more(SlotId slot, Time now) {
  ForwardSender& sender = senders_[slot - 1];
  while (slots_[slot] == Open::open) {
    const Prepared* block = sender.next();
    if (block == nullptr) break;
    transport_.write(slot, *block, now);
  }
  end_sender(slot, now);
}

/// Half-closes at once behind the last message: a forwarder must still deliver it.
void ForwardClient::end_sender(SlotId slot, Time now) {
  if (slots_[slot] != Open::open || !senders_[slot - 1].finished()) return;
  slots_[slot] = Open::half_closed;
  transport_.half_close(slot, now);
}

void ForwardClient::on_written(SlotId slot, Time now) {
  if (slot == kControl) {
    calls_.pop_front();
    prepared_.pop_front();
    return;
  }
  senders_[slot - 1].written();
  if (stage_ == Stage::running) return send_more(slot, now);
  end_sender(slot, now);
}

// --- events
// ----------------------------------------------------------------------------------------

void ForwardClient::on_connected(SlotId slot, Time now) {
  ++stats_now().connections_opened;
  slots_[slot] = Open::open;
  if (slot == kControl) return ask_to_connect(now);
  see_whether_all_are_there(now);
}

void ForwardClient::on_bytes(SlotId slot, std::span<const std::byte> bytes, Time now) {
  if (slot == kControl) return take_reply(bytes, now);
  if (is_sender(slot)) return stats_now().count(ErrorKind::length);  // nobody asked for anything
  last_arrival_ = now;
  sinks_[slot - 1 - shape().senders].take(bytes, stats_now());
}

/// In order: a sender's after its own half-close, a sink's after close.
void ForwardClient::on_remote_closed(SlotId slot, Time now) {
  const bool in_order =
      is_sender(slot) ? slots_[slot] == Open::half_closed : stage_ == Stage::closing;
  if (in_order) {
    ++stats_now().connections;
  } else {
    stats_now().count(ErrorKind::reset);
  }
  slots_[slot] = Open::ended;
  transport_.drop(slot, now);
  if (stage_ == Stage::set_up) fail(now, "target " + config_.target + ": closed a connection");
}

void ForwardClient::on_lost(SlotId slot, Lost how, Time now) {
  slots_[slot] = Open::ended;
  if (stage_ != Stage::set_up) return stats_now().count(ErrorKind::reset);
  const char* why =
      how == Lost::refused ? ": connection refused; start the server there, or give the port it "
                             "listens on"
      : how == Lost::reset ? ": reset a connection"
                           : ": unreachable; check that the address is right and that this side "
                             "reaches it";
  fail(now, "target " + config_.target + why);
}

}  // namespace stackrig::rigload
