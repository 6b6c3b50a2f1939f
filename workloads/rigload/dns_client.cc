// SPDX-License-Identifier: Apache-2.0
// Queries out, answers in, and what each counts as.
#include "rigload/dns_client.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "dns/message.h"

namespace stackrig::rigload {
namespace {

using nmio::kMicrosecond;
using nmio::kMillisecond;
using nmio::kNever;

/// Before the start, a server that does not answer is asked again this often.
constexpr Time kProbeEvery = 100 * kMillisecond;
/// Arrivals taken in one turn; the rest waits for the next turns with its due times.
constexpr unsigned kArrivalsPerTurn = 1024;
/// A timeout is seen at most this part of it late.
constexpr unsigned kSweepsPerTimeout = 8;
constexpr std::uint32_t kSweepSlots = 1024;
/// Unit of Slot::sent: 32 bits of it are more than an hour.
constexpr Time kTick = kMicrosecond;
/// The first answer to each query is looked at whole where there are no more queries than this.
constexpr std::uint32_t kMostFirsts = 16384;

std::uint32_t ticks(Time t) {
  return static_cast<std::uint32_t>(t / kTick);
}

/// Equal bytes. Shorter than a call to memcmp for names as they are: eight at a time, the last
/// eight over again in part.
bool equal(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) {
  std::uint64_t x = 0, y = 0;
  if (n < sizeof x) return std::memcmp(a, b, n) == 0;
  for (std::size_t at = 0;; at = std::min(at + sizeof x, n - sizeof x)) {
    std::memcpy(&x, a + at, sizeof x);
    std::memcpy(&y, b + at, sizeof y);
    if (x != y) return false;
    if (at == n - sizeof x) return true;
  }
}

}  // namespace

DnsClient::DnsClient(const DnsConfig& config, const DnsQueries& queries, UsageMeter& meter,
                     RunControl& control, RunStats& stats)
    : ClientState(meter, control, stats),
      config_(config),
      queries_(queries),
      random_(config.seed, config.thread),
      next_in_file_(config.thread % queries.size()),
      file_step_(config.threads % queries.size()),
      due_queue_(config.arrivals ? config.queue_bound : 0),
      flow_shift_(static_cast<unsigned>(std::countr_zero(config.flows))),
      id_bits_(static_cast<unsigned>(
          std::bit_width((config.outstanding + config.flows - 1) / config.flows - 1))),
      slots_(config.outstanding),
      free_(config.outstanding) {
  if (config.arrivals) arrivals_.emplace(*config.arrivals);
  for (std::uint32_t number = 0; number < config.outstanding; ++number) free_[number] = number;
  if (queries.size() <= kMostFirsts && config.check_every != 0 && !queries.digests().empty()) {
    unseen_.assign(queries.size(), true);
    unseen_count_ = queries.size();
  }
}

// --- the run
// ---------------------------------------------------------------------------------------

void DnsClient::turn(Time now) {
  last_turn_ = now;
  tick(now);
  if (stop_is_asked_for()) return finish(now);
  switch (stage_) {
    case Stage::reaching:
      if (reach_until_ == 0) reach_until_ = now + std::max(config_.timeout, 10 * kProbeEvery);
      if (another_failed()) return finish(now);
      if (now < reach_until_) return;
      return fail(now, "target " + config_.targets[reached_ % config_.targets.size()] +
                           ": no right answer to a query within " +
                           std::to_string((reach_until_ - now + config_.timeout) / kMillisecond) +
                           " ms; check that the server is up, that it serves the first name that "
                           "is asked for, and that this side reaches it");
    case Stage::gated:
      if (another_failed()) return finish(now);
      if (now < start_at()) return;
      stage_ = Stage::running;
      if (arrivals_) arrivals_->start(start_at());
      for (Slot& slot : slots_) slot.due = start_at();
      next_sweep_ = start_at();
      return begin_phases(start_at(), config_.warmup, config_.duration);
    case Stage::running:
      if (arrivals_) take_queries(now, kArrivalsPerTurn);
      return sweep_timeouts(now);
    case Stage::draining:
      sweep_timeouts(now);
      if (under_way_ == 0) finish(now);
      return;
    case Stage::done:
      return;
  }
}

Time DnsClient::next_deadline() const {
  switch (stage_) {
    case Stage::reaching:
      return std::min(next_probe_, last_turn_ + kGatePoll);
    case Stage::gated:
      return last_turn_ + kGatePoll;
    case Stage::running: {
      const Time next = std::min(phase_ends(), next_sweep_);
      if (arrivals_ && due_queue_.empty()) return std::min(next, arrivals_->next());
      return free_count() != 0 ? last_turn_ : next;
    }
    case Stage::draining:
      return next_sweep_;
    case Stage::done:
      break;
  }
  return kNever;
}

void DnsClient::advance_phase(Time now) {
  while (now >= phase_ends()) {
    if (phase() == Phase::warmup) {
      enter(Phase::measure);
    } else {
      begin_drain();
    }
  }
}

/// Nothing new from here on. What was due and never went out is counted where it was missed.
void DnsClient::begin_drain() {
  if (arrivals_) {
    take_queries(schedule().drain - 1, std::numeric_limits<unsigned>::max());
    while (!due_queue_.empty()) count_unsent(due_queue_.pop(), last_turn_);
  }
  enter(Phase::drain);
  stage_ = Stage::draining;
}

void DnsClient::finish(Time now) {
  if (stage_ == Stage::running || stage_ == Stage::draining) {
    for (const Slot& slot : slots_) {
      if (slot.under_way) count_censored(slot.due, now);
    }
  }
  end(now);
  stage_ = Stage::done;
}

void DnsClient::fail(Time now, const std::string& why) {
  set_failure(why);
  finish(now);
}

void DnsClient::reached(Time now) {
  next_probe_ = now;
  if (++reached_ < config_.reach) return;
  stage_ = Stage::gated;
  report_connected(now);
}

void DnsClient::refused(Time now) {
  if (stage_ != Stage::reaching) return;  // later on, the query's timeout says it
  fail(now, "target " + config_.targets[reached_ % config_.targets.size()] +
                ": port unreachable; start the server there, or give the port it listens on");
}

void DnsClient::take_queries(Time until, unsigned at_most) {
  take_arrivals(*arrivals_, due_queue_, std::min(until, schedule().drain - 1), at_most,
                [this](Time due) { count_unsent(due, last_turn_); });
}

// --- out
// -------------------------------------------------------------------------------------------

unsigned DnsClient::take(std::span<DnsOutgoing> out, Time now) {
  if (stage_ == Stage::reaching) return take_probe(out, now);
  if (stage_ != Stage::running) return 0;
  std::size_t n = std::min<std::size_t>(out.size(), free_count());
  if (arrivals_) n = std::min(n, due_queue_.size());
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t number = free_[free_head_];
    free_head_ = free_head_ + 1 == free_.size() ? 0 : free_head_ + 1;
    Slot& slot = slots_[number];
    if (arrivals_) slot.due = due_queue_.pop();
    slot.query = queries_.size() == 1 ? 0 : next_query();
    __builtin_prefetch(&queries_.at(slot.query));
    issue(number, out[i], now);
  }
  under_way_ += static_cast<std::uint32_t>(n);
  return static_cast<unsigned>(n);
}

