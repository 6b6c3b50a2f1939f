// SPDX-License-Identifier: Apache-2.0
// What goes over Thrift: the backends are connected before the start, and closed after the end.
#include <cstring>

#include "rigload/forward_client.h"

namespace stackrig::rigload {

void ForwardClient::open_control(Time now) {
  deadline_ = now + config_.timeout;
  slots_[kControl] = Open::opening;
  if (transport_.open(kControl, now)) return;
  slots_[kControl] = Open::no;
  fail(now, "target " + config_.target +
                ": no connection can be opened from here (no route, or no local address or port)");
}

/// What the set-up waits for, when it has waited too long.
std::string ForwardClient::awaited() const {
  const std::string within =
      " within " + std::to_string(config_.timeout / nmio::kMillisecond) + " ms";
  if (slots_[kControl] == Open::opening)
    return "no answer to a connection attempt" + within +
           "; check that the server is up, that the address is right and that this side reaches it";
  if (connected_sinks_ < shape().sinks)
    return "no reply to connect" + within + "; check that a forwarder serves there";
  return "not all connections of senders and sinks came about" + within +
         "; check that the forwarder reaches --sink-address";
}

void ForwardClient::ask(const thrift::Bytes& call, Time now) {
  calls_.push_back(call);
  prepared_.push_back(
      {.data = calls_.back().data(), .len = static_cast<std::uint32_t>(calls_.back().size())});
  transport_.write(kControl, prepared_.back(), now);
}

void ForwardClient::ask_to_connect(Time now) {
  const wire::Endpoint at = transport_.listening(sink_slot(shape(), connected_sinks_));
  thrift::Bytes call;
  thrift::write_connect(call, ++sequence_, static_cast<std::int32_t>(connected_sinks_),
                        wire::to_string(at.address), at.port);
  deadline_ = now + config_.timeout;
  ask(call, now);
}

void ForwardClient::take_reply(std::span<const std::byte> bytes, Time now) {
  reply_.insert(reply_.end(), bytes.begin(), bytes.end());
  const thrift::Reply reply = thrift::next_reply(reply_);
  if (reply.status == thrift::Status::partial) return;
  const bool right = reply.status == thrift::Status::message && !reply.is_exception &&
                     reply.sequence == sequence_ && reply.length == reply_.size();
  const std::int32_t value = reply.value;
  reply_.clear();
  if (stage_ == Stage::set_up) {
    if (!right)
      return fail(now, "target " + config_.target + ": no reply to connect; is it a forwarder?");
    return connect_replied(value, now);
  }
  closed_ = true;
  if (!right || value != static_cast<std::int32_t>(shape().sinks))
    stats_now().count(ErrorKind::ending);
}

void ForwardClient::connect_replied(std::int32_t error, Time now) {
  if (error != 0) {
    const wire::Endpoint at = transport_.listening(sink_slot(shape(), connected_sinks_));
    return fail(now, "target " + config_.target + ": it cannot connect to the sink at " +
                         wire::to_string(at) + " (" + std::strerror(error) +
                         "); give an address that it reaches (--sink-address)");
  }
  if (++connected_sinks_ < shape().sinks) return ask_to_connect(now);
  open_senders(now);
}

void ForwardClient::open_senders(Time now) {
  deadline_ = now + config_.timeout;
  for (std::uint32_t s = 0; s < shape().senders; ++s) {
    slots_[sender_slot(s)] = Open::opening;
    if (transport_.open(sender_slot(s), now)) continue;
    slots_[sender_slot(s)] = Open::no;
    return fail(now,
                "target " + config_.target + ": no further connection can be opened from here");
  }
}

void ForwardClient::see_whether_all_are_there(Time now) {
  if (stage_ != Stage::set_up) return;
  for (const Open slot : slots_) {
    if (slot != Open::open) return;
  }
  stage_ = Stage::gated;
  report_connected(now);
}

// --- the end
// ---------------------------------------------------------------------------------------

void ForwardClient::close_backends(Time now) {
  stage_ = Stage::closing;
  deadline_ = now + config_.timeout;
  if (slots_[kControl] != Open::open) return;
  thrift::Bytes call;
  thrift::write_close(call, ++sequence_);
  ask(call, now);
}

/// close is answered, and every sink's stream has ended.
void ForwardClient::see_whether_all_have_ended(Time now) {
  bool all = closed_;
  for (std::uint32_t k = 0; k < shape().sinks; ++k)
    all = all && slots_[sink_slot(shape(), k)] == Open::ended;
  if (!all && now < deadline_ && slots_[kControl] != Open::ended) return;
  if (!all) stats_now().count(ErrorKind::ending);
  for (const ForwardSink& sink : sinks_) {
    if (sink.in_message()) stats_now().count(ErrorKind::altered);
  }
  finish(now);
}

}  // namespace stackrig::rigload
