// SPDX-License-Identifier: Apache-2.0
// The phases of a run and what is counted in each: warmup, measure, drain.
//
// A rate belongs to a window of time, so a completion, a byte or an error counts in the phase in
// which it happens. A latency belongs to a request, so it counts in the phase in which the request
// was due, also when the answer came later: a stall at the end of a window would be left out
// otherwise. Requests become due in warmup and measure only; drain waits for what is under way.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "nmio/packet.h"
#include "telemetry/histogram.h"

namespace stackrig::rigload {

using nmio::Time;

enum class Phase : std::uint8_t { warmup, measure, drain };
inline constexpr unsigned kPhases = 3;
inline constexpr std::array<const char*, kPhases> kPhaseNames = {"warmup", "measure", "drain"};

/// Why a request did not count as completed.
enum class ErrorKind : std::uint8_t {
  timeout,   ///< connected, but the answer was not whole in time
  reset,     ///< the connection was reset, or ended before a byte of the answer
  refused,   ///< RST in answer to the SYN
  status,    ///< not the status that was expected, or no valid response head
  length,    ///< not as many bytes as announced, or announced other than the file has, or not
             ///< announced
  content,   ///< bytes differ from the file's
  connect,   ///< not opened in time, unreachable, or no local port left
  question,  ///< an answer to another question than was asked (DNS)
  unsent,    ///< due, but never sent: the queue was full, or it still waited when measuring ended
  ending,  ///< of a connection, not of a request: nothing was asked of it, and it was reset or not
           ///< closed in time
  lost,    ///< a message that was sent and did not arrive (forward, as all below)
  duplicated,    ///< arrived before
  reordered,     ///< came after one that its sender sent later
  altered,       ///< its bytes are not those that were sent
  misdelivered,  ///< came to another sink than its own
};
inline constexpr unsigned kErrorKinds = 15;
inline constexpr std::array<const char*, kErrorKinds> kErrorNames = {
    "timeout", "reset",  "refused", "status",     "length",    "content", "connect",     "question",
    "unsent",  "ending", "lost",    "duplicated", "reordered", "altered", "misdelivered"};

struct PhaseStats {
  std::uint64_t requests;            ///< answered whole and right
  std::uint64_t connections;         ///< ended in order, by the server's FIN
  std::uint64_t connections_opened;  ///< handshakes done
  std::uint64_t body_bytes;          ///< of answers, headers not counted, as they came in
  std::uint64_t unasked;             ///< answers that no request waited for: too late, or twice
  std::array<std::uint64_t, kErrorKinds> errors;
  telemetry::HistogramData latency;  ///< ns, of requests that were due in this phase
  /// Requests due in this phase that have no latency, since their answer never came or was wrong.
  std::uint64_t censored;
  std::uint64_t censored_wait_max;  ///< ns that one of them had waited when it was given up

  void count(ErrorKind kind) { ++errors[static_cast<unsigned>(kind)]; }
  [[nodiscard]] std::uint64_t error(ErrorKind kind) const {
    return errors[static_cast<unsigned>(kind)];
  }
  void censor(Time waited) {
    ++censored;
    censored_wait_max = std::max<std::uint64_t>(censored_wait_max, waited);
  }
  void merge(const PhaseStats& other) {
    requests += other.requests;
    connections += other.connections;
    connections_opened += other.connections_opened;
    body_bytes += other.body_bytes;
    unasked += other.unasked;
    for (unsigned i = 0; i < kErrorKinds; ++i) errors[i] += other.errors[i];
    latency.merge(other.latency);
    censored += other.censored;
    censored_wait_max = std::max(censored_wait_max, other.censored_wait_max);
  }
};
using RunStats = std::array<PhaseStats, kPhases>;

/// When the phases begin; the same for all threads.
struct Schedule {
  Time start = nmio::kNever;  ///< warmup
  Time measure = nmio::kNever;
  Time drain = nmio::kNever;

  [[nodiscard]] Phase at(Time t) const {
    if (t < measure) return Phase::warmup;
    return t < drain ? Phase::measure : Phase::drain;
  }
};

/// What a thread has used up so far; a phase's use is the difference between two readings.
struct Usage {
  std::uint64_t busy_cycles = 0;  ///< of the time-stamp counter
  std::uint64_t idle_cycles = 0;
  std::uint64_t wire_rx_bytes = 0;  ///< frames received, with Ethernet header; 0 where not known
  std::uint64_t wire_tx_bytes = 0;
};

class UsageMeter {
 public:
  virtual ~UsageMeter() = default;
  virtual Usage usage() = 0;
};

}  // namespace stackrig::rigload