std::uint32_t DnsClient::next_query() {
  if (config_.order == DnsOrder::random) return random_.below(queries_.size());
  const std::uint32_t query = next_in_file_;
  next_in_file_ += file_step_;  // both are below size()
  if (next_in_file_ >= queries_.size()) next_in_file_ -= queries_.size();
  return query;
}

void DnsClient::issue(std::uint32_t number, DnsOutgoing& out, Time now) {
  Slot& slot = slots_[number];
  // The place in the flow stands in the low bits, the number of the use above it.
  const std::uint32_t place = number >> flow_shift_;
  const auto use = static_cast<std::uint32_t>(slot.id >> id_bits_) + 1;
  slot.id = static_cast<std::uint16_t>(use << id_bits_ | place);
  slot.sent = ticks(now);
  slot.under_way = true;
  out = {.query = &queries_.at(slot.query), .flow = number & (config_.flows - 1), .id = slot.id};
}

/// One query at a time; the slot of that number belongs to the flow of that number.
unsigned DnsClient::take_probe(std::span<DnsOutgoing> out, Time now) {
  if (out.empty() || now < next_probe_) return 0;
  next_probe_ = now + kProbeEvery;
  issue(reached_, out[0], now);
  return 1;
}

// --- in
// --------------------------------------------------------------------------------------------

