// SPDX-License-Identifier: Apache-2.0
// One connection's way: opened, sent on, answered, ended; and what each event counts as.
#include <algorithm>
#include <string>

#include "rigload/load_client.h"

namespace stackrig::rigload {
namespace {

/// After a connection could not be opened, its slot rests for so long: a server that refuses is
/// asked again often enough to see it come back, and no core is spent on being refused.
constexpr Time kPauseAfterFailure = nmio::kMillisecond;

}  // namespace

void LoadClient::set_state(SlotId id, SlotState to) {
  Slot& slot = slots_[id];
  --in_state_[static_cast<unsigned>(slot.state)];
  if (slot.state == SlotState::ready) {
    const SlotId last = ready_.back();
    ready_[slot.ready_index] = last;
    slots_[last].ready_index = slot.ready_index;
    ready_.pop_back();
  }
  slot.state = to;
  ++in_state_[static_cast<unsigned>(to)];
}

void LoadClient::wait_for(SlotId id, SlotState state, Time now) {
  set_state(id, state);
  slots_[id].deadline = now + config_.timeout;
}

/// True where the connection is on its way; else blocked_ says whether to ask again.
bool LoadClient::open(SlotId id, Time now) {
  switch (transport_.open(id, now)) {
    case StreamTransport::Open::started:
      wait_for(id, SlotState::connecting, now);
      return true;
    case StreamTransport::Open::later:
      blocked_ = true;
      return false;
    case StreamTransport::Open::failed:
      return false;
  }
  return false;
}

void LoadClient::make_ready(SlotId id) {
  set_state(id, SlotState::ready);
  slots_[id].ready_index = static_cast<std::uint32_t>(ready_.size());
  ready_.push_back(id);
}

void LoadClient::send_request(SlotId id, Time now) {
  Slot& slot = slots_[id];
  if (!slot.has_request && arrivals_) slot.due = due_queue_.pop();
  slot.has_request = true;
  wait_for(id, SlotState::waiting, now);
  if (!transport_.send(id, exchange_.begin(id), now)) give_up(id, ErrorKind::reset, now);
}

void LoadClient::release(SlotId id, Time now) {
  set_state(id, SlotState::free);
  slots_[id].has_request = false;
  slots_[id].due = now;
  if (!is_held(id)) free_.push_back(id);
}

/// An error, now; and no latency for the request that it befell, in the phase in which that was
/// due.
void LoadClient::failed(SlotId id, ErrorKind kind, Time now) {
  stats_now().count(kind);
  censor(id, now);
}

void LoadClient::censor(SlotId id, Time now) {
  Slot& slot = slots_[id];
  if (!slot.has_request) return;
  slot.has_request = false;
  count_censored(slot.due, now);
}

/// The answer will not come, or not rightly: counts the error and lets the connection go.
void LoadClient::give_up(SlotId id, ErrorKind kind, Time now) {
  failed(id, kind, now);
  if (slots_[id].state == SlotState::waiting) exchange_.drop(id);
  transport_.abort(id, now);
  release(id, now);
}

void LoadClient::connect_failed(SlotId id, ErrorKind kind, Time now) {
  failed(id, kind, now);
  set_state(id, SlotState::paused);
  paused_.push_back({id, now + kPauseAfterFailure});
}

// --- events
// ----------------------------------------------------------------------------------------

void LoadClient::on_connected(SlotId id, Time now) {
  ++stats_now().connections_opened;
  exchange_.opened(id);
  if (is_held(id)) return set_state(id, SlotState::held);
  const bool running = stage_ == Stage::running;
  if (slots_[id].has_request || (running && may_send())) return send_request(id, now);
  make_ready(id);
}

void LoadClient::on_bytes(SlotId id, std::span<const std::byte> bytes, Time now) {
  if (slots_[id].state != SlotState::waiting)
    return give_up(id, ErrorKind::length, now);  // unasked for
  const Progress progress = exchange_.receive(id, bytes);
  stats_now().body_bytes += progress.body_bytes;
  if (progress.state == Progress::State::more) return;
  if (progress.state == Progress::State::broken) {
    return give_up(id, progress.error.value_or(ErrorKind::status), now);
  }
  answer_done(id, progress, now);
}

void LoadClient::answer_done(SlotId id, const Progress& progress, Time now) {
  Slot& slot = slots_[id];
  if (progress.error) {
    failed(id, *progress.error, now);
  } else {
    stats_now().requests += progress.requests;
    stats_at(slot.due).latency.record(now - slot.due);
  }
  slot.has_request = false;
  if (!config_.keepalive || progress.server_closes) return wait_for(id, SlotState::finishing, now);
  next_on_this_connection(id, now);
}

void LoadClient::next_on_this_connection(SlotId id, Time now) {
  slots_[id].due = now;  // closed loop: the next request could go from now on
  if (stage_ == Stage::running && may_send()) return send_request(id, now);
  make_ready(id);
}

void LoadClient::on_remote_closed(SlotId id, Time now) {
  switch (slots_[id].state) {
    case SlotState::waiting:
      failed(id, exchange_.cut_short(id), now);
      exchange_.drop(id);
      break;
    case SlotState::held:
      stats_now().count(ErrorKind::reset);
      break;
    default:  // finishing, or a persistent connection that the server has had enough of
      ++stats_now().connections;
      break;
  }
  transport_.close(id, now);
  release(id, now);
}

void LoadClient::on_lost(SlotId id, Lost how, Time now) {
  const SlotState state = slots_[id].state;
  if (state == SlotState::connecting) {
    const ErrorKind kind = how == Lost::refused ? ErrorKind::refused : ErrorKind::connect;
    if (stage_ != Stage::reaching) return connect_failed(id, kind, now);
    set_state(id, SlotState::free);
    return fail(
        now,
        target_of(id) +
            (how == Lost::refused
                 ? ": connection refused; start the server there, or give the port it listens on"
                 : ": unreachable; check that the address is right and that this side reaches it"));
  }
  if (state == SlotState::finishing || state == SlotState::ready) {
    failed(id, ErrorKind::ending, now);  // no request was under way
  } else {
    failed(id, how == Lost::unreachable ? ErrorKind::timeout : ErrorKind::reset, now);
  }
  if (state == SlotState::waiting) exchange_.drop(id);
  release(id, now);
}

}  // namespace stackrig::rigload