void DnsClient::answer(std::uint32_t flow, std::span<const std::uint8_t> message, Time now) {
  if (message.size() >= dns::Header::kSize) [[likely]] {
    const std::uint16_t id = dns::Header::at(message.data()).id.get();
    const std::uint32_t place = id & ((1U << id_bits_) - 1);
    const std::uint32_t number = place << flow_shift_ | flow;
    if (number < slots_.size() && slots_[number].under_way && slots_[number].id == id) [[likely]] {
      return complete(number, message, now);
    }
  }
  if (stage_ == Stage::running || stage_ == Stage::draining) ++stats_now().unasked;
}

void DnsClient::complete(std::uint32_t number, std::span<const std::uint8_t> message, Time now) {
  Slot& slot = slots_[number];
  const std::optional<ErrorKind> error = wrong(slot, message);
  if (stage_ == Stage::reaching) [[unlikely]] {
    slot.under_way = false;
    if (!error) reached(now);
    return;
  }
  if (error) [[unlikely]] {
    stats_now().count(*error);
    count_censored(slot.due, now);
  } else {
    PhaseStats& stats = stats_now();
    ++stats.requests;
    stats.body_bytes += message.size();
    stats_at(slot.due).latency.record(now - slot.due);
  }
  release(number, now);
}

/// What is wrong with an answer, if anything is.
std::optional<ErrorKind> DnsClient::wrong(const Slot& slot, std::span<const std::uint8_t> message) {
  const DnsQuery& query = queries_.at(slot.query);
  const auto* asked = reinterpret_cast<const std::uint8_t*>(query.payload());
  const dns::Header& header = dns::Header::at(message.data());
  const std::uint16_t flags = header.flags.get();
  constexpr std::uint16_t kMustBe =
      dns::flag::kResponse | dns::flag::kOpcode | dns::flag::kTruncated | dns::flag::kRcode;
  if ((flags & kMustBe) != (dns::flag::kResponse | query.rcode)) return ErrorKind::status;
  constexpr std::size_t kQuestion = dns::Header::kSize;
  if (header.questions.get() != 1 || message.size() < kQuestion + query.question_len ||
      !equal(message.data() + kQuestion, asked + kQuestion, query.question_len)) {
    return ErrorKind::question;
  }
  if (queries_.digests().empty()) return std::nullopt;
  if (header.answers.get() != query.answers) return ErrorKind::content;
  if (!content_is_due(slot)) return std::nullopt;
  return digest_.of(message) == queries_.digests()[slot.query] ? std::nullopt
                                                               : std::optional(ErrorKind::content);
}

bool DnsClient::content_is_due(const Slot& slot) {
  if (config_.check_every == 0) return false;
  if (unseen_count_ != 0 && unseen_[slot.query]) {
    unseen_[slot.query] = false;
    --unseen_count_;
    return true;
  }
  if (--until_check_ != 0) return false;
  until_check_ = config_.check_every;
  return true;
}

void DnsClient::release(std::uint32_t number, Time now) {
  Slot& slot = slots_[number];
  slot.under_way = false;
  slot.due = now;  // closed loop: the next query could go from now on
  std::uint32_t tail = free_head_ + free_count();
  if (tail >= free_.size()) tail -= static_cast<std::uint32_t>(free_.size());
  free_[tail] = number;
  --under_way_;
}

void DnsClient::sweep_timeouts(Time now) {
  if (now < next_sweep_) return;
  const auto slots = static_cast<std::uint32_t>(slots_.size());
  const std::uint32_t end = std::min(slots, sweep_at_ + kSweepSlots);
  for (std::uint32_t number = sweep_at_; number < end; ++number) {
    const Slot& slot = slots_[number];
    if (!slot.under_way || ticks(now) - slot.sent < ticks(config_.timeout)) continue;
    stats_now().count(ErrorKind::timeout);
    count_censored(slot.due, now);
    release(number, now);
  }
  sweep_at_ = end == slots ? 0 : end;
  const std::uint32_t sweeps = (slots + kSweepSlots - 1) / kSweepSlots * kSweepsPerTimeout;
  next_sweep_ = now + std::max<Time>(config_.timeout / sweeps, 1);
}

}  // namespace stackrig::rigload
